"""Windows of a long video: each frame decoded once, memory flat in the video's length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from kinesphere.clips.clip import Clip
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.reading import sampled
from kinesphere.clips.sampling import windows
from kinesphere.clips.source import VideoSource, WrappedSource, displayed_rows, duration_of, start_of
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.data.sources import Opening, Source
from kinesphere.predict.prediction import ONE_FRAME
from kinesphere.video import Frames

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Window:
    """One window's clips.

    Attributes:
        span: `(start_s, end_s)`.
        clips: V clips for each spec.
        videos: The open video as each spec sees it, for what clips do not tell.
        notes: What makes the windows of the video doubtful; of damage, what was met so far.
    """

    span: Span
    clips: tuple[list[Clip], ...]
    videos: tuple[VideoSource, ...]
    notes: tuple[str, ...] = ()


def window_clips(
    source: Source,
    specs: Sequence[ClipSpec],
    window_s: float,
    stride_s: float,
    views: Views,
    opening: Opening,
) -> Iterator[Window]:
    """The clips of all windows of a video, in order of time.

    Args:
        source: A path, or the file's bytes.
        specs: Input contracts of the network.
        window_s: Length of a window in seconds.
        stride_s: Seconds between starts; the last window ends with the video.
        views: Clips and crops per window.
        opening: How the video is opened.

    Raises:
        VideoError: If the video cannot be decoded.
        InvalidSetting: If window and stride make no sense, or the source is live.
    """
    with ExitStack() as stack:
        # A decoder for each input: each reads forward at its own pace and size.
        videos = [opening.open(source, [spec]) for spec in specs]
        for video in videos:
            stack.enter_context(video)
        notes = tuple(dict.fromkeys(remark for video in videos for remark in remarks_on(video)))
        spans = windows(duration_of(videos[0]), window_s, stride_s, start_of(videos[0]))
        slides = [
            replace(video, read=SlidingFrames(video, spec, spans, views).frames_at)
            for video, spec in zip(videos, specs, strict=True)
        ]
        for span in spans:
            clips = tuple(
                MODALITIES.get(spec.modality).read(slide, spec, span, views=views)
                for spec, slide in zip(specs, slides, strict=True)
            )
            yield Window(span, clips, tuple(videos), (*notes, *damage_of(*videos)))


def remarks_on(video: WrappedSource) -> tuple[str, ...]:
    """What makes the answer to a video doubtful before it is read."""
    return (*video.remarks, ONE_FRAME) if len(video.frame_times()) == 1 else video.remarks


def damage_of(*videos: VideoSource) -> tuple[str, ...]:
    """What of one video could not be read so far, through any of several decoders, as notes."""
    found = [text for video in videos for text in video.damage]
    return tuple(f"it is damaged: {text}" for text in dict.fromkeys(found))


class SlidingFrames:
    """The frames of a video for windows that are asked for in order of time.

    It knows beforehand which frames all the windows will need. A request decodes forward to its last
    frame and keeps what later windows need on the way; frames before the request are forgotten.

    Args:
        video: The open video, which nothing else reads meanwhile.
        spec: Input contract, which decides on the frames of a window.
        spans: All windows, ordered by start.
        views: Clips and crops per window.
    """

    def __init__(self, video: VideoSource, spec: ClipSpec, spans: Sequence[Span], views: Views) -> None:
        self._video = video
        self._times = video.frame_times()
        ahead = MODALITIES.get(spec.modality).ahead
        last = max(len(self._times) - 1 - ahead, 0)
        needed = [np.empty(0, dtype=np.int64)]
        for span in spans:
            timestamps = sampled(video, spec, span, views.clips)
            shown = [np.unique(displayed_rows(video, stamps.times)).clip(max=last) for stamps in timestamps]
            needed += [rows + step for rows in shown for step in range(ahead + 1)]
        self._needed = np.unique(np.concatenate(needed)).clip(max=len(self._times) - 1)
        self._done = 0
        self._held: dict[int, np.ndarray] = {}

    def frames_at(self, times_s: np.ndarray, size: tuple[int, int] | None = None) -> Frames:
        """The frames displayed at the given times (see `Video.frames_at`), of which none lies before the
        first of the request before; at the same size throughout."""
        wanted = displayed_rows(self._video, times_s)
        end = int(np.searchsorted(self._needed, wanted.max(), side="right"))
        fresh = self._needed[self._done : end]
        self._held = {i: pixels for i, pixels in self._held.items() if i >= wanted.min()}
        if len(fresh):
            read = self._video.frames_at(self._times[fresh], size=size)
            self._held.update(zip(fresh.tolist(), read.data.transpose(0, 2, 3, 1), strict=True))
            self._done = end
        pixels = np.stack([self._held[i] for i in wanted.tolist()])
        return Frames(pixels.transpose(0, 3, 1, 2), self._times[wanted])
