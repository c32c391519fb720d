"""Losses of networks of proposals: where actions start and end, and how well proposals meet one.

Lin et al. 2018 and 2019 (see `kinesphere.models.temporal.bsn` and `bmn`), sections 3.3 and 3.4; numbers are
those of the public codes.

B windows, T rows, P proposals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinesphere.models.temporal.bmn import Matched

RIGHT, LEAST = 0.7, 0.3
"""Proposals match well above a tIoU of the first, badly up to the second."""
_CERTAIN = 0.9
_HALF = 0.5
_REGRESSION = 10.0
_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class MatchTargets:
    """What a boundary-matching network should answer.

    Attributes:
        starts, ends: `(B, T)`, 0 to 1 (`boundaries.boundary_labels`).
        matches: `(B, T, T)` (`boundaries.matching_map`).
    """

    starts: Tensor
    ends: Tensor
    matches: Tensor


def balanced_loss(found: Tensor, positive: Tensor, asked: Tensor | None = None) -> Tensor:
    """Binary cross-entropy in which what is positive weighs as much as what is not.

    Args:
        found: Probabilities of any shape.
        positive: bool, of that shape.
        asked: bool, of that shape: what counts; None for all.
    """
    asked = torch.ones_like(positive) if asked is None else asked
    positive = positive & asked
    count = positive.sum().clamp(min=1).to(found.dtype)
    ratio = (count + (asked & ~positive).sum()) / count
    right = 0.5 * ratio * (found + _EPS).log() * positive
    # With nothing but positive ones the second weight means nothing.
    wrong = 0.5 * ratio / (ratio - 1).clamp(min=_EPS) * (1 - found + _EPS).log() * (asked & ~positive)
    return -(right + wrong).sum() / (count + (asked & ~positive).sum())


def boundary_loss(found_BT: Tensor, wanted_BT: Tensor) -> Tensor:
    """Balanced loss of rows, which are positive where half of them or more is wanted."""
    return balanced_loss(found_BT, wanted_BT > _HALF)


def match_regression(
    found: Tensor,
    wanted: Tensor,
    asked: Tensor,
    drawn: Tensor,
    *,
    high: float = RIGHT,
    low: float = LEAST,
    most_low: float = 1.0,
    apart: bool = False,
) -> Tensor:
    """Half the mean squared error of the tIoU, of all that match well and of as many that match less.

    Args:
        found, wanted: tIoU of any shape.
        asked: bool, of that shape: proposals that lie in the video.
        drawn: Uniform random numbers of that shape, which decide who counts of the others.
        high, low: Limits of what matches well, less, and badly (but overlaps).
        most_low: So many of what matches badly for one that matches well.
        apart: Whether what overlaps no action matches badly, or does not count.
    """
    well = asked & (wanted > high)
    less = asked & (wanted <= high) & (wanted > low)
    badly = asked & (wanted <= low) & ((wanted > 0) | apart)
    count = well.sum()
    counts = well.to(found.dtype)
    for others, most in ((less, 1.0), (badly, most_low)):
        fraction = (most * count / others.sum().clamp(min=1)).clamp(max=1.0)
        counts = counts + (others & (drawn > 1 - fraction))
    return 0.5 * ((found - wanted).square() * counts).sum() / counts.sum().clamp(min=1)


def matching_loss(found: Matched, wanted: MatchTargets, drawn_BTT: Tensor) -> Tensor:
    """The loss of a boundary-matching network: boundaries, ten times the regression, and classification.

    Args:
        found: What the network says.
        wanted: What it should.
        drawn_BTT: Uniform random numbers; see `match_regression`.
    """
    T = wanted.starts.shape[1]
    inside_TT = torch.arange(T)[:, None] + torch.arange(T)[None] < T
    asked = inside_TT.to(found.regressed.device).expand_as(found.regressed)
    boundary = boundary_loss(found.starts, wanted.starts) + boundary_loss(found.ends, wanted.ends)
    regression = match_regression(found.regressed, wanted.matches, asked, drawn_BTT)
    classified = balanced_loss(found.classified, wanted.matches > _CERTAIN, asked)
    return boundary + _REGRESSION * regression + classified
