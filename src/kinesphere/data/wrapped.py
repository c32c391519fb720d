"""A video behind another one that adds to it or changes it."""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import SeekableSource
from kinesphere.video import Frames


class OpenSource(SeekableSource, Protocol):
    """A source that is closed by leaving its `with` block."""

    @property
    def tolerance_s(self) -> float: ...

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


Inner = TypeVar("Inner", bound=OpenSource)


class WrappedVideo(Generic[Inner]):
    """All that a reader asks of a video, answered by the one inside.

    Args:
        video: The video inside; closed together with this.
    """

    def __init__(self, video: Inner) -> None:
        self._video = video

    @property
    def size(self) -> Size:
        """`(H, W)` of the video in pixels."""
        return self._video.size

    @property
    def fps(self) -> Fraction | None:
        """Frames per second of the video."""
        return self._video.fps

    @property
    def duration_s(self) -> float | None:
        """Length of the video in seconds."""
        return self._video.duration_s

    @property
    def tolerance_s(self) -> float:
        """See `Video.tolerance_s`."""
        return self._video.tolerance_s

    @property
    def source(self) -> str:
        """The name of the video inside, for messages."""
        return str(getattr(self._video, "source", "the video"))

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, one line per kind; empty for a sound video."""
        return list(getattr(self._video, "damage", ()))

    def frame_times(self) -> np.ndarray:
        """`(N,)` when each frame of the video begins, in seconds."""
        return self._video.frame_times()

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """See `Video.frames_at`."""
        return self._video.frames_at(times_s, size)

    def close(self) -> None:
        """Close the video inside."""
        self._video.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
