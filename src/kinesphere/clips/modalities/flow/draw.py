"""The usual image of flow: the colour says where to, its strength how far.

Baker, Scharstein, Lewis, Roth, Black, Szeliski: "A Database and Evaluation Methodology for Optical Flow",
IJCV 92, 2011, section 4 (the colour wheel of its figures): a still point is white.
"""

from __future__ import annotations

import numpy as np

# Steps from each of red, yellow, green, cyan, blue and magenta to the next, by how well eyes tell them apart.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = np.array(
    [(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)], np.float64
)
# Vectors longer than the scale are drawn darker, so that they are not taken for shorter ones.
_BEYOND = 0.75


def _wheel() -> np.ndarray:
    parts = []
    for i, steps in enumerate(_STEPS):
        fraction = np.arange(steps)[:, None] / steps
        parts.append(_CORNERS[i] * (1 - fraction) + _CORNERS[(i + 1) % len(_CORNERS)] * fraction)
    return np.concatenate(parts) / 255


WHEEL = _wheel()
"""`(55, 3)` RGB in [0, 1]: red is motion to the right, yellow downwards, and so on clockwise."""


def colour_wheel(fields: np.ndarray, longest_px: float | None = None) -> np.ndarray:
    """Flow as colours.

    Args:
        fields: `(..., H, W, 2)`: pixels to the right and downwards.
        longest_px: Length that is drawn in full colour; by default the longest of `fields`, at least 1.

    Returns:
        uint8 RGB `(..., H, W, 3)`.
    """
    across, down = fields[..., 0].astype(np.float64), fields[..., 1].astype(np.float64)
    length = np.hypot(across, down)
    scale = max(1.0, float(length.max(initial=0.0))) if longest_px is None else longest_px
    length /= scale
    place = (np.arctan2(-down, -across) / np.pi + 1) / 2 * (len(WHEEL) - 1)
    low = np.floor(place).astype(int)
    fraction = (place - low)[..., None]
    hue = WHEEL[low] * (1 - fraction) + WHEEL[(low + 1) % len(WHEEL)] * fraction
    length = length[..., None]
    colour = np.where(length <= 1, 1 - length * (1 - hue), hue * _BEYOND)
    image: np.ndarray = np.floor(255 * colour).astype(np.uint8)
    return image
