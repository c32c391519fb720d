"""Scores of a table of probabilities. Values come from torchmetrics; intervals from `intervals`.

An interval needs each score with every unit (group or clip) left out in turn. Accuracy and F1 depend on the
clips only through sums (hits, true positives, predicted and actual counts), so that is a subtraction.
N clips, K classes, U units, R rows of sums or weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.intervals import LEVEL, Units, interval, without_each

TOP_K = (1, 2, 3, 5)
BINS = 15
# Average precision with a unit left out is sorted out anew; of more units several are left out together.
_MOST_LEFT_OUT = 100


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


def check_table(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> np.ndarray:
    """The probabilities within [0, 1] to the last bit; a table that contradicts itself is refused.

    Sums of shares come to 1 + 2e-16, which torchmetrics takes for a sign that the whole table holds logits.

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
        np.isfinite(probabilities).all() and probabilities.min() >= -1e-6 and probabilities.max() <= 1 + 1e-6
    ):
        raise InvalidSetting("Probabilities must lie in [0, 1]; some do not or are not numbers.")
    top = 1 if labels.multi else classes - 1
    if targets.min() < 0 or targets.max() > top:
        raise InvalidSetting(f"Targets must lie in 0..{top}; got {int(targets.min())}..{int(targets.max())}.")
    return probabilities.clip(0, 1)


def scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> Scores:
    """All scores of a table of predictions, with intervals.

    Args:
        probabilities: `(N, K)`.
        targets: `(N,)` class indices, or `(N, K)` zeros and ones for multi-label sets.
        labels: The K labels.
        groups: Performer or source of each clip, taken whole by the intervals.
        level: Of the intervals.

    Raises:
        InvalidSetting: If the table is empty or contradicts itself.
    """
    probabilities = check_table(probabilities, targets, labels)
    units = Units.of(groups if groups is not None else [None] * len(targets))
    if labels.multi:
        return _multi_label(probabilities, targets, units, level)
    return _single_label(probabilities, targets, units, level)


def _single_label(probabilities: np.ndarray, targets: np.ndarray, units: Units, level: float) -> Scores:
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_calibration_error,
        multiclass_f1_score,
        multiclass_recall,
    )

    classes = probabilities.shape[1]
    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets)
    tops = [k for k in TOP_K if k < classes]
    ranks = _ranks(probabilities, targets)
    ordered = torch.from_numpy(_without_ties(probabilities))
    values = {f"top{k}": multiclass_accuracy(ordered, y, classes, average="micro", top_k=k) for k in tops}
    recall = multiclass_recall(p, y, classes, average=None)
    values["mean_class_accuracy"] = recall[torch.unique(y)].mean()
    values["macro_f1"] = multiclass_f1_score(p, y, classes, average="macro")
    without, sizes = left_out(ranks, probabilities.argmax(1), targets, tops,
                              classes, units)  # fmt: skip
    named = _with_intervals({name: float(v) for name, v in values.items()}, without, sizes, units, level)
    # Chance raises the expected error of every bin, so an interval about the value would miss the truth.
    error = multiclass_calibration_error(p, y, classes, n_bins=BINS, norm="l1")
    return Scores((*named, ("ece", Score(float(error)))))


def _multi_label(probabilities: np.ndarray, targets: np.ndarray, units: Units, level: float) -> Scores:
    from torchmetrics.functional.classification import binary_calibration_error, multilabel_f1_score

    classes = probabilities.shape[1]
    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets.astype(np.int64))
    values = {
        "map": mean_precision(probabilities, targets),
        "macro_f1": float(_macro_multilabel_f1(p, y)),
        "micro_f1": float(multilabel_f1_score(p, y, classes, average="micro")),
    }
    without, sizes = left_out_multi(probabilities, targets, units)
    merged = units.merged(_MOST_LEFT_OUT)
    precisions = precision_left_out(probabilities, targets, merged)
    named = [
        *_with_intervals({"map": values.pop("map")}, precisions[:, None], sizes[:1], merged, level),
        *_with_intervals(values, without, sizes, units, level),
    ]
    error = binary_calibration_error(p.flatten(), y.flatten(), n_bins=BINS, norm="l1")
    return Scores((*named, ("ece", Score(float(error)))))


def left_out(
    ranks: np.ndarray, predicted: np.ndarray, targets: np.ndarray, tops: Sequence[int], classes: int,
    units: Units,
) -> tuple[np.ndarray, list[float]]:  # fmt: skip
    """Top-k accuracies, mean class accuracy and macro-F1 of a single-label set with each unit left out.

    Args:
        ranks: `(N,)` classes before the target.
        predicted: `(N,)` most probable class.
        targets: `(N,)` class indices.
        tops: Which k.
        classes: K.
        units: U units.

    Returns:
        `(U, M)` scores, and for each how many independent clips it rests on at most.
    """
    hits = np.stack([ranks < k for k in tops], axis=1)
    sums = units.total(np.hstack([np.ones((len(targets), 1)), hits, _counts(predicted, targets, classes)]))

    def statistics(total: np.ndarray) -> np.ndarray:
        tops_, per_class = _ratio(total[:, 1 : 1 + len(tops)], total[:, :1]), total[:, 1 + len(tops) :]
        return np.hstack([tops_, *_means(per_class, classes)])

    balanced = _balanced_size(np.bincount(targets, minlength=classes))
    return without_each(sums, statistics), [*[float(len(targets))] * len(tops), balanced, balanced]


def macro_means(predicted: np.ndarray, targets: np.ndarray, classes: int) -> tuple[float, float]:
    """Macro-F1 and mean class accuracy of answers `(N,)`."""
    accuracy, f1 = _means(_counts(predicted, targets, classes).sum(0)[None], classes)
    return float(f1[0, 0]), float(accuracy[0, 0])


def left_out_multi(
    probabilities: np.ndarray, targets: np.ndarray, units: Units
) -> tuple[np.ndarray, list[float]]:
    """Macro- and micro-F1 of a multi-label set with each unit left out, as `left_out` gives them."""
    classes = probabilities.shape[1]
    chosen, actual = probabilities > 0.5, targets > 0
    sums = units.total(np.hstack([chosen & actual, chosen, actual]).astype(np.float64))

    def statistics(total: np.ndarray) -> np.ndarray:
        _, macro = _means(total, classes)
        hits, given, told = (part.sum(1, keepdims=True) for part in np.split(total, 3, axis=1))
        return np.hstack([macro, _ratio(2 * hits, given + told)])

    return without_each(sums, statistics), [_balanced_size(actual.sum(0)), float(len(targets))]


def precision_left_out(probabilities: np.ndarray, targets: np.ndarray, units: Units) -> np.ndarray:
    """mAP `(U,)` with each unit left out; NaN where no positive remains."""
    precision = _WeightedPrecision(probabilities, targets)
    return np.concatenate(
        [precision.mean((units.index != u).astype(float)[None])[0] for u in range(units.count)]
    )


def _balanced_size(counts: np.ndarray) -> float:
    """Clips of equally frequent classes over which a mean of classes would vary as over these."""
    present = counts[counts > 0]
    return float(len(present) ** 2 / (1 / present).sum()) if len(present) else 0.0


def _with_intervals(
    values: Mapping[str, float], without: np.ndarray, sizes: Sequence[float], units: Units, level: float
) -> list[tuple[str, Score]]:
    named = []
    for (name, value), each, size in zip(values.items(), without.T, sizes, strict=True):
        named.append((name, Score(value, *(interval(value, each, units, size, level) or (None, None)))))
    return named


def _macro_multilabel_f1(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean over the labels that occur or were given, as for single-label sets."""
    from torchmetrics.functional.classification import multilabel_f1_score

    each = multilabel_f1_score(p, y, p.shape[1], average=None)
    used = ((p > 0.5) | (y > 0)).any(0)
    return torch.as_tensor(each)[used].mean() if used.any() else torch.zeros(())


def mean_precision(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """mAP over the labels that occur.

    Raises:
        InvalidSetting: If none does.
    """
    each = average_precisions(probabilities, targets)
    if np.isnan(each).all():
        raise InvalidSetting(
            f"None of the {len(targets)} clips carries one of the {targets.shape[1]} labels, so there is "
            "nothing to find in them; score clips that have labels."
        )
    return float(np.nanmean(each))


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


class _WeightedPrecision:
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
        """mAP `(R, 1)` of clip weights `(R, N)`, over the classes with weighty positives; NaN without any."""
        each = np.stack([self._one(weights, *one) for one in self._classes], axis=1)
        known = ~np.isnan(each)
        counts = known.sum(1, keepdims=True)
        sums = np.where(known, each, 0).sum(1, keepdims=True)
        return np.where(counts > 0, _ratio(sums, counts), np.nan)

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


def _without_ties(probabilities: np.ndarray) -> np.ndarray:
    """Numbers `(N, K)` in the order of the probabilities, of equal ones the first highest, as in `_ranks`.

    Which of equal ones are among the first k would be left to the machine otherwise.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
    scores: np.ndarray = 1 - places / order.shape[1]
    return scores


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


def class_scores(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: LabelSet,
    *,
    groups: Sequence[str | None] | None = None,
    level: float = LEVEL,
) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class, in the order of the labels (0 where undefined).

    Args:
        probabilities: `(N, K)`.
        targets: `(N,)` class indices, or `(N, K)` zeros and ones for multi-label sets.
        labels: The K labels.
        groups: Performer or source of each clip, taken whole by the intervals.
        level: Of the intervals.
    """
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
    told: np.ndarray, given: np.ndarray, groups: Sequence[str | None], level: float = LEVEL
) -> tuple[float | None, float | None]:
    """Interval of the share of the clips `told` (N,) that are also `given` (N,); None without a spread."""
    rows = np.flatnonzero(told)
    if not len(rows):
        return None, None
    units = Units.of([groups[i] for i in rows.tolist()])
    right = given[rows]
    sums = units.total(np.stack([right, np.ones(len(rows))], axis=1))
    without = without_each(sums, lambda total: _ratio(total[:, :1], total[:, 1:]))[:, 0]
    return interval(float(right.mean()), without, units, len(rows), level) or (None, None)


def confusion_matrix(probabilities: np.ndarray, targets: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Clips of class row that were called class column: `(K, K)` int64. Single-label sets only.

    Raises:
        InvalidSetting: If a sample may carry several labels, or the table contradicts itself.
    """
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    if labels.multi:
        raise InvalidSetting("A confusion matrix needs one label per clip; this set is multi-label.")
    probabilities = check_table(probabilities, targets, labels)
    matrix = multiclass_confusion_matrix(
        torch.from_numpy(probabilities), torch.from_numpy(targets), len(labels)
    )
    return np.asarray(matrix)


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
    means = _ratio(np.bincount(bins, weights=confidence, minlength=BINS), counts)
    shares = _ratio(np.bincount(bins, weights=right, minlength=BINS), counts)
    return Calibration(tuple(counts.tolist()), tuple(means.tolist()), tuple(shares.tolist()))
