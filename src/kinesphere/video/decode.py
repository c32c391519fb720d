"""`Video`: the frames of a file, bytes or URL at given times and at a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidSetting, SpanOutsideVideo, UnreadableVideo
from kinesphere.core.short_repr import short_repr
from kinesphere.video import conversion
from kinesphere.video.avi import indexed_packets
from kinesphere.video.container import MAX_FRAME_PIXELS, Source
from kinesphere.video.cursor import Cursor, UnsafeKey
from kinesphere.video.damage import Damage
from kinesphere.video.frame_index import FrameIndex, container_start, index_frames, scan, zero_tick
from kinesphere.video.gather import Gatherer
from kinesphere.video.info import VideoInfo, describe, warn_of_rate
from kinesphere.video.joined import is_followed
from kinesphere.video.remembered import Findings, findings_of, remember


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        data: uint8 RGB `(3, H, W)`; a view of channels-last memory.
        time_s: Its presentation time, in seconds from the video's start (see `Video`).
    """

    data: np.ndarray
    time_s: float


@dataclass(frozen=True, eq=False, repr=False)
class Frames:
    """T frames.

    Attributes:
        data: uint8 RGB `(T, 3, H, W)`; a view of `(T, H, W, 3)` memory.
        times: `(T,)` float64 presentation times, in seconds from the video's start (see `Video`).
    """

    data: np.ndarray
    times: np.ndarray

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.data.shape[1] != 3 or self.times.shape != self.data.shape[:1]:
            raise InvalidSetting(
                f"Frames are (T, 3, H, W) with T times; got {self.data.shape} and {self.times.shape}."
            )

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> Frames:
        """Some of the frames."""
        return Frames(self.data[part], self.times[part])

    def __iter__(self) -> Iterator[Frame]:
        """The frames one by one."""
        return map(Frame, self.data, self.times.tolist())


class Video(Closing):
    """An open video. Times are seconds from its start: from where its container starts, as players count.

    The first frame lies at `start_s`, which is 0 unless the sound begins before the video.

    Opening finds the packets of a local file, without decoding them (a sound MPEG-4 AVI tells them in its
    index, others are read through once), so that the times of all
    frames, their number and the duration are known exactly, whatever the header says. Frames are those
    that decoding from the start would give, bit for bit, however they are reached.

    Open it with `Video.open` and close it, or use it in a `with` statement. It is not thread-safe.
    """

    def __init__(
        self,
        cursor: Cursor | Callable[[], Cursor],
        frame_index: FrameIndex | None,
        info: VideoInfo,
        damage: Damage,
    ) -> None:
        self._opened = cursor
        self._frame_index = frame_index
        self._damage = damage
        self.info = info
        self._gathering: Gatherer | None = None
        self._fresh = True
        self._zero: int | None = None

    @classmethod
    def open(
        cls, source: str | Path | bytes, *, timeout_s: float = 10.0, threads: int | None = None
    ) -> Video:
        """Open a file, bytes, or an http(s), rtsp(s) or rtmp(s) URL.

        Args:
            source: What to open. A `str` with a scheme is a URL, anything else a path.
            timeout_s: Longest wait for the source to open and for each next frame, in seconds.
            threads: Threads that may decode and convert; by default one per core, or one within a data
                loader's worker.

        Raises:
            UnreadableVideo: If it is missing, no video, or holds no decodable frame.
            NoVideoStream: If it holds sound or data only.
            SourceTimeout: If it gives nothing in time.
            InvalidSetting: If an argument is out of range.

        Warns:
            DamagedVideo: If part of it cannot be read.
            Assumed: If it is a codec's stream without a container, which has no times.
        """
        if timeout_s <= 0:
            raise InvalidSetting(f"timeout_s must be positive; got {timeout_s}.")
        if threads is not None and threads < 1:
            raise InvalidSetting(f"threads must be at least 1; got {threads}.")
        origin = Source.of(source)
        if (found := findings_of(origin)) is not None:
            damage = Damage(origin.name, found.damage)
            frame_index, info = found.frame_index.copied(), replace(found.info, source=origin.name)
            opener = partial(Cursor, origin, timeout_s, threads, damage, stream=found.stream)
            video = cls(opener, frame_index, info, damage)
        else:
            video = cls._found_out(Cursor(origin, timeout_s, threads, Damage(origin.name)))
        try:
            video._damage.warn()
            warn_of_rate(video.info, video._frame_index)
        except BaseException:
            video.close()
            raise
        return video

    @classmethod
    def _found_out(cls, cursor: Cursor) -> Video:
        """Open what nothing is known of yet."""
        try:
            frame_index = _scan(cursor) if cursor.source.local else None
            first = _first_frame(cursor)
            info = describe(cursor.container, cursor.stream, frame_index, first, cursor.damage)
            if frame_index is not None:
                found = Findings(frame_index.copied(), info, cursor.damage.counts(), cursor.stream.index)
                remember(cursor.source, found)
            return cls(cursor, frame_index, info, cursor.damage)
        except BaseException:
            cursor.close()
            raise

    def close(self) -> None:
        """Free the decoder and the file."""
        if isinstance(self._opened, Cursor):
            self._opened.close()
        if self._gathering is not None:
            self._gathering.close()

    @property
    def _cursor(self) -> Cursor:
        """What decodes; of a file that is known, opened when the first frame is asked for."""
        if not isinstance(self._opened, Cursor):
            self._opened = self._opened()
            self._opened.frame_index = self._frame_index
        return self._opened

    @property
    def _gatherer(self) -> Gatherer:
        if self._gathering is None:
            self._gathering = Gatherer(self._cursor, self.info.rotation_deg, self.info.mirrored)
        return self._gathering

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` in pixels as displayed."""
        return self.info.size

    @property
    def fps(self) -> Fraction:
        """Mean frames per second."""
        return self.info.fps

    @property
    def frame_count(self) -> int | None:
        """Number of frames, if known."""
        return self.info.frame_count

    @property
    def start_s(self) -> float:
        """When the first frame starts; 0 unless the sound begins before the video."""
        return self.info.start_s

    @property
    def duration_s(self) -> float | None:
        """Seconds from the container's start to the end of the last frame, if known."""
        return self.info.duration_s

    @property
    def source(self) -> str:
        """What was opened, for messages."""
        return self.info.source

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, one line per kind; empty for a sound video."""
        return self._damage.messages()

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged for display; see `VideoInfo.mirrored`."""
        return self.info.mirrored

    @property
    def tolerance_s(self) -> float:
        """How far a requested time may fall short of a frame's and still mean it, in seconds."""
        return 0.0 if self._frame_index is None else self._frame_index.tolerance_s

    def frame_times(self) -> np.ndarray:
        """`(N,)` float64: the exact presentation times of all frames, from packets alone.

        Raises:
            InvalidSetting: For a live source, which has no end.
        """
        return self._known_timeline.times_s.copy()

    def frames_at(self, times_s: Sequence[float] | np.ndarray, size: tuple[int, int] | None = None) -> Frames:
        """The frames displayed at the given times: for each the last one that has started.

        Before the first frame, where there is sound alone, it is the first one.

        Each frame is decoded once, however often it is asked for; stretches that no time needs are
        passed over by key frame where that costs less than decoding through.

        Args:
            times_s: `(T,)` seconds, in any order, repeats allowed.
            size: `(H, W)` in pixels to decode to; by default as displayed.

        Raises:
            SpanOutsideVideo: If a time lies before the video's start or after the end of the last frame.
            InvalidSetting: If times or size make no sense, or the source is live.
            SourceTimeout: If no frame comes in time.

        Warns:
            DamagedVideo: If a frame on the way cannot be decoded; the last one before it stands in.
        """
        return self.frames_for([(times_s, size)])[0]

    def frames_for(
        self,
        requests: Sequence[tuple[Sequence[float] | np.ndarray, tuple[int, int] | None]],
        *,
        onward: bool = False,
    ) -> list[Frames]:
        """The frames for several readers at once, each decoded once and converted to every size asked of it.

        Args:
            requests: Times and size for each reader, as for `frames_at`.
            onward: Whether all frames that are asked for next lie behind these.

        Raises:
            See `frames_at`.
        """
        frame_index = self._known_timeline
        sizes = [self._checked_size(size) for _, size in requests]
        shown = [frame_index.show(self._checked_times(times_s)) for times_s, _ in requests]
        own = [np.unique(frames, return_inverse=True) for frames in shown]
        wanted = np.unique(np.concatenate([frames for frames, _ in own]))
        places = [np.searchsorted(wanted, frames) for frames, _ in own]
        pixels = [np.empty((len(at), *size, 3), np.uint8) for at, size in zip(places, sizes, strict=True)]
        targets: list[list[np.ndarray]] = [[] for _ in wanted]
        for at, rows in zip(places, pixels, strict=True):
            for place, row in zip(at.tolist(), rows, strict=True):
                targets[place].append(row)
        ticks = self._gatherer.collect(frame_index, wanted.tolist(), targets, onward=onward)
        self._damage.warn()
        times = frame_index.time_of(ticks)
        return [
            _in_order(rows, times[at], slots)
            for rows, at, (_, slots) in zip(pixels, places, own, strict=True)
        ]

    def stream(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        *,
        size: tuple[int, int] | None = None,
        fps: float | Fraction | None = None,
    ) -> Iterator[Frame]:
        """Frames one after another, in memory that does not grow with the video's length.

        Args:
            start_s: Seconds; the first frame is the first that starts at or after it.
            end_s: Seconds; frames that start before it are given. None for the end of the video.
            size: `(H, W)` in pixels to decode to; by default as displayed.
            fps: Frames per second to resample to, by repeating and dropping: the frames displayed at
                `start_s + n / fps`, which until the first frame starts is the first frame. None for the
                frames as they are.

        Raises:
            SpanOutsideVideo: If `start_s` is after the end of the last frame.
            InvalidSetting: If the span, size or rate makes no sense; or if the iterator goes on after
                another read has moved this video.
            SourceTimeout: If no frame comes in time.

        Warns:
            DamagedVideo: If part of it cannot be decoded; at the end.
        """
        if start_s < 0 or (end_s is not None and end_s <= start_s):
            raise InvalidSetting(
                f"A span runs from start to a later end, in seconds; got {start_s} to {end_s}."
            )
        if fps is not None and not 0 < fps <= 1000:
            raise InvalidSetting(f"fps must be in (0, 1000]; got {fps}.")
        if self.duration_s is not None and start_s > self.duration_s:
            raise self._outside(start_s)
        size = self._checked_size(size)
        if fps is None:
            return self._stream_native(start_s, end_s, size)
        return self._stream_resampled(start_s, end_s, size, float(fps))

    # ---- reading

    def _stream_native(self, start_s: float, end_s: float | None, size: tuple[int, int]) -> Iterator[Frame]:
        try:
            for time_s, frame in self._decode_from(start_s):
                if end_s is not None and time_s >= end_s - self.tolerance_s:
                    break
                if time_s >= start_s - self.tolerance_s:
                    yield Frame(self._rgb(frame, size), time_s)
        finally:
            self._damage.warn()

    def _stream_resampled(
        self, start_s: float, end_s: float | None, size: tuple[int, int], fps: float
    ) -> Iterator[Frame]:
        count = 0
        held: tuple[float, av.VideoFrame] | None = None
        pixels: np.ndarray | None = None
        stop_s = self.duration_s if end_s is None else end_s
        try:
            for time_s, frame in self._decode_from(start_s):
                while held is not None and start_s + count / fps < time_s - self.tolerance_s:
                    if stop_s is not None and start_s + count / fps >= stop_s - self.tolerance_s:
                        return
                    pixels = self._rgb(held[1], size) if pixels is None else pixels
                    yield Frame(pixels, held[0])
                    count += 1
                held, pixels = (time_s, frame), None
            end = self._last_end(held, stop_s)
            while held is not None and start_s + count / fps < end - self.tolerance_s:
                pixels = self._rgb(held[1], size) if pixels is None else pixels
                yield Frame(pixels, held[0])
                count += 1
        finally:
            self._damage.warn()

    def _last_end(self, held: tuple[float, av.VideoFrame] | None, stop_s: float | None) -> float:
        """Until when the last frame is displayed: a frame's length, or less if the span ends."""
        end_s = (held[0] if held else 0.0) + float(1 / self.fps)
        if self.duration_s is not None:
            end_s = self.duration_s
        return end_s if stop_s is None else min(end_s, stop_s)

    def _decode_from(self, start_s: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames with their times, from a key frame at or before the one displayed at `start_s`."""
        cursor, frame_index = self._cursor, self._frame_index
        if frame_index is None:
            yield from self._decode_on()
            return
        frame = int(frame_index.show(np.array([start_s]))[0])
        zero, tick_s = frame_index.zero, float(frame_index.time_base)
        while True:
            key = frame_index.key_before(frame)
            cursor.start(key)
            owner = cursor.moves
            try:
                for tick, decoded in cursor.read():
                    yield (tick - zero) * tick_s, decoded
                    if cursor.moves != owner:
                        raise self._moved()
                return
            except UnsafeKey:
                frame_index.distrust(key)

    def _decode_on(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames of a source of which no times are known: a URL from its start, a live one as they come.

        A live source has no start but the first frame that is seen of it.
        """
        cursor, is_live = self._cursor, self._cursor.source.kind == "live"
        if not (self._fresh or is_live):
            cursor.reopen()
        self._fresh, owner = False, cursor.moves
        time_base = Fraction(cursor.stream.time_base or 1 / self.fps)
        zero = None if is_live else zero_tick(container_start(cursor.container), time_base)
        for count, (tick, frame) in enumerate(cursor.read()):
            if is_live:
                self._zero = tick if self._zero is None else self._zero
                zero = self._zero
            elif count == 0:
                zero = tick if zero is None else min(zero, tick)
            yield (tick - (zero or 0)) * float(time_base), frame
            if cursor.moves != owner:
                raise self._moved()

    def _moved(self) -> InvalidSetting:
        return InvalidSetting(
            "Another read moved this video while it was being streamed; open it twice to read two places by "
            "turns."
        )

    def _rgb(self, frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        pixels = np.empty((*size, 3), np.uint8)
        conversion.rgb(frame, size, self.info.rotation_deg, pixels, mirrored=self.info.mirrored)
        return pixels.transpose(2, 0, 1)

    # ---- checks

    @property
    def _known_timeline(self) -> FrameIndex:
        if self._frame_index is None:
            if self._cursor.source.kind == "live":
                raise InvalidSetting(
                    f"{self.info.source} is live and cannot be read out of order; use stream()."
                )
            self._cursor.reopen()
            self._frame_index = _scan(self._cursor)
            first = _first_frame(self._cursor)
            self.info = describe(
                self._cursor.container, self._cursor.stream, self._frame_index, first, self._damage
            )
        return self._frame_index

    def _checked_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        if size is None:
            return self.size
        height, width = size
        if min(height, width) < 1 or height * width > MAX_FRAME_PIXELS:
            raise InvalidSetting(f"A size is (H, W), positive and of at most 8K; got {size}.")
        return int(height), int(width)

    def _checked_times(self, times_s: Sequence[float] | np.ndarray) -> np.ndarray:
        times = np.asarray(times_s, np.float64)
        if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
            raise InvalidSetting(f"Times are one or more finite seconds; got {times_s!r}.")
        assert self.duration_s is not None
        if times.min() < -self.tolerance_s:
            raise self._outside(float(times.min()))
        if times.max() > self.duration_s + self.tolerance_s:
            raise self._outside(float(times.max()))
        return times

    def _outside(self, time_s: float) -> SpanOutsideVideo:
        return SpanOutsideVideo(
            f"{time_s:.3f} s lies outside {self.info.source}, which runs from 0 to {self.duration_s:.3f} s; "
            "check the annotation, or whether the video was cut short."
        )


def _scan(cursor: Cursor) -> FrameIndex:
    """Find all packets, keep the frame_index, and go back to the start."""
    packets = indexed_packets(cursor.source, cursor.stream) if cursor.source.local else None
    if packets is None:
        packets = scan(cursor.packets(), cursor.source.size_bytes(), cursor.damage, cursor.patience)
    frame_index = index_frames(packets, cursor.stream, cursor.damage)
    if cursor.source.local and is_followed(
        cursor.source, cursor.container.format.name, frame_index.packets.end
    ):
        cursor.damage.note("another recording is appended to it and not read; split the file to use that")
    cursor.frame_index = frame_index
    cursor.start(0)
    return frame_index


def _first_frame(cursor: Cursor) -> av.VideoFrame:
    first = cursor.peek()
    if first is None:
        reasons = "; ".join(cursor.damage.messages()) or "the decoder gave nothing"
        raise UnreadableVideo(
            f"{cursor.source.name} has no decodable frame ({reasons}); copy or download it again."
        )
    tick, frame = first
    if cursor.frame_index is not None:
        cursor.frame_index.begin_at(tick)
    return frame


def _in_order(pixels: np.ndarray, times_s: np.ndarray, slots: np.ndarray) -> Frames:
    """Distinct frames as they were asked for."""
    if len(pixels) != len(slots) or (np.diff(slots) < 0).any():
        pixels, times_s = pixels[slots], times_s[slots]
    return Frames(pixels.transpose(0, 3, 1, 2), times_s)
