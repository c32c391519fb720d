"""What pictures and pages of a timeline show: rows of segments in lanes, and the curves of the labels."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.annotations.timed import TimedLabel
from kinesphere.predict.files.hues import hues
from kinesphere.predict.files.registry import TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, segments
from kinesphere.predict.timeline import Timeline

_MOST_CURVES = 12
_LEAST_PEAK = 0.2
_MOST_POINTS = 2000
_TOUCH_S = 1e-6


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of a timeline.

    Attributes:
        rows: The further rows, then the timeline's own segments last.
        start_s: Start of the time axis in seconds.
        end_s: Its end.
        cells: The times `(P, 2)` that windows speak for; of many windows, of several together.
        curves: Their middles `(P,)` and the probabilities `(P,)` of the labels that stand out most, in their
            order.
        hues: A colour for each label.
    """

    rows: tuple[TimelineRow, ...]
    start_s: float
    end_s: float
    cells: np.ndarray
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]]
    hues: Mapping[str, str]


def shown(timeline: Timeline, rule: SegmentRule, rows: Sequence[TimelineRow]) -> Shown:
    """Gather what a picture or a page shows.

    Args:
        timeline: What the model says.
        rule: How it becomes segments.
        rows: What stands above them.
    """
    own = TimelineRow("prediction", tuple(segments(timeline, rule)))
    every = (*rows, own)
    labels = [each.label for row in every for each in row.segments]
    cells, curves = _curves(timeline, set(labels))
    ends = [float(timeline.spans[:, 1].max()), *(each.end_s for row in every for each in row.segments)]
    start_s = min(0.0, float(timeline.spans[0, 0]))
    return Shown(every, start_s, max(ends), cells, curves, hues([*labels, *curves]))


def lanes(found: Sequence[Segment | TimedLabel]) -> list[int]:
    """The lane of each segment, from 0, so that those of one lane do not overlap; ordered by start."""
    free: list[tuple[float, int]] = []
    count = 0
    chosen = []
    for each in found:
        if free and free[0][0] <= each.start_s + _TOUCH_S:
            _, lane = heapq.heappop(free)
        else:
            lane, count = count, count + 1
        chosen.append(lane)
        heapq.heappush(free, (each.end_s, lane))
    return chosen


def _curves(
    timeline: Timeline, named: set[str]
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Labels that have segments first, then those that are probable anywhere, by their peaks."""
    peaks = timeline.probabilities.max(0)
    names = timeline.labels.names
    order = sorted(range(len(names)), key=lambda k: (names[k] not in named, -peaks[k]))
    worth = [k for k in order if names[k] in named or peaks[k] >= _LEAST_PEAK] or order[:1]
    chosen = sorted(worth[:_MOST_CURVES])
    cells = timeline.cells()
    firsts = np.arange(0, len(cells), -(-len(cells) // _MOST_POINTS))
    lasts = np.append(firsts[1:], len(cells)) - 1
    middles = np.add.reduceat(cells.mean(1), firsts) / (lasts - firsts + 1)
    curves = {names[k]: (middles, np.maximum.reduceat(timeline.probabilities[:, k], firsts)) for k in chosen}
    return np.stack([cells[firsts, 0], cells[lasts, 1]], 1), curves


def clock(time_s: float) -> str:
    """`1:02:03.4`, or `2:03.4` below an hour."""
    tenths = round(10 * max(time_s, 0.0))
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def ticks(start_s: float, end_s: float, most: int = 10) -> list[float]:
    """Round times between two, about `most` of them."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    span = end_s - start_s
    step = next((each for each in steps if span / each <= most), 3600 * max(1, round(span / 3600 / most)))
    first = -(-start_s // step)
    return [round((first + i) * step, 3) for i in range(int(span // step) + 1) if (first + i) * step <= end_s]
