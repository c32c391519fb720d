"""Changes of colour on uint8 rgb clips, the same for all frames of a clip.

Brightness, contrast, saturation and hue are affine in RGB, so any mixture of them is one matrix and one
pass over the pixels; everything that looks at one channel at a time is one table of 256 entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from kinesphere.clips.clip import Clip, from_frames
from kinesphere.core.errors import InvalidSetting

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # NTSC 1953
_LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class ColourChange:
    """A change of colour; the default changes nothing.

    Applied as brightness, contrast, saturation, hue, then gamma, clipped to [0, 255] once before gamma.

    Attributes:
        brightness: Factor on all values.
        contrast: Factor on the distance from the clip's mean luma.
        saturation: Factor on the distance from each pixel's luma; 0 is grey.
        hue_turns: Rotation of the chroma plane of YIQ, in full turns; luma stays.
        gamma: Exponent on values scaled to [0, 1].
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_turns: float = 0.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if min(self.brightness, self.contrast, self.saturation) < 0 or self.gamma <= 0:
            raise InvalidSetting(f"Factors of a colour change are 0 or more, gamma above 0; got {self}.")

    def matrix(self, mean_rgb: np.ndarray) -> np.ndarray:
        """`(3, 4)`: the affine map of RGB in [0, 255], for a clip of this mean colour (gamma apart)."""
        grey = self.brightness * float(_LUMA @ mean_rgb)
        desaturate = self.saturation * np.eye(3) + (1 - self.saturation) * np.outer(np.ones(3), _LUMA)
        angle = 2 * math.pi * self.hue_turns
        turn = np.eye(3)
        turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        chroma = np.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ @ desaturate
        return np.column_stack(
            [chroma * (self.contrast * self.brightness), chroma @ np.full(3, (1 - self.contrast) * grey)]
        )


UNCHANGED = ColourChange()


def recolour(clip: Clip, change: ColourChange) -> Clip:
    """The clip after a `ColourChange`."""
    if change == UNCHANGED:
        return clip
    pixels = _pixels(clip)
    mean_rgb = np.array(cv2.mean(pixels)[:3]) if change.contrast != 1 else np.zeros(3)
    pixels = cv2.transform(pixels, change.matrix(mean_rgb))
    if change.gamma != 1:
        pixels = cv2.LUT(pixels, _rounded(255 * (_LEVELS / 255) ** change.gamma))
    return _repainted(clip, pixels)


def posterize(clip: Clip, bits: int) -> Clip:
    """Only the highest `bits` of every value."""
    if not 1 <= bits <= 8:
        raise InvalidSetting(f"Posterize keeps 1 to 8 bits; got {bits}.")
    table = np.arange(256, dtype=np.uint8) & np.uint8(256 - (1 << (8 - bits)))
    return _repainted(clip, cv2.LUT(_pixels(clip), table))


def solarize(clip: Clip, threshold: float) -> Clip:
    """Values at or above the threshold inverted."""
    table = np.where(threshold <= _LEVELS, 255 - _LEVELS, _LEVELS)
    return _repainted(clip, cv2.LUT(_pixels(clip), _rounded(table)))


def autocontrast(clip: Clip) -> Clip:
    """Each channel stretched so that the clip's darkest value becomes 0 and its lightest 255."""

    def table(histogram: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(histogram)
        low, high = used[0], used[-1]
        return _LEVELS if low == high else np.clip((_LEVELS - low) * 255 / (high - low), 0, 255)

    return _per_channel(clip, table)


def equalize(clip: Clip) -> Clip:
    """Each channel's values spread so that its histogram over the clip becomes flat."""

    def table(histogram: np.ndarray) -> np.ndarray:
        below = np.cumsum(histogram) - histogram
        slack = histogram.sum() - histogram[np.flatnonzero(histogram)[-1]]
        return _LEVELS if slack == 0 else np.minimum(below * 255 / slack, 255)

    return _per_channel(clip, table)


def sharpen(clip: Clip, factor: float) -> Clip:
    """A factor on the distance from a slightly smoothed frame: 0 smooths, 1 keeps, 2 sharpens."""
    smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = (1 - factor) * smooth
    kernel[1, 1] += factor
    frames = clip.frames()
    result = np.empty_like(frames)
    for frame, target in zip(frames, result, strict=True):
        cv2.filter2D(frame, -1, kernel, dst=target, borderType=cv2.BORDER_REPLICATE)
    return clip.with_data(from_frames(result))


def _pixels(clip: Clip) -> np.ndarray:
    """The frames on top of one another, as one image `(T * H, W, 3)`."""
    frames = clip.frames()
    return frames.reshape(-1, frames.shape[2], 3)


def _repainted(clip: Clip, pixels: np.ndarray) -> Clip:
    height, width = clip.frame_size
    return clip.with_data(from_frames(pixels.reshape(len(clip), height, width, 3)))


def _rounded(table: np.ndarray) -> np.ndarray:
    return np.floor(table + 0.5).astype(np.uint8)


def _per_channel(clip: Clip, table: Callable[[np.ndarray], np.ndarray]) -> Clip:
    pixels = _pixels(clip)
    histograms = [cv2.calcHist([pixels], [c], None, [256], [0, 256]).ravel() for c in range(3)]
    tables = np.stack([_rounded(table(h.astype(np.float64))) for h in histograms], axis=1)
    return _repainted(clip, cv2.LUT(pixels, tables[:, None]))
