"""Detections that overlap better ones of their class: decayed or dropped, and better boundaries by a vote.

Bodla et al.: "Soft-NMS", ICCV 2017, section 3; Gidaris, Komodakis: "Object detection via a multi-region &
semantic segmentation-aware CNN model", ICCV 2015, section 4.3 (voting).

N segments `(start, end)`, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinesphere.core.errors import InvalidSetting

LEAST_LENGTH = 1e-6
"""Is added to every length, so that a point overlaps itself."""
_TIDY = 32
Method = Literal["gaussian", "linear", "hard", "none"]


@dataclass(frozen=True)
class Suppression:
    """How detections that overlap better ones are suppressed.

    Attributes:
        method: `"gaussian"` multiplies scores by exp(-tIoU² / sigma) whatever the overlap; `"linear"` by
            1 - tIoU, and `"hard"` drops, from the threshold on; `"none"` leaves all.
        tiou: That threshold.
        sigma: Of the Gaussian.
        least_score: Detections below it are dropped, also those that fall below.
        most: Largest number of detections that is kept, of each class and of a video.
        per_class: Whether only detections of the same class suppress each other.
        vote: Where classes do not go apart, boundaries become the mean of all detections that overlap the
            kept one by this tIoU or more, weighted by score and, with `vote_by_overlap`, tIoU; 0 for none.
        vote_by_overlap: See `vote`.

    Raises:
        InvalidSetting: If a number makes no sense.
    """

    method: Method = "gaussian"
    tiou: float = 0.1
    sigma: float = 0.5
    least_score: float = 0.001
    most: int = 200
    per_class: bool = True
    vote: float = 0.0
    vote_by_overlap: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.tiou <= 1 and 0 <= self.vote <= 1 and self.sigma > 0 and self.most >= 1):
            raise InvalidSetting(
                "Suppression needs overlaps between 0 and 1, a positive sigma, one detection or more; got "
                f"tiou={self.tiou}, vote={self.vote}, sigma={self.sigma}, most={self.most}."
            )


def tiou(segments_N2: np.ndarray, others_M2: np.ndarray) -> np.ndarray:
    """Temporal intersection over union `(N, M)`."""
    (a0, a1), (b0, b1) = segments_N2.T[..., None], others_M2.T[:, None]
    shared = np.clip(np.minimum(a1, b1) - np.maximum(a0, b0), 0, None)
    union: np.ndarray = (a1 - a0 + LEAST_LENGTH) + (b1 - b0 + LEAST_LENGTH) - shared
    result: np.ndarray = shared / union
    return result


def suppressed(
    segments_N2: np.ndarray, scores_N: np.ndarray, labels_N: np.ndarray, rule: Suppression
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The detections that are left `(M, 2)`, their scores and labels `(M,)`, the best first."""
    rows, scores = survivors(segments_N2, scores_N, labels_N, rule)
    kept = segments_N2[rows]
    if rule.vote > 0 and not rule.per_class and rule.method != "none":
        kept = _voted(kept, segments_N2, scores_N, rule)
    return kept, scores, labels_N[rows]


def survivors(
    segments_N2: np.ndarray, scores_N: np.ndarray, labels_N: np.ndarray, rule: Suppression
) -> tuple[np.ndarray, np.ndarray]:
    """Which detections are left, and their scores `(M,)`, the best first.

    All classes are gone through side by side, so that the cost is that of the largest.
    """
    if not len(scores_N) or rule.method == "none":
        order = np.argsort(-scores_N, kind="stable")[: rule.most]
        return order, scores_N[order]
    groups = [np.arange(len(labels_N))]
    if rule.per_class:
        groups = [np.flatnonzero(labels_N == each) for each in np.unique(labels_N)]
    rows, scores = _side_by_side(segments_N2, scores_N, groups, rule)
    order = np.argsort(-scores, kind="stable")[: rule.most]
    return rows[order], scores[order]


def _side_by_side(
    segments: np.ndarray, scores: np.ndarray, groups: list[np.ndarray], rule: Suppression
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are kept and their scores, those that every group keeps first before the second ones.

    Where scores decay by a Gaussian their logarithms are gone through: that is a subtraction then.
    """
    left = np.full((len(groups), max(map(len, groups))), -np.inf)
    rows = np.zeros(left.shape, np.int64)
    keys, least = _keys(scores.astype(np.float64), rule), _keys(np.array(rule.least_score), rule)
    keys = np.where(scores < rule.least_score, -np.inf, keys)
    for number, group in enumerate(groups):
        rows[number, : len(group)], left[number, : len(group)] = group, keys[group]
    starts, ends = segments[rows, 0], segments[rows, 1]
    kept_rows, kept_keys = [rows[0, :0]], [left[0, :0]]
    for turn in range(min(left.shape[1], rule.most)):
        if turn % _TIDY == 0:  # what is done is gone through no more
            rows, starts, ends, left = _living(rows, starts, ends, left)
        every, best = np.arange(len(left)), left.argmax(1) if left.size else np.empty(0, np.int64)
        best_keys = left[every, best]
        there = best_keys > -np.inf
        if not there.any():
            break
        kept_rows.append(rows[every, best][there])
        kept_keys.append(best_keys[there])
        left[every, best] = -np.inf
        start, end = starts[every, best][:, None], ends[every, best][:, None]
        shared = np.minimum(ends, end) - np.maximum(starts, start)
        np.maximum(shared, 0, out=shared)
        _decay(left, shared / (ends - starts + (end - start + 2 * LEAST_LENGTH) - shared), rule)
        left[left < least] = -np.inf
    chosen, found = np.concatenate(kept_rows), np.concatenate(kept_keys)
    return chosen, scores[chosen] * np.exp(found - keys[chosen]) if rule.method == "gaussian" else found


def _keys(scores: np.ndarray, rule: Suppression) -> np.ndarray:
    """What orders detections, and is lowered by overlaps: see `_side_by_side`."""
    return np.log(np.maximum(scores, np.finfo(np.float64).tiny)) if rule.method == "gaussian" else scores


def _living(*arrays_GN: np.ndarray) -> list[np.ndarray]:
    """The groups in which something is left, with what is left moved to the front; scores come last."""
    alive = arrays_GN[-1] > -np.inf
    going = alive.any(1)
    count = int(alive.sum(1).max(initial=0))
    order = np.argsort(~alive[going], axis=1, kind="stable")[:, :count]
    return [np.take_along_axis(array[going], order, 1) for array in arrays_GN]


def _decay(left: np.ndarray, overlap: np.ndarray, rule: Suppression) -> None:
    """Lower keys by what overlaps, in place; `overlap` is lost."""
    if rule.method == "gaussian":
        np.square(overlap, out=overlap)
        overlap /= rule.sigma
        left -= overlap
    elif rule.method == "linear":
        left *= np.where(overlap >= rule.tiou, 1 - overlap, 1.0)
    else:
        left[overlap >= rule.tiou] = -np.inf


def _voted(kept: np.ndarray, segments: np.ndarray, scores: np.ndarray, rule: Suppression) -> np.ndarray:
    overlap = tiou(kept, segments)
    weights = np.where(overlap >= rule.vote, scores[None], 0.0)
    if rule.vote_by_overlap:
        weights = weights * overlap
    total = weights.sum(1, keepdims=True)
    voted: np.ndarray = np.where(total > 0, weights @ segments / np.where(total > 0, total, 1), kept)
    return voted
