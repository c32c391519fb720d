"""Pictures that carry their number and the moment of their capture as bits, so that any copy tells them.

Two rows of 32 squares at the upper edge, white for 1 and black for 0, the highest bit first: the frame's
number, and the milliseconds of `time.monotonic()` at its capture, both modulo 2^32. They survive encoding and
scaling.
"""

from __future__ import annotations

import numpy as np

BITS = 32
_MOST = 1 << BITS
_WEIGHTS = 1 << np.arange(BITS - 1, -1, -1, dtype=np.int64)


def stamp(image: np.ndarray, number: int, captured_s: float = 0.0) -> np.ndarray:
    """The uint8 picture `(H, W, 3)` with both drawn in; W is a multiple of 32. The given one is changed."""
    side = image.shape[1] // BITS
    for row, value in enumerate((number, round(1000 * captured_s))):
        bits = (value % _MOST & _WEIGHTS) > 0
        image[row * side : (row + 1) * side] = np.repeat(255 * bits, side)[None, :, None]
    return image


def read_stamp(image: np.ndarray) -> tuple[int, float]:
    """The number and the seconds that a picture `(H, W, 3)` carries, at whatever size."""
    side = image.shape[1] / BITS
    columns = ((np.arange(BITS) + 0.5) * side).astype(int)
    values = []
    for row in range(2):
        level = image[int((row + 0.5) * side), columns].mean(-1)
        values.append(int(_WEIGHTS[level > 127].sum()))
    return values[0], values[1] / 1000
