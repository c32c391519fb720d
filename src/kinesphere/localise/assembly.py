"""Which points of a pyramid answer for which actions of a video, and how far these reach from there.

P points, K classes, N actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.models.temporal.pyramid import Points

RADIUS = 1.5
"""Points within so many strides of an action's middle answer for it (ActionFormer, section 3.4)."""
_ALIKE = 1e-3
"""Actions whose lengths differ by less are one with several labels."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The actions of one video.

    Attributes:
        segments: `(N, 2)` in rows of the features.
        labels: `(N,)`.
    """

    segments: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """What points should answer.

    Attributes:
        classes: `(P, K)` 0 or 1; several where actions are the same stretch of time, or equally long.
        distances: `(P, 2)` to the left and right end, in strides; those of points without an action mean
            nothing.
    """

    classes: Tensor
    distances: Tensor

    @property
    def positive(self) -> Tensor:
        """bool `(P,)`: points that answer for an action."""
        return self.classes.sum(1) > 0


def targets_of(
    points: Points,
    truth: Truth,
    classes: int,
    radius: float = RADIUS,
    cost: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Targets:
    """What the points of a video should answer.

    A point answers for an action if it lies within the action and within `radius` strides of its middle, and
    if the action's further end is within the reach of the point's level. Of several the shortest counts,
    with all that are as long.

    Args:
        points: Of the pyramid.
        truth: The video's actions.
        classes: K.
        radius: See above.
        cost: What answering for each action costs, `(P, N)`, given all distances `(P, N, 2)` in strides and
            labels `(N,)`; the ends that count are then those of the cheapest action (TemporalMaxer).
    """
    P = len(points.at)
    if not len(truth.segments):
        return Targets(points.at.new_zeros(P, classes), points.at.new_zeros(P, 2))
    start_N, end_N = truth.segments.unbind(1)
    at_P1, stride_P1 = points.at[:, None], points.stride[:, None]
    left_PN, right_PN = at_P1 - start_N, end_N - at_P1
    middle_N = (start_N + end_N) / 2
    near_left = at_P1 - torch.maximum(middle_N - stride_P1 * radius, start_N)
    near_right = torch.minimum(middle_N + stride_P1 * radius, end_N) - at_P1
    inside_PN = torch.minimum(near_left, near_right) > 0
    further_PN = torch.maximum(left_PN, right_PN)
    in_reach_PN = (further_PN >= points.low[:, None]) & (further_PN <= points.high[:, None])
    length_PN = torch.where(inside_PN & in_reach_PN, end_N - start_N, torch.inf)
    shortest_P, chosen_P = length_PN.min(1)
    theirs_PN = (length_PN <= shortest_P[:, None] + _ALIKE) & (length_PN < torch.inf)
    labels_NK = F.one_hot(truth.labels, classes).to(points.at.dtype)
    distances_PN2 = torch.stack((left_PN, right_PN), 2) / points.stride[:, None, None]
    if cost is not None:
        costs_PN = cost(distances_PN2, truth.labels)
        chosen_P = torch.where(torch.minimum(left_PN, right_PN) > 0, costs_PN, torch.inf).argmin(1)
    chosen_P2 = distances_PN2[torch.arange(P, device=points.at.device), chosen_P]
    return Targets((theirs_PN.to(labels_NK.dtype) @ labels_NK).clamp(max=1.0), chosen_P2)


def padded(rows: list[Tensor], multiple: int) -> tuple[Tensor, Tensor]:
    """Videos `(C, T)` of several lengths as a batch `(B, C, T)`, zero behind their end, and its mask."""
    longest = max(each.shape[1] for each in rows)
    longest = -(-longest // multiple) * multiple
    x_BCT = torch.stack([F.pad(each, (0, longest - each.shape[1])) for each in rows])
    lengths = torch.tensor([each.shape[1] for each in rows])
    return x_BCT, torch.arange(longest)[None] < lengths[:, None]
