"""Flow that is estimated from a video's frames when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kinesphere.clips.geometry import Size, shrunk
from kinesphere.clips.modalities.flow.file import FlowFile, from_levels, to_levels
from kinesphere.clips.modalities.flow.methods import estimator, grey
from kinesphere.clips.modality import SeekableSource
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec, FlowMethod

BOUND_PX = 20.0
"""Networks see longer vectors as this long, as the published ones did (I3D, Carreira & Zisserman 2017,
section 2.5)."""


@dataclass(frozen=True, eq=False)
class EstimatedFlow:
    """The flow of a video as a flow file would hold it before compression; a `StoredFlow`.

    Attributes:
        video: Whose frames are read when their flow is needed.
        method: How motion is estimated.
        short_side_px: Frames are scaled to this short side first, never enlarged.
        bound_px: Largest component of a vector, in pixels at that size.
    """

    video: SeekableSource
    method: FlowMethod
    short_side_px: int
    bound_px: float

    def fields(self, rows: np.ndarray) -> np.ndarray:
        """Fields of the numbered frames, float32 `(n, h, w, 2)`.

        Raises:
            VideoError: If the frames cannot be decoded.
        """
        size = shrunk(self.video.size, self.short_side_px)
        fields = between_frames(self.video, rows, size, self.method)
        return from_levels(to_levels(fields, self.bound_px), self.bound_px)

    def over(self, video: SeekableSource) -> Self:
        """The same flow, from frames that another source reads of the same video."""
        return replace(self, video=video)


def estimate(video: SeekableSource, spec: ClipSpec, learnt: Preparation) -> EstimatedFlow | None:
    """The flow of a video without a file, as the files were made that a model learnt from.

    Args:
        video: The video.
        spec: The method.
        learnt: How those files were made; where it does not say at which size, the answer is None, and flow
            is estimated at the size at which frames are read.
    """
    if learnt.flow_short_side_px is None:
        return None
    return EstimatedFlow(video, spec.flow, learnt.flow_short_side_px, learnt.flow_bound_px or BOUND_PX)


def between_frames(video: SeekableSource, rows: np.ndarray, size: Size, method: FlowMethod) -> np.ndarray:
    """Fields from the numbered frames to the ones after them, computed at `(H, W)` pixels.

    Args:
        video: The source; all frames needed are asked for at once.
        rows: `(n,)` numbers of frames, ascending. The last frame of the video has the field before it;
            the field of a video's only frame is zero.
        size: Of the frames.
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
    pictures = grey(np.asarray(frames.data).transpose(0, 2, 3, 1))
    estimate = estimator(method)
    fields = np.empty((len(rows), *size, 2), np.float32)
    for field, index in zip(fields, np.searchsorted(needed, first), strict=True):
        field[:] = estimate(pictures[index], pictures[index + 1])
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


def differences(flow: object, video: SeekableSource, learnt: Preparation) -> list[str]:
    """In what the flow of a file was estimated otherwise than what a model learnt from."""
    if not isinstance(flow, FlowFile) or learnt.flow_short_side_px is None:
        return []
    wanted = min(shrunk(flow.video_size or video.size, learnt.flow_short_side_px))
    if min(flow.size) == wanted:
        return []
    return [f"its flow was estimated at {min(flow.size)} px, what was learnt from at {wanted} px"]
