"""Metrics of temporal proposals: average recall against their number, and recall of as many as is to find.

V videos with ground truth, P = 100 points of the curve, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.detections import match_spans, span_overlaps
from kinesphere.evaluate.metrics.table import METRICS, Metric, ratio

POINTS = 100
_MOST_PAIRS = 1 << 21
TOP_KX = (1, 5)


@dataclass(frozen=True, eq=False)
class Recalled:
    """Ground truths that proposals find.

    Attributes:
        found: `(V, P)` ground truths found by the first proposals of each video, averaged over the overlaps.
        truths: `(V,)` ground truths.
        per_video: `(P,)` proposals of a video, on average, at each point.
        by_class: Proposals and ground truths of each video and class, the most confident first, as spans
            `(D, 2)` and `(G, 2)` by the indices of video and class.
        classes: K.
        units: Videos; the index is of the ground truths.
    """

    found: np.ndarray
    truths: np.ndarray
    per_video: np.ndarray
    by_class: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]
    classes: int
    units: Units
    _sums: dict[Callable[..., Any], np.ndarray] = field(default_factory=dict, repr=False)

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """Ground truths and sums of each video, `(V, 1 + S)`."""
        if of not in self._sums:
            self._sums[of] = np.hstack([self.truths[:, None], of(self)])
        return self._sums[of]

    @property
    def average_recall(self) -> np.ndarray:
        """The curve `(P,)`."""
        curve: np.ndarray = self.found.sum(0) / self.truths.sum()
        return curve


def average_recall(
    proposals: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    total: int,
    thresholds: Sequence[float],
    per_video: float,
) -> tuple[np.ndarray, np.ndarray]:
    """ActivityNet's average recall at an average number of proposals.

    Args:
        proposals: Of each video with ground truth its spans `(D, 2)`, the most confident first.
        truths: Its ground truths `(G, 2)`.
        total: Proposals of the file, those of other videos among them.
        thresholds: Overlaps.
        per_video: Proposals of a video, on average, at the last point.

    Returns:
        Ground truths found, averaged over the overlaps `(V, P)`, and proposals of a video `(P,)`.
    """
    videos = len(truths)
    kept = [
        min(int(len(each) * (per_video * videos / total)), len(each)) if total else 0 for each in proposals
    ]
    fractions = np.arange(1, POINTS + 1) / 100.0
    found = np.zeros((videos, POINTS))
    if not sum(kept):
        return found, fractions * per_video
    fractions = fractions * (per_video * videos / sum(kept))
    for row, (spans, true, count) in enumerate(zip(proposals, truths, kept, strict=True)):
        if not count:
            continue
        first = np.concatenate(
            [
                _first_to_find(spans[:count], true[some : some + size], thresholds)
                for size in [max(1, _MOST_PAIRS // count)]
                for some in range(0, len(true), size)
            ]
        )
        numbers = np.minimum((count * fractions).astype(int), count)
        found[row] = (first[..., None] < numbers).sum(0).mean(0)
    return found, fractions * (sum(kept) / videos)


def _first_to_find(spans: np.ndarray, true: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """The number of the first proposal that finds each ground truth, at each overlap `(G, T)`; that of all
    where none does."""
    overlaps = span_overlaps(spans, true)
    found = np.full((len(true), len(thresholds)), len(spans))
    for column, threshold in enumerate(thresholds):
        enough = overlaps >= threshold
        found[:, column] = np.where(enough.any(0), enough.argmax(0), len(spans))
    return found


def _area(recalled: Recalled) -> np.ndarray:
    """What each video adds to the area under the curve, which is linear in its points."""
    steps = np.diff(recalled.per_video)
    weights = np.zeros(POINTS)
    weights[:-1] += steps / 2
    weights[1:] += steps / 2
    area: np.ndarray = (recalled.found @ weights / recalled.per_video[-1])[:, None]
    return area


def point_of(recalled: Recalled, count: float) -> int | None:
    """The point of the curve at which videos have so many proposals, on average; None where there is none."""
    near = int(np.abs(recalled.per_video - count).argmin())
    return near if abs(recalled.per_video[near] - count) < 1e-6 * max(1.0, count) else None


def _at_count(recalled: Recalled, at: float) -> np.ndarray:
    point = point_of(recalled, at)
    assert point is not None
    return recalled.found[:, point : point + 1]


def _fraction(found: np.ndarray, truths: np.ndarray, at: float | None = None) -> np.ndarray:
    return ratio(found[:, 0], truths)


def _first_kx(recalled: Recalled, at: float, times: int) -> np.ndarray:
    """Found and all ground truths of each class, `(V, 2 K)`: by `times` as many proposals as there are."""
    columns = np.zeros((2, len(recalled.truths), recalled.classes))
    for (video, label), (spans, true) in recalled.by_class.items():
        first = spans[: times * len(true)]
        columns[1, video, label] = len(true)
        if len(first) and len(true):
            columns[0, video, label] = match_spans(first, true, [at]).sum()
    return np.hstack([columns[0], columns[1]])


def _mean_of_classes(sums: np.ndarray, truths: np.ndarray, at: float) -> np.ndarray:
    found, all_of = np.split(sums, 2, axis=1)
    return ratio(ratio(found, all_of).sum(1), (all_of > 0).sum(1))


METRICS.add("auc", Metric("AUC", ("proposals",), sums=_area, from_sums=_fraction, order=1, classes=1))
METRICS.add(
    "ar",
    Metric(
        "AR", ("proposals",), sums=_at_count, from_sums=_fraction, order=2, classes=1, at=(1, 5, 10, 100)
    ),
)  # fmt: skip
for _k in TOP_KX:
    METRICS.add(
        f"recall@{_k}x",
        Metric(
            f"recall@{_k}x", ("proposals",), sums=partial(_first_kx, times=_k), from_sums=_mean_of_classes,
            order=2 + _k, classes=1, at=(0.3, 0.5, 0.7),
        ),
    )  # fmt: skip
