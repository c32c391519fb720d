"""Which score detections should have to be shown, and how right they then are, video by video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.evaluate.metrics.detection_errors import DetectionErrors

USUAL = 0.5
"""The temporal overlap at which a detection is called right."""


@dataclass(frozen=True)
class OperatingPoint:
    """The score from which on detections agree best with ground truth.

    Attributes:
        score: Detections of this score or more are shown.
        f1: Harmonic mean of their precision and recall, over all classes and videos.
        tiou: Overlap at which a detection is right.
    """

    score: float
    f1: float
    tiou: float


@dataclass(frozen=True)
class VideoF1:
    """One video at an operating point.

    Attributes:
        place: Number of the video.
        instances: Its ground truths.
        detections: Those shown.
        right: How many of these are right.
    """

    place: int
    instances: int
    detections: int
    right: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing happens and nothing is found."""
        total = self.instances + self.detections
        return 2 * self.right / total if total else 1.0


def _column(errors: DetectionErrors) -> int:
    return int(np.argmin([abs(each - USUAL) for each in errors.thresholds]))


def operating_point(errors: DetectionErrors) -> OperatingPoint:
    """The score with the largest F1 at the overlap next to 0.5; of equal ones the highest.

    It is found on the ground truth that is scored; for other videos, take the one of validation videos.
    """
    column = _column(errors)
    order = np.argsort(-errors.found.score, kind="stable")
    score = errors.found.score[order]
    right = (errors.taken[order, column] >= 0).cumsum()
    f1 = 2 * right / (np.arange(len(order)) + 1 + len(errors.annotated.label))
    last = np.append(score[1:] < score[:-1], True)[: len(score)]  # equal scores are shown together
    f1 = np.where(last, f1, -1.0)
    best = int(f1.argmax()) if len(f1) else -1
    found = (float(score[best]), float(f1[best])) if best >= 0 else (1.0, 0.0)
    return OperatingPoint(*found, tiou=errors.thresholds[column])


def video_scores(errors: DetectionErrors, point: OperatingPoint) -> tuple[VideoF1, ...]:
    """Each video at an operating point, in their order."""
    shown = errors.found.score >= point.score
    right = shown & (errors.taken[:, _column(errors)] >= 0)
    count = len(errors.durations_s)
    sums = [
        np.bincount(places, minlength=count).tolist()
        for places in (errors.annotated.place, errors.found.place[shown], errors.found.place[right])
    ]
    return tuple(VideoF1(place, *each) for place, each in enumerate(zip(*sums, strict=True)))
