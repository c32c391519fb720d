"""Flow that is estimated from a video's frames when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinesphere.clips.geometry import Size, shrunk
from kinesphere.clips.modalities.flow.file import FlowFile, from_levels, to_levels
from kinesphere.clips.modalities.flow.methods import estimator, grey
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.source import VideoSource, preparation_of
from kinesphere.clips.spec import FlowMethod

BOUND_PX = 20.0
"""Networks see longer vectors as this long, as the published ones did (I3D, Carreira & Zisserman 2017,
section 2.5)."""


def estimated(video: VideoSource, rows: np.ndarray, size: Size, method: FlowMethod) -> np.ndarray:
    """The flow of frames without a file, as the files were made that a model learnt from.

    Where that is known (see `preparation_of`), it is what such a file would hold before compression;
    elsewhere it is estimated at the size at which frames are read.

    Args:
        video: Whose frames are read.
        rows: See `between_frames`.
        size: `(H, W)` at which frames are read.
        method: How motion is estimated.

    Returns:
        float32 `(n, h, w, 2)` in pixels of their own size.
    """
    learnt = preparation_of(video)
    if learnt.flow_short_side_px is None:
        return between_frames(video, rows, size, method)
    bound_px = learnt.flow_bound_px or BOUND_PX
    fields = between_frames(video, rows, shrunk(video.size, learnt.flow_short_side_px), method)
    return from_levels(to_levels(fields, bound_px), bound_px)


def between_frames(video: VideoSource, rows: np.ndarray, size: Size, method: FlowMethod) -> np.ndarray:
    """Fields from the numbered frames to the ones after them, computed at `(H, W)` pixels.

    Args:
        video: The source; all frames needed are asked for at once.
        rows: `(n,)` numbers of frames, ascending. The last frame of the video has the field before it;
            the field of a video's only frame is zero.
        size: Size of the frames.
        method: How the motion is estimated.

    Returns:
        float32 `(n, H, W, 2)`.
    """
    begins = video.frame_times()
    if len(begins) < 2:
        return np.zeros((len(rows), *size, 2), np.float32)
    first = np.minimum(rows, len(begins) - 2)
    needed = np.unique(np.concatenate([first, first + 1]))
    frames = video.frames_at(begins[needed], size=size)
    images = grey(np.asarray(frames.data).transpose(0, 2, 3, 1))
    estimate = estimator(method)
    fields = np.empty((len(rows), *size, 2), np.float32)
    for field, index in zip(fields, np.searchsorted(needed, first), strict=True):
        field[:] = estimate(images[index], images[index + 1])
    return fields


def prepared(files: Sequence[FlowFile]) -> list[Preparation]:
    """How some files were made, one preparation for every fact that one of them tells."""
    # Frames that were not made smaller do not tell how large they were allowed to be: the largest tell most.
    smaller = [f for f in files if f.video_size is None or min(f.size) < min(f.video_size)]
    telling = smaller or sorted(files, key=lambda f: min(f.size))[-1:]
    return [
        *(Preparation(flow_bound_px=f.bound_px) for f in files),
        *(Preparation(flow_short_side_px=min(f.size)) for f in telling),
    ]


def differences(flow: object, video: VideoSource, learnt: Preparation) -> list[str]:
    """In what the flow of a file was estimated otherwise than what a model learnt from."""
    if not isinstance(flow, FlowFile) or learnt.flow_short_side_px is None:
        return []
    wanted = min(shrunk(flow.video_size or video.size, learnt.flow_short_side_px))
    if min(flow.size) == wanted:
        return []
    return [f"its flow was estimated at {min(flow.size)} px, what was learnt from at {wanted} px"]
