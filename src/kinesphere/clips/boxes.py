"""Boxes `(N, 4)` of left, top, right, bottom pixels: how they overlap, and which belong together."""

from __future__ import annotations

import numpy as np


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(N, M)` intersection over union of boxes `(N, 4)` and `(M, 4)`."""
    shared = intersection(one, other)
    areas = [areas_of(boxes) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    result: np.ndarray = shared / np.maximum(union, 1e-9)
    return result


def intersection(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(N, M)` square pixels that boxes `(N, 4)` and `(M, 4)` share."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared: np.ndarray = np.prod(np.maximum(high - low, 0), axis=-1)
    return shared


def areas_of(boxes: np.ndarray) -> np.ndarray:
    """`(N,)` square pixels of boxes `(N, 4)`."""
    areas: np.ndarray = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1)
    return areas


def assign(value: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (row, column) of largest summed value, each row and column at most once.

    Args:
        value: `(N, M)`; min(N, M) pairs are made, whatever their value.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(value, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
