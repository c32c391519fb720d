"""Metrics of recognised clips: accuracy, recall and F1 by class, average precision, calibration.

Values come from torchmetrics, in its float32; sums and what follows from them are exact. N clips, K classes,
U units, R rows of totals.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.table import METRICS, Answers, Metric, Sums, Use, ratio

if TYPE_CHECKING:
    from torch import Tensor

TOP_K = (1, 2, 3, 5)
BINS = 15
# Average precision with a unit left out is sorted out anew; of more units several are left out together.
_MOST_LEFT_OUT = 100


@cache
def top_hits(k: int) -> Sums:
    """Sums `(N, 1)`: whether one of a clip's classes is among its k most probable.

    Of equal probabilities the lower index stands first. Of mixed clips the larger fraction counts as the
    right class; where there is no label there is none to hit.
    """

    def sums(probabilities: Tensor, targets: Tensor, multi: bool) -> Tensor:
        import torch

        right = (targets >= targets.amax(-1, keepdim=True)) & (targets > 0)
        best, place = probabilities.masked_fill(~right, -1).max(-1, keepdim=True)
        earlier = torch.arange(targets.shape[1], device=targets.device) < place
        ahead = (probabilities > best) | ((probabilities == best) & earlier)
        return (ahead.sum(-1, keepdim=True) < k) & right.any(-1, keepdim=True) & _answered(probabilities)

    return sums


def class_counts(probabilities: Tensor, targets: Tensor, multi: bool) -> Tensor:
    """Sums `(N, 3 K)`: true positives, predicted and actual clips of each class.

    Several labels are predicted above one half; else it is the most probable class.
    """
    import torch

    if multi:
        given, actual = probabilities > 0.5, targets > 0.5
    else:
        classes = torch.arange(targets.shape[1], device=targets.device)
        given = probabilities.argmax(-1, keepdim=True) == classes
        actual = targets.float().argmax(-1, keepdim=True) == classes
    given = given & _answered(probabilities)
    return torch.cat([given & actual, given, actual], dim=1)


def _answered(probabilities: Tensor) -> Tensor:
    return probabilities.isfinite().all(-1, keepdim=True)


def _accuracy(hits: np.ndarray, clips: np.ndarray) -> np.ndarray:
    return ratio(hits[:, 0], clips)


def _mean_recall(counts: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Recall, averaged over the classes that occur."""
    hits, _, actual = np.split(counts, 3, axis=1)
    return ratio(ratio(hits, actual).sum(1), (actual > 0).sum(1))


def _mean_f1(counts: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """F1, averaged over the classes that occur or were predicted."""
    hits, given, actual = np.split(counts, 3, axis=1)
    return ratio(ratio(2 * hits, given + actual).sum(1), ((given + actual) > 0).sum(1))


def _f1_of_all(counts: np.ndarray, clips: np.ndarray) -> np.ndarray:
    hits, given, actual = (part.sum(1) for part in np.split(counts, 3, axis=1))
    return ratio(2 * hits, given + actual)


def _tensors(answers: Answers) -> tuple[Tensor, Tensor, int]:
    import torch

    targets = torch.from_numpy(answers.targets.astype(np.int64))
    return torch.from_numpy(answers.probabilities), targets, answers.probabilities.shape[1]


def _top_k(answers: Answers, k: int) -> float:
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy

    if answers.multi:
        return float(answers.sums(top_hits(k))[:, 1].sum() / len(answers.targets))
    _, y, classes = _tensors(answers)
    ordered = torch.from_numpy(_without_ties(answers.probabilities))
    return float(multiclass_accuracy(ordered, y, classes, average="micro", top_k=k))


def _without_ties(probabilities: np.ndarray) -> np.ndarray:
    """Numbers `(N, K)` in the order of the probabilities, of equal ones the first highest.

    Which of equal ones are among the first k would be left to the machine otherwise.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
    scores: np.ndarray = 1 - places / order.shape[1]
    return scores


def _mean_class_accuracy(answers: Answers) -> float:
    import torch
    from torchmetrics.functional.classification import multiclass_recall, multilabel_recall

    p, y, classes = _tensors(answers)
    recall = (multilabel_recall if answers.multi else multiclass_recall)(p, y, classes, average=None)
    return float(torch.as_tensor(recall)[torch.from_numpy(answers.actual.any(0))].mean())


def _macro_f1(answers: Answers) -> float:
    import torch
    from torchmetrics.functional.classification import multiclass_f1_score, multilabel_f1_score

    p, y, classes = _tensors(answers)
    if not answers.multi:
        return float(multiclass_f1_score(p, y, classes, average="macro"))
    each = torch.as_tensor(multilabel_f1_score(p, y, classes, average=None))
    used = ((p > 0.5) | (y > 0)).any(0)
    return float(each[used].mean()) if used.any() else 0.0


def _micro_f1(answers: Answers) -> float:
    from torchmetrics.functional.classification import multilabel_f1_score

    return float(multilabel_f1_score(*_tensors(answers), average="micro"))


def _calibration_error(answers: Answers) -> float:
    from torchmetrics.functional.classification import (
        binary_calibration_error,
        multiclass_calibration_error,
    )

    p, y, classes = _tensors(answers)
    if answers.multi:
        return float(binary_calibration_error(p.flatten(), y.flatten(), n_bins=BINS, norm="l1"))
    return float(multiclass_calibration_error(p, y, classes, n_bins=BINS, norm="l1"))


def _balanced_size(answers: Answers) -> float:
    """Clips of equally frequent classes over which a mean of classes would vary as over these."""
    counts = answers.actual.sum(0)
    present = counts[counts > 0]
    return float(len(present) ** 2 / (1 / present).sum()) if len(present) else 0.0


def _mean_precision(answers: Answers) -> float:
    """mAP over the labels that occur.

    Raises:
        InvalidSetting: If none does.
    """
    each = average_precisions(answers.probabilities, answers.targets)
    if np.isnan(each).all():
        raise InvalidSetting(
            f"None of the {len(answers.targets)} clips carries one of the {len(each)} labels, so there is "
            "nothing to find in them; score clips that have labels."
        )
    return float(np.nanmean(each))


def average_precisions(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average precision of each class `(K,)`; NaN for a class without positives."""
    import torch
    from torchmetrics.functional.classification import binary_average_precision

    p, y = torch.from_numpy(probabilities), torch.from_numpy(targets.astype(np.int64))
    return np.array(
        [
            float(binary_average_precision(p[:, k], y[:, k])) if y[:, k].any() else np.nan
            for k in range(p.shape[1])
        ]
    )


def _precision_left_out(answers: Answers) -> tuple[np.ndarray, Units]:
    """mAP `(U,)` with each unit left out; NaN where no positive remains."""
    units = answers.units.merged(_MOST_LEFT_OUT)
    precision = WeightedPrecision(answers.probabilities, answers.targets)
    without = [precision.mean((units.index != u).astype(float)[None])[0] for u in range(units.count)]
    return np.concatenate(without), units


class WeightedPrecision:
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
        return np.where(counts > 0, ratio(sums, counts), np.nan)

    @staticmethod
    def _one(weights: np.ndarray, order: np.ndarray, ends: np.ndarray, y: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        positive = ordered * y
        precision = ratio(positive.cumsum(1)[:, ends], ordered.cumsum(1)[:, ends])
        with np.errstate(invalid="ignore"):
            result: np.ndarray = (positive * precision).sum(1) / positive.sum(1)
        return result


for _k in TOP_K:
    _shown: tuple[Use, ...] = ("single_label", "training") if _k == 1 else ("single_label",)
    METRICS.add(  # with k classes it cannot fail
        f"top{_k}",
        Metric(f"top-{_k}", _shown, partial(_top_k, k=_k), top_hits(_k), _accuracy, order=_k, classes=_k + 1),
    )
_MEAN = partial(Metric, size=_balanced_size)
METRICS.add(
    "mean_class_accuracy",
    _MEAN(
        "mean class accuracy", ("single_label", "training"), _mean_class_accuracy, class_counts, _mean_recall,
        order=10,
    ),
)  # fmt: skip
METRICS.add("map", _MEAN("mAP", ("multi_label",), _mean_precision, left_out=_precision_left_out, order=11))
METRICS.add(
    "macro_f1",
    _MEAN(
        "macro-F1", ("single_label", "multi_label", "training"), _macro_f1, class_counts, _mean_f1, order=20
    ),
)
METRICS.add("micro_f1", Metric("micro-F1", ("multi_label",), _micro_f1, class_counts, _f1_of_all, order=21))
METRICS.add(  # chance raises the expected error of every bin, so an interval would miss the true value
    "ece",
    Metric(
        "calibration error", ("single_label", "multi_label"), _calibration_error, order=90,
        higher_is_better=False,
    ),
)  # fmt: skip
