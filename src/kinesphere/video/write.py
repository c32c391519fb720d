"""`VideoWriter`: H.264 and VP9 files from RGB frames."""

from __future__ import annotations

import contextlib
import io
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Literal, Self, get_args

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from kinesphere.core.errors import InvalidSetting, UnwritableFile, UnwritableVideo, UnwritableVideoFile
from kinesphere.core.files import OF_THE_DISK, Scratch, unwritable

Codec = Literal["h264", "vp9"]
Preset = Literal["veryfast", "ultrafast"]

_ENCODERS = {"h264": "libx264", "vp9": "libvpx-vp9"}
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# Unit of times of their own that frames may have: that of broadcasts, in which usual rates are whole numbers.
_TICK = Fraction(1, 90_000)
_PRESETS = get_args(Preset)
# Visually clean at the encoders' own scales (libx264's default 23; libvpx recommends 31 for 480p to 720p).
_QUALITY = {"h264": 23, "vp9": 31}
# Without `cpu-independent`, x264's macroblock-tree arithmetic varies from run to run on small frames.
_SPEED = {
    "h264": {"x264-params": "cpu-independent=1"},
    "vp9": {"deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
}


class VideoWriter:
    """Writes a video; the file appears under its name, complete, when the writer closes.

    Until then it grows in a hidden folder beside it, which disappears if writing fails or an
    exception leaves the `with` block. H.264 stores even sizes only: an odd width or height is made even
    by repeating the last column or row.

    Args:
        path: `.mp4`, `.m4v`, `.mov`, `.mkv`, or for VP9 also `.webm`; or memory, for an MP4 there.
        size: `(H, W)` in pixels of the frames.
        fps: Frames per second.
        codec: `"h264"` or `"vp9"`.
        quality: Constant rate factor; less is better and larger: 0-51 for H.264 (default 23), 0-63 for
            VP9 (default 31).
        keyframe_interval: Longest distance of key frames, in frames; by default the encoder's.
        threads: Encoder threads; by default the encoder's choice.
        preset: What libx264 calls its trade of time for size: `"ultrafast"` takes half the time of
            `"veryfast"` for a file twice as large. For H.264 alone.

    Raises:
        InvalidSetting: If size, rate, quality, codec or suffix cannot work.
        UnwritableVideo: If the folder is missing or not writable, or the encoder refuses.
    """

    def __init__(
        self,
        path: str | Path | io.BytesIO,
        size: tuple[int, int],
        fps: float | Fraction,
        codec: Codec = "h264",
        *,
        quality: int | None = None,
        keyframe_interval: int | None = None,
        threads: int | None = None,
        preset: Preset = "veryfast",
    ) -> None:
        self.path = Path("video.mp4") if isinstance(path, io.BytesIO) else Path(path)
        self.size = size
        self.frame_count = 0
        self._open = True
        self._timed: bool | None = None
        self._last_ticks = -1
        _check(self.path, size, fps, codec, quality, preset)
        self._fps = Fraction(fps)
        self._stored = tuple(n + n % 2 for n in size) if codec == "h264" else size
        options = {**_SPEED[codec], "crf": str(_QUALITY[codec] if quality is None else quality)}
        if codec == "vp9":
            options["b"] = "0"
        else:
            options["preset"] = preset
        self._scratch = None if isinstance(path, io.BytesIO) else self._beside()
        target = path if self._scratch is None else str(self._scratch.path)
        try:
            self._container = av.open(target, "w", format=_FORMATS[self.path.suffix.lower()])
        except BaseException as error:
            self._discard()
            if isinstance(error, OSError):
                raise UnwritableVideoFile(str(unwritable(self.path, error))) from error
            raise
        try:
            self._stream = self._add_stream(codec, Fraction(fps), options, keyframe_interval, threads)
        except BaseException:
            self.abandon()
            raise

    def _beside(self) -> Scratch:
        if not os.access(self.path.parent, os.W_OK):
            raise UnwritableVideoFile(
                f"{self.path} cannot be written; check that the folder exists and is writable."
            )
        try:
            return Scratch(self.path)
        except UnwritableFile as error:
            raise UnwritableVideoFile(str(error)) from error

    def _discard(self) -> None:
        if self._scratch is not None:
            self._scratch.discard()

    def _add_stream(
        self,
        codec: Codec,
        fps: Fraction,
        options: dict[str, str],
        keyframe_interval: int | None,
        threads: int | None,
    ) -> VideoStream:
        try:
            stream = self._container.add_stream(
                _ENCODERS[codec], rate=fps.limit_denominator(60_000), options=options
            )
        except (av.FFmpegError, ValueError) as error:
            raise UnwritableVideo(f"No {codec} encoder works here ({error}); try the other codec.") from error
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = self._stored
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
        if keyframe_interval is not None:
            context.gop_size = keyframe_interval
        if threads is not None:
            context.thread_count = threads
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, frame: np.ndarray, time_s: float | None = None) -> None:
        """Append a frame.

        Args:
            frame: uint8 RGB, `(H, W, 3)` or `(3, H, W)`.
            time_s: When it is displayed, from 0 on, kept to 1/90 000 s (Matroska: 1/1000 s): for frames that
                come at no constant rate. By default they follow each other at `fps`.

        Raises:
            InvalidSetting: If its shape or type is another, if the time is not later than the frame's before,
                or if only some frames of a video have times.
            UnwritableVideo: If the encoder or the disk refuses.
        """
        if frame.shape == (3, *self.size):
            frame = frame.transpose(1, 2, 0)
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise InvalidSetting(
                f"{self.path.name} takes uint8 frames of shape {(*self.size, 3)} or {(3, *self.size)}; "
                f"got {frame.dtype} {frame.shape}."
            )
        extra = [(0, stored - given) for stored, given in zip(self._stored, self.size, strict=True)]
        if any(after for _, after in extra):
            frame = np.pad(frame, [*extra, (0, 0)], mode="edge")
        packed = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        packed = packed.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
        )
        packed.pts = None
        self._place(packed, time_s)
        self._encode(packed)
        self.frame_count += 1

    def _place(self, packed: av.VideoFrame, time_s: float | None) -> None:
        """Give a frame its time, where frames have times of their own."""
        if self._timed is None:
            self._timed = time_s is not None
            if self._timed:
                self._stream.codec_context.time_base = _TICK
        if self._timed != (time_s is not None):
            raise InvalidSetting(f"{self.path.name} takes a time for every frame or for none.")
        if time_s is None:
            return
        ticks = round(time_s / _TICK) if math.isfinite(time_s) else -1
        if ticks <= self._last_ticks:
            raise InvalidSetting(
                f"{self.path.name} takes frames at growing times from 0 s on; got {time_s} s after "
                f"{max(self._last_ticks, 0) * float(_TICK):.6g} s."
            )
        packed.pts, packed.time_base = ticks, _TICK
        # The last frame's is displayed for as long as the rate says; players take the others' from the next.
        packed.duration = round(1 / (self._fps * _TICK))
        self._last_ticks = ticks

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            UnwritableVideo: If no frame was written, or the disk refuses.
        """
        if not self._open:
            return
        if not self.frame_count:
            self.abandon()
            raise UnwritableVideo(f"{self.path} would hold no frame; write at least one.")
        self._encode(None)
        try:
            self._container.close()
            if self._scratch is not None:
                self._scratch.commit()
            self._open = False
        except (av.FFmpegError, OSError) as error:
            self.abandon()
            raise self._refusal("finished", error) from error

    def _encode(self, frame: av.VideoFrame | None) -> None:
        if not self._open:
            raise InvalidSetting(f"{self.path.name} is closed; open a new writer.")
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError, ValueError) as error:
            self.abandon()
            raise self._refusal("written on", error) from error

    def _refusal(self, what: str, error: Exception) -> UnwritableVideo:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            return UnwritableVideoFile(str(unwritable(self.path, error)))
        return UnwritableVideo(f"{self.path} cannot be {what} ({error}); check the disk.")

    def abandon(self) -> None:
        """Remove what was written; a file that was there before stays."""
        self._open = False
        # The half-written file goes away in any case.
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._discard()


def _check(
    path: Path, size: tuple[int, int], fps: float | Fraction, codec: str, quality: int | None, preset: str
) -> None:
    suffix = path.suffix.lower()
    if codec not in _ENCODERS:
        raise InvalidSetting(f"Videos are written as {' or '.join(_ENCODERS)}; got {codec!r}.")
    if suffix not in _FORMATS or (suffix == ".webm" and codec != "vp9"):
        known = ", ".join(s for s in _FORMATS if s != ".webm" or codec == "vp9")
        raise InvalidSetting(f"A {codec} video ends in {known}; got {path.name!r}.")
    if preset not in _PRESETS or (codec != "h264" and preset != _PRESETS[0]):
        raise InvalidSetting(f"The preset of an H.264 video is {' or '.join(_PRESETS)}; got {preset!r}.")
    if min(size) < 2 or max(size) > 16384:
        raise InvalidSetting(f"A video's size is (H, W) from 2 to 16384 pixels; got {size}.")
    if not 0 < fps <= 1000:
        raise InvalidSetting(f"fps must be in (0, 1000]; got {fps}.")
    if quality is not None and not 0 <= quality <= (51 if codec == "h264" else 63):
        raise InvalidSetting(f"quality must be in 0-51 for H.264 or 0-63 for VP9; got {quality}.")
