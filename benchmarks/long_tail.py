"""Methods for long tails against plain cross-entropy: generated movements as joints, 8 to 1 at the ends.

    python -m benchmarks.long_tail [--seeds N] [--clips N] [--epochs N] [--work FOLDER]

For each seed a set of twelve movements is generated, whose numbers of training clips fall geometrically from
40 to 5; which movement is rare differs with the seed. Validation and test are balanced, of other performers.
All methods train the same network from the same weights on the same clips for the same steps; a changed
classifier (re-training, tau-normalisation, logit adjustment) starts from the run of plain cross-entropy.
Weights are picked by mean class accuracy on the validation clips. Settings are the papers' own or the
recipe's defaults, and were not tuned. What is finished in the work folder is kept: the same command goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.record import Row, command_line, finish
from kinesphere.evaluate.paired import share_difference
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report
from kinesphere.synthetic.poses import pose_clips, write_pose_clips
from kinesphere.synthetic.settings import DEFAULT_CLASSES, MannequinSettings
from kinesphere.train import Recipe, train

SEEDS, CLIPS, EPOCHS = 3, 100, 40
RATIO = 8.0
SPLITS = (0.4, 0.2, 0.4)
SHOTS = (10, 20)
PLAIN = "cross-entropy"


@dataclass(frozen=True)
class Method:
    """One way to learn from a long tail.

    Attributes:
        name: In the table.
        overrides: Of the recipe.
        after: Whether it changes the classifier of the run of plain cross-entropy.
    """

    name: str
    overrides: tuple[str, ...] = ()
    after: bool = False


METHODS = (
    Method(PLAIN),
    Method("square-root sampling", ("data.balance=sqrt",)),
    Method("class-balanced sampling", ("data.balance=equal",)),
    Method("focal", ("loss.name=focal",)),
    Method("class-balanced loss", ("loss.name=class_balanced",)),
    Method("class-balanced loss, deferred", ("loss.name=class_balanced", "loss.defer=0.8")),
    Method("balanced softmax", ("loss.name=balanced_softmax",)),
    Method("LDAM, never weighted", ("loss.name=ldam", "loss.defer=1")),
    Method("LDAM, deferred weights", ("loss.name=ldam",)),
    Method(
        "classifier re-training",
        ("model.freeze=all", "model.reset_head=true", "data.balance=equal", "optimizer.lr=0.01"),
        after=True,
    ),
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


def recipe_of(method: Method, manifest: Path, seed: int, epochs: int, work: Path) -> Recipe:
    """How a method learns from a seed's set."""
    recipe = Recipe.build(
        {
            "data": {"source": str(manifest)},
            "model": {"name": "dd_net"},
            "augment": {"preset": "none", "flip": 0.5, "joint_scale": 0.15},
            "optimizer": {"lr": 0.004},
            "train": {
                "epochs": epochs, "batch_size": 16, "seed": seed, "monitor": "mean_class_accuracy",
                "checkpoint_minutes": None,
            },
            "compute": {"device": "cpu", "precision": "fp32", "workers": 0, "threads": 1},
            "log": {"tensorboard": False},
            "test": {"shots": list(SHOTS)},
            "out": str(folder_of(method, seed, work)),
        }
    )  # fmt: skip
    start = (f"model.pretrained={folder_of(METHODS[0], seed, work)}",) if method.after else ()
    return recipe.override(*method.overrides, *start)


def folder_of(method: Method, seed: int, work: Path) -> Path:
    """The run of a method on a seed's set."""
    return work / f"{seed}-{method.name.replace(' ', '-').replace(',', '')}"


def measure(seeds: int, clips: int, epochs: int, work: Path) -> dict[str, list[tuple[Report, Predictions]]]:
    """Report and answers of every method on every set."""
    found: dict[str, list[tuple[Report, Predictions]]] = {method.name: [] for method in METHODS}
    for seed in range(seeds):
        manifest = data_of(seed, clips, work)
        for method in METHODS:
            run = train(recipe_of(method, manifest, seed, epochs, work), resume=True)
            assert run.report is not None
            print(seed, method.name, run.report.scores["mean_class_accuracy"], flush=True)
            found[method.name].append((run.report, Predictions.read(run.folder)))
    return found


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
    above = [str(row["method"]) for row in rows if "[+" in str(row["against cross-entropy"])]
    below = [str(row["method"]) for row in rows if str(row["against cross-entropy"]).count("-") == 3]
    names = f": {'; '.join(above)}" if above else ""
    better = (
        "Methods whose mean class accuracy is above that of plain cross-entropy, the whole interval above "
        f"0 (goal: at least 2): {len(above)} of {len(rows) - 1}{names}: "
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
        f"dd_net on joints, {epochs} epochs, batches of 16, AdamW; classifiers that are trained anew learn "
        "for as many epochs on balanced draws, all else frozen. Tau is chosen on validation clips among 0, "
        "0.1, … 1. Balanced softmax is the logit-adjusted loss with tau 1."
    )
    return [spread, shots, training]


def _counts(manifest: Path) -> dict[str, int]:
    from kinesphere.data import Manifest

    counts = Manifest.read(manifest).where(split="train").counts()
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"sets (default: {SEEDS})")
    parser.add_argument(
        "--clips", type=int, default=CLIPS, help=f"clips of a class in all (default: {CLIPS})"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs (default: {EPOCHS})")
    parser.add_argument("--work", type=Path, default=Path("runs/long_tail"), help="folder of what is kept")
    args = parser.parse_args()
    found = measure(args.seeds, args.clips, args.epochs, args.work)
    rows = rows_of(found)
    manifests = [data_of(seed, args.clips, args.work) for seed in range(args.seeds)]
    title = "Long tails: methods against plain cross-entropy"
    finish("long_tail", title, parser, args, rows, held(rows), notes_of(manifests, args.epochs))


if __name__ == "__main__":
    main()
