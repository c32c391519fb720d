"""Structured segment networks: what is before, in and after a proposal says what it is, and how whole.

Zhao et al.: "Temporal Action Detection with Structured Segment Networks", ICCV 2017,
https://arxiv.org/abs/1704.06228, sections 3 and 4.

A proposal has three stages: starting, course, ending. Each is divided into parts, whose means (the starting
and ending ones times the fraction of the stage that lies in the video) stand side by side in the pyramid.

P proposals, S snippets of each, T rows of a video, D numbers of a row, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinesphere.models.weights.keymap import KeyMap, Rename

START_STD = 0.001
"""Weights of fresh classifiers are drawn from a normal distribution of this width."""


@dataclass(frozen=True)
class Stages:
    """Into how many parts each level of each stage is divided.

    Attributes:
        starting, course, ending: Parts of each level; `(1, 2)` is the whole, and its two halves.
    """

    starting: tuple[int, ...] = (1,)
    course: tuple[int, ...] = (1,)
    ending: tuple[int, ...] = (1,)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Those of the three stages."""
        return self.starting, self.course, self.ending

    @property
    def parts(self) -> int:
        """Of all stages together."""
        return sum(map(sum, self.levels))


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the network says about proposals.

    Attributes:
        activity: `(P, K + 1)` logits, the background first.
        completeness: `(P, K)`.
        regression: `(P, K, 2)`: shift of the middle in lengths, and logarithm of the change of length.
    """

    activity: Tensor
    completeness: Tensor
    regression: Tensor


@dataclass(frozen=True, eq=False)
class Placed:
    """Proposals on the rows of a video.

    Attributes:
        ticks: `(P, 4)` int64: first row of the starting stage, of the course, of the ending stage, and the
            row after that.
        scale: `(P, 2)`: fractions of the starting and ending stage that lie in the video.
    """

    ticks: Tensor
    scale: Tensor


class SSN(nn.Module):
    """The classifiers of a structured segment network, on rows of features.

    `forward` takes snippets that were drawn from each stage, as in training. Of a whole video, `pooled` takes
    the means of all rows of each part, and `RowScores` gives the same numbers from products of each row.

    Args:
        features: D.
        classes: K.
        stages: Into what the stages are divided.
        snippets: Numbers of snippets of the stages.
        dropout: Of the snippets' features.
        joint: Whether the activity is told by the whole pyramid, instead of the course alone.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        stages: Stages | None = None,
        snippets: tuple[int, int, int] = (2, 5, 2),
        dropout: float = 0.8,
        joint: bool = False,
    ) -> None:
        super().__init__()
        self.classes, self.stages, self.snippets = classes, stages or Stages(), snippets
        self.joint = joint
        wide = self.stages.parts * features
        self.dropout = nn.Dropout(dropout)
        self.activity = nn.Linear(wide if joint else features, classes + 1)
        self.completeness = nn.Linear(wide, classes)
        self.regression = nn.Linear(wide, 2 * classes)
        for linear in (self.activity, self.completeness, self.regression):
            nn.init.normal_(linear.weight, std=START_STD)
            nn.init.zeros_(linear.bias)

    def forward(self, snippets_PSD: Tensor, scale_P2: Tensor) -> Verdicts:
        """About proposals by their snippets, those of the starting stage first."""
        snippets_PSD = self.dropout(snippets_PSD)
        starting, course, ending = snippets_PSD.split(self.snippets, 1)
        found = []
        for stage, levels, scale in zip(
            (starting, course, ending), self.stages.levels, _scales(scale_P2), strict=True
        ):
            length = stage.shape[1]
            means = [
                stage[:, i * length // n : (i + 1) * length // n].mean(1) for n in levels for i in range(n)
            ]
            found += [mean * scale / sum(levels) for mean in means]
        return self._verdicts(course.mean(1), torch.cat(found, 1))

    def pooled(self, rows_TD: Tensor, placed: Placed) -> Verdicts:
        """About proposals by all rows of the video, directly."""
        sums = _Sums(rows_TD)
        parts = _parts(self.stages, placed, len(rows_TD))
        pyramid = torch.cat([sums.mean(*part.rows) * part.weight[:, None] / part.of for part in parts], 1)
        return self._verdicts(sums.mean(*_course(placed)), pyramid)

    def _verdicts(self, course_PD: Tensor, pyramid_PF: Tensor) -> Verdicts:
        return Verdicts(
            self.activity(pyramid_PF if self.joint else course_PD),
            self.completeness(pyramid_PF),
            self.regression(pyramid_PF).unflatten(1, (self.classes, 2)),
        )


class RowScores:
    """The classifiers re-organised: products of each row, which proposals then only take means of.

    A video's rows go through the classifiers once, however many proposals overlap. The numbers equal those of
    `SSN.pooled` for every division into parts, scale and place, since a linear layer of a mean is the mean of
    its products; the parts' shares are in the weights here, and the bias is added once, at the end.

    With `published` it is what the authors and MMAction2 compute: the bias goes through the means, and a
    stage's parts are not divided by their number. That equals `SSN.pooled` for undivided stages only, and
    there only for proposals both of whose outer stages lie in the video whole (of which no part is left out).

    Args:
        net: The network; not one whose activity is `joint`, which the authors do not re-organise, if
            `published`.
        published: See above.
    """

    def __init__(self, net: SSN, published: bool = False) -> None:
        if published and net.joint:
            raise ValueError("A joint activity classifier has no published re-organised form.")
        self.net, self.published = net, published

    def scores(self, rows_TD: Tensor) -> Tensor:
        """Products `(T, F)` of each row: activity, then completeness and regression, part by part."""
        net, columns = self.net, []
        for linear, pyramid in self._linears():
            if not pyramid:
                columns.append(rows_TD @ linear.weight.T + (linear.bias if self.published else 0.0))
                continue
            parts = net.stages.parts
            weight_PD = linear.weight.unflatten(1, (parts, -1)).transpose(0, 1).flatten(0, 1)
            bias = linear.bias.repeat(parts) / parts if self.published else 0.0
            columns.append(rows_TD @ weight_PD.T + bias)
        return torch.cat(columns, 1)

    def pooled(self, scores_TF: Tensor, placed: Placed) -> Verdicts:
        """About proposals by the products of the video's rows."""
        parts = _parts(self.net.stages, placed, len(scores_TF))
        found, first = [], 0
        for linear, pyramid in self._linears():
            count = linear.out_features * (len(parts) if pyramid else 1)
            columns, first = scores_TF[:, first : first + count], first + count
            if pyramid:
                total = self._summed(columns, parts, linear.out_features)
            else:
                total = _Sums(columns).mean(*_course(placed))
            found.append(total if self.published else total + linear.bias)
        return Verdicts(found[0], found[1], found[2].unflatten(1, (self.net.classes, 2)))

    def _summed(self, columns_TF: Tensor, parts: list[_Part], size: int) -> Tensor:
        total = columns_TF.new_zeros(len(parts[0].weight), size)
        for own_TK, part in zip(columns_TF.split(size, 1), parts, strict=True):
            share = 1 if self.published else part.of
            total = total + _Sums(own_TK).mean(*part.rows) * part.weight[:, None] / share
        return total

    def _linears(self) -> tuple[tuple[nn.Linear, bool], ...]:
        net = self.net
        return (net.activity, net.joint), (net.completeness, True), (net.regression, True)


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of all proposals: its rows (first, end), its weight, and the number of parts of its stage."""

    rows: tuple[Tensor, Tensor]
    weight: Tensor
    of: int


def _scales(scale_P2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    starting, ending = scale_P2.unsqueeze(2).unbind(1)
    return starting, torch.ones_like(starting), ending


def _course(placed: Placed) -> tuple[Tensor, Tensor]:
    start, end = placed.ticks[:, 1], placed.ticks[:, 2]
    return start, torch.maximum(start + 1, end)


def _parts(stages: Stages, placed: Placed, T: int) -> list[_Part]:
    """All parts in their order; a stage has one row at least, and none where it lies beyond the video."""
    found = []
    for number, (levels, scale) in enumerate(zip(stages.levels, _scales(placed.scale), strict=True)):
        left = placed.ticks[:, number]
        right = torch.maximum(left + 1, placed.ticks[:, number + 1])
        there = (right > 0) & (left < T)
        weight = scale[:, 0] * there
        for n in levels:
            edges = [left + (i * (right - left)) // n for i in range(n + 1)]
            found += [_Part((edges[i], edges[i + 1]), weight, sum(levels)) for i in range(n)]
    return found


class _Sums:
    """Means of stretches of rows by running sums; those of no row are zero."""

    def __init__(self, rows_TD: Tensor) -> None:
        self._dtype = rows_TD.dtype
        self._sums = torch.cat([rows_TD.new_zeros(1, rows_TD.shape[1]).double(), rows_TD.double().cumsum(0)])

    def mean(self, first_P: Tensor, end_P: Tensor) -> Tensor:
        last = len(self._sums) - 1
        first_P, end_P = first_P.clamp(0, last), end_P.clamp(0, last)
        count = (end_P - first_P).clamp(min=1).unsqueeze(1)
        return ((self._sums[end_P] - self._sums[first_P]) / count).to(self._dtype)


def _head(prefix: str) -> tuple[Rename, ...]:
    return (
        Rename(f"{prefix}activity_fc.*", "activity.*"),
        Rename(f"{prefix}completeness_fc.*", "completeness.*"),
        Rename(f"{prefix}regressor_fc.*", "regression.*"),
    )


KEY_MAPS = (KeyMap("mmaction2", _head("cls_head.")), KeyMap("ssn", _head("")))
"""The classifiers in public files, without the backbone that is in them too."""
