"""Probes: what an answer rests on, measured by changing the clips or narrowing the question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.intervals import LEVEL
from kinesphere.evaluate.metrics import Score, recall_interval
from kinesphere.evaluate.predictions import Predictions

Perturbation = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""Takes and gives clips `(B, V, T, C, H, W)`, one tensor per input of the network."""


def shuffle_frames(seed: int = 0) -> Perturbation:
    """A perturbation that puts the frames of each clip in random order, the same for all inputs.

    A model that loses nothing by it looks at single frames only.
    """
    generator = torch.Generator().manual_seed(seed)

    def shuffle(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        batch, _, length = inputs[0].shape[:3]
        orders = [torch.randperm(length, generator=generator) for _ in range(batch)]
        return tuple(
            torch.stack([clip[:, order] for clip, order in zip(x, orders, strict=True)]) for x in inputs
        )

    return shuffle


def pair_accuracy(predictions: Predictions, pairs: Sequence[tuple[str, str]], level: float = LEVEL) -> Score:
    """How often the right one of two classes is the more probable, over the clips of some pairs.

    Chance is 0.5 whatever the other classes; of pairs that differ only in the direction of time, a model
    without a sense of order cannot do better.

    Args:
        predictions: Predictions of a single-label set.
        pairs: Names of classes that are mistaken for one another.
        level: Level of the interval.

    Raises:
        InvalidSetting: If no clip belongs to a pair.
        LabelMismatch: If a name is not among the labels.
    """
    index = predictions.labels.index
    rival = {index(a): index(b) for a, b in pairs} | {index(b): index(a) for a, b in pairs}
    rows = [i for i, target in enumerate(predictions.targets) if int(target) in rival]
    if not rows:
        raise InvalidSetting(f"No clip belongs to one of the pairs {list(pairs)}.")
    targets = predictions.targets[rows]
    rivals = np.array([rival[int(target)] for target in targets])
    probabilities = predictions.probabilities[rows]
    places = np.arange(len(rows))
    right = probabilities[places, targets] > probabilities[places, rivals]

    groups = [predictions.groups[i] for i in rows]
    return Score(float(right.mean()), *recall_interval(np.ones(len(rows), dtype=bool), right, groups, level))
