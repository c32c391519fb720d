"""Metrics of detections, in time or as boxes: mean average precision at overlaps, by the rules of the fields.

Which detection is right is decided once for all thresholds (`match_in_order`, `match_best`), per class and
video (or frame). From there on a detection is a row that is right, wrong or ignored at each threshold, which
is what average precision is computed from, with all videos and with each one left out.
D detections, G ground truths, T thresholds, K classes that have ground truth, U units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.table import METRICS, Metric, ratio

# Of more videos several are left out together.
_MOST_LEFT_OUT = 100
# More pairs of detections and ground truths are not looked at all at once.
_MOST_PAIRS = 1 << 21

Match = Callable[[np.ndarray, Sequence[float]], np.ndarray]
"""Overlaps `(D, G)` of the detections of one class in one video, the most confident first, with its ground
truths, and thresholds, to whether each detection is right `(D, T)`."""


Rank = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Scores `(D,)` of the detections of a class, video by video, and their rows in the file, to their order."""


def in_file_order(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The most confident first, of equal ones the one that stands first in the file (a stable sort)."""
    return np.lexsort((rows, -scores))


def reversed_sort(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """NumPy's default sort, reversed: AVA's official code, which leaves equal scores to NumPy."""
    return np.argsort(scores)[::-1]


def match_in_order(overlaps: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """ActivityNet's rule: each detection in turn takes the ground truth that it overlaps most of those that
    are left, if it does so by the threshold or more; of equal ones the first."""
    return assign_in_order(overlaps, thresholds) >= 0


def assign_in_order(overlaps: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """The column of what each detection takes by ActivityNet's rule `(D, T)`; -1 for nothing."""
    if overlaps.shape[1] == 1:
        return np.where(_first_of_one(overlaps, thresholds), 0, -1)
    found = np.full((len(overlaps), len(thresholds)), -1)
    least = min(thresholds)
    candidates = np.flatnonzero(overlaps.max(1, initial=-1.0) >= least)
    for column, threshold in enumerate(thresholds):
        taken = np.zeros(overlaps.shape[1], bool)
        for row in candidates.tolist():
            free = np.where(taken, -1.0, overlaps[row])
            best = int(free.argmax())
            if free[best] >= threshold:
                taken[best] = True
                found[row, column] = best
    return found


def match_spans(spans: np.ndarray, others: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """`match_in_order` of spans `(D, 2)` with ground truths `(G, 2)`: of many, only pairs that may overlap
    are looked at, a part after the other."""
    if len(spans) * len(others) <= _MOST_PAIRS:
        return match_in_order(span_overlaps(spans, others), thresholds)
    order = np.argsort(others[:, 0], kind="stable")
    starts, longest = others[order, 0], float((others[:, 1] - others[:, 0]).max())
    low = np.searchsorted(starts, spans[:, 0] - longest - 1e-6, "left")
    high = np.maximum(np.searchsorted(starts, spans[:, 1], "right"), low)
    right = np.zeros((len(spans), len(thresholds)), bool)
    taken = np.zeros((len(thresholds), len(others)), bool)
    ends = np.cumsum(high - low)
    first = 0
    while first < len(spans):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _MOST_PAIRS, "right")))
        counts = (high - low)[first:last]
        rows = np.repeat(np.arange(first, last), counts)
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        columns = order[low[rows] + places]
        overlaps = _pair_overlaps(spans[rows], others[columns])
        kept = overlaps >= min(thresholds)
        rows, columns, overlaps = rows[kept], columns[kept], overlaps[kept]
        best = np.lexsort((columns, -overlaps, rows))
        for row, column, overlap in zip(
            rows[best].tolist(), columns[best].tolist(), overlaps[best].tolist(), strict=True
        ):
            for t, threshold in enumerate(thresholds):
                if overlap >= threshold and not right[row, t] and not taken[t, column]:
                    taken[t, column] = right[row, t] = True
        first = last
    return right


def match_best(overlaps: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """AVA's rule: each detection in turn is compared with the ground truth that it overlaps most and with no
    other; a second detection of one is wrong."""
    if overlaps.shape[1] == 1:
        return _first_of_one(overlaps, thresholds)
    right = np.zeros((len(overlaps), len(thresholds)), bool)
    best = overlaps.argmax(1)
    for column, threshold in enumerate(thresholds):
        taken = np.zeros(overlaps.shape[1], bool)
        for row in np.flatnonzero(overlaps.max(1) >= threshold).tolist():
            if not taken[best[row]]:
                taken[best[row]] = right[row, column] = True
    return right


def _first_of_one(overlaps: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Of a single ground truth `(D, 1)` the first detection is right that overlaps it enough."""
    enough = overlaps >= np.array(thresholds)
    first: np.ndarray = enough & (enough.cumsum(0) == 1)
    return first


def span_overlaps(spans: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Temporal IoU of spans `(D, 2)` with others `(G, 2)`: `(D, G)`; of spans without length 1 if they are
    equal, else 0. Spans that end before they start overlap nothing."""
    return _pair_overlaps(spans[:, None], others[None])


def _pair_overlaps(spans: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`span_overlaps` of spans `(…, 2)` and others `(…, 2)` that broadcast."""
    inner = np.minimum(spans[..., 1], others[..., 1]) - np.maximum(spans[..., 0], others[..., 0])
    inner = inner.clip(0)
    lengths, other_lengths = spans[..., 1] - spans[..., 0], others[..., 1] - others[..., 0]
    union = lengths + other_lengths - inner
    points = (lengths == 0) & (other_lengths == 0) & (spans[..., 0] == others[..., 0])
    return np.where(points, 1.0, ratio(inner, union))


def box_overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of boxes `(D, 4)` (left, top, right, bottom) with others `(G, 4)`: `(D, G)`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inner = (high - low).clip(0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    other_areas = (others[:, 2:] - others[:, :2]).prod(-1)
    return ratio(inner, areas[:, None] + other_areas[None] - inner)


@dataclass(frozen=True, eq=False)
class Found:
    """Spans or boxes in columns.

    Attributes:
        label: `(N,)` int64 class.
        place: `(N,)` int64 video, or frame of a video.
        extent: `(N, 2)` seconds, or `(N, 4)` corners of boxes.
        score: `(N,)` confidences; of ground truth they do not matter.
    """

    label: np.ndarray
    place: np.ndarray
    extent: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, eq=False)
class Matched:
    """Detections of K classes, held against ground truth.

    Attributes:
        classes: Names of the K classes.
        thresholds: The T overlaps, as they were asked for.
        label: `(D,)` class of each detection; ordered by class, within it the most confident first.
        unit: `(D,)` unit of each.
        right: `(D, T)` bool.
        counts: `(D, T)` bool: whether it counts; what is ignored is neither right nor wrong.
        truths: `(K, U)` ground truths of each class in each unit.
        units: What counts as independent; its index is of the ground truths.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    label: np.ndarray
    unit: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    truths: np.ndarray
    units: Units

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """Average precision does not follow from sums."""
        raise InvalidSetting(f"Metrics of detections follow from no sums; {of} gives some.")

    @cached_property
    def average_precisions(self) -> np.ndarray:
        """Average precision of each class at each threshold, `(K, T)`; 0 for a class without detections."""
        whole: np.ndarray = self._precisions(np.full(self.units.count, -1), 1)[0]
        return whole

    @cached_property
    def left_out(self) -> tuple[np.ndarray, Units]:
        """Average precisions without each unit `(U, K, T)`, NaN where a class has no ground truth left, and
        the units; of more than a hundred, several are one."""
        units = self.units.merged(_MOST_LEFT_OUT)
        return self._precisions(self.units.merging(_MOST_LEFT_OUT), units.count), units

    def _precisions(self, part: np.ndarray, parts: int) -> np.ndarray:
        """Average precisions `(parts, K, T)` without one part of the units after the other.

        Precision is highest where a detection is right, so it is computed there alone.

        Args:
            part: `(U,)` part of each unit; -1 for those that are never left out.
            parts: Number of them.
        """
        found = np.zeros((parts, len(self.classes), len(self.thresholds)))
        starts = np.searchsorted(self.label, np.arange(len(self.classes) + 1))
        for k in range(len(self.classes)):
            rows = slice(starts[k], starts[k + 1])
            own = part[self.unit[rows]]
            for t in range(len(self.thresholds)):
                found[:, k, t] = _summed_precision(self.right[rows, t], self.counts[rows, t], own, parts)
        removed = np.zeros((parts, len(self.classes)))
        np.add.at(removed, part[part >= 0], self.truths.T[part >= 0])
        truths = self.truths.sum(1) - removed
        with np.errstate(invalid="ignore", divide="ignore"):
            result: np.ndarray = np.where(truths[..., None] > 0, found / truths[..., None], np.nan)
        return result


def _summed_precision(right: np.ndarray, counts: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Interpolated precision, summed over the right ones of ranked detections `(D,)`, without each part."""
    places = np.flatnonzero(right)
    if not len(places):
        return np.zeros(parts)
    ranks = counts.cumsum()[places]
    # How many of each part stand before or at each right one.
    following = np.searchsorted(places, np.arange(len(right)))
    gone = (part >= 0) & counts & (following < len(places))
    slots = part[gone] * len(places) + following[gone]
    removed = np.bincount(slots, minlength=parts * len(places)).reshape(parts, -1).cumsum(1)
    kept = part[places][None] != np.arange(parts)[:, None]
    precision = ratio(kept.cumsum(1), ranks[None] - removed)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    summed: np.ndarray = (kept * best).sum(1)
    return summed


def match(
    detections: Found,
    truths: Found,
    classes: Sequence[str],
    units: Units,
    unit_of_place: np.ndarray,
    thresholds: Sequence[float],
    rule: Match,
    overlaps: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ignored: np.ndarray | None = None,
    rank: Rank = in_file_order,
) -> Matched:
    """Hold detections against ground truth, class by class and video by video (or frame by frame).

    Args:
        detections: Of the K classes alone.
        truths: Ground truth.
        classes: Names of the K classes.
        units: What counts as independent.
        unit_of_place: `(P,)` unit of each video or frame.
        thresholds: Overlaps.
        rule: Which detections are right.
        overlaps: `span_overlaps` or `box_overlaps`.
        ignored: `(D,)` bool: detections that do not count unless they are right.
        rank: The order of detections of a class.
    """
    order = np.lexsort((-detections.score, detections.place, detections.label))
    label, place, score = detections.label[order], detections.place[order], detections.score[order]
    right = np.zeros((len(order), len(thresholds)), bool)
    known = rows_by_key(truths.label, truths.place)
    for key, rows in rows_by_key(label, place).items():
        if key in known:
            mine, theirs = detections.extent[order[rows]], truths.extent[known[key]]
            if rule is match_in_order and overlaps is span_overlaps:
                right[rows] = match_spans(mine, theirs, thresholds)
            else:
                right[rows] = rule(overlaps(mine, theirs), thresholds)
    ranked = np.zeros(len(order), np.int64)
    starts = np.searchsorted(label, np.arange(len(classes) + 1))
    for first, end in pairwise(starts.tolist()):
        ranked[first:end] = first + rank(score[first:end], order[first:end])
    order, label, place, right = order[ranked], label[ranked], place[ranked], right[ranked]
    counts = np.ones_like(right) if ignored is None else right | ~ignored[order][:, None]
    table = np.zeros((len(classes), units.count))
    np.add.at(table, (truths.label, unit_of_place[truths.place]), 1)
    return Matched(
        tuple(classes), tuple(thresholds), label, unit_of_place[place], right, counts, table, units
    )


def rows_by_key(label: np.ndarray, place: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Rows of each class and place, in their order."""
    if not len(label):
        return {}
    order = np.lexsort((place, label))
    changes = (np.diff(label[order]) != 0) | (np.diff(place[order]) != 0)
    groups = np.split(order, np.flatnonzero(changes) + 1)
    return {(int(label[rows[0]]), int(place[rows[0]])): rows for rows in groups}


def _column(matched: Matched, at: float) -> int:
    return int(np.argmin([abs(each - at) for each in matched.thresholds]))


def _at(matched: Matched, at: float) -> float:
    return float(matched.average_precisions[:, _column(matched, at)].mean())


def _at_left_out(matched: Matched, at: float) -> tuple[np.ndarray, Units]:
    without, units = matched.left_out
    return _mean(without[:, :, _column(matched, at)]), units


def _over_thresholds(matched: Matched) -> float:
    return float(matched.average_precisions.mean())


def _over_thresholds_left_out(matched: Matched) -> tuple[np.ndarray, Units]:
    without, units = matched.left_out
    return _mean(without.mean(-1)), units


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that have a value `(R,)`; NaN where none has."""
    known = ~np.isnan(values)
    sums = np.where(known, values, 0).sum(1)
    return np.where(known.any(1), ratio(sums, known.sum(1)), np.nan)


def _size(matched: Matched) -> float:
    """Ground truths of equally frequent classes over which a mean of classes would vary as over these."""
    counts = matched.truths.sum(1)
    return float(len(counts) ** 2 / (1 / counts).sum())


METRICS.add(
    "detection_map",
    Metric(
        "mAP", ("detections",), _over_thresholds, left_out=_over_thresholds_left_out, size=_size, order=1,
        classes=1, name="map",
    ),
)  # fmt: skip
METRICS.add(
    "detection_map_at",
    Metric(
        "mAP", ("detections",), _at, left_out=_at_left_out, size=_size, order=2, classes=1, name="map",
        at=(0.5,),
    ),
)  # fmt: skip
