"""What the readers of all modalities share: which timestamps, which frames, which views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from kinesphere.clips.clip import Clip, from_frames
from kinesphere.clips.geometry import Size, plan_frames, view_boxes
from kinesphere.clips.modality import MODALITIES, Reader
from kinesphere.clips.sampling import STEADY, ClipTimes, TemporalJitter, clip_times
from kinesphere.clips.source import VideoSource, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidSetting

Fetch = Callable[[VideoSource, ClipSpec, np.ndarray, Size], tuple[np.ndarray, np.ndarray]]
"""Gives the frames `(N, H, W, C)` of `(N,)` seconds at `(H, W)` pixels, and `(N,)` when they begin."""


def frame_reader(
    fetch: Fetch, fill: Callable[[ClipSpec], float | Sequence[float]] = lambda spec: 0
) -> Reader:
    """The `Modality.read` of what is made of frames, whatever is fetched of each.

    Args:
        fetch: Called once for all clips and views, so that each frame is decoded once.
        fill: What stands around frames that do not fill a letterboxed input.
    """

    def read(
        video: VideoSource,
        spec: ClipSpec,
        span: tuple[float, float] | None = None,
        *,
        views: Views = Views(),  # noqa: B008 (frozen)
        generator: torch.Generator | None = None,
        jitter: TemporalJitter = STEADY,
        enlarge: float = 1.0,
    ) -> list[Clip]:
        if generator is not None and views.crops > 1:
            raise InvalidSetting(f"Training crops at random; views {views} are for testing. Use one crop.")
        if views.crops > 2 and spec.resize != "short_side" and spec.short_side_px is None:
            raise InvalidSetting(
                f"Views {views} need something to crop, but resize={spec.resize!r} fills the input exactly; "
                f"use {views.clips}x1 or {views.clips}x2, or resize='short_side'."
            )
        timestamps = sampled(video, spec, span, views.clips, generator, jitter)
        plan = plan_frames(video.size, spec, enlarge=enlarge)
        times_s = np.concatenate([stamps.times for stamps in timestamps])
        frames, begins_s = fetch(video, spec, times_s, plan.decode)
        data = from_frames(on_canvas(frames, plan.canvas, fill(spec)))
        return cut_views(data, begins_s, timestamps, spec, views if generator is None else None)

    return read


def sampled(
    video: VideoSource,
    spec: ClipSpec,
    span: tuple[float, float] | None,
    clips: int = 1,
    generator: torch.Generator | None = None,
    jitter: TemporalJitter = STEADY,
) -> list[ClipTimes]:
    """The times of the clips that a spec asks of a span of a source; `clips` multiplies their number.

    Raises:
        SpanOutsideVideo: If the span starts after the end of the video.
    """
    return clip_times(
        spec,
        span,
        None if video.fps is None else float(video.fps),
        duration_of(video),
        start_s=start_of(video),
        clips=spec.sampling.clips * clips,
        generator=generator,
        jitter=jitter,
    )


def on_canvas(frames: np.ndarray, canvas: Size, fill: float | Sequence[float] = 0) -> np.ndarray:
    """Writable frames `(T, H, W, C)`, centred on a canvas of `fill` where they are smaller than that."""
    count, height, width, channels = frames.shape
    if (height, width) == canvas:
        return frames if frames.flags.writeable else frames.copy()
    result = np.empty((count, *canvas, channels), frames.dtype)
    result[:] = fill
    top, left = (canvas[0] - height) // 2, (canvas[1] - width) // 2
    result[:, top : top + height, left : left + width] = frames
    return result


def cut_views(
    data: torch.Tensor, times_s: np.ndarray, timestamps: list[ClipTimes], spec: ClipSpec, views: Views | None
) -> list[Clip]:
    """Clips of frames that were read for all timestamps at once.

    Args:
        data: `(N, C, H, W)`, the frames of one timestamp after those of another.
        times_s: `(N,)` when they were shown.
        timestamps: Timestamps of the clips.
        spec: Length, size and modality.
        views: Whose crops to take; None leaves the frames whole, for training.

    Returns:
        Clip by clip and within a clip crop by crop.
    """
    modality = MODALITIES.get(spec.modality)
    size = (data.shape[2], data.shape[3])
    clips = []
    for i, stamps in enumerate(timestamps):
        part = slice(i * spec.length, (i + 1) * spec.length)
        whole = Clip(data[part], times_s[part], size, spec.modality, stamps.repeated)
        if views is None:
            clips.append(whole)
            continue
        for box, is_flipped in view_boxes(size, spec.size, views.crops):
            view = modality.crop(whole, box)
            clips.append(modality.flip(view, spec) if is_flipped else view)
    return clips
