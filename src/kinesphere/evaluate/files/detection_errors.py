"""What is wrong with temporal detections of anybody, by the rules that they are scored by."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.evaluate.files.detections import THRESHOLDS, Held, TemporalProtocol
from kinesphere.evaluate.files.result import check_thresholds
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


def errors_of(
    held: Held,
    protocol: TemporalProtocol,
    thresholds: Sequence[float] | None = None,
    buckets: tuple[Buckets, ...] | None = None,
) -> DetectionErrors:
    """Kinds of errors, what each costs, and which ground truths are found worst.

    Args:
        held: What counts of results and annotations (`hold`); without durations of the videos nothing is
            divided by coverage.
        protocol: Names the overlaps and the buckets where none are given.
        thresholds: Temporal overlaps.
        buckets: How ground truths are divided.

    Raises:
        InvalidSetting: If a threshold is wrong.
    """
    asked = check_thresholds(thresholds or ERROR_THRESHOLDS[protocol], "Temporal overlaps (--tiou)")
    return DetectionErrors(
        asked, held.found, held.annotated, held.classes,
        held.durations_s, buckets or BUCKETS[protocol], held.ignored,
    )  # fmt: skip
