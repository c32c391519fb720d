"""Methods for long tails against plain cross-entropy: generated movements as joints, 8 to 1 at the ends.

    python -m benchmarks.long_tail [--seeds N] [--clips N] [--epochs N] [--work FOLDER]

For each seed a set of twelve movements is generated, whose numbers of training clips fall geometrically from
40 to 5; which movement is rare differs with the seed. Validation and test are balanced, of other performers.
All methods train the same network from the same weights on the same clips for the same steps, and the last
weights are tested; a changed classifier (re-training, tau-normalisation, logit adjustment) starts from those
of plain cross-entropy. Settings are the papers' own or the recipe's defaults, and were not tuned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.record import Row, finish, generated_sets
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.threads import computing_with
from kinesphere.data import ClipDataset, Manifest, make_loader
from kinesphere.evaluate.paired import share_difference
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions
from kinesphere.models.recogniser import ALL, Recogniser
from kinesphere.models.runtime.frozen import FrozenSplit, Head
from kinesphere.synthetic.poses import pose_clips, write_pose_clips
from kinesphere.synthetic.settings import DEFAULT_CLASSES, MannequinSettings
from kinesphere.train import Recipe
from kinesphere.train.features import Features
from kinesphere.train.losses import dense_targets, log_priors
from kinesphere.train.probe_trainer import Probe, ProbeTrainer
from kinesphere.train.rebalancing import Rule
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.trainer import build_recogniser, loss_of

SEEDS, CLIPS, EPOCHS = 3, 100, 40
RATIO = 8.0
SPLITS = (0.4, 0.2, 0.4)
SHOTS = (10, 20)
PLAIN, NO_DROPOUT = "cross-entropy", "cross-entropy, no dropout"
COSINES = "cross-entropy, LDAM's head"


@dataclass(frozen=True)
class Method:
    """One way to learn from a long tail.

    Attributes:
        name: In the table.
        overrides: Of the recipe.
        after: Whether it changes the classifier of the run of plain cross-entropy.
        scales: Of a head of cosines, of which the validation clips choose; none takes the recipe's.
    """

    name: str
    overrides: tuple[str, ...] = ()
    after: bool = False
    scales: tuple[float, ...] = ()


METHODS = (
    Method(PLAIN),
    Method(NO_DROPOUT, ("model.arguments.dropout=0",)),
    Method(COSINES, ("model.head=normalised",)),
    Method("square-root sampling", ("data.balance=sqrt",)),
    Method("class-balanced sampling", ("data.balance=equal",)),
    Method("focal", ("loss.name=focal",)),
    Method("class-balanced loss", ("loss.name=class_balanced",)),
    Method("class-balanced loss, deferred", ("loss.name=class_balanced", "loss.defer=0.8")),
    Method("balanced softmax", ("loss.name=balanced_softmax",)),
    Method("LDAM, never weighted", ("loss.name=ldam", "loss.defer=1")),
    Method("LDAM, deferred weights", ("loss.name=ldam",)),
    Method("LDAM, deferred weights, scale by validation", ("loss.name=ldam",), scales=(30.0, 10.0)),
    Method("classifier re-training", ("data.balance=equal",), after=True),
    Method("tau-normalisation", ("rebalance.method=tau_normalised",), after=True),
    Method("logit adjustment afterwards", ("rebalance.method=logit_adjusted",), after=True),
)


def data_of(seed: int, clips: int, work: Path) -> Path:
    """The manifest of a seed's set; what is finished is kept."""
    folder = work / f"data-{clips}-{seed}"
    if not (folder / "manifest.csv").is_file():
        order = np.random.default_rng(seed).permutation(len(DEFAULT_CLASSES)).tolist()
        settings = MannequinSettings(
            classes=tuple(DEFAULT_CLASSES[i] for i in order),
            clips_per_class=clips,
            imbalance=RATIO,
            splits=SPLITS,
            seed=seed,
        )
        write_pose_clips(pose_clips(settings, views=1), folder, {})
    return folder / "manifest.csv"


@dataclass(frozen=True, eq=False)
class Parts:
    """The clips of a seed's set, read once.

    Attributes:
        train: To learn from.
        val: To choose tau by.
        test: To be scored.
    """

    train: Features
    val: Features
    test: Features


def recipe_of(method: Method, manifest: Path, seed: int, epochs: int) -> Recipe:
    """How a method learns from a seed's set, every `auto` decided."""
    recipe = Recipe.build(
        {
            "data": {"source": str(manifest)},
            "model": {"name": "dd_net"},
            "augment": {"preset": "none"},
            "optimizer": {"lr": 0.004},
            "train": {"epochs": epochs, "batch_size": 16, "seed": seed},
            "compute": {"device": "cpu", "precision": "fp32", "workers": 0, "threads": 1},
        }
    )
    changed = recipe.override(*(each for each in method.overrides if not each.startswith("rebalance")))
    return resolve(changed, read_data(changed.data))[0]


def read_parts(manifest: Manifest, spec: ClipSpec) -> Parts:
    """All clips of a set as the network takes them."""

    def read(split: str) -> Features:
        samples = manifest.where(split=split)
        dataset = ClipDataset(samples, (spec,), train=False)
        with make_loader(dataset, 32, workers=0) as loader:
            batches = list(loader)
        clips = torch.cat([batch.inputs[0] for batch in batches])
        targets = dense_targets(torch.cat([batch.targets for batch in batches]), len(samples.labels))
        return of_clips(samples, targets, MODALITIES.get(spec.modality).normalise(clips, spec, torch.float32))

    return Parts(read("train"), read("val"), read("test"))


def of_clips(samples: Manifest, targets: Tensor, values: Tensor) -> Features:
    """Numbers `(N, V, ...)` of N samples, in memory."""
    return Features(samples, targets, tuple(sample.path for sample in samples), values)


def trained(method: Method, recipe: Recipe, parts: Parts) -> Recogniser:
    """The network after training from scratch, in evaluation mode."""
    samples = parts.train.manifest
    recogniser = build_recogniser(recipe, samples).train()
    trainer = ProbeTrainer(
        recipe, Head([recogniser.net], parts=False), loss_of(recipe, samples), samples.labels
    )
    probe = Probe(recipe.optimizer.lr, recipe.optimizer.weight_decay)
    (head,) = trainer.train([probe], parts.train)
    recogniser.net.load_state_dict(head.layers[0].state_dict())
    return recogniser.eval()


def trained_best(method: Method, recipe: Recipe, parts: Parts) -> Recogniser:
    """`trained` with each scale of the method, the one kept whose validation clips are answered best."""
    if not method.scales:
        return trained(method, recipe, parts)
    nets = [trained(method, recipe.override(f"model.head_scale={scale}"), parts) for scale in method.scales]
    targets = parts.val.targets.argmax(1).numpy()
    right = [float((probabilities(net.net, parts.val).argmax(1) == targets).mean()) for net in nets]
    best = int(np.argmax(right))
    print(f"  scale {method.scales[best]:g}")
    return nets[best]


def changed(method: Method, recipe: Recipe, plain: Recogniser, parts: Parts) -> np.ndarray:
    """Probabilities `(N, K)` of the test clips with the trained network's classifier changed."""
    rule = next((each.partition("=")[2] for each in method.overrides if each.startswith("rebalance")), None)
    samples = parts.train.manifest
    plain.freeze(ALL)
    split = FrozenSplit(plain)
    seen = Parts(*(_features(split, part) for part in (parts.train, parts.val, parts.test)))
    trainer = ProbeTrainer(recipe, _fresh(split), loss_of(recipe, samples), samples.labels)
    if rule is None:
        (head,) = trainer.train([Probe(recipe.optimizer.lr, recipe.optimizer.weight_decay)], seen.train)
        return probabilities(head, seen.test)
    counts = samples.counts()
    by = Rule(rule, log_priors(torch.tensor([counts[name] for name in samples.labels])))
    heads = {tau: split.head().eval() for tau in Recipe.build({"data": {"source": "x"}}).rebalance.tau}
    for tau, head in heads.items():
        by.change(head.layers[-1], tau, plain.card.head[0])
    found = dict(zip(heads, trainer.scores(list(heads.values()), seen.val), strict=True))
    best = max(heads, key=lambda tau: ((found[tau] or {})["mean_class_accuracy"], -tau))
    print(f"  tau {best:g}")
    return probabilities(heads[best], seen.test)


def _features(split: FrozenSplit, part: Features) -> Features:
    clips, targets = part.of(range(len(part)))
    return of_clips(part.manifest, targets, split.features((clips.flatten(0, 1),))[:, None])


def _fresh(split: FrozenSplit) -> Head:
    """The classifier with new weights."""
    head = split.head()
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    return head


@torch.inference_mode()
def probabilities(head: torch.nn.Module, part: Features) -> np.ndarray:
    """`(N, K)` of one view of each clip."""
    clips, _ = part.of(range(len(part)))
    found: np.ndarray = head.eval()(clips.flatten(0, 1)).softmax(-1).double().numpy()
    return found


def measure(seeds: int, clips: int, epochs: int, work: Path) -> dict[str, list[tuple[Report, Predictions]]]:
    """Report and answers of every method on every set."""
    found: dict[str, list[tuple[Report, Predictions]]] = {method.name: [] for method in METHODS}
    for seed in range(seeds):
        path = data_of(seed, clips, work)
        manifest = Manifest.read(path)
        spec = build_recogniser(recipe_of(METHODS[0], path, seed, epochs), manifest).specs[0]
        parts = read_parts(manifest, spec)
        plain: Recogniser | None = None
        for method in METHODS:
            recipe = recipe_of(method, path, seed, epochs)
            if method.after:
                assert plain is not None
                said = changed(method, recipe, plain, parts)
            else:
                net = trained_best(method, recipe, parts)
                plain = plain or net
                said = probabilities(net.net, parts.test)
            found[method.name].append(scored(said, parts))
            print(seed, method.name, found[method.name][-1][0].scores["mean_class_accuracy"], flush=True)
    return found


def scored(said: np.ndarray, parts: Parts) -> tuple[Report, Predictions]:
    """The report on answers to the test clips, and the table of them."""
    samples, targets = parts.test.manifest, parts.test.targets.argmax(1).numpy()
    predictions = Predictions.of(list(samples), samples.labels, targets, said)
    environment = Environment("dd_net", "", torch.__version__, "cpu", "fp32")
    training = parts.train.manifest.counts()
    report = report_from_predictions(
        predictions, Protocol("generated movements"), environment, training=training, shots=SHOTS
    )
    return report, predictions


def rows_of(found: Mapping[str, Sequence[tuple[Report, Predictions]]]) -> list[Row]:
    """A line for each method: scores averaged over the seeds, and the difference on the same clips."""
    plain, groups = right(found[PLAIN]), groups_of(found[PLAIN])
    rows: list[Row] = []
    for name, runs in found.items():
        row: dict[str, str | int | float] = {"method": name}
        row["mean class accuracy"] = percent([r.scores["mean_class_accuracy"].value for r, _ in runs])
        for shots in ("many", "medium", "few"):
            row[f"{shots}-shot"] = percent([_shots(report, shots) for report, _ in runs])
        row["calibration error"] = percent([r.scores["ece"].value for r, _ in runs])
        difference = share_difference(plain, right(runs), groups)
        row["against cross-entropy"] = "–" if name == PLAIN else str(difference)
        rows.append(row)
    return rows


def right(runs: Sequence[tuple[Report, Predictions]]) -> np.ndarray:
    """Which clips of all seeds are answered rightly; all classes are tested on as many, so count alike."""
    return np.concatenate([p.probabilities.argmax(1) == p.targets for _, p in runs])


def groups_of(runs: Sequence[tuple[Report, Predictions]]) -> list[str]:
    """Performers, those of each seed for themselves."""
    return [f"{seed} {group}" for seed, (_, p) in enumerate(runs) for group in p.groups]


def _shots(report: Report, name: str) -> float:
    assert report.frequency is not None
    values = [row.value for row in report.frequency.rows if row.name == name]
    return float("nan") if not values or values[0] is None else values[0]


def percent(values: Sequence[float]) -> str:
    """Their mean, and from where to where they go."""
    low, high = min(values), max(values)
    return f"{100 * float(np.mean(values)):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def held(rows: Sequence[Row]) -> list[str]:
    """What the table says, in words."""
    others = [row for row in rows if row["method"] not in (NO_DROPOUT, COSINES)]
    rows = [row for row in others if row["against cross-entropy"] != "–"]
    above = [str(row["method"]) for row in rows if "[+" in str(row["against cross-entropy"])]
    below = [str(row["method"]) for row in rows if str(row["against cross-entropy"]).count("-") == 3]
    names = f": {'; '.join(above)}" if above else ""
    better = (
        "Methods whose mean class accuracy is above that of plain cross-entropy, the whole interval above "
        f"0 (goal: at least 2): {len(above)} of {len(rows)}{names}: "
        f"{'met' if len(above) > 1 else 'missed'}."
    )
    return [better, f"Methods whose whole interval is below 0: {'; '.join(below) or 'none'}."]


def notes_of(manifests: Sequence[Path], epochs: int) -> list[str]:
    """What a reader must know."""
    spread = (
        f"Means over {len(manifests)} seeds, the least and the largest in brackets. Differences are on the "
        "same test clips of all seeds, 95 % intervals over performers."
    )
    shots = (
        f"Many-shot: more than {SHOTS[1]} clips in training, few-shot: fewer than {SHOTS[0]}. Training "
        f"clips of the first seed: {json.dumps(_counts(manifests[0]))}."
    )
    training = (
        f"dd_net on joints, {epochs} epochs, batches of 16, AdamW, no augmentation; classifiers that are "
        "trained anew learn for as many epochs on balanced draws, all else frozen. Tau is chosen on "
        "validation clips, which are balanced, among 0, 0.1, … 1, LDAM's scale of 30 and 10. Balanced "
        "softmax is the logit-adjusted loss with tau 1. "
        "LDAM's head of cosines has no dropout before it: what that does alone, and what the head does "
        "without margins and weights, the second and third lines say."
    )
    return [spread, shots, training]


def _counts(manifest: Path) -> dict[str, int]:
    counts = Manifest.read(manifest).where(split="train").counts()
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = generated_sets(__doc__, SEEDS, CLIPS, Path("runs/long_tail"))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs (default: {EPOCHS})")
    args = parser.parse_args()
    with computing_with(1):
        found = measure(args.seeds, args.clips, args.epochs, args.work)
    rows = rows_of(found)
    manifests = [data_of(seed, args.clips, args.work) for seed in range(args.seeds)]
    title = "Long tails: methods against plain cross-entropy"
    finish("long_tail", title, parser, args, rows, held(rows), notes_of(manifests, args.epochs))


if __name__ == "__main__":
    main()
