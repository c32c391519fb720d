"""The reliability diagram: confidence against accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.metrics.recognition import BINS
from kinesphere.evaluate.metrics.table import check_table, ratio


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in equal bins (Guo et al. 2017, section 2).

    For single-label sets the confidence is that of the top label; for multi-label sets every
    probability counts.

    Attributes:
        counts: Clips (or probabilities) per bin; bin b covers `[b/B, (b+1)/B)`.
        confidence: Mean confidence per bin, 0 where empty.
        accuracy: Fraction of right answers per bin, 0 where empty.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def calibration(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> Calibration:
    """The bins of the reliability diagram; their weighted gaps sum to the `ece` score."""
    probabilities = check_table(probabilities, targets, labels)
    if labels.multi:
        confidence, right = probabilities.ravel(), targets.ravel() > 0
    else:
        confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    means = ratio(np.bincount(bins, weights=confidence, minlength=BINS), counts)
    fractions = ratio(np.bincount(bins, weights=right, minlength=BINS), counts)
    return Calibration(tuple(counts.tolist()), tuple(means.tolist()), tuple(fractions.tolist()))
