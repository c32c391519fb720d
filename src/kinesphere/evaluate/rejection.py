"""The threshold below which a model answers that it knows none of what it sees, measured on scored clips."""

from __future__ import annotations

import math

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection

KEPT = 0.95
"""Fraction of the right answers that a threshold keeps, as detectors of unknown inputs are compared."""


def measured(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    label: str,
    on: str,
    kept: float = KEPT,
) -> Rejection:
    """The rejection with the largest threshold that keeps most of the right answers.

    Args:
        probabilities: `(N, K)` of clips that the weights did not learn from.
        targets: `(N,)` class indices; those of `label` are clips of nothing that is known.
        labels: The K classes.
        label: The class that stands for none of the others.
        on: What the clips are, for the record.
        kept: Fraction of the right answers that stay, in (0, 1].

    Raises:
        InvalidSetting: If there is no such class, no right answer to keep, or `kept` is out of range.
    """
    none = labels.index(label, "The label of the rejection")
    if not 0 < kept <= 1:
        raise InvalidSetting(f"A fraction of the right answers is above 0 and at most 1; got {kept}.")
    best = probabilities.argmax(1)
    right = (best == targets) & (targets != none)
    if not right.any():
        raise InvalidSetting(
            f"No threshold can be measured on {on}: none of the {len(targets)} clips is answered right with "
            "a class other than that of the rejection. Train longer, or measure on other clips."
        )
    ordered = np.sort(probabilities[right].max(1))
    lost = len(ordered) - math.ceil(kept * len(ordered))
    threshold = math.floor(1e4 * float(ordered[lost])) / 1e4  # rounded down: the clip that decides is kept
    found = Rejection(label, threshold, on)
    rejected = found.rejects(probabilities, labels)
    strangers = targets == none
    parts = [f"{on}: {1 - rejected[right].mean():.1%} of {right.sum()} right answers stay"]
    if strangers.any():
        parts.append(f"{rejected[strangers].mean():.1%} of {strangers.sum()} clips of {label!r} are rejected")
    return Rejection(label, threshold, "; ".join(parts))
