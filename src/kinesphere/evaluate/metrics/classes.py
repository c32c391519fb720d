"""The table of classes: precision, recall and F1 of each, and which are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.intervals import LEVEL, Units, interval, without_each
from kinesphere.evaluate.metrics.recognition import average_precisions
from kinesphere.evaluate.metrics.table import check_table, ratio


@dataclass(frozen=True)
class ClassScore:
    """One row of the per-class table.

    Attributes:
        label: Class name.
        support: Clips that carry the label.
        predicted: Clips to which the model gave it.
        average_precision: Multi-label sets only; None where the class does not occur.
        recall_low: Lower end of the interval of the recall, over the groups that hold the class; None where
            they are fewer than two.
        recall_high: Upper end.
    """

    label: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    average_precision: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None


def class_scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class, in the order of the labels (0 where undefined).

    The arguments are those of `scores`.
    """
    import torch
    import torchmetrics.functional.classification as tm

    probabilities = check_table(probabilities, targets, labels)
    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets.astype(np.int64))
    classes = len(labels)
    kind = "multilabel" if labels.multi else "multiclass"
    table: dict[str, Any] = {
        name: getattr(tm, f"{kind}_{name}")(p, y, classes, average=None).tolist()
        for name in ("precision", "recall", "f1_score")
    }
    if labels.multi:
        support, predicted = targets.sum(0), (probabilities > 0.5).sum(0)
        precisions = [
            None if np.isnan(ap) else float(ap) for ap in average_precisions(probabilities, targets)
        ]
    else:
        support = np.bincount(targets, minlength=classes)
        predicted = np.bincount(probabilities.argmax(1), minlength=classes)
        precisions = [None] * classes
    known = groups if groups is not None else [None] * len(targets)
    ends = [recall_interval(*_answers(probabilities, targets, k), known, level) for k in range(classes)]
    columns = zip(
        labels, support, predicted, table["precision"], table["recall"], table["f1_score"], precisions, ends,
        strict=True,
    )  # fmt: skip
    return tuple(ClassScore(n, int(s), int(g), p, r, f, ap, *end) for n, s, g, p, r, f, ap, end in columns)


def _answers(probabilities: np.ndarray, targets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which clips carry class k, and which were given it."""
    if targets.ndim == 2:
        return targets[:, k] > 0, probabilities[:, k] > 0.5
    return targets == k, probabilities.argmax(1) == k


def recall_interval(
    true: np.ndarray, given: np.ndarray, groups: Sequence[str | None], level: float = LEVEL
) -> tuple[float | None, float | None]:
    """Interval of the fraction of the clips `true` (N,) that are also `given` (N,); None without a spread."""
    rows = np.flatnonzero(true)
    if not len(rows):
        return None, None
    units = Units.of([groups[i] for i in rows.tolist()])
    right = given[rows]
    sums = units.total(np.stack([right, np.ones(len(rows))], axis=1))
    without = without_each(sums, lambda total: ratio(total[:, :1], total[:, 1:]))[:, 0]
    return interval(float(right.mean()), without, units, len(rows), level) or (None, None)


def confusion_matrix(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Clips of class row that were called class column: `(K, K)` int64. Single-label sets only.

    Raises:
        InvalidSetting: If a sample may carry several labels, or the table contradicts itself.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    if labels.multi:
        raise InvalidSetting("A confusion matrix needs one label per clip; this set is multi-label.")
    probabilities = check_table(probabilities, targets, labels)
    matrix = multiclass_confusion_matrix(
        torch.from_numpy(probabilities), torch.from_numpy(targets), len(labels)
    )
    return np.asarray(matrix)
