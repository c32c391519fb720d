"""The baseline of localisation: a linear classifier of rows, smoothed, with hysteresis at several thresholds.

It is what one gets without a detector: probabilities of windows made into segments as `kinesphere predict`
makes them (`predict.segments`). How strongly the classifier is held back, how rows are smoothed, where
segments go on and how short they may be is chosen among the recordings to train on, by cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.detections import mean_average_precision
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.rows import DECAY, RowClassifier, fit_rows
from kinesphere.localise.suppression import Suppression, suppressed
from kinesphere.predict.segment_rule import SegmentRule, Smoothing
from kinesphere.predict.segmentation import segments
from kinesphere.predict.timeline import Timeline

THRESHOLDS = tuple(np.round(np.arange(0.1, 0.95, 0.1), 1).tolist())
SMOOTHINGS: tuple[Smoothing, ...] = ("mean", "median")
_TIOU = 0.7
_FOLDS = 3
_DECAYS = (1e-3, 1e-2, 1e-1, 1.0)
_SMOOTHED = (0.25, 0.5, 1.0)
_SHORTEST = (0.0, 0.25, 0.5)
_PAUSES = (0.0, 0.25)
_KEPT = (1.0, 0.5)
_JOINED = 1.01
"""Windows that are shorter than their steps count as this many steps, so that neighbours touch."""


@dataclass(frozen=True)
class BaselineRule:
    """How rows become segments.

    Attributes:
        decay: Of the classifier's weights.
        smooth: Rows that are taken together first.
        smoothing: How.
        keep: A segment goes on as long as its label has this fraction of the threshold that opened it.
        min_s: Shortest segment in seconds.
        gap_s: Shortest pause of a label in seconds.
    """

    decay: float = DECAY
    smooth: int = 1
    smoothing: Smoothing = "mean"
    keep: float = 1.0
    min_s: float = 0.0
    gap_s: float = 0.0

    def at(self, threshold: float) -> SegmentRule:
        """For one threshold, of rows that are smoothed already."""
        return SegmentRule(threshold, keep=self.keep * threshold, min_s=self.min_s, gap_s=self.gap_s)


@dataclass(frozen=True, eq=False)
class Baseline:
    """A classifier of rows, and how its answers become detections.

    Attributes:
        rows: The classifier.
        rule: How its answers become segments.
        chosen_by: mAP of that rule in the cross-validation; None where there was nothing to choose by.
    """

    rows: RowClassifier
    rule: BaselineRule = BaselineRule()
    chosen_by: float | None = None

    def detect(self, recording: Recording) -> list[Detection]:
        """Segments at each of several thresholds; of those that overlap by 0.7 the surest stays.

        The score of a segment is its mean probability.
        """
        return found_in(timeline_of_rows(self.rows, recording), self.rule)


def fit_baseline(
    recordings: Sequence[Recording], classes: tuple[str, ...], groups: Sequence[str] | None = None
) -> Baseline:
    """Fit the classifier of rows, and choose how its answers become segments.

    Each of three parts of the recordings is asked of what learnt from the others; that rule is taken whose
    detections of all parts together have the best mAP over tIoU 0.3 to 0.7. The classifier's decay is chosen
    first (with a moving average over half an action), then the smoothing, then hysteresis, shortest segment
    and shortest pause together; lengths are fractions of the median length of an action.

    Args:
        recordings: To learn from.
        classes: Names.
        groups: Who is seen in each recording: nobody is in two parts. None for recordings of their own.
    """
    groups = groups or [each.video for each in recordings]
    names = sorted(set(groups))
    known = [each for own in recordings for each in own.labels if each.label in classes]
    if len(names) < 2 or not known:
        return Baseline(fit_rows(recordings, classes))
    truth = replace(truth_of(recordings), labels=tuple(known))
    typical_s = float(np.median([each.end_s - each.start_s for each in known]))
    answers = {decay: _asked(recordings, list(groups), names, classes, decay) for decay in _DECAYS}
    widths = [_width(part * typical_s / recordings[0].features.stride_s) for part in _SMOOTHED]
    rule, _ = _best([BaselineRule(decay, widths[1]) for decay in _DECAYS], answers, truth)
    rule, _ = _best(_smoothings(rule, widths), answers, truth)
    rule, best = _best(_limits(rule, typical_s), answers, truth)
    return Baseline(fit_rows(recordings, classes, rule.decay), rule, best)


def timeline_of_rows(rows: RowClassifier, recording: Recording) -> Timeline:
    """The classifier's answers about a recording, a window a row."""
    features = recording.features
    half = max(features.window_s, _JOINED * features.stride_s) / 2
    spans = (features.times_s[:, None] + np.array([-half, half])).clip(0.0, features.duration_s)
    labels = LabelSet(rows.classes, multi=True)
    return Timeline(rows.probabilities(features.values), spans, labels, recording.video)


def found_in(timeline: Timeline, rule: BaselineRule) -> list[Detection]:
    """What a rule finds in a timeline, the surest first."""
    smooth = timeline.smoothed(rule.smooth, rule.smoothing)
    every = [each for threshold in THRESHOLDS for each in segments(smooth, rule.at(threshold))]
    if not every:
        return []
    names = timeline.labels.names
    spans = np.array([(each.start_s, each.end_s) for each in every])
    scores = np.array([each.probability for each in every])
    labels = np.array([names.index(each.label) for each in every])
    kept = zip(*suppressed(spans, scores, labels, Suppression("hard", _TIOU)), strict=True)
    return [
        Detection(timeline.source, names[label], float(start), float(end), score=float(score))
        for (start, end), score, label in kept
    ]


def _asked(
    recordings: Sequence[Recording],
    groups: list[str],
    names: list[str],
    classes: tuple[str, ...],
    decay: float,
) -> list[Timeline]:
    """Each recording by a classifier that learnt from other groups."""
    pairs = list(zip(recordings, groups, strict=True))
    found: dict[str, Timeline] = {}
    for i in range(min(_FOLDS, len(names))):
        out = set(names[i::_FOLDS])
        rows = fit_rows([own for own, group in pairs if group not in out], classes, decay)
        found |= {own.video: timeline_of_rows(rows, own) for own, group in pairs if group in out}
    return [found[own.video] for own in recordings]


def _best(
    rules: Iterable[BaselineRule], answers: Mapping[float, Sequence[Timeline]], truth: TimedLabels
) -> tuple[BaselineRule, float]:
    """The rule of the best mAP, the first of equal ones, and that."""
    scored = [
        (
            mean_average_precision(
                [each for line in answers[rule.decay] for each in found_in(line, rule)], truth
            ),
            rule,
        )
        for rule in rules
    ]
    best, rule = max(scored, key=lambda each: each[0])
    return rule, best


def _width(rows: float) -> int:
    """The odd number of rows nearest to so many."""
    return 1 + 2 * round((rows - 1) / 2)


def _smoothings(rule: BaselineRule, widths: Sequence[int]) -> Iterator[BaselineRule]:
    yield rule
    yield replace(rule, smooth=1)
    for width, kind in product(sorted({*widths} - {1}), SMOOTHINGS):
        yield replace(rule, smooth=width, smoothing=kind)


def _limits(rule: BaselineRule, typical_s: float) -> Iterator[BaselineRule]:
    for keep, shortest, pause in product(_KEPT, _SHORTEST, _PAUSES):
        yield replace(rule, keep=keep, min_s=shortest * typical_s, gap_s=pause * typical_s)
