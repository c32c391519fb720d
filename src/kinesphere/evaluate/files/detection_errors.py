"""What is wrong with temporal detections of anybody, by the rules that they are scored by."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.annotations.timed import TimedLabels
from kinesphere.evaluate.files.detections import (
    THRESHOLDS,
    Ambiguous,
    Duplicates,
    Held,
    TemporalProtocol,
    hold,
)
from kinesphere.evaluate.files.result import check_thresholds
from kinesphere.evaluate.files.selection import Unknown
from kinesphere.evaluate.metrics.detection_errors import Buckets, DetectionErrors, buckets_of

ERROR_THRESHOLDS: dict[TemporalProtocol, tuple[float, ...]] = {
    "thumos14": (0.5,),
    "activitynet": THRESHOLDS["activitynet"],
}
"""The overlaps at which errors are told, unless others are asked for: those of DETAD's authors."""
BUCKETS: dict[TemporalProtocol, tuple[Buckets, ...]] = {
    "thumos14": buckets_of((0.02, 0.04, 0.06, 0.08), (3, 6, 12, 18), (1, 40, 80)),
    "activitynet": buckets_of((0.2, 0.4, 0.6, 0.8), (30, 60, 120, 180), (1, 4, 8)),
}
"""How they divide ground truths."""


def detection_errors(
    results: TimedLabels,
    truth: TimedLabels,
    protocol: TemporalProtocol,
    *,
    thresholds: Sequence[float] | None = None,
    videos: str | None = None,
    subset: str | None = None,
    unknown: Unknown = "count",
    ambiguous: Ambiguous = "drop",
    duplicates: Duplicates = "keep",
    buckets: tuple[Buckets, ...] | None = None,
) -> DetectionErrors:
    """Kinds of errors, what each costs, and which ground truths are found worst.

    Args:
        results: Detections.
        truth: Annotations; without durations of the videos nothing is divided by coverage.
        protocol: Names the overlaps and the buckets where none are given.
        thresholds: Temporal overlaps.
        videos, subset, unknown, ambiguous, duplicates: As `score_detections` has them.
        buckets: How ground truths are divided.

    Raises:
        InvalidAnnotation: If the results have no scores, or nothing is annotated.
        InvalidSetting: If a threshold, the subset or the list is wrong.
    """
    held = hold(
        results, truth, videos=videos, subset=subset, unknown=unknown, ambiguous=ambiguous,
        duplicates=duplicates,
    )  # fmt: skip
    return errors_of(held, protocol, thresholds, buckets)


def errors_of(
    held: Held,
    protocol: TemporalProtocol,
    thresholds: Sequence[float] | None = None,
    buckets: tuple[Buckets, ...] | None = None,
) -> DetectionErrors:
    """`detection_errors` of what was chosen already."""
    asked = check_thresholds(thresholds or ERROR_THRESHOLDS[protocol], "Temporal overlaps (--tiou)")
    return DetectionErrors(
        asked, held.found, held.annotated, held.classes,
        held.durations_s, buckets or BUCKETS[protocol], held.ignored,
    )  # fmt: skip
