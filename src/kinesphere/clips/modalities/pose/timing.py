"""Which poses tell where joints are at a time: the rule stands here alone, however poses are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.short_repr import short_repr

MOST_S = 1e9
"""No video is longer, in seconds."""
# Poses further apart than this are not joined by a straight line: the person counts as away.
BRIDGE_S = 0.5
# Poses less than so many intervals apart have no other that is missing between them.
_NEIGHBOURS = 1.5
# Requested times this close to a pose take it as it is.
_SAME_S = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Around:
    """The poses before and after N timestamps, and what they tell of these.

    Attributes:
        rows: `(R,)` positions of these poses among all, ascending.
        left: `(N,)` positions among `rows`: the pose before each timestamp.
        right: `(N,)` the same of the pose after it.
        fraction: `(N,)` where between the two it lies, in [0, 1].
        near_enough: bool `(N,)`, whether the nearer of the two still holds.
        is_joined: bool `(N,)`, whether joints move in a straight line between them.
    """

    rows: np.ndarray
    left: np.ndarray
    right: np.ndarray
    fraction: np.ndarray
    near_enough: np.ndarray
    is_joined: np.ndarray

    __repr__ = short_repr

    def joints(self, keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The joints at the timestamps.

        Args:
            keypoints: `(R, P, J, D)` of the poses at `rows`, in whatever pixels and skeleton are asked for.
            scores: `(R, P, J)` of the same.

        Returns:
            float32 `(N, P, J, D + 1)` (see `Poses.joints_at`).
        """
        seen = (scores > 0)[..., None]
        joints = np.concatenate([np.where(seen, keypoints, 0), scores[..., None]], -1, dtype=np.float32)
        nearer = np.where(self.fraction < 0.5, self.left, self.right)
        result: np.ndarray = joints[nearer] * self.near_enough[:, None, None, None]
        between = np.flatnonzero(self.is_joined)
        one, other = joints[self.left[between]], joints[self.right[between]]
        by = self.fraction[between, None, None, None]
        both = (one[..., -1:] > 0) & (other[..., -1:] > 0)
        result[between] = np.where(both, one + (other - one) * by.astype(np.float32), result[between])
        return result


def poses_around(own: np.ndarray, interval_s: float, times_s: np.ndarray) -> Around:
    """Which poses, taken at `(T,)` ascending seconds, tell where joints are at `(N,)` seconds, and how."""
    times = np.asarray(times_s, np.float64)
    after = np.searchsorted(own, times + _SAME_S).clip(1, max(len(own) - 1, 1))
    left, right = after - 1, np.minimum(after, len(own) - 1)
    gap = own[right] - own[left]
    fraction = np.clip((times - own[left]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    late = np.where((1 - fraction) * gap < _SAME_S, 1.0, fraction)
    fraction = np.where(fraction * gap < _SAME_S, 0.0, late)
    nearer = np.where(fraction < 0.5, left, right)
    near_enough = np.abs(times - own[nearer]) <= holds_s(interval_s) + _SAME_S
    # Poses have the times of frames, so that they are not exactly an interval apart.
    is_between = (times >= own[left]) & (times <= own[right])
    near_enough |= is_between & (gap < _NEIGHBOURS * interval_s)
    is_joined = (gap <= BRIDGE_S) & (fraction > 0) & (fraction < 1)
    rows, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    left, right = places.reshape(2, -1)
    return Around(rows, left, right, fraction, near_enough, is_joined)


def rows_during(own: np.ndarray, span: tuple[float, float]) -> slice:
    """Which poses were taken from `start_s` up to `end_s`; the nearest one if none was."""
    first, end = np.searchsorted(own, span).tolist()
    if first < end:
        return slice(first, end)
    middle = sum(span) / 2
    after = int(np.searchsorted(own, middle))
    beside = [row for row in (after - 1, after) if 0 <= row < len(own)]
    nearest = min(beside, key=lambda row: abs(float(own[row]) - middle))
    return slice(nearest, nearest + 1)


def interval_of(own: np.ndarray, fps: float | None) -> float:
    """Seconds from pose to pose; 0 for a single one whose rate is not known."""
    if fps is not None:
        return 1 / fps
    return float(np.median(np.diff(own))) if len(own) > 1 else 0.0


def holds_s(interval_s: float) -> float:
    """How long before and after its time a pose tells where people are, by the seconds from pose to pose."""
    return max(BRIDGE_S, interval_s) / 2


def check_times(own: np.ndarray) -> None:
    """Refuse times of poses that do not ascend.

    Raises:
        InvalidAnnotation: If so, or if they are no times.
    """
    if not (np.abs(own) <= MOST_S).all() or (np.diff(own) <= 0).any():
        raise InvalidAnnotation("The times of poses must be finite and ascend; they do not.")
