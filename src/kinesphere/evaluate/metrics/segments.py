"""Metrics of segments: F1 at overlaps, edit score, frame accuracy, and events that are lost, split or joined.

Lea et al.: "Temporal convolutional networks for action segmentation and detection", CVPR 2017, section 4;
Abu Farha, Gall: "MS-TCN: multi-stage temporal convolutional network for action segmentation", CVPR 2019;
Ward, Lukowicz, Gellersen: "Performance metrics for activity recognition", ACM TIST 2(1), 2011.
V videos, T overlaps, G true and D given segments, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.detections import match_best, span_overlaps
from kinesphere.evaluate.metrics.table import METRICS, Metric, ratio

EVENTS = ("deletions", "fragmentations", "merges", "insertions", "fragmenting", "merging")
"""Kinds of errors of events: the first three of true segments, the others of given ones."""
Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Compared:
    """Given segments against true ones.

    Attributes:
        thresholds: The T overlaps.
        hits: `(V, K, T)` given segments that are right.
        given: `(V, K)` given segments.
        true: `(V, K)` true segments.
        edit: `(V,)` edit scores, fractions.
        right_s: `(V,)` seconds in which exactly the true labels are given.
        total_s: `(V,)` seconds that are compared.
        events: `(V, K, 6)` counts in the order of `EVENTS`.
        units: Videos; the index is of the true segments.
    """

    thresholds: tuple[float, ...]
    hits: np.ndarray
    given: np.ndarray
    true: np.ndarray
    edit: np.ndarray
    right_s: np.ndarray
    total_s: np.ndarray
    events: np.ndarray
    units: Units
    _sums: dict[Callable[..., Any], np.ndarray] = field(default_factory=dict, repr=False)

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """True segments and sums of each video, `(V, 1 + S)`."""
        if of not in self._sums:
            self._sums[of] = np.hstack([self.true.sum(1)[:, None], of(self)])
        return self._sums[of]

    def column(self, threshold: float) -> int:
        """Where a threshold stands among the overlaps."""
        return int(np.argmin([abs(each - threshold) for each in self.thresholds]))


def hits(given: Sequence[Span], true: Sequence[Span], thresholds: Sequence[float]) -> np.ndarray:
    """Given segments of one class that are right `(T,)`: in the order of time, each against the true one that
    it overlaps most; a second one of it is wrong."""
    if not given or not true:
        return np.zeros(len(thresholds))
    found: np.ndarray = match_best(span_overlaps(np.array(given), np.array(true)), thresholds).sum(0)
    return found


def edit_score(given: Sequence[str], true: Sequence[str]) -> float:
    """1 less the fraction of labels inserted, deleted or exchanged (Levenshtein); 1 where there is none."""
    if not given and not true:
        return 1.0
    number: dict[str, int] = {}
    ours = np.array([number.setdefault(each, len(number)) for each in given], np.int64)
    theirs = np.array([number.setdefault(each, len(number)) for each in true], np.int64)
    steps = np.arange(len(theirs) + 1)
    row = steps.copy()
    for i, label in enumerate(ours, 1):
        ahead = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + (theirs != label))])
        row = np.minimum.accumulate(ahead - steps) + steps  # insertions, one after the other
    return 1 - float(row[-1]) / max(len(ours), len(theirs))


def events(given: Sequence[Span], true: Sequence[Span]) -> np.ndarray:
    """Errors of the segments of one class, `(6,)` counts in the order of `EVENTS`.

    A true segment is deleted if no given one overlaps it, fragmented if several do, and merged if one that
    overlaps it overlaps another true one, too. A given one is inserted, fragmenting or merging likewise. So a
    segment may be fragmented and merged at once.
    """
    if not given or not true:
        return np.array([len(true), 0, 0, len(given), 0, 0], np.float64)
    g, t = np.array(given), np.array(true)
    low = np.maximum(t[:, None, 0], g[None, :, 0])
    high = np.minimum(t[:, None, 1], g[None, :, 1])
    # A segment without length overlaps what it lies in.
    points = (t[:, 1] == t[:, 0])[:, None] | (g[:, 1] == g[:, 0])[None]
    touching = (high > low) | ((high == low) & points)
    of_true, of_given = touching.sum(1), touching.sum(0)
    merged = (touching & (of_given > 1)[None]).any(1)
    fragmenting = (touching & (of_true > 1)[:, None]).any(0)
    counts = [of_true == 0, of_true > 1, merged, of_given == 0, fragmenting, of_given > 1]
    return np.array([int(each.sum()) for each in counts], np.float64)


def agreement(given: Sequence[tuple[str, Span]], true: Sequence[tuple[str, Span]], extent: Span) -> float:
    """Seconds of an extent in which exactly the true labels are given; silence of both agrees."""
    start, end = extent
    changes: list[tuple[float, int, str, int]] = []
    for side, labelled in enumerate((given, true)):
        for label, (first, last) in labelled:
            first, last = max(first, start), min(last, end)
            if last > first:
                changes += [(first, side, label, 1), (last, side, label, -1)]
    changes.sort(key=lambda change: change[0])
    active: tuple[dict[str, int], dict[str, int]] = ({}, {})
    agreed, now = 0.0, start
    for time, side, label, step in changes:
        if time > now:
            agreed += (time - now) * (active[0].keys() == active[1].keys())
            now = time
        count = active[side].get(label, 0) + step
        if count:
            active[side][label] = count
        else:
            del active[side][label]
    return agreed + max(0.0, end - now) * (active[0].keys() == active[1].keys())


def _f1_sums(compared: Compared, at: float) -> np.ndarray:
    found = compared.hits[..., compared.column(at)].sum(1)
    return np.stack([2 * found, compared.given.sum(1) + compared.true.sum(1)], axis=1)


def _edit_sums(compared: Compared) -> np.ndarray:
    return np.stack([compared.edit, np.ones(len(compared.edit))], axis=1)


def _accuracy_sums(compared: Compared) -> np.ndarray:
    return np.stack([compared.right_s, compared.total_s], axis=1)


def _event_sums(compared: Compared, kind: int) -> np.ndarray:
    whole = compared.true if kind < 3 else compared.given
    return np.stack([compared.events[..., kind].sum(1), whole.sum(1)], axis=1)


def _quotient(sums: np.ndarray, segments: np.ndarray, at: float | None = None) -> np.ndarray:
    return ratio(sums[:, 0], sums[:, 1])


def _videos(compared: Compared) -> float:
    return float(len(compared.edit))


METRICS.add(
    "segment_f1",
    Metric(
        "F1", ("segments",), sums=_f1_sums, from_sums=_quotient, order=1, classes=1, name="f1",
        at=(0.1, 0.25, 0.5),
    ),
)  # fmt: skip
METRICS.add(
    "edit",
    Metric(
        "edit score", ("segments",), sums=_edit_sums, from_sums=_quotient, size=_videos, order=2, classes=1
    ),
)  # fmt: skip
METRICS.add(
    "frame_accuracy",
    Metric("frame accuracy", ("segments",), sums=_accuracy_sums, from_sums=_quotient, order=3, classes=1),
)
for _i, _kind in enumerate(EVENTS):
    METRICS.add(
        _kind,
        Metric(
            f"{_kind} (of {'true' if _i < 3 else 'given'} segments)", ("segments",),
            sums=partial(_event_sums, kind=_i), from_sums=_quotient, order=10 + _i, classes=1,
            higher_is_better=False,
        ),
    )  # fmt: skip
