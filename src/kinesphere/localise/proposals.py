"""Proposals of where actions are: rows that look like action grouped at several thresholds and tolerances.

Zhao et al. 2017 (see `kinesphere.models.temporal.ssn`), section 5: temporal actionness grouping.

N rows, M proposals. A proposal is a stretch of rows `[first, end)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinesphere.core.errors import InvalidSetting

THRESHOLDS = (0.01, 0.05, 0.1, 0.15, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TOLERANCES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
SMOOTHING_S = 0.6
"""Deviation by which actionness is smoothed in all; see `smoothing`."""
WINDOW_LENGTHS_S = tuple(2.0**power for power in range(8))


@dataclass(frozen=True)
class Grouping:
    """How rows are grouped; the defaults are the paper's.

    Attributes:
        sigma: Of the Gaussian that smooths the actionness first, in rows; 0 for none.
        thresholds: Of the actionness.
        tolerances: Largest fractions of rows below the threshold in a group.
        tiou: Of groups that overlap by more, the one with the larger sum of actionness stays.

    Raises:
        InvalidSetting: If a number makes no sense.
    """

    sigma: float = 3.0
    thresholds: tuple[float, ...] = THRESHOLDS
    tolerances: tuple[float, ...] = TOLERANCES
    tiou: float = 0.9

    def __post_init__(self) -> None:
        fractions = (*self.thresholds, *self.tolerances, self.tiou)
        if self.sigma < 0 or not self.thresholds or not self.tolerances or not _fractions(fractions):
            raise InvalidSetting(
                "Grouping needs thresholds, tolerances and an overlap between 0 and 1, and a sigma of 0 or "
                f"more; got {self}."
            )


def smoothing(window_s: float, stride_s: float) -> float:
    """Sigma `Grouping.sigma`, in rows, of features whose windows smooth the actionness by themselves.

    The authors smooth by 3 snippets of few frames, 6 frames apart: 0.6 s at 30 frames a second. A window is
    as a Gaussian of its own deviation, its length by the root of 12, and what is missing to theirs is added.
    So windows from 2.1 s on are smoothed no further, which would merge actions with the pauses between them.

    Args:
        window_s: Seconds that a row sees.
        stride_s: Seconds between rows.
    """
    return math.sqrt(max(0.0, SMOOTHING_S**2 - window_s**2 / 12)) / stride_s


def _fractions(values: tuple[float, ...]) -> bool:
    return all(0 <= each <= 1 for each in values)


@dataclass(frozen=True, eq=False)
class Proposals:
    """What was proposed in a video, the best first, and what was left out for it.

    Attributes:
        stretches: `(M, 2)` int64: first row, and the row after the last.
        scores: `(M,)`: sum of the actionness.
        dropped: `(L, 2)` int64: groups that overlap a better one too much.
        better: `(L,)` int64: which of the `stretches` each of these overlaps.
        lost: `(L,)`: their sums of the actionness.
    """

    stretches: np.ndarray
    scores: np.ndarray
    dropped: np.ndarray
    better: np.ndarray
    lost: np.ndarray

    def __len__(self) -> int:
        return len(self.stretches)


def grouped(actionness_N: np.ndarray, rule: Grouping | None = None) -> Proposals:
    """Stretches of rows that look like action.

    Stretches above a threshold are joined with the next ones as long as the fraction of rows below it stays
    within a tolerance, from every one of them forwards and backwards, for every threshold and tolerance.

    Args:
        actionness_N: How much each row looks like any action, 0 to 1.
        rule: Thresholds, tolerances and suppression.
    """
    rule = rule or Grouping()
    smooth = np.asarray(actionness_N, np.float64)
    if rule.sigma and len(smooth):
        smooth = gaussian_filter1d(smooth, rule.sigma)
    found: set[tuple[int, int]] = set()
    for threshold in rule.thresholds:
        found |= _joined(smooth > threshold, rule.tolerances)
    stretches = np.array(sorted(found), np.int64).reshape(-1, 2)
    sums = np.concatenate(([0.0], np.cumsum(smooth)))
    scores = sums[stretches[:, 1]] - sums[stretches[:, 0]]
    kept, lost, better = greedy(stretches - [0, 1], scores, rule.tiou, plus=1.0)
    return Proposals(stretches[kept], scores[kept], stretches[lost], better, scores[lost])


def _joined(above_N: np.ndarray, tolerances: tuple[float, ...]) -> set[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], above_N.astype(np.int8), [0]))))
    first, end = edges[::2], edges[1::2]
    below = np.concatenate(([0], np.cumsum(~above_N)))
    found: set[tuple[int, int]] = set()
    for tolerance in tolerances:
        # A gap is within the tolerance as long as this does not rise above where the group began.
        rise_first, rise_end = below[first] - tolerance * first, below[end] - tolerance * end
        for x in range(len(first)):
            over = np.flatnonzero(rise_first[x + 1 :] > rise_first[x] + 1e-9)
            last = x + int(over[0]) if len(over) else len(first) - 1
            found.add((int(first[x]), int(end[last])))
            over = np.flatnonzero(rise_end[:x][::-1] < rise_end[x] - 1e-9)
            begin = x - int(over[0]) if len(over) else 0
            found.add((int(first[begin]), int(end[x])))
    return found


def greedy(
    segments_M2: np.ndarray, scores_M: np.ndarray, tiou: float, plus: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greedy suppression: the best stays, and drops all that overlap it by more than `tiou`.

    Args:
        segments_M2: Start and end.
        scores_M: Of each.
        tiou: The largest overlap that is left.
        plus: Is added to all lengths: 1 where ends are the last rows of the segments themselves.

    Returns:
        Indices of those that stay, the best first; of those that are dropped; and which of those that stay
        (by their place among them) dropped each.
    """
    order = np.argsort(-scores_M, kind="stable")
    start, end = segments_M2[order].T.astype(np.float64)
    length = end - start + plus
    owner = np.full(len(order), -1)
    kept: list[int] = []
    for i in range(len(order)):
        if owner[i] >= 0:
            continue
        later = slice(i + 1, None)
        shared = np.minimum(end[i], end[later]) - np.maximum(start[i], start[later]) + plus
        shared = np.clip(shared, 0, None)
        union = length[i] + length[later] - shared
        hit = (shared > tiou * union) & (owner[later] < 0)
        owner[later][hit] = len(kept)
        kept.append(i)
    lost = np.flatnonzero(owner >= 0)
    return order[np.array(kept, np.int64)], order[lost], owner[lost]


def sliding(
    duration_s: float,
    lengths_s: tuple[float, ...] = WINDOW_LENGTHS_S,
    overlap: float = 0.7,
    least_inside_s: float = 1.0,
) -> np.ndarray:
    """Windows `(M, 2)` in seconds of several lengths over a whole video, cut to it.

    Args:
        duration_s: Of the video.
        lengths_s: Of the windows.
        overlap: Of neighbours of one length.
        least_inside_s: A window has so much of the video at least (or all of it).

    Raises:
        InvalidSetting: If a length is not positive, or the overlap is 1 or more.
    """
    if not 0 <= overlap < 1 or not lengths_s or min(lengths_s) <= 0:
        raise InvalidSetting(
            f"Windows need positive lengths and an overlap of 0 to below 1; got {lengths_s} and {overlap}."
        )
    least = min(least_inside_s, duration_s)
    found = []
    for length in lengths_s:
        start = np.arange(0.0, max(duration_s, 1e-9), length * (1 - overlap))
        end = np.minimum(start + length, duration_s)
        found.append(np.stack((start, end), 1)[end - start >= min(least, length) - 1e-9])
    return np.unique(np.concatenate(found), axis=0)
