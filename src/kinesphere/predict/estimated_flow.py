"""A video whose flow is estimated when it is asked for."""

from __future__ import annotations

from typing import Any

from kinesphere.clips.modalities.flow.estimate import EstimatedFlow
from kinesphere.clips.modality import beside
from kinesphere.data.cache.frames import CachedVideo
from kinesphere.data.source import AnnotatedVideo
from kinesphere.data.wrapped import WrappedVideo
from kinesphere.video import Video


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
