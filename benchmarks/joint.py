"""Two small data sets with a network of their own each, and with one for both.

    python -m benchmarks.joint [--weights MODEL.safetensors]

UT-Interaction set 1 (6 interactions) and the surveillance clips (fight or not) on features of a frozen
MoViNet-A0 (`kinesphere import`, as recipes/ut_interaction_movinet.yaml says), computed once. What is
trained is the hidden layer behind them and a head for each set: alone, or together. Five folds by group in
each set; a fifth of a fold's training groups chooses the learning rate, the number of epochs is set
beforehand, and the test clips of a fold are only scored. Each test clip is answered after both trainings, so
that differences are paired. One thread. Needs KINESPHERE_TEST_DATA.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import command_line, finish
from kinesphere.clips.modality import MODALITIES
from kinesphere.data.dataset import ClipDataset
from kinesphere.data.loader import make_loader
from kinesphere.data.manifest import Manifest
from kinesphere.data.split import holdout, kfold
from kinesphere.evaluate.paired import mean_difference, mean_share, sign_flip_test
from kinesphere.models.runtime.frozen import FrozenSplit, Head
from kinesphere.train.features import Features
from kinesphere.train.losses import dense_targets
from kinesphere.train.probe_trainer import Probe, ProbeTrainer
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, read_samples
from kinesphere.train.set_heads import SetHead, heads_of, of_set
from kinesphere.train.trainer import build_recogniser, loss_of

RATES = (0.003, 0.0003)
FOLDS = 5
VAL = 0.2


def recipe_of(sets: dict[str, Path], network: dict[str, object], epochs: int, seed: int) -> Recipe:
    """How the sets are learnt together; of one, how it is learnt alone.

    Args:
        sets: Manifests by name.
        network: The recipe's sections of the model and its clips.
        epochs, seed: Of the training.
    """
    (first, *others) = sets.values()
    settings: dict[str, object] = {
        "data": {"source": str(first)},
        **network,
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
        "train": {"epochs": epochs, "batch_size": 16, "seed": seed, "monitor": "top1"},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 0, "threads": 1},
    }
    if others:
        settings["joint"] = {"sets": {name: {"source": str(path)} for name, path in sets.items()}}
    return Recipe.build(settings)


@torch.no_grad()
def read_features(split: FrozenSplit, samples: Manifest) -> Features:
    """What reaches the layers that learn, a view of each clip."""
    dataset = ClipDataset(samples, split.recogniser.specs, train=False)
    found, targets, kept = [], [], []
    with make_loader(dataset, 4, workers=0) as loader:
        for batch in loader:
            clips = tuple(
                MODALITIES.get(spec.modality).normalise(x.flatten(0, 1), spec, torch.float32)
                for x, spec in zip(batch.inputs, split.recogniser.specs, strict=True)
            )
            found.append(split.features(clips))
            targets.append(dense_targets(batch.targets, len(samples.labels)))
            kept += batch.indices
    whole = samples.select(kept)
    paths = tuple(sample.path for sample in whole)
    return Features(whole, torch.cat(targets), paths, torch.cat(found)[:, None])


@dataclass(frozen=True, eq=False)
class Arm:
    """A training of a fold: the sets that learn, and the layers that do.

    Attributes:
        recipe: How.
        start: The layers before the first step.
        features: Of all clips of its sets.
        heads: Where each set's answers are.
    """

    recipe: Recipe
    start: Head
    features: Features
    heads: tuple[SetHead, ...]

    def answers(self, train: set[str], val: set[str], test: set[str]) -> dict[str, int]:
        """The class of each test clip, by the rate that does best on the clips that choose."""
        samples = self.features.manifest
        trainer = ProbeTrainer(self.recipe, self.start, loss_of(self.recipe, samples), samples.labels)
        rows = {
            use: [row for row, sample in enumerate(samples) if sample.id in ids]
            for use, ids in (("train", train), ("val", val), ("test", test))
        }
        trained = trainer.train([Probe(rate, 0.01) for rate in RATES], self.features, rows["train"])
        scores = []
        counted = [trainer.metrics() for _ in trained]
        trainer.count(counted, trained, self.features, rows["val"])
        for metrics in counted:
            found = metrics.compute()
            assert found is not None
            scores.append((found["top1"], -found["loss"]))
        best = trained[scores.index(max(scores))]
        chosen = self.features.of(rows["test"])[0].flatten(0, 1)
        with torch.inference_mode():
            logits = best(chosen)
        found_of: dict[str, int] = {}
        for head in self.heads:
            own = logits[:, head.rows].argmax(1).tolist()
            names = [samples.samples[row].id for row in rows["test"]]
            found_of |= {
                name: answer
                for name, answer in zip(names, own, strict=True)
                if name.startswith(f"{head.name}/")
            }
        return found_of


def arms_of(sets: dict[str, Path], network: dict[str, object], epochs: int, seed: int) -> dict[str, Arm]:
    """The training on both sets as `both`, and that on each by its name; features are computed once."""
    recipe = recipe_of(sets, network, epochs, seed)
    samples = read_samples(recipe)
    heads = heads_of(recipe, samples.labels)
    split = FrozenSplit(build_recogniser(recipe, samples))
    features = read_features(split, samples)
    arms = {"both": Arm(recipe, split.head(), features, heads)}
    for head in heads:
        alone = recipe_of({head.name: sets[head.name]}, network, epochs, seed)
        own = FrozenSplit(build_recogniser(alone, read_data(alone.data)))
        rows = [row for row, s in enumerate(features.manifest) if s.id.startswith(f"{head.name}/")]
        values, targets = features.of(rows)
        mine = features.manifest.select(rows)
        named = tuple(
            replace(sample, labels=(sample.labels[0].removeprefix(f"{head.name}/"),)) for sample in mine
        )
        manifest = replace(mine, samples=named, labels=head.labels)
        part = Features(manifest, targets[:, head.rows], tuple(s.path for s in named), values)
        own.features(_clip_like(own))  # the cut is checked on a clip
        arms[head.name] = Arm(alone, own.head(), part, (replace(head, start=0),))
    return arms


def _clip_like(split: FrozenSplit) -> tuple[torch.Tensor, ...]:
    return tuple(
        torch.zeros(1, spec.length, *MODALITIES.get(spec.modality).shape(spec))
        for spec in split.recogniser.specs
    )


def folds_of(path: Path, name: str, seed: int) -> list[tuple[set[str], set[str], set[str]]]:
    """Ids that train, choose and test, of each fold of a set; groups are kept whole."""
    samples = read_data(Recipe.build({"data": {"source": str(path)}}).data)
    found = []
    for fold in kfold(samples, FOLDS, seed):
        rest = holdout(fold.train, {"train": 1 - VAL, "val": VAL}, seed)
        parts = (rest.where(split="train"), rest.where(split="val"), fold.test)
        found.append(tuple({of_set(name, sample).id for sample in part} for part in parts))
    return [(train, val, test) for train, val, test in found]


def compared(
    sets: dict[str, Path], network: dict[str, object], epochs: int, seeds: Sequence[int]
) -> list[dict[str, str]]:
    """A row for each set: alone, together, and the paired difference."""
    right: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        arms = arms_of(sets, network, epochs, seed)
        samples = arms["both"].features.manifest
        truth = {sample.id: samples.targets[i][0] for i, sample in enumerate(samples)}
        folds = {name: folds_of(path, name, seed) for name, path in sets.items()}
        for number in range(FOLDS):
            own = {name: folds[name][number] for name in sets}
            train, val, test = (set[str]().union(*(own[name][i] for name in sets)) for i in range(3))
            together = arms["both"].answers(train, val, test)
            for head in arms["both"].heads:
                alone = arms[head.name].answers(*own[head.name])
                for name, answer in alone.items():
                    kept = right.setdefault(name, {"alone": [], "both": []})
                    kept["alone"].append(float(answer == truth[name] - head.start))
                    kept["both"].append(float(together[name] == truth[name] - head.start))
    return [_row(name, samples, right) for name in sets]


def _row(name: str, samples: Manifest, right: dict[str, dict[str, list[float]]]) -> dict[str, str]:
    mine = [sample for sample in samples if sample.id.startswith(f"{name}/") and sample.id in right]
    groups = [sample.group for sample in mine]
    alone, both = (np.array([np.mean(right[sample.id][arm]) for sample in mine]) for arm in ("alone", "both"))
    return {
        "data set": name,
        "clips": str(len(mine)),
        "groups": str(len(set(groups))),
        "alone, top-1": str(mean_share(alone, groups)),
        "together, top-1": str(mean_share(both, groups)),
        "together less alone": str(mean_difference(alone, both, groups)),
        "p (sign flips of groups)": f"{sign_flip_test(alone, both, groups):.3f}",
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--weights", default="runs/movinet_a0.safetensors", help="an imported MoViNet-A0")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = Path(os.environ["KINESPHERE_TEST_DATA"]) / "videos"
    sets = {
        "UT-Interaction": data / "ut_interaction_set1" / "labels.csv",
        "surveillance": data / "surveillance_fight" / "labels.csv",
    }
    network: dict[str, object] = {
        "model": {"name": "movinet_a0_stream", "pretrained": args.weights, "freeze": "conv7"},
        "clip": {"sampling": "uniform16", "size": 128, "resize": "stretch"},
    }
    began = time.process_time()
    rows = compared(sets, network, args.epochs, range(args.seeds))
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    notes = (
        (
            f"{FOLDS} folds by group in each set, {args.epochs} epochs set beforehand, batches of 16; the "
            f"learning rate ({rates}) is chosen on {VAL:.0%} of the training groups. Intervals and tests "
            f"take clips of a group together. {time.process_time() - began:.0f} s of one core."
        ),
        "All layers before the hidden one are frozen and the same in both; it and the heads are trained.",
        (
            "Each clip is seen as often alone as together, so that the common network takes more steps than "
            f"that of a small set alone, for which {args.epochs} epochs are few."
        ),
    )
    finish("joint", "Two data sets together and alone", parser, args, rows, (), notes)


if __name__ == "__main__":
    main()
