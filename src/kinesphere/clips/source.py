"""`VideoSource`: frames at times, whoever gives them, and the one wrapper around such a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.preparation import Preparation
from kinesphere.core.closing import Closing
from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import Frames
from kinesphere.video.frame_index import displayed

_LONE_FRAME_S = 0.04

ReadFrames = Callable[[np.ndarray, Size | None], Frames]
"""`frames_at` of a source."""
Request = tuple[np.ndarray, Size | None]
"""Times `(T,)` of frames in seconds, and the `(H, W)` that one reader takes them at."""


class VideoSource(Protocol):
    """Whatever gives frames at times: a `Video`, a cache of one, a sidecar file in its place, a wrapper."""

    @property
    def size(self) -> Size: ...

    @property
    def fps(self) -> Fraction | None: ...

    @property
    def duration_s(self) -> float | None: ...

    @property
    def tolerance_s(self) -> float: ...

    @property
    def source(self) -> str: ...

    @property
    def damage(self) -> list[str]: ...

    def frame_times(self) -> np.ndarray: ...

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames: ...

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False)
class WrappedSource(Closing):
    """A source, with what is known of it beside its frames, or with other frames in their place.

    What is made of frames, such as flow without a file, sees those other frames.

    Attributes:
        video: The source inside; closed together with this.
        known: What sidecar files or extraction say of it, by modality (see `beside`).
        preparation: How the files were made that the model learnt from, for whoever makes missing ones.
        remarks: What a user should know of the files of this video.
        read: In place of the video's own `frames_at`.
        frame_size: `(H, W)` in place of the video's own, of those other frames.
        closing: What else is closed together with this.
    """

    video: VideoSource
    _: KW_ONLY
    known: Mapping[str, Any] = field(default_factory=dict)
    preparation: Preparation = Preparation()  # noqa: RUF009 (frozen)
    remarks: tuple[str, ...] = ()
    read: ReadFrames | None = None
    frame_size: Size | None = None
    closing: tuple[Callable[[], None], ...] = ()

    @property
    def size(self) -> Size:
        """`(H, W)` of the frames in pixels."""
        return self.frame_size or self.video.size

    @property
    def fps(self) -> Fraction | None:
        """Frames per second of the video."""
        return self.video.fps

    @property
    def duration_s(self) -> float | None:
        """Length of the video in seconds."""
        return self.video.duration_s

    @property
    def tolerance_s(self) -> float:
        """See `Video.tolerance_s`."""
        return self.video.tolerance_s

    @property
    def source(self) -> str:
        """The name of the video, for messages."""
        return self.video.source

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, one line per kind; empty for a sound video."""
        return self.video.damage

    def frame_times(self) -> np.ndarray:
        """`(N,)` when each frame of the video begins, in seconds; not to be written to."""
        return self._frame_times

    @cached_property
    def _frame_times(self) -> np.ndarray:
        # Readers ask for every clip; of a long video that would make each of its many windows dearer.
        times = self.video.frame_times().view()
        times.flags.writeable = False
        return times

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """See `Video.frames_at`."""
        return (self.read or self.video.frames_at)(times_s, size)

    def frames_for(self, requests: Sequence[Request], *, onward: bool = False) -> list[Frames]:
        """See `Video.frames_for`."""
        if self.read is not None:
            return [self.read(times_s, size) for times_s, size in requests]
        return frames_for(self.video, requests, onward=onward)

    def beside(self, modality: str) -> Any | None:
        """What is known of a modality; None if nothing."""
        return self.known.get(modality)

    def close(self) -> None:
        """Close the video, and what else belongs to this source."""
        self.video.close()
        for close in self.closing:
            close()


def frames_for(video: VideoSource, requests: Sequence[Request], *, onward: bool = False) -> list[Frames]:
    """The frames for several readers at once, each decoded once where the source decodes.

    Args:
        video: The source.
        requests: What each reader asks for.
        onward: Whether all frames that are asked for next lie behind these.
    """
    together = getattr(video, "frames_for", None)
    if together is None:
        return [video.frames_at(times_s, size) for times_s, size in requests]
    found: list[Frames] = together(requests, onward=onward)
    return found


def beside(video: VideoSource, modality: str) -> Any | None:
    """What a source has of a modality's sidecar file, as `Sidecar.attach` answered it; None if nothing."""
    ask = getattr(video, "beside", None)  # asking for a protocol takes longer than what it guards
    return None if ask is None else ask(modality)


def preparation_of(video: VideoSource) -> Preparation:
    """How what is missing beside a source is to be made; of a bare `Video` nothing is known."""
    known: Preparation = getattr(video, "preparation", Preparation())
    return known


def displayed_rows(video: VideoSource, times_s: np.ndarray) -> np.ndarray:
    """`(T,)` numbers of the frames that a source displays at `(T,)` seconds."""
    return displayed(video.frame_times(), times_s, video.tolerance_s)


def start_of(video: VideoSource) -> float:
    """When the first frame starts, in seconds; 0 of a source that has none."""
    times = video.frame_times()
    return float(times[0]) if len(times) else 0.0


def duration_of(video: VideoSource) -> float:
    """When the last frame ends, in seconds: as the container states it, else by the times of frames.

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
