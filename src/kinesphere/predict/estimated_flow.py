"""Flow without a file, at the size at which the files were made that a model learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from kinesphere.annotations.extract.flow import shrunk
from kinesphere.clips.modalities.flow.file import from_levels, to_levels
from kinesphere.clips.modalities.flow.reader import between_frames
from kinesphere.clips.modality import SeekableSource, beside
from kinesphere.clips.spec import FlowMethod
from kinesphere.data.cache.frames import CachedVideo
from kinesphere.data.source import AnnotatedVideo
from kinesphere.data.wrapped import WrappedVideo
from kinesphere.video import Video


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


class FlowingVideo(WrappedVideo[Video | CachedVideo | AnnotatedVideo]):
    """A video with flow that is estimated when it is asked for.

    Args:
        video: The video; closed together with this.
        flow: Its flow.
    """

    def __init__(self, video: Video | CachedVideo | AnnotatedVideo, flow: EstimatedFlow) -> None:
        super().__init__(video)
        self._flow = flow

    def beside(self, modality: str) -> Any | None:
        """The flow of all frames, and what else is known of the video."""
        return self._flow if modality == "flow" else beside(self._video, modality)
