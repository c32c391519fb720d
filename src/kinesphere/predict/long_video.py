"""Windows of a long video for one model or several: each frame decoded once, memory flat in its length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.reading import sampled
from kinesphere.clips.sampling import windows
from kinesphere.clips.source import (
    VideoSource,
    WrappedSource,
    displayed_rows,
    duration_of,
    frames_for,
    start_of,
)
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, VideoError
from kinesphere.data.sources import Opening, Source
from kinesphere.predict.prediction import ONE_FRAME
from kinesphere.video import Frames

Span = tuple[float, float]
Refusal = VideoError | InvalidAnnotation | InvalidClip
"""Why a model has no answer to a video that others may have one to."""
REFUSALS = (VideoError, InvalidAnnotation, InvalidClip)
Asked = tuple[ClipSpec, Span | None]
"""A contract, and the part of a video whose clips are read by it; None for all of it."""


@dataclass(frozen=True)
class Look:
    """What one model looks at in a video.

    Attributes:
        specs: Its input contracts.
        views: Clips and crops of each window.
        opening: How it opens videos.
    """

    specs: tuple[ClipSpec, ...]
    views: Views
    opening: Opening

    def asked(self, video: WrappedSource, spans: Sequence[Span | None]) -> list[tuple[Asked | None, ...]]:
        """What is read for each window by each contract; None for nothing."""
        return [tuple((spec, span) for spec in self.specs) for span in spans]


@dataclass(frozen=True, eq=False)
class Window:
    """One window's clips.

    Attributes:
        span: `(start_s, end_s)`; of the whole video from the first frame to the end.
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
    """The clips of all windows of a video for one model, in order of time.

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
    with SharedVideo(source, [Look(tuple(specs), views, opening)]) as video:
        video.raise_refusal()
        for (window,) in video.read(video.spans(window_s, stride_s)):
            video.raise_refusal()
            assert window is not None
            yield window


class SharedVideo(Closing):
    """One video, open for several models at once, whose frames are decoded once for all of them.

    A model that cannot be answered for, because a file that it needs is missing or damaged, is left out from
    then on (`refused`); the others go on.

    Args:
        source: A path, a URL, or the file's bytes.
        looks: What each model looks at.
        span: The part that will be read; None for all of it.
        threads: Threads of the decoder.
    """

    def __init__(
        self, source: Source, looks: Sequence[Look], *, span: Span | None = None, threads: int | None = None
    ) -> None:
        self.refused: dict[int, Refusal] = {}
        self._looks = tuple(looks)
        self._opened: dict[int, WrappedSource] = {}
        self._first: WrappedSource | None = None
        self.shared: SharedFrames | None = None
        """The frames that are being read."""
        try:
            for number, look in enumerate(looks):
                shared: VideoSource | None = None if self._first is None else self._first.video
                try:
                    opened = look.opening.open(source, look.specs, span=span, threads=threads, shared=shared)
                except REFUSALS as error:
                    self.refused[number] = error
                    continue
                self._opened[number] = opened
                self._first = self._first or opened
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the video."""
        if self._first is not None:
            self._first.close()

    def raise_refusal(self) -> None:
        """Raise why a model is left out, if one is.

        Raises:
            VideoError: Such as this.
            InvalidAnnotation: Or this.
            InvalidClip: Or this.
        """
        for error in self.refused.values():
            raise error

    @property
    def video(self) -> WrappedSource:
        """The video as the first model sees it that can be answered for."""
        if self._first is None:
            raise next(iter(self.refused.values()))
        return self._first

    def spans(self, window_s: float, stride_s: float) -> list[Span]:
        """The windows of the video (see `windows`); none where no model can be answered for."""
        if self._first is None:
            return []
        return windows(duration_of(self.video), window_s, stride_s, start_of(self.video))

    def read(self, spans: Sequence[Span | None], first: int = 0) -> Iterator[list[Window | None]]:
        """For each span, in order of time, the window of each model; None for one that is left out.

        Args:
            spans: All windows.
            first: So many of them are passed over.
        """
        readings = {
            number: reading
            for number, opened in self._opened.items()
            if (reading := self._prepared(number, opened, spans, first)) is not None
        }
        self.shared = SharedFrames(self.video, [each for one in readings.values() for each in one.readers])
        for reading in readings.values():
            reading.share(self.shared)
        for place, span in enumerate(spans[first:]):
            found: list[Window | None] = [None] * len(self._looks)
            for number, reading in readings.items():
                if number not in self.refused:
                    found[number] = self._window(number, reading, place, span, self.shared)
            yield found

    def _prepared(
        self, number: int, opened: WrappedSource, spans: Sequence[Span | None], first: int
    ) -> _Reading | None:
        try:
            return _Reading(opened, self._looks[number], spans, first)
        except REFUSALS as error:
            self.refused[number] = error
            return None

    def _window(
        self, number: int, reading: _Reading, place: int, span: Span | None, shared: SharedFrames
    ) -> Window | None:
        try:
            clips = reading.clips(place)
        except REFUSALS as error:
            self.refused[number] = error
            shared.leave(reading.readers)
            return None
        video = reading.video
        seen = span or (start_of(video), _end(video, clips))
        return Window(seen, clips, (video,) * len(clips), (*reading.notes, *damage_of(video)))


def _end(video: VideoSource, clips: Sequence[Sequence[Clip]]) -> float:
    """When a video ends, as far as it was seen."""
    if video.duration_s is not None:
        return float(video.duration_s)
    return max(float(clip.times.max()) for clip in clips[0])


class _Reading:
    """One model's way through the spans of a video."""

    def __init__(self, video: WrappedSource, look: Look, spans: Sequence[Span | None], first: int) -> None:
        self.video, self.views = video, look.views
        self.notes = remarks_on(video)
        self._slides: list[WrappedSource] = []
        self._asked = look.asked(video, spans)[first:]
        self.readers = [
            Reader.of(video, [each[i] for each in self._asked], look.views) for i in range(len(look.specs))
        ]

    def share(self, frames: SharedFrames) -> None:
        """Read frames as they are decoded for all."""
        self._slides = [
            replace(self.video, read=partial(frames.frames_at, reader)) for reader in self.readers
        ]

    def clips(self, place: int) -> tuple[list[Clip], ...]:
        """The clips of a span for each contract."""
        found: list[list[Clip]] = []
        for slide, asked in zip(self._slides, self._asked[place], strict=True):
            if asked is None:
                found.append([])
                continue
            spec, span = asked
            found.append(MODALITIES.get(spec.modality).read(slide, spec, span, views=self.views))
        return tuple(found)


def remarks_on(video: WrappedSource) -> tuple[str, ...]:
    """What makes the answer to a video doubtful before it is read."""
    return (*video.remarks, ONE_FRAME) if len(video.frame_times()) == 1 else video.remarks


def damage_of(*videos: VideoSource) -> tuple[str, ...]:
    """What of one video could not be read so far, through any of several decoders, as notes."""
    found = [text for video in videos for text in video.damage]
    return tuple(f"it is damaged: {text}" for text in dict.fromkeys(found))


@dataclass(eq=False)
class Reader:
    """What one contract needs of a video's frames.

    Attributes:
        size: `(H, W)` at which it reads frames; None as displayed.
        needed: Numbers of all frames that it will ask for, ascending; none where it makes do without.
        begins: The lowest number that it may still ask for.
    """

    size: Size | None
    needed: np.ndarray
    begins: int = 0

    @classmethod
    def of(cls, video: WrappedSource, wanted: Sequence[Asked | None], views: Views) -> Reader:
        """The reader of what is asked for, in order of time.

        Raises:
            InvalidAnnotation: If a file is missing, damaged, or of another kind.
            VideoError: If the source cannot be decoded.
        """
        asked = [each for each in wanted if each is not None]
        size = _size_asked(video, *asked[0], views) if asked else _NEVER
        if isinstance(size, _Never):
            return cls(None, np.empty(0, np.int64))
        count = len(video.frame_times())
        ahead = MODALITIES.get(asked[0][0].modality).ahead
        needed = [np.empty(0, dtype=np.int64)]
        for spec, span in asked:
            for stamps in sampled(video, spec, span, views.clips):
                rows = np.unique(displayed_rows(video, stamps.times)).clip(max=max(count - 1 - ahead, 0))
                needed += [rows + step for step in range(ahead + 1)]
        return cls(size, np.unique(np.concatenate(needed)).clip(max=count - 1))


class _Never:
    """A modality asks for no frames, since a file holds its data."""


_NEVER = _Never()


class _Asks(Exception):
    """Leaves a reading once it is known at which size it takes frames."""

    def __init__(self, size: Size | None) -> None:
        super().__init__()
        self.size = size


def _size_asked(
    video: WrappedSource, spec: ClipSpec, span: Span | None, views: Views
) -> Size | _Never | None:
    """At which size a contract reads frames: only its modality knows, so it is let begin."""

    def ask(_times_s: np.ndarray, size: Size | None) -> Frames:
        raise _Asks(size)

    try:
        MODALITIES.get(spec.modality).read(replace(video, read=ask), spec, span, views=views)
    except _Asks as asked:
        return asked.size
    return _NEVER


class SharedFrames:
    """The frames of one video for several readers that go through it side by side, each decoded once.

    It is known beforehand which frames all readers will need. A request decodes forward to its last frame
    and keeps what later requests of any reader need on the way; what no reader may ask for any more is
    forgotten.

    Args:
        video: The open video, which nothing else reads meanwhile.
        readers: Each asks in order of time.
    """

    def __init__(self, video: VideoSource, readers: Sequence[Reader]) -> None:
        self._video = video
        self._times = video.frame_times()
        self._readers = [reader for reader in readers if len(reader.needed)]
        self._done = 0
        # Of a frame that cannot be decoded the one before it, with when that begins.
        self._held: dict[Size | None, dict[int, tuple[np.ndarray, float]]] = {
            each.size: {} for each in self._readers
        }

    @property
    def held(self) -> int:
        """How many frames are in memory, of all sizes together."""
        return sum(map(len, self._held.values()))

    def leave(self, readers: Sequence[Reader]) -> None:
        """Decode and hold nothing more for some readers."""
        self._readers = [reader for reader in self._readers if reader not in readers]
        for size in list(self._held):
            self._forget(size)

    def frames_at(self, reader: Reader, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """The frames displayed at the given times (see `Video.frames_at`), of which none lies before the
        first of the reader's request before."""
        wanted = displayed_rows(self._video, times_s)
        if size == reader.size and reader in self._readers:
            reader.begins = int(wanted.min())
            self._forget(size)
            self._decode_up_to(int(wanted.max()))
        held = self._held.get(size, {})
        if any(row not in held for row in wanted.tolist()):  # a modality that asks for more than it said
            return self._video.frames_at(times_s, size=size)
        pixels, begins_s = zip(*(held[row] for row in wanted.tolist()), strict=True)
        return Frames(np.stack(pixels).transpose(0, 3, 1, 2), np.array(begins_s))

    def _decode_up_to(self, row: int) -> None:
        """Decode what any reader needs of the frames that follow, up to and including one."""
        if row < self._done:
            return
        fresh: dict[Size | None, np.ndarray] = {}
        for reader in self._readers:
            first, end = np.searchsorted(reader.needed, (self._done, row + 1))
            already = fresh.get(reader.size, reader.needed[:0])
            fresh[reader.size] = np.union1d(already, reader.needed[first:end])
        wanted = {size: rows for size, rows in fresh.items() if len(rows)}
        if wanted:
            requests = [(self._times[rows], size) for size, rows in wanted.items()]
            read = frames_for(self._video, requests, onward=True)
            for (size, rows), frames in zip(wanted.items(), read, strict=True):
                found = zip(frames.data.transpose(0, 2, 3, 1), frames.times.tolist(), strict=True)
                self._held[size].update(zip(rows.tolist(), found, strict=True))
        self._done = row + 1

    def _forget(self, size: Size | None) -> None:
        """Drop the frames of a size before all that a reader of that size may still ask for."""
        begins = [reader.begins for reader in self._readers if reader.size == size]
        needed_from, held = min(begins, default=len(self._times)), self._held[size]
        for row in [row for row in held if row < needed_from]:
            del held[row]
