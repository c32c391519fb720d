"""Metrics of poses: object keypoint similarity with COCO's average precision, and PCK.

COCO: cocodataset.org/#keypoints-eval; Yang, Ramanan: "Articulated human detection with flexible mixtures of
parts", TPAMI 35(12), 2013 (PCK, relative to the larger side of the person's box).
P true and D given people of an image, J joints, T similarity thresholds, I images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinesphere.annotations.people import PersonPose
from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics.detections import match_in_order
from kinesphere.evaluate.metrics.table import METRICS, Metric, ratio

COCO_SIGMAS = np.array([
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
    0.089, 0.089,
])  # fmt: skip
"""Standard deviations of annotators at COCO's 17 joints, as a fraction of the root of the person's area."""
THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RADII = (0.05, 0.1, 0.2)
MOST_OF_AN_IMAGE = 20
_RECALLS = np.linspace(0, 1, 101)
_EPS = np.spacing(1)


def sigmas_of(joints: int) -> np.ndarray:
    """COCO's for its 17 joints; of other skeletons their mean for every joint."""
    return COCO_SIGMAS if joints == len(COCO_SIGMAS) else np.full(joints, COCO_SIGMAS.mean())


def similarities(given: Sequence[PersonPose], true: Sequence[PersonPose]) -> np.ndarray:
    """Object keypoint similarity `(D, P)`, over the joints that are labelled.

    Where none is, as in a crowd, joints are as far away as they lie outside a box twice as large.
    """
    found = np.zeros((len(given), len(true)))
    for p, person in enumerate(true):
        x, y, seen = person.joints.T
        variances = (2 * sigmas_of(len(x))) ** 2
        labelled = seen > 0
        left, top, width, height = person.box or (x.min(), y.min(), np.ptp(x), np.ptp(y))
        for d, other in enumerate(given):
            if labelled.any():
                dx, dy = other.joints[labelled, 0] - x[labelled], other.joints[labelled, 1] - y[labelled]
                scale = variances[labelled]
            else:
                dx = _outside(other.joints[:, 0], left - width, left + 2 * width)
                dy = _outside(other.joints[:, 1], top - height, top + 2 * height)
                scale = variances
            found[d, p] = np.exp(-(dx**2 + dy**2) / scale / (person.area + _EPS) / 2).mean()
    return found


def _outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.maximum(0, low - values) + np.maximum(0, values - high)


@dataclass(frozen=True, eq=False)
class Posed:
    """People found in I images.

    Attributes:
        score: `(D,)` of all found people, in the order of images, in each the most confident first.
        image: `(D,)` unit of each.
        right: `(D, T)` whether each is right.
        counts: `(D, T)` whether it counts: not if it is one of those who are ignored.
        people: `(U,)` true people who count.
        similarity: `(U,)` sum of the similarities of true people with the best assigned found ones.
        near: `(U, R)` labelled joints that are near enough at each radius of `RADII`, or of those asked for.
        joints: `(U,)` labelled joints.
        radii: The R radii.
        units: What counts as independent; the index is of the true people.
    """

    score: np.ndarray
    image: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    people: np.ndarray
    similarity: np.ndarray
    near: np.ndarray
    joints: np.ndarray
    radii: tuple[float, ...]
    units: Units
    _sums: dict[Callable[..., Any], np.ndarray] = field(default_factory=dict, repr=False)

    def sums(self, of: Callable[..., Any], /) -> np.ndarray:
        """True people and sums of each unit, `(U, 1 + S)`."""
        if of not in self._sums:
            self._sums[of] = np.hstack([self.people[:, None], of(self)])
        return self._sums[of]

    def precisions(self, weights: np.ndarray) -> np.ndarray:
        """COCO's average precision `(T,)` of units that count by weights `(U,)`, at 101 recalls."""
        order = np.argsort(-self.score, kind="stable")
        order = order[weights[self.image[order]] > 0]
        right = (self.right & self.counts)[order].cumsum(0)
        wrong = (~self.right & self.counts)[order].cumsum(0)
        people = float((weights * self.people).sum())
        if not people:
            return np.full(self.right.shape[1], np.nan)
        precision = np.maximum.accumulate(ratio(right, right + wrong + _EPS)[::-1], axis=0)[::-1]
        recall = right / people
        found = np.zeros(right.shape[1])
        for t in range(right.shape[1]):
            at = np.searchsorted(recall[:, t], _RECALLS, side="left")
            inside = at[at < len(precision)]
            found[t] = precision[inside, t].sum() / len(_RECALLS)
        return found


def matched_people(given: Sequence[PersonPose], true: Sequence[PersonPose]) -> tuple[np.ndarray, np.ndarray]:
    """Which found people of an image, the most confident first, are right and which count, `(D, T)` each."""
    counted = [each for each in true if not each.ignored]
    ignored = [each for each in true if each.ignored]
    right = np.zeros((len(given), len(THRESHOLDS)), bool)
    if given and counted:
        right = match_in_order(similarities(given, counted), THRESHOLDS)
    counts = np.ones_like(right)
    if given and ignored:
        near = similarities(given, ignored)
        crowds = np.array([each.crowd for each in ignored])
        for column, threshold in enumerate(THRESHOLDS):
            free = np.ones(len(ignored), bool)
            for row in np.flatnonzero(~right[:, column] & (near.max(1) >= threshold)).tolist():
                best = int(np.where(free, near[row], -1).argmax())
                if free[best] and near[row, best] >= threshold:
                    counts[row, column] = False
                    free[best] = crowds[best]
    return right, counts


def nearness(
    given: Sequence[PersonPose], true: Sequence[PersonPose], radii: Sequence[float]
) -> tuple[float, np.ndarray, int]:
    """Of true people who are assigned found ones by similarity: its sum, their joints near enough `(R,)`, and
    the labelled joints of all."""
    from scipy.optimize import linear_sum_assignment

    counted = [each for each in true if not each.ignored]
    joints = int(sum((each.joints[:, 2] > 0).sum() for each in counted))
    near = np.zeros(len(radii))
    if not given or not counted:
        return 0.0, near, joints
    similarity = similarities(given, counted)
    rows, columns = linear_sum_assignment(-similarity)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        person = counted[column]
        labelled = person.joints[:, 2] > 0
        away = np.hypot(*(given[row].joints[labelled, :2] - person.joints[labelled, :2]).T)
        width, height = person.box[2:] if person.box else np.ptp(person.joints[labelled, :2], axis=0)
        near += [(away <= radius * max(width, height)).sum() for radius in radii]
    return float(similarity[rows, columns].sum()), near, joints


_MOST_LEFT_OUT = 100


def _left_out(posed: Posed, columns: slice) -> tuple[np.ndarray, Units]:
    place, units = posed.units.merging(_MOST_LEFT_OUT), posed.units.merged(_MOST_LEFT_OUT)
    without = [posed.precisions((place != u).astype(float))[columns].mean() for u in range(units.count)]
    return np.array(without), units


def _column(at: float) -> slice:
    place = int(np.argmin([abs(each - at) for each in THRESHOLDS]))
    return slice(place, place + 1)


def _ap(posed: Posed) -> float:
    return float(posed.precisions(np.ones(posed.units.count)).mean())


def _ap_left_out(posed: Posed) -> tuple[np.ndarray, Units]:
    return _left_out(posed, slice(None))


def _ap_at(posed: Posed, at: float) -> float:
    return float(posed.precisions(np.ones(posed.units.count))[_column(at)][0])


def _ap_at_left_out(posed: Posed, at: float) -> tuple[np.ndarray, Units]:
    return _left_out(posed, _column(at))


def _oks_sums(posed: Posed) -> np.ndarray:
    return posed.similarity[:, None]


def _oks(sums: np.ndarray, people: np.ndarray) -> np.ndarray:
    return ratio(sums[:, 0], people)


def _pck_sums(posed: Posed, at: float) -> np.ndarray:
    column = int(np.argmin([abs(each - at) for each in posed.radii]))
    return np.stack([posed.near[:, column], posed.joints], axis=1)


def _pck(sums: np.ndarray, people: np.ndarray, at: float) -> np.ndarray:
    return ratio(sums[:, 0], sums[:, 1])


METRICS.add(
    "oks_ap", Metric("AP (OKS)", ("poses",), _ap, left_out=_ap_left_out, order=1, classes=1, name="ap")
)
METRICS.add(
    "oks_ap_at",
    Metric(
        "AP (OKS)", ("poses",), _ap_at, left_out=_ap_at_left_out, order=2, classes=1, name="ap",
        at=(0.5, 0.75),
    ),
)  # fmt: skip
METRICS.add("oks", Metric("mean OKS", ("poses",), sums=_oks_sums, from_sums=_oks, order=3, classes=1))
METRICS.add("pck", Metric("PCK", ("poses",), sums=_pck_sums, from_sums=_pck, order=4, classes=1, at=RADII))
