"""The frames that an explanation is drawn on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import stands_alone
from kinesphere.core.errors import DamagedVideo
from kinesphere.data.sources import Source, local_path
from kinesphere.video import Video

if TYPE_CHECKING:
    from kinesphere.explain.attribution import Attribution


def source_frames(source: Source, times_s: np.ndarray, size: Size) -> np.ndarray:
    """Frames uint8 RGB `(N, *size, 3)` of a source at some seconds; black ones of a file of poses alone.

    Raises:
        VideoError: If the video cannot be decoded.
    """
    path = local_path(source)
    if path is not None and stands_alone(path) is not None:
        return np.zeros((len(times_s), *size, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideo)  # it was said when the clip was read
        with Video.open(source) as video:
            data = video.frames_at(times_s, size=size).data
    return np.ascontiguousarray(np.asarray(data).transpose(0, 2, 3, 1))


def spread_times(attribution: Attribution, count: int) -> np.ndarray:
    """`count` seconds of what was seen, spread evenly over it: of short clips their own frames."""
    shown = np.unique(np.concatenate([heat.times for heat in attribution.heats]))
    picks = np.linspace(0, len(shown) - 1, min(count, len(shown))).round().astype(int)
    times: np.ndarray = shown[picks]
    return times


def drawn_size(size: Size, height: int) -> Size:
    """`(H, W)` of frames drawn at a height, with even sides."""
    return 2 * round(height / 2), max(2, 2 * round(size[1] * height / size[0] / 2))
