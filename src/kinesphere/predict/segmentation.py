"""From the windows of a timeline to timed segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.transitions import NO_ACTION, Transitions, most_probable, most_probable_presence

_TOUCH_S = 1e-6
_LEAST = 1e-3
"""Probabilities nearer to 0 or 1 are this far from them in Viterbi decoding: networks are too sure of
themselves, and one window is not to outweigh all its neighbours."""


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one label.

    Attributes:
        probability: Mean over its windows in which somebody is seen.
        runner_up: The most probable other label by the same mean; None where there is no other.
        runner_up_probability: Its mean.
    """

    label: str
    start_s: float
    end_s: float
    probability: float
    runner_up: str | None = None
    runner_up_probability: float | None = None


@dataclass(frozen=True)
class Below:
    """How many windows, of how many, have no label that reaches its threshold.

    Attributes:
        windows: How many have none, those whose answer is `label` among them.
        threshold: That of all labels but those with one of their own.
        singles: How many labels have one of their own.
        rejected: In how many the answer is that it is none of what the model knows.
        label: What that answer is called; empty where the model never gives it.
    """

    windows: int
    of: int
    threshold: float
    singles: int = 0
    rejected: int = 0
    label: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is to be told of them; nothing where all windows have a label."""
        told = []
        if self.rejected:
            told.append(f"{self.rejected} of {self.of} windows are {self.label!r}")
        if silent := self.windows - self.rejected:
            more = f" ({self.singles} labels have their own)" if self.singles else ""
            told.append(f"{silent} of {self.of} windows below the threshold of {self.threshold:g}{more}")
        return tuple(told)

    def __str__(self) -> str:
        return "; ".join(self.lines) or f"no window below the threshold of {self.threshold:g}"


def segments(timeline: Timeline, rule: SegmentRule = SegmentRule()) -> list[Segment]:  # noqa: B008 (frozen)
    """Merge consecutive windows of one label into timed segments.

    By thresholds, a label is active in a window that reaches its threshold, and in the windows beside it as
    long as they reach `rule.keep`. In a single-label set the most probable active label takes the window.
    Windows that are `unanswered` have no active label. By Viterbi decoding, the labels of all windows are
    those of the most probable sequence. A window speaks for a label, against no action, by the odds of its
    probability over those of its threshold, so that a label at its threshold and no action are as good;
    windows in which nobody is seen are no action.

    Where windows overlap, the boundary lies in the middle of the overlap. Windows with a gap between them
    are not merged, unless the gap is shorter than `rule.gap_s`; those with a break between them never are,
    and the most probable sequence begins anew after it.

    What a detector found is a segment if its score reaches the threshold of its label; those may overlap.

    Args:
        timeline: W windows over K labels.
        rule: All settings; by default thresholds alone.

    Returns:
        Segments ordered by start; those of one label do not overlap, in a single-label set none do.

    Raises:
        InvalidSetting: If the rule names labels that the timeline does not have, or hysteresis is asked for
            above the threshold; or windows are to be decoded of what a detector found.
    """
    if timeline.found is not None:
        return _of_detector(timeline, timeline.found, rule)
    timeline = timeline.smoothed(rule.smooth, rule.smoothing)
    active, joined = _active(timeline, rule)
    cells = timeline.cells()
    found = []
    for k, label in enumerate(timeline.labels):
        for first, last in _runs(active[:, k], joined):
            means = _means(timeline, first, last)
            start, end = float(cells[first, 0]), float(cells[last, 1])
            found.append(Segment(label, start, end, float(means[k]), *_rival(means, k, timeline.labels)))
    return sorted(found, key=lambda segment: (segment.start_s, segment.end_s))


def _of_detector(timeline: Timeline, found: Sequence[Detection], rule: SegmentRule) -> list[Segment]:
    """Detections that reach the threshold, ordered by start."""
    plain = SegmentRule(rule.threshold, rule.thresholds, no_action=rule.no_action, min_s=rule.min_s)
    if rule != plain:
        raise InvalidSetting(
            f"A detector's segments have boundaries of their own and are no windows to be decoded: {rule}. "
            "Give thresholds and the shortest length alone."
        )
    opening = dict(
        zip(timeline.labels.names, rule.opening(timeline.labels, timeline.threshold()), strict=True)
    )
    kept = [
        Segment(each.label, each.start_s, each.end_s, each.score)
        for each in found
        if each.score >= opening[each.label]
        and each.label not in rule.no_action
        and each.end_s - each.start_s >= rule.min_s
    ]
    return sorted(kept, key=lambda segment: (segment.start_s, segment.end_s))


def _means(timeline: Timeline, first: int, last: int) -> np.ndarray:
    """Mean row `(K,)` of a stretch of windows, of those in which somebody is seen if there are any."""
    rows, seen = timeline.probabilities[first : last + 1], ~timeline.nobody[first : last + 1]
    means: np.ndarray = (rows[seen] if seen.any() else rows).mean(0)
    return means


def active_windows(timeline: Timeline, rule: SegmentRule = SegmentRule()) -> np.ndarray:  # noqa: B008 (frozen)
    """Which labels' segments hold each window, bool `(W, K)`; see `segments`."""
    if timeline.found is not None:
        middles = timeline.spans.mean(1)
        active = np.zeros(timeline.probabilities.shape, bool)
        for each in _of_detector(timeline, timeline.found, rule):
            inside = (middles >= each.start_s) & (middles < each.end_s)
            active[:, timeline.labels.names.index(each.label)] |= inside
        return active
    return _active(timeline.smoothed(rule.smooth, rule.smoothing), rule)[0]


def below(timeline: Timeline, rule: SegmentRule = SegmentRule()) -> Below:  # noqa: B008 (frozen)
    """The smoothed windows in which no label reaches its threshold, `unanswered` ones among them."""
    timeline = timeline.smoothed(rule.smooth, rule.smoothing)
    default = timeline.threshold(rule.threshold)
    opening = rule.opening(timeline.labels, default)
    reached = (timeline.probabilities >= opening).any(1) & ~timeline.unanswered
    rejected, label = 0, ""
    if timeline.rejection is not None:
        rejected, label = int((timeline.unanswered & ~timeline.nobody).sum()), timeline.rejection.label
    return Below(int((~reached).sum()), len(timeline), default, len(rule.thresholds), rejected, label)


def _active(timeline: Timeline, rule: SegmentRule) -> tuple[np.ndarray, np.ndarray]:
    """Which labels are active in each window, `(W, K)`, and which are joined to the next, `(W - 1,)`."""
    opening = rule.opening(timeline.labels, timeline.threshold())
    away_s = timeline.spans[1:, 0] - timeline.spans[:-1, 1]
    joined = ((away_s <= _TOUCH_S) | (away_s < rule.gap_s - _TOUCH_S)) & ~timeline.broken
    if rule.viterbi is None:
        active = _by_threshold(timeline, rule, opening, joined)
    else:
        active = _by_viterbi(timeline, rule, opening)
    active[:, [name in rule.no_action for name in timeline.labels]] = False
    cells = timeline.cells()
    _close_pauses(active, cells, joined, rule.gap_s, alone=not timeline.labels.multi)
    if _drop_short(active, cells, joined, rule.min_s):
        _close_pauses(active, cells, joined, rule.gap_s, alone=not timeline.labels.multi)
    return active, joined


def _by_threshold(
    timeline: Timeline, rule: SegmentRule, opening: np.ndarray, joined: np.ndarray
) -> np.ndarray:
    """The labels of each window by itself and its neighbours, `(W, K)`."""
    strong = np.where(timeline.unanswered[:, None], -1, timeline.probabilities) >= opening
    weak = strong
    if rule.keep is not None:
        # Less than a model wants for an answer may continue one, unless another answer is more probable.
        other = np.array([timeline.labels.names[best] for best in timeline.probabilities.argmax(1)])
        rejected = timeline.rejection is not None and other == timeline.rejection.label
        silent = timeline.nobody | rejected
        keep = rule.continuing(opening, timeline.threshold())
        weak = strong | (np.where(silent[:, None], -1, timeline.probabilities) >= keep)
    active = _opened(strong, weak, joined)
    if not timeline.labels.multi:
        best = np.where(active, timeline.probabilities, -1).argmax(1)
        active &= np.arange(len(timeline.labels)) == best[:, None]
        active = _opened(strong & active, active, joined)
    return active


def _opened(strong: np.ndarray, weak: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """Stretches of weak windows in which one is strong, `(W, K)`."""
    active = np.zeros_like(weak)
    for k in range(weak.shape[1]):
        for first, last in _runs(weak[:, k], joined):
            active[first : last + 1, k] = strong[first : last + 1, k].any()
    return active


def _by_viterbi(timeline: Timeline, rule: SegmentRule, opening: np.ndarray) -> np.ndarray:
    """The labels of the most probable sequence, `(W, K)`."""
    assert rule.viterbi is not None
    rejection = timeline.rejection
    if rejection is not None:
        opening = np.maximum(opening, rejection.threshold)
    scores = _log_odds(timeline.probabilities) - _log_odds(opening)
    scores[timeline.nobody] = -np.inf
    active = np.concatenate(
        [_decoded(scores[part], timeline, rule.viterbi, part) for part in timeline.stretches()]
    )
    if rejection is not None:
        active[:, [name == rejection.label for name in timeline.labels]] = False
    return active


def _decoded(scores: np.ndarray, timeline: Timeline, transitions: Transitions, part: slice) -> np.ndarray:
    """The labels of the most probable sequence in a stretch without a break, `(W, K)`."""
    times_s = timeline.spans[part].mean(1)
    names = timeline.labels.names
    if timeline.labels.multi:
        return most_probable_presence(scores, transitions, names, times_s)
    nothing = np.zeros((len(scores), 1))
    path = most_probable(np.hstack([scores, nothing]), transitions, (*names, NO_ACTION), times_s)
    active: np.ndarray = path[:, None] == np.arange(len(names))
    return active


def _log_odds(p: np.ndarray) -> np.ndarray:
    clipped = np.clip(p, _LEAST, 1 - _LEAST)
    odds: np.ndarray = np.log(clipped / (1 - clipped))
    return odds


def _close_pauses(
    active: np.ndarray, cells: np.ndarray, joined: np.ndarray, gap_s: float, *, alone: bool
) -> None:
    """Fill pauses of one label that are shorter than `gap_s`; where labels are `alone`, empty ones only."""
    if not gap_s:
        return
    free = np.logical_not(active.any(1))
    for k in range(active.shape[1]):
        runs = _runs(active[:, k], joined)
        for (_, last), (first, _) in pairwise(runs):
            pause = slice(last + 1, first)
            short = cells[first, 0] - cells[last, 1] < gap_s - _TOUCH_S
            if short and joined[last:first].all() and (not alone or free[pause].all()):
                active[pause, k] = True


def _drop_short(active: np.ndarray, cells: np.ndarray, joined: np.ndarray, min_s: float) -> bool:
    """Drop segments that are shorter than `min_s`, or have no length; whether there were some."""
    dropped = False
    for k in range(active.shape[1]):
        for first, last in _runs(active[:, k], joined):
            if cells[last, 1] - cells[first, 0] < max(min_s, _TOUCH_S):
                active[first : last + 1, k] = False
                dropped = True
    return dropped


def _rival(means: np.ndarray, own: int, labels: LabelSet) -> tuple[str, float] | tuple[None, None]:
    """The most probable label beside the own one."""
    if len(means) < 2:
        return None, None
    others = means.copy()
    others[own] = -1
    best = int(others.argmax())
    return labels.names[best], float(means[best])


def _runs(mask: np.ndarray, joined: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of true windows, broken where neighbours are not joined."""
    on = mask[:-1] & mask[1:] & joined
    firsts = np.flatnonzero(mask & ~np.concatenate([[False], on]))
    lasts = np.flatnonzero(mask & ~np.concatenate([on, [False]]))
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
