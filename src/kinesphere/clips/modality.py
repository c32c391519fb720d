"""`Modality`: what every kind of clip data can do, and the registry that finds them.

One file of this room implements one modality and ends with
`MODALITIES.add("name", Modality(read=read, ...))`; that is all it takes to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Box, Size
from kinesphere.clips.sampling import STEADY, TemporalJitter
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import UnreadableVideo
from kinesphere.core.registry import Registry

_LONE_FRAME_S = 0.04


class FrameBatch(Protocol):
    """What a source answers: uint8 `data (T, 3, H, W)` and presentation `times (T,)` in seconds."""

    @property
    def data(self) -> np.ndarray: ...

    @property
    def times(self) -> np.ndarray: ...


class SeekableSource(Protocol):
    """Whatever gives frames at times: a `Video`, or a cache of one."""

    @property
    def size(self) -> Size: ...

    @property
    def fps(self) -> Fraction | None: ...

    @property
    def duration_s(self) -> float | None: ...

    def frame_times(self) -> np.ndarray: ...

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> FrameBatch: ...


class Reader(Protocol):
    """Source in, V clips out, clip by clip and crop by crop (see `rgb.read`)."""

    def __call__(
        self,
        video: SeekableSource,
        spec: ClipSpec,
        span: tuple[float, float] | None = None,
        *,
        views: Views = ...,
        generator: torch.Generator | None = None,
        jitter: TemporalJitter = STEADY,
        enlarge: float = 1.0,
    ) -> list[Clip]: ...


def weighted_sum(own: torch.Tensor, partners: torch.Tensor, weight: float) -> torch.Tensor:
    """`weight` of the own clips and the rest of their partners."""
    return torch.lerp(partners, own, weight)


@dataclass(frozen=True)
class Modality:
    """How one kind of data is read, moved about the picture plane, scaled for a network and shown.

    The geometry functions are pure, treat all frames alike and keep what the data mean: a flipped
    flow negates x, a flipped pose exchanges left and right joints.

    Attributes:
        read: Samples, decodes and crops.
        crop: Keeps a box of the frame.
        resize: Scales to `(H, W)` pixels.
        flip: Exchanges left and right; the spec names the skeleton that a pose needs.
        warp: Moves points by a `(2, 3)` matrix in pixels; what comes in from outside is neutral.
        normalise: A batch of stored values to a network's floating-point input.
        draw: Pictures uint8 RGB `(T, H, W, 3)` for people to look at.
        blend: Two normalised batches as one, by the share of the first (mixup).
        is_picture: Whether the last two axes are rows and columns, so that boxes can be cut out of it.
        ahead: Frames after the one on show that a moment's data are made of.
    """

    read: Reader
    crop: Callable[[Clip, Box], Clip]
    resize: Callable[[Clip, Size], Clip]
    flip: Callable[[Clip, ClipSpec], Clip]
    warp: Callable[[Clip, np.ndarray, ClipSpec], Clip]
    normalise: Callable[[torch.Tensor, ClipSpec, torch.dtype], torch.Tensor]
    draw: Callable[[Clip], np.ndarray]
    blend: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = weighted_sum
    is_picture: bool = True
    ahead: int = 0


def start_of(video: SeekableSource) -> float:
    """When the first picture starts, in seconds; 0 of a source that has none."""
    times = video.frame_times()
    return float(times[0]) if len(times) else 0.0


def duration_of(video: SeekableSource) -> float:
    """When the last picture ends, in seconds: as the container states it, else by the times of frames.

    Raises:
        UnreadableVideo: If the source has no frame.
    """
    if video.duration_s:
        return float(video.duration_s)
    times = video.frame_times()
    if len(times) == 0:
        raise UnreadableVideo("The video has no frames to sample from; leave it out.")
    if video.fps:
        return float(times[-1]) + 1 / float(video.fps)
    # Without a rate the last frame lasts as long as most; a lone one has no length to speak of.
    frame_s = float(np.median(np.diff(times))) if len(times) > 1 else _LONE_FRAME_S
    return float(times[-1]) + frame_s


MODALITIES: Registry[Modality] = Registry(
    "modality", package="kinesphere.clips.modalities", group="kinesphere.modalities"
)
