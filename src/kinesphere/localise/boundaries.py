"""Proposals by their boundaries: what networks should say of rows and proposals, and what is read from them.

Lin et al. 2018 and 2019 (see `kinesphere.models.temporal.bsn` and `bmn`).

T rows, M proposals. Times are fractions of the video.
"""

from __future__ import annotations

import numpy as np

from kinesphere.annotations.timed import PROPOSAL, Detection
from kinesphere.localise.suppression import tiou

ALPHA, LOW, HIGH = 0.4, 0.5, 0.9
_HALF = 0.5
_ASIDE, _SAMPLES, _PER_SAMPLE = 0.2, (8, 16, 8), 3


def matching_map(truth_N2: np.ndarray, T: int) -> np.ndarray:
    """The largest tIoU `(T, T)` of each cell's proposal with an action, over duration and start.

    The cell (d, t) is the proposal from t / T to (t + d + 1) / T; those that reach beyond the video have a
    value too, which means nothing.
    """
    start = np.arange(T) / T
    end = start[None] + (np.arange(T)[:, None] + 1) / T
    cells = np.stack((np.broadcast_to(start, (T, T)), end), 2).reshape(-1, 2)
    if not len(truth_N2):
        return np.zeros((T, T))
    found: np.ndarray = tiou(cells, np.asarray(truth_N2, np.float64)).max(1).reshape(T, T)
    return found


def boundary_labels(
    truth_N2: np.ndarray, T: int, fraction: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each row lies around the start, and the end, of an action: twice `(T,)`, 0 to 1.

    Args:
        truth_N2: Actions.
        T: Rows.
        fraction: A boundary is so much of its action wide, and a row at least (BSN); None for 3 rows (BMN).
            Both are as in the public codes.
    """
    low, width = np.arange(T) / T, 1 / T
    actions_N2 = np.asarray(truth_N2, np.float64).reshape(-1, 2)
    reach = np.full(len(actions_N2), 1.5 * width)
    if fraction is not None:
        reach = np.maximum(width, fraction * (actions_N2[:, 1] - actions_N2[:, 0])) / 2
    found = []
    for side in (0, 1):
        middle = actions_N2[:, side]
        first, last = middle - reach, middle + reach
        shared = np.minimum(low[:, None] + width, last) - np.maximum(low[:, None], first)
        found.append(np.clip(shared, 0, None).max(1, initial=0.0) / width)
    return found[0], found[1]


def inside_labels(truth_N2: np.ndarray, T: int) -> np.ndarray:
    """How much of each row lies in an action, `(T,)`, 0 to 1: that of which most does."""
    low, width = np.arange(T) / T, 1 / T
    start, end = np.asarray(truth_N2, np.float64).reshape(-1, 2).T
    shared = np.minimum(low[:, None] + width, end) - np.maximum(low[:, None], start)
    found: np.ndarray = np.clip(shared, 0, None).max(1, initial=0.0) / width
    return found


def peaks(scores_T: np.ndarray) -> np.ndarray:
    """bool `(T,)`: the first and last row, those above both neighbours, and those above half the largest."""
    found: np.ndarray = scores_T > _HALF * scores_T.max(initial=0.0)
    found[1:-1] |= (scores_T[1:-1] > scores_T[2:]) & (scores_T[1:-1] > scores_T[:-2])
    found[[0, -1]] = True
    return found


def between(starts_T: np.ndarray, ends_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Segments `(M, 2)` between likely starts and ends, from and to the middles of these rows, and the
    products of both probabilities `(M,)` (Lin et al. 2018, section 3.3)."""
    first, last = np.nonzero(np.outer(peaks(starts_T), peaks(ends_T)))
    there = last > first
    first, last = first[there], last[there]
    return (np.stack((first, last), 1) + _HALF) / len(starts_T), starts_T[first] * ends_T[last]


def matched_proposals(
    starts_T: np.ndarray, ends_T: np.ndarray, classified_TT: np.ndarray, regressed_TT: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Segments `(M, 2)` between likely starts and ends, and their scores `(M,)`.

    The score is the product of both boundaries' probabilities, of the proposal's and of its expected tIoU.
    """
    T = len(starts_T)
    first, last = np.nonzero(np.outer(peaks(starts_T), peaks(ends_T)))
    there = last > first
    first, last = first[there], last[there]
    d = last - first - 1
    scores = starts_T[first] * ends_T[last] * classified_TT[d, first] * regressed_TT[d, first]
    return np.stack((first, last), 1) / T, scores


def boundary_features(actionness_T: np.ndarray, segments_M2: np.ndarray) -> np.ndarray:
    """What a boundary-sensitive network knows of proposals, `(M, 32)`: actionness around the start, in the
    course, and around the end (Lin et al. 2018, section 3.3).

    Around an end is a fifth of the proposal to both sides. Beyond the video the actionness is zero.

    Args:
        actionness_T: Of the rows, each at its middle.
        segments_M2: Fractions of the video.
    """
    T = len(actionness_T)
    places = (np.arange(-1, T + 1) + 0.5) / T
    known = np.concatenate(([0.0], actionness_T, [0.0]))
    start, end = np.asarray(segments_M2, np.float64).T
    aside = _ASIDE * (end - start)
    stretches = ((start - aside, start + aside), (start, end), (end - aside, end + aside))
    found = []
    for (low, high), count in zip(stretches, _SAMPLES, strict=True):
        step = ((high - low) / (count - 1))[:, None]
        at = low[:, None] - step / 2 + step / _PER_SAMPLE * np.arange(count * _PER_SAMPLE + 1)
        values = np.interp(at, places, known, 0.0, 0.0)
        own = [values[:, i * _PER_SAMPLE : (i + 1) * _PER_SAMPLE + 1].mean(1) for i in range(count)]
        found.append(np.stack(own, 1))
    features: np.ndarray = np.concatenate(found, 1)
    return features


def softened(
    segments_M2: np.ndarray,
    scores_M: np.ndarray,
    most: int = 100,
    alpha: float = ALPHA,
    low: float = LOW,
    high: float = HIGH,
) -> tuple[np.ndarray, np.ndarray]:
    """Soft suppression that lets long proposals overlap more: the best first.

    The scores of what overlaps the best by a tIoU above low + (high - low) · its length (as a fraction of the
    video) are multiplied by exp(-tIoU² / alpha), and so on with the next best.

    Args:
        segments_M2: Fractions of the video.
        scores_M: Of each.
        most: Largest number of proposals that is kept.
        alpha, low, high: See above.
    """
    segments, left = segments_M2.astype(np.float64), scores_M.astype(np.float64).copy()
    kept, scores = [], []
    for _ in range(min(most, len(left))):
        best = int(left.argmax())
        kept.append(best)
        scores.append(left[best])
        overlap = tiou(segments[best : best + 1], segments)[0]
        limit = low + (high - low) * (segments[best, 1] - segments[best, 0])
        left *= np.where(overlap > limit, np.exp(-(overlap**2) / alpha), 1.0)
        left[best] = -np.inf
    return segments[kept], np.array(scores)


def as_detections(
    segments_M2: np.ndarray, scores_M: np.ndarray, video: str, duration_s: float
) -> list[Detection]:
    """Proposals in seconds, as results are scored and written; their label says that they have no class.

    Args:
        segments_M2: Fractions of the video.
        scores_M: Of each.
        video: Its name.
        duration_s: Of what the network saw: where features are made of whole steps of frames, that is a
            little less than the file's.
    """
    seconds = np.clip(segments_M2, 0.0, 1.0) * duration_s
    return [
        Detection(video, PROPOSAL, float(start), float(end), score=float(score))
        for (start, end), score in zip(seconds, scores_M, strict=True)
    ]
