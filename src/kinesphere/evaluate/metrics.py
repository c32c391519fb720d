"""Scores of a table of probabilities. Values come from torchmetrics; intervals from the bootstrap.

The bootstrap needs each score for thousands of resamples. Accuracy and F1 depend on the clips only through
sums (hits, true positives, predicted and actual counts), so a resample is one row of a matrix product.
N clips, K classes, U resampled units, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.intervals import Bootstrap, Units, interval

TOP_K = (1, 2, 3, 5)
BINS = 15


@dataclass(frozen=True)
class Score:
    """One number with its interval.

    Attributes:
        value: Fraction in [0, 1].
        low: Lower end of the interval, or None where none is estimated.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        text = f"{100 * self.value:.1f} %"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Scores(Mapping[str, Score]):
    """Named scores; the first is the primary one.

    Single-label sets: `top1`, `top2`, `top3`, `top5` (those below K), `mean_class_accuracy` (recall
    averaged over the classes that occur), `macro_f1`, `ece`. Multi-label sets: `map`, `macro_f1` and
    `micro_f1` at 0.5, `ece`.
    """

    items_: tuple[tuple[str, Score], ...]

    def __getitem__(self, name: str) -> Score:
        return dict(self.items_)[name]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.items_])

    def __len__(self) -> int:
        return len(self.items_)


@dataclass(frozen=True)
class ClassScore:
    """One row of the per-class table.

    Attributes:
        label: Class name.
        support: Clips that carry the label.
        predicted: Clips to which the model gave it.
        average_precision: Multi-label sets only; None where the class does not occur.
    """

    label: str
    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    average_precision: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in equal bins (Guo et al. 2017, section 2).

    For single-label sets the confidence is that of the top label; for multi-label sets every
    probability counts.

    Attributes:
        counts: Clips (or probabilities) per bin; bin b covers `[b/B, (b+1)/B)`.
        confidence: Mean confidence per bin, 0 where empty.
        accuracy: Share of right answers per bin, 0 where empty.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


def check_table(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> None:
    """Refuse a table that contradicts itself.

    Args:
        probabilities: `(N, K)` in [0, 1].
        targets: `(N,)` class indices, or `(N, K)` zeros and ones for multi-label sets.
        labels: The K labels.

    Raises:
        InvalidSetting: If it is empty, has fewer than two labels, or shapes or ranges are wrong.
    """
    classes = len(labels)
    if classes < 2:
        raise InvalidSetting(f"Scores need at least two labels to tell apart; got {list(labels)}.")
    if len(probabilities) == 0:
        raise InvalidSetting("There is no clip to score: the table of predictions is empty.")
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        raise InvalidSetting(
            f"Predictions over {classes} labels are a table (N, {classes}); got {probabilities.shape}."
        )
    expected = probabilities.shape if labels.multi else probabilities.shape[:1]
    if targets.shape != expected:
        raise InvalidSetting(f"Targets need shape {expected} to match the predictions; got {targets.shape}.")
    if not (
        np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-6
    ):
        raise InvalidSetting("Probabilities must lie in [0, 1]; some do not or are not numbers.")
    top = 1 if labels.multi else classes - 1
    if targets.min() < 0 or targets.max() > top:
        raise InvalidSetting(f"Targets must lie in 0..{top}; got {int(targets.min())}..{int(targets.max())}.")


def scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    groups: Sequence[str | None] | None = None,
    bootstrap: Bootstrap | None = None,
) -> Scores:
    """All scores of a table of predictions, with intervals.

    Args:
        probabilities: `(N, K)`.
        targets: `(N,)` class indices, or `(N, K)` zeros and ones for multi-label sets.
        labels: The K labels.
        groups: Performer or source of each clip, resampled whole.
        bootstrap: Interval settings.

    Raises:
        InvalidSetting: If the table is empty or contradicts itself.
    """
    check_table(probabilities, targets, labels)
    units = Units.of(groups if groups is not None else [None] * len(targets))
    bootstrap = bootstrap or Bootstrap()
    if labels.multi:
        return _multi_label(probabilities, targets, units, bootstrap)
    return _single_label(probabilities, targets, units, bootstrap)


def _single_label(
    probabilities: np.ndarray, targets: np.ndarray, units: Units, bootstrap: Bootstrap
) -> Scores:
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_f1_score,
        multiclass_recall,
    )

    classes = probabilities.shape[1]
    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets)
    tops = [k for k in TOP_K if k < classes]
    values = {f"top{k}": multiclass_accuracy(p, y, classes, average="micro", top_k=k) for k in tops}
    recall = multiclass_recall(p, y, classes, average=None)
    values["mean_class_accuracy"] = recall[torch.unique(y)].mean()
    values["macro_f1"] = multiclass_f1_score(p, y, classes, average="macro")
    ranks = _ranks(probabilities, targets)
    hits = np.stack([ranks < k for k in tops], axis=1)
    sums = units.total(
        np.hstack([np.ones((len(targets), 1)), hits, _counts(probabilities.argmax(1), targets, classes)])
    )

    def resampled(counts: np.ndarray) -> np.ndarray:
        total = counts @ sums
        tops_, per_class = total[:, 1 : 1 + len(tops)] / total[:, :1], total[:, 1 + len(tops) :]
        return np.hstack([tops_, *_means(per_class, classes)])

    low, high = interval(units, bootstrap, resampled)
    named = [
        (name, Score(float(v), float(a), float(b)))
        for (name, v), a, b in zip(values.items(), low, high, strict=True)
    ]
    # Resampling raises the expected error of every bin, so a percentile interval would miss the value.
    error = multiclass_calibration_error(p, y, classes, n_bins=BINS, norm="l1")
    return Scores((*named, ("ece", Score(float(error)))))


def _multi_label(
    probabilities: np.ndarray, targets: np.ndarray, units: Units, bootstrap: Bootstrap
) -> Scores:
    from torchmetrics.functional.classification import binary_calibration_error, multilabel_f1_score

    classes = probabilities.shape[1]
    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets.astype(np.int64))
    values = {
        "map": float(np.nanmean(average_precisions(probabilities, targets))),
        "macro_f1": float(_macro_multilabel_f1(p, y)),
        "micro_f1": float(multilabel_f1_score(p, y, classes, average="micro")),
    }
    chosen = probabilities > 0.5
    sums = units.total(np.hstack([chosen & (targets > 0), chosen, targets > 0]).astype(np.float64))
    precision = _ResampledPrecision(probabilities, targets)

    def resampled(counts: np.ndarray) -> np.ndarray:
        total = counts @ sums
        _, macro = _means(total, classes)
        hits, given, actual = (part.sum(1, keepdims=True) for part in np.split(total, 3, axis=1))
        micro = _ratio(2 * hits, given + actual)
        return np.hstack([precision.mean(counts[:, units.index]), macro, micro])

    low, high = interval(units, bootstrap, resampled)
    named = [
        (name, Score(v, float(a), float(b)))
        for (name, v), a, b in zip(values.items(), low, high, strict=True)
    ]
    error = binary_calibration_error(p.flatten(), y.flatten(), n_bins=BINS, norm="l1")
    return Scores((*named, ("ece", Score(float(error)))))


def _macro_multilabel_f1(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean over the labels that occur or were given, as for single-label sets."""
    from torchmetrics.functional.classification import multilabel_f1_score

    each = multilabel_f1_score(p, y, p.shape[1], average=None)
    used = ((p > 0.5) | (y > 0)).any(0)
    return torch.as_tensor(each)[used].mean() if used.any() else torch.zeros(())


def average_precisions(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision of each class `(K,)`; NaN for a class without positives."""
    from torchmetrics.functional.classification import binary_average_precision

    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets.astype(np.int64))
    return np.array(
        [
            float(binary_average_precision(p[:, k], y[:, k])) if y[:, k].any() else np.nan
            for k in range(p.shape[1])
        ]
    )


class _ResampledPrecision:
    """Average precision of all classes for clips that count several times or not at all."""

    def __init__(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        self._classes = []
        for p, y in zip(probabilities.T, targets.T, strict=True):
            order = np.argsort(-p, kind="stable")
            # Clips of equal probability enter together: each refers to the last of its tie.
            _, last = np.unique(-p[order], return_inverse=True)
            ends = np.searchsorted(last, last, side="right") - 1
            self._classes.append((order, ends, y[order].astype(np.float64)))

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """mAP `(R, 1)` of clip weights `(R, N)`, over the classes with positives in the resample."""
        each = np.stack([self._one(weights, *one) for one in self._classes], axis=1)
        return np.asarray(np.nanmean(each, axis=1, keepdims=True))

    @staticmethod
    def _one(weights: np.ndarray, order: np.ndarray, ends: np.ndarray, y: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        positive = ordered * y
        precision = _ratio(positive.cumsum(1)[:, ends], ordered.cumsum(1)[:, ends])
        with np.errstate(invalid="ignore"):
            result: np.ndarray = (positive * precision).sum(1) / positive.sum(1)
        return result


def _ranks(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How many classes stand before the target `(N,)`; among equals the lower index stands first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranks: np.ndarray = (order == targets[:, None]).argmax(1)
    return ranks


def _counts(predicted: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """Per clip one-hot true positives, predicted and actual classes `(N, 3K)`."""
    given, actual = np.eye(classes)[predicted], np.eye(classes)[targets]
    return np.hstack([given * actual, given, actual])


def _means(per_class: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean class accuracy and macro-F1, `(R, 1)` each, from `(R, 3K)` counts."""
    hits, given, actual = np.split(per_class, [classes, 2 * classes], axis=1)
    occurs, used = actual > 0, (given + actual) > 0
    accuracy = _ratio(_ratio(hits, actual).sum(1), occurs.sum(1))
    f1 = _ratio(_ratio(2 * hits, given + actual).sum(1), used.sum(1))
    return accuracy[:, None], f1[:, None]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, 0 where the whole is 0."""
    quotient = np.zeros(np.broadcast(part, whole).shape)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def class_scores(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class, in the order of the labels (0 where undefined)."""
    import torchmetrics.functional.classification as tm

    check_table(probabilities, targets, labels)
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
    rows = zip(
        labels,
        support,
        predicted,
        table["precision"],
        table["recall"],
        table["f1_score"],
        precisions,
        strict=True,
    )
    return tuple(ClassScore(n, int(s), int(g), p, r, f, ap) for n, s, g, p, r, f, ap in rows)


def confusion_matrix(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Clips of class row that were called class column: `(K, K)` int64. Single-label sets only.

    Raises:
        InvalidSetting: If a sample may carry several labels, or the table contradicts itself.
    """
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    if labels.multi:
        raise InvalidSetting("A confusion matrix needs one label per clip; this set is multi-label.")
    check_table(probabilities, targets, labels)
    matrix = multiclass_confusion_matrix(
        torch.from_numpy(probabilities), torch.from_numpy(targets), len(labels)
    )
    return np.asarray(matrix)


def calibration(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> Calibration:
    """The bins of the reliability diagram; their weighted gaps sum to the `ece` score."""
    check_table(probabilities, targets, labels)
    if labels.multi:
        confidence, right = probabilities.ravel(), targets.ravel() > 0
    else:
        confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    means = _ratio(np.bincount(bins, weights=confidence, minlength=BINS), counts)
    shares = _ratio(np.bincount(bins, weights=right, minlength=BINS), counts)
    return Calibration(tuple(counts.tolist()), tuple(means.tolist()), tuple(shares.tolist()))
