"""The clip about a time of a video, and where boxes of its frame lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.clip import Clip, from_frames
from kinesphere.clips.geometry import Size, plan_frames
from kinesphere.clips.modalities.rgb import mean_colour
from kinesphere.clips.reading import on_canvas
from kinesphere.clips.source import VideoSource, duration_of, start_of
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import SpanOutsideVideo

_USUAL_FPS = 25.0
# Requested times stay clear of where frames change.
_MARGIN_S = 1e-3


@dataclass(frozen=True)
class Placement:
    """Where a frame lies on its canvas.

    Attributes:
        fitted: `(H, W)` of the frame there.
        canvas: `(H, W)` of the canvas, in whose middle it lies.
    """

    fitted: Size
    canvas: Size

    def boxes(self, fractions_R4: np.ndarray) -> np.ndarray:
        """Boxes `(R, 4)` in fractions of the frame as pixels of the canvas."""
        scale = np.array(self.fitted[::-1] * 2, np.float64)
        corner = np.array([(c - f) // 2 for c, f in zip(self.canvas, self.fitted, strict=True)][::-1] * 2)
        placed: np.ndarray = fractions_R4 * scale + corner
        return placed


def clip_times_about(
    time_s: float, spec: ClipSpec, fps: float | None, start_s: float, end_s: float
) -> np.ndarray:
    """The times `(T,)` of a clip whose middle is a time; its first and last frame stand in for what lies
    outside of the video.

    The interval counts at the contract's rate, or else at the video's, so that videos of any rate give the
    same seconds.

    Args:
        time_s: The middle.
        spec: A contract of frames at an interval.
        fps: Rate of the video, where it is known.
        start_s, end_s: When its first frame begins and its last one ends.

    Raises:
        SpanOutsideVideo: If the video does not show the time; before a first frame that comes late, that one
            is shown.
    """
    if not min(start_s, 0.0) - _MARGIN_S <= time_s < end_s:
        raise SpanOutsideVideo(
            f"{time_s:g} s lies outside of the video, which is shown from {start_s:.2f} to {end_s:.2f} s."
        )
    rate = spec.fps or fps or _USUAL_FPS
    frame_s = 1 / (fps or rate)
    offsets = (np.arange(spec.length) - (spec.length - 1) / 2) * spec.sampling.interval / rate
    last_s = max(end_s - frame_s / 2, start_s)
    times: np.ndarray = np.clip(time_s + offsets + _MARGIN_S, start_s, last_s)
    return times


def read_about(
    video: VideoSource, spec: ClipSpec, time_s: float, enlarge: float = 1.0
) -> tuple[Clip, Placement]:
    """The clip about a time: whole frames in the middle of a canvas of the contract's size.

    Args:
        video: Where the frames come from.
        spec: A contract of frames at an interval, which letterboxes.
        time_s: The middle.
        enlarge: How many times as large the canvas is, for random crops.

    Raises:
        SpanOutsideVideo: If the video does not show the time.
        VideoError: If it cannot be decoded.
    """
    fps = None if video.fps is None else float(video.fps)
    times_s = clip_times_about(time_s, spec, fps, start_of(video), duration_of(video))
    plan = plan_frames(video.size, spec, enlarge=enlarge)
    frames = video.frames_at(times_s, size=plan.decode)
    pixels = np.asarray(frames.data).transpose(0, 2, 3, 1)
    data = from_frames(on_canvas(pixels, plan.canvas, mean_colour(spec)))
    return Clip(data, frames.times, plan.canvas), Placement(plan.decode, plan.canvas)


def boxes_after(boxes_R4: np.ndarray, drawn: AugmentParameters, size: Size) -> np.ndarray:
    """Where boxes `(R, 4)` px lie after the geometry of an augmentation, cut at the border of the input.

    Args:
        boxes_R4: On the canvas that the geometry was drawn for.
        drawn: The augmentation.
        size: `(H, W)` of the input.
    """
    geometry = drawn.geometry
    height, width = size
    corner = np.array([geometry.box.left, geometry.box.top] * 2)
    scale = np.array([width / geometry.box.width, height / geometry.box.height] * 2)
    moved = (boxes_R4 - corner) * scale
    if geometry.flip:
        moved = np.stack([width - moved[:, 2], moved[:, 1], width - moved[:, 0], moved[:, 3]], 1)
    if geometry.affine is not None:
        matrix = geometry.affine.matrix(size)
        x, y = moved[:, [0, 2, 2, 0]] - 0.5, moved[:, [1, 1, 3, 3]] - 0.5
        at = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T + 0.5
        moved = np.concatenate([at.min(1), at.max(1)], 1)
    cut: np.ndarray = np.clip(moved, 0, (width, height, width, height))
    return cut


def still_seen(before_R4: np.ndarray, after_R4: np.ndarray, scale: float, least: float = 0.3) -> np.ndarray:
    """bool `(R,)`: boxes of which a crop has left this fraction or more.

    Args:
        before_R4: Boxes on the canvas.
        after_R4: The same in the input, cut at its border.
        scale: Square pixels of the input for one of the canvas.
        least: See above.
    """
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (before_R4, after_R4)]
    kept: np.ndarray = (areas[1] >= least * scale * areas[0]) & (areas[1] > 1.0)
    return kept
