"""What one-stage detectors of actions have in common: a pyramid of steps, and heads that answer at each.

At level l a step is 2^l rows of features long. Every step says which actions it is in the middle of, and how
far these reach to its left and right.

B videos, T steps of the features, P points (the steps of all levels, one level after the other), K classes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from kinesphere.models.temporal.layers import (
    ChannelNorm,
    Embedding,
    Factor,
    PyramidHead,
    Steps,
    prior_bias,
)

WIDEST = 10000.0


@dataclass(frozen=True, eq=False)
class Points:
    """Where the steps of a pyramid are, in rows of the features.

    Attributes:
        at: `(P,)` time of each.
        stride: `(P,)` length of its step.
        low, high: `(P,)`: how far an action that it answers for reaches to its further side.
    """

    at: Tensor
    stride: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, lengths: list[int], reaches: tuple[tuple[float, float], ...], device: torch.device) -> Points:
        """The points of levels of so many steps each."""
        level = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
        stride = (2.0**level).to(torch.float32)
        index = torch.cat([torch.arange(length, dtype=torch.float32) for length in lengths]).to(device)
        reach = torch.tensor(reaches, device=device)[level]
        return cls(index * stride, stride, reach[:, 0], reach[:, 1])


@dataclass(frozen=True, eq=False)
class Answers:
    """What a one-stage detector says at all points.

    Attributes:
        logits: `(B, P, K)`: whether the point is in the middle of an action of the class.
        offsets: `(B, P, …)` at least 0: what the reach to both sides follows from, in strides of its level.
        mask: bool `(B, P)`: points that are there.
        lengths: Steps of each level.
        points: Where they are.
        starts, ends: `(B, P, K)`: whether an action begins or ends there, in networks that ask.
    """

    logits: Tensor
    offsets: Tensor
    mask: Tensor
    lengths: list[int]
    points: Points
    starts: Tensor | None = None
    ends: Tensor | None = None


class OneStage(nn.Module):
    """A one-stage detector of actions on the features of a video.

    Args:
        classes: K.
        width: Channels of the heads.
        levels: Number of levels.
    """

    levels: int
    classes: int

    def __init__(self, classes: int, levels: int) -> None:
        super().__init__()
        self.classes, self.levels = classes, levels

    @property
    def reaches(self) -> tuple[tuple[float, float], ...]:
        """How far the actions of each level reach to their further side, in rows of the features."""
        edges = [0.0, *(4.0 * 2**level for level in range(self.levels - 1)), WIDEST]
        return tuple(pairwise(edges))

    @property
    def multiple(self) -> int:
        """Numbers of steps are padded to a multiple of this."""
        return int(2 ** (self.levels - 1))

    @abstractmethod
    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Answers:
        """The answers to features, padded to a `multiple` of steps, of which those in the mask are there."""

    @abstractmethod
    def distances(self, answers: Answers) -> Tensor:
        """How far actions reach to the left and right of each point, in strides: `(B, P, 1 or K, 2)`."""


class Plain(OneStage):
    """Heads for the class and for two distances at every step of a pyramid.

    Args:
        features: Numbers of a row of features.
        classes: K.
        width: Channels throughout.
        levels: Number of levels.
    """

    def __init__(self, features: int, classes: int, width: int, levels: int) -> None:
        super().__init__(classes, levels)
        self.embedding = Embedding(features, width)
        self.class_head = PyramidHead(width, classes, bias=prior_bias())
        self.offset_head = PyramidHead(width, 2)
        self.scales = nn.ModuleList(Factor() for _ in range(levels))

    @abstractmethod
    def pyramid(self, steps: Steps) -> list[Steps]:
        """The levels of a video's embedded steps, the finest first."""

    def forward(self, x_BCT: Tensor, mask_BT: Tensor) -> Answers:
        """See `OneStage.forward`."""
        levels = self.pyramid(self.embedding.take(Steps(x_BCT, mask_BT)))
        logits = [self.class_head.take(level) for level in levels]
        offsets = [
            scale(self.offset_head.take(level)).relu()
            for scale, level in zip(self.scales, levels, strict=True)
        ]
        lengths = [level.mask.shape[1] for level in levels]
        return Answers(
            torch.cat(logits, 1),
            torch.cat(offsets, 1),
            torch.cat([level.mask for level in levels], 1),
            lengths,
            Points.of(lengths, self.reaches, x_BCT.device),
        )

    def distances(self, answers: Answers) -> Tensor:
        """See `OneStage.distances`."""
        return answers.offsets.unsqueeze(2)


class TakesSteps(Protocol):
    """A block of a pyramid."""

    def take(self, steps: Steps) -> Steps:
        """The steps after the block."""
        ...


def levels_of(steps: Steps, stem: nn.ModuleList, branch: nn.ModuleList) -> list[Steps]:
    """The levels of a pyramid: what leaves the stem, then each block of the branch (all `TakesSteps`)."""
    for block in stem:
        steps = cast("TakesSteps", block).take(steps)
    levels = [steps]
    for block in branch:
        levels.append(cast("TakesSteps", block).take(levels[-1]))
    return levels


class NormedLevels(nn.Module):
    """A channel norm of its own for each level."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(levels))

    def forward(self, levels: list[Steps]) -> list[Steps]:
        return [Steps(norm(each.x), each.mask) for norm, each in zip(self.norms, levels, strict=True)]
