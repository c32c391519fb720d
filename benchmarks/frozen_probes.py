"""Probes on a frozen MoViNet-A0: what an earlier stage, place and time kept, adds to the last features.

    python -m benchmarks.frozen_probes [--weights MODEL.safetensors] [--work FOLDER]

UT-Interaction set 1 by its protocol, one sequence left out at a time. Features are computed once for each
clip and all probes; settings are chosen by leaving out each of the training sequences in turn, and the
sequence that is left out of all is only scored. Answers are paired by clip. Clips of this set are cropped to
the people, so that the shape of a frame tells classes apart: everything is measured with frames stretched to
a square, and with a square cut out of the middle of each, which all have the same shape. One thread. Needs
KINESPHERE_TEST_DATA.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.record import Row, command_line, finish
from kinesphere.core.threads import computing_with
from kinesphere.data.manifest import Manifest
from kinesphere.data.split import Fold, kfold
from kinesphere.evaluate.paired import mean_difference, mean_share, sign_flip_test
from kinesphere.models.runtime.frozen import FrozenSplit
from kinesphere.train.features import Features
from kinesphere.train.probe_families import Family, NeighbourFamily, families_of
from kinesphere.train.probe_trainer import Candidate, Neighbours, Probe
from kinesphere.train.probing import read_features
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data
from kinesphere.train.trainer import build_recogniser, loss_of
from kinesphere.video.probe import probe

INPUTS = {"stretch": "stretched to a square", "short_side": "a square from the middle"}
MEAN = "last grid 1x1x1"
NEIGHBOURS = (1, 3, 5)
VIEWS = "2x2"
Choice = tuple[Family, Candidate]
FIRST_DESIGN = (
    "The first design of this record chose on 3 inner folds of the nine sequences instead of 9; all else was "
    "the same. The best of all pooled probes then was: stretched to a square 86.7 % [75.9, 97.5], "
    "+13.3 points [-0.4, +27.1] beside the linear one; a square from the middle 80.0 % [68.2, 91.8], "
    "+10.0 points [-0.2, +20.2]. k nearest neighbours: 55.0 % and 65.0 %. Nine inner folds were tried once, "
    "and what they gave stands above."
)


@dataclass(frozen=True)
class Network:
    """What stays frozen.

    Attributes:
        model: The recipe's section of the model.
        clip: Its section of the clips, but for how frames become square.
        stages: Where pooled probes look; empty is the last grid.
        epochs: How long each probe is trained.
    """

    model: dict[str, object]
    clip: dict[str, object]
    stages: tuple[str, ...]
    epochs: int = 30


def recipe_of(labels: Path, network: Network, resize: str, work: Path, *, attentive: bool) -> Recipe:
    """How probes are fitted to frames that are brought to a square in one way."""
    kinds = {"kind": "attentive", "lr": 0.001} if attentive else {"kind": "pooled", "lr": [0.003]}
    return Recipe.build(
        {
            "data": {"source": str(labels), "cache": str(work / "frames")},
            "model": network.model,
            "clip": {**network.clip, "resize": resize},
            "probe": {
                **kinds,
                "weight_decay": 0.1,
                "stages": [] if attentive else network.stages,
                "cells": ["1x1x1", "4x3x3"],
                "views": "1x1" if attentive else VIEWS,
                "cache": str(work / "features"),
            },
            "loss": {"name": "cross_entropy"},
            "train": {"epochs": network.epochs, "batch_size": 16, "seed": 0, "monitor": "top1"},
            "compute": {"device": "cpu", "precision": "fp32", "workers": 0, "threads": 1},
            "out": str(work / resize),
        }
    )


@dataclass(frozen=True)
class Arm:
    """A probe, or several of which inner folds choose.

    Attributes:
        name: In the table.
        choices: Families with a candidate each.
    """

    name: str
    choices: tuple[Choice, ...]

    def answers(self, samples: Manifest) -> tuple[np.ndarray, list[str]]:
        """The class `(N,)` of each clip, by a probe that never met its sequence; and what was chosen."""
        said = np.full(len(samples), -1)
        kept = []
        for fold in one_group_out(samples):
            train, test = _rows(samples, fold.train), _rows(samples, fold.test)
            family, candidate = self._chosen(samples, train)
            said[test] = right_or_wrong(family, candidate, train, test)[0]
            kept.append(candidate.said)
        return said, kept

    def _chosen(self, samples: Manifest, train: list[int]) -> Choice:
        """The choice that is right most often, with each training group left out, then of the least loss."""
        if len(self.choices) == 1:
            return self.choices[0]
        score = np.zeros((len(self.choices), 2))
        for fold in one_group_out(samples.select(train)):
            learn, check = _rows(samples, fold.train), _rows(samples, fold.test)
            for number, (family, candidate) in enumerate(self.choices):
                said, loss = right_or_wrong(family, candidate, learn, check)
                score[number] += (said == truth(family, check)).sum(), -loss
        return self.choices[max(range(len(score)), key=lambda number: tuple(score[number]))]


def one_group_out(samples: Manifest) -> list[Fold]:
    """A fold for each group, which is tested alone."""
    return kfold(samples, len(samples.groups), 0)


def _rows(samples: Manifest, part: Manifest) -> list[int]:
    names = {sample.id for sample in part}
    return [row for row, sample in enumerate(samples) if sample.id in names]


def truth(family: Family, rows: Sequence[int]) -> np.ndarray:
    """The class of each of some rows."""
    found: np.ndarray = family.features["train"].targets[list(rows)].argmax(1).numpy()
    return found


_known: dict[tuple[int, Candidate, tuple[int, ...]], nn.Module] = {}
"""Heads by family, setting and training rows: without two sequences, a head chooses for either of them."""


@torch.no_grad()
def right_or_wrong(
    family: Family, candidate: Candidate, train: Sequence[int], test: Sequence[int]
) -> tuple[np.ndarray, float]:
    """The class of each test row by a probe of the training rows, and the sum of its cross-entropies."""
    key = (id(family), candidate, tuple(train))
    if key not in _known:
        with torch.enable_grad():
            (_known[key],) = family.fit([candidate], train)
    x, targets = family.features["train"].of(test)
    shares = _known[key](x.flatten(0, 1)).softmax(1).unflatten(0, (len(test), -1)).mean(1)
    loss = float(-(shares.clamp(min=1e-9).log() * targets).sum())
    return shares.argmax(1).numpy(), loss


def arms_of(labels: Path, network: Network, resize: str, work: Path) -> tuple[Manifest, list[Arm]]:
    """The probes on frames that are brought to a square in one way; features are computed or found."""
    recipe = recipe_of(labels, network, resize, work, attentive=False)
    samples = read_data(recipe.data)
    pooled = _families(recipe, samples)
    by_grid = {str(_grid(family)): family for family in pooled}
    mean = by_grid[MEAN]
    attentive = _families(recipe_of(labels, network, resize, work, attentive=True), samples)[0]
    arms = [
        Arm("linear, on the mean of the last features", _choices(mean)),
        Arm("k nearest neighbours, by the same", _choices(_neighbours(mean, recipe, samples))),
        Arm("attentive, over the last features", _choices(attentive)),
    ]
    arms += [
        Arm(f"pooled, {grid}", _choices(family)) for grid, family in by_grid.items() if family is not mean
    ]
    arms.append(Arm("the best of all pooled", tuple(each for family in pooled for each in _choices(family))))
    return samples, arms


def _families(recipe: Recipe, samples: Manifest) -> list[Family]:
    recogniser = build_recogniser(recipe, samples, tell=False)

    def read(split: FrozenSplit) -> dict[str, Features]:
        return read_features(recipe, split, {"train": (samples, recipe.probe.views)})

    return families_of(recipe, recogniser, loss_of(recipe, samples), samples.labels, read)


def _grid(family: Family) -> object:
    candidate = family.candidates[0]
    assert isinstance(candidate, Probe)
    return candidate.grid


def _choices(family: Family) -> tuple[Choice, ...]:
    return tuple((family, candidate) for candidate in family.candidates)


def _neighbours(mean: Family, recipe: Recipe, samples: Manifest) -> Family:
    """Votes of nearest neighbours on features that are means already."""
    own = {
        part: replace(each, loaded=_columns(each)[:, :, None], columns=None)
        for part, each in mean.features.items()
    }
    candidates = tuple(Neighbours(k, 0.07) for k in NEIGHBOURS)
    recogniser = build_recogniser(recipe, samples, tell=False)
    return NeighbourFamily(candidates, mean.trainer, own, recogniser, multi=False)


def _columns(features: Features) -> torch.Tensor:
    return features.of(range(len(features)))[0]


def by_shape(samples: Manifest) -> np.ndarray:
    """The class of each clip by the nearest frame size among the other sequences: what shape alone tells."""
    sizes = np.array([probe(sample.path).size for sample in samples], np.float64)
    shapes = np.log(np.stack([sizes[:, 1] / sizes[:, 0], sizes[:, 0] * sizes[:, 1]], 1))
    targets = np.array([target[0] for target in samples.targets])
    groups = np.array([str(sample.group) for sample in samples])
    said = np.zeros(len(targets), int)
    for row, group in enumerate(groups):
        others = groups != group
        scaled = (shapes - shapes[others].mean(0)) / shapes[others].std(0)
        said[row] = targets[others][np.square(scaled[others] - scaled[row]).sum(1).argmin()]
    return said


def measure(labels: Path, network: Network, work: Path) -> tuple[list[Row], list[str]]:
    """A row for each probe on each kind of frames, and how the goal was met."""
    rows: list[Row] = []
    goals: list[str] = []
    for resize, frames in INPUTS.items():
        samples, arms = arms_of(labels, network, resize, work)
        groups = [sample.group for sample in samples]
        targets = np.array([target[0] for target in samples.targets])
        first: np.ndarray | None = None
        for arm in arms:
            said, kept = arm.answers(samples)
            right = (said == targets).astype(float)
            first = right if first is None else first
            row: dict[str, str | int | float] = {
                "frames": frames,
                "probe": arm.name,
                "top-1": str(mean_share(right, groups)),
                "without `point`": str(mean_share(right[_told(samples)], _of(groups, _told(samples)))),
                "less linear": "–",
                "p (sign flips of sequences)": "",
            }
            if arm is not arms[0]:
                row["less linear"] = str(mean_difference(first, right, groups))
                row["p (sign flips of sequences)"] = f"{sign_flip_test(first, right, groups):.3f}"
            rows.append(row)
            print(row, dict(Counter(kept)), flush=True)
        goals.append(_goal(frames, rows[-1]))
    shape = (by_shape(samples) == targets).astype(float)
    rows.append(
        {"frames": "none", "probe": "nearest shape of a frame", "top-1": str(mean_share(shape, groups))}
    )
    return rows, goals


def _told(samples: Manifest) -> np.ndarray:
    return np.array([sample.labels[0] != "point" for sample in samples])


def _of(values: Sequence[str | None], chosen: np.ndarray) -> list[str | None]:
    return [value for value, is_chosen in zip(values, chosen, strict=True) if is_chosen]


def _goal(frames: str, row: Row) -> str:
    """Whether what inner folds choose is above 80 % and above the linear probe by the paired test."""
    above = float(str(row["top-1"]).split("%")[0]) > 80 and "[+" in str(row["less linear"])
    return (
        f"The best of all pooled probes, {frames}: {row['top-1']}, {row['less linear']} beside the linear "
        f"one (goal: above 80 %, the whole interval above 0): {'met' if above else 'missed'}."
    )


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--weights", default="runs/movinet_a0.safetensors", help="an imported MoViNet-A0")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/frozen_probes"), help="folder of what is kept"
    )
    args = parser.parse_args()
    labels = Path(os.environ["KINESPHERE_TEST_DATA"]) / "videos" / "ut_interaction_set1" / "labels.csv"
    network = Network(
        {"name": "movinet_a0_stream", "pretrained": args.weights},
        {"sampling": "uniform16", "size": 172},
        ("", "block6", "block5"),
    )
    began = time.process_time()
    with computing_with(1):
        rows, goals = measure(labels, network, args.work)
    notes = (
        (
            "60 clips, 10 sequences, each left out once. What a row chooses among, by leaving out each of "
            "the other nine in turn: numbers of neighbours 1, 3 and 5, and in the last row all grids. "
            f"Learning rate 0.003 and 30 epochs were set beforehand. Views {VIEWS}: two clips in time with "
            "their mirror images; the attentive probe, whose features are far larger, sees one view and has "
            "one setting (learning rate 0.001). "
            f"{time.process_time() - began:.0f} s of one core."
        ),
        FIRST_DESIGN,
        (
            "A grid is a stage and the parts of the clip along time, rows and columns whose means are seen. "
            "Intervals and tests take sequences together. Weights: `kinesphere import`, as "
            "recipes/ut_interaction_probe.yaml says."
        ),
        (
            "Clips of `point` are narrower than high, all others mostly wider: the last line answers by the "
            "width and height of the nearest frame alone. A square from the middle gives all frames one "
            "shape, at the price of people cut away at the sides."
        ),
    )
    title = "Probes on a frozen MoViNet: UT-Interaction set 1"
    finish("frozen_probes", title, parser, args, rows, goals, notes)


if __name__ == "__main__":
    main()
