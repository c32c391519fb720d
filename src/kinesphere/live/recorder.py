"""`Recorder`: a video of each alarm, from before it to after it."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinesphere.core.errors import InvalidSetting, UnwritableFile, VideoError
from kinesphere.core.files import check_place, make_folder, sweep, write_text
from kinesphere.live.alarms import Alarm
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.video import VideoWriter

log = logging.getLogger("kinesphere")

_ROUNDING_S = 1e-6
# Frames that are shown for the last time have a duration too: that of this rate.
_NOMINAL_FPS = 25
# Of frames on their way into memory, uncompressed.
_INBOX_BYTES = 128 << 20
_JPEG_QUALITY = 92
_KEY_FRAMES = 50
_JOIN_S = 60.0
# A source that is silent may be late; a clip waits this much longer for it.
_GRACE_S = 1.0


@dataclass(frozen=True)
class RecorderSettings:
    """What a clip holds, and how much memory waits for alarms.

    Attributes:
        folder: Where clips go; made if needed.
        before_s: Seconds before the alarm.
        after_s: Seconds after it.
        lag_s: How much later than its frame an alarm may come; frames are kept, and clips left open, for that
            much longer.
        longest_s: A clip is not extended by further alarms beyond this length.
        memory_bytes: Most bytes of kept frames, compressed as JPEG.
        patient: Let the source wait instead of missing frames; for files that are read as fast as possible.

    Raises:
        InvalidSetting: If a value cannot work.
    """

    folder: Path
    before_s: float = 5.0
    after_s: float = 5.0
    lag_s: float = 3.0
    longest_s: float = 300.0
    memory_bytes: int = 256 << 20
    patient: bool = False

    def __post_init__(self) -> None:
        spans = (self.before_s, self.after_s, self.lag_s)
        if not all(0 <= seconds < math.inf for seconds in spans) or not math.isfinite(self.longest_s):
            raise InvalidSetting(
                "A clip holds seconds before and after an alarm, which may come some seconds late, from 0 "
                f"on; got {self.before_s}, {self.after_s} and {self.lag_s}."
            )
        if self.longest_s < self.before_s + self.after_s:
            raise InvalidSetting(
                f"A clip of {self.before_s:g} s before and {self.after_s:g} s after an alarm is longer than "
                f"the longest, {self.longest_s:g} s; raise longest_s."
            )
        if self.memory_bytes < 1 << 20:
            raise InvalidSetting(f"Frames need 1 MiB of memory or more; got {self.memory_bytes} bytes.")


@dataclass(frozen=True)
class RecorderCounts:
    """What became of frames and clips so far.

    Attributes:
        clips: Files written.
        failed: Clips given up because the disk or the encoder refused.
        incomplete: Clips that lack frames of their span; `NAME.json` says which.
        missed: Frames not kept because the recorder did not keep up.
        problem: Why the newest clip failed; empty if it did not.
    """

    clips: int = 0
    failed: int = 0
    incomplete: int = 0
    missed: int = 0
    problem: str = ""


@dataclass(frozen=True)
class _Kept:
    """A frame in memory."""

    number: int
    time_s: float
    size: tuple[int, int]
    jpeg: np.ndarray

    def pixels(self) -> np.ndarray:
        """uint8 RGB `(H, W, 3)`."""
        image = cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR)
        assert image is not None  # it was encoded here
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


class Recorder:
    """Keeps the newest frames in memory and writes those around each alarm.

    A clip holds every frame whose time lies from `before_s` before the alarm's frame to `after_s` after it,
    at the times that they had in the stream. An alarm that comes before a clip ends extends it, up to
    `longest_s`; a later one has a clip of its own, which may begin with frames that the one before ends with.
    When the size of the frames changes, the clip ends and another goes on. `NAME.json` beside `NAME.mp4` says
    which frames and alarms it holds, and what is missing. Files appear whole or not at all.

    All work is done on a thread of its own; whoever tells of a frame never waits.

    Args:
        settings: What a clip holds.

    Raises:
        UnwritableFile: If the folder takes no files.
    """

    def __init__(self, settings: RecorderSettings) -> None:
        make_folder(settings.folder)
        check_place(settings.folder)
        sweep(settings.folder)
        self.settings = settings
        self._changed = threading.Condition()
        self._inbox: deque[LiveFrame | Alarm] = deque()
        self._inbox_bytes = 0
        self._closing = False
        self._broken: BaseException | None = None
        self._clips = self._failed = self._incomplete = self._missed = 0
        self._problem = ""
        self._kept = _Memory(settings)
        self._open: list[_Clip] = []
        self._newest_s = -math.inf
        self._arrived_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> RecorderCounts:
        """What became of frames and clips so far."""
        with self._changed:
            return RecorderCounts(self._clips, self._failed, self._incomplete, self._missed, self._problem)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the frames that wait for an alarm."""
        return self._kept.bytes

    def frame(self, frame: LiveFrame) -> None:
        """See `FrameObserver.frame`."""
        with self._changed:
            while self.settings.patient and self._is_full(frame) and self._broken is None:
                self._changed.wait(0.2)
            self._raise_if_broken()
            if self._is_full(frame):
                self._missed += 1
                return
            self._inbox.append(frame)
            self._inbox_bytes += frame.pixels.nbytes
            self._changed.notify_all()

    def alarm(self, alarm: Alarm) -> None:
        """See `AlarmReceiver.alarm`."""
        with self._changed:
            self._raise_if_broken()
            if self._closing:
                self._failed += 1
                self._problem = f"the alarm {alarm.name!r} came when nothing was recorded any more"
                return
            self._inbox.append(alarm)
            self._changed.notify_all()

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver.result`."""

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver.incident`: a clip goes on over a gap, and ends in time if nothing comes back."""

    def close(self) -> None:
        """Write what belongs to open clips and end; may be called again."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_JOIN_S)

    def _is_full(self, frame: LiveFrame) -> bool:
        return self._inbox_bytes > 0 and self._inbox_bytes + frame.pixels.nbytes > _INBOX_BYTES

    def _raise_if_broken(self) -> None:
        """What goes wrong on the recorder's thread and is none of what we know ends the watching."""
        if self._broken is not None:
            raise self._broken

    def _run(self) -> None:
        try:
            self._record()
        except BaseException as error:
            self._broken = error

    def _record(self) -> None:
        """Keep what comes; write when nothing comes, or before memory is full of what is to be written."""
        over = False
        while not over:
            item, over = self._next()
            if isinstance(item, LiveFrame):
                self._keep(item)
            elif item is not None:
                self._begin(item)
            if item is None or self._kept.is_half_full:
                self._write()
        while self._is_behind():
            self._write()
        for clip in list(self._open):
            self._end(clip)

    def _next(self) -> tuple[LiveFrame | Alarm | None, bool]:
        """What came next, or None if nothing did for a while; and whether that was all."""
        waits = not self._is_behind()
        with self._changed:
            if waits and not self._inbox and not self._closing:
                self._changed.wait(0.2 if self._open else None)
            if not self._inbox:
                return None, self._closing
            item = self._inbox.popleft()
            if isinstance(item, LiveFrame):
                self._inbox_bytes -= item.pixels.nbytes
                self._changed.notify_all()
            return item, False

    def _is_behind(self) -> bool:
        """Whether a clip has frames to write that are in memory already."""
        return any(self._kept.following(clip) is not None for clip in self._open)

    def _keep(self, frame: LiveFrame) -> None:
        _, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        needed = min((clip.written for clip in self._open), default=frame.number)
        self._kept.add(_Kept(frame.number, frame.time_s, frame.size, jpeg), needed)
        self._newest_s, self._arrived_s = frame.time_s, time.monotonic()

    def _begin(self, alarm: Alarm) -> None:
        """Let an alarm extend the clip that it lies in, or begin one of its own."""
        end_s = alarm.time_s + self.settings.after_s
        for clip in self._open:
            if clip.start_s <= alarm.time_s <= clip.end_s and end_s - clip.start_s <= self.settings.longest_s:
                clip.alarms.append(alarm)
                clip.end_s = max(clip.end_s, end_s)
                return
        start_s = alarm.time_s - self.settings.before_s
        first = self._kept.first_from(start_s)
        clip = _Clip(self._path(alarm.key), start_s, end_s, first - 1, [alarm])
        clip.incomplete = self._kept.forgot_from(start_s)
        self._open.append(clip)

    def _path(self, key: str) -> Path:
        path, number = self.settings.folder / f"{key}.mp4", 1
        taken = {clip.path for clip in self._open}
        while path.exists() or path in taken:
            number += 1
            path = self.settings.folder / f"{key}-{number}.mp4"
        return path

    def _write(self) -> None:
        """Give each open clip its next frame, and end those that have all of theirs."""
        waited_s = time.monotonic() - self._arrived_s
        for clip in list(self._open):
            kept = self._kept.following(clip)
            if kept is not None:
                self._append(clip, kept)
                continue
            over_s = clip.end_s + self.settings.lag_s
            if self._newest_s > over_s or self._newest_s + waited_s > over_s + _GRACE_S:
                self._end(clip)

    def _append(self, clip: _Clip, kept: _Kept) -> None:
        try:
            if clip.size in (None, kept.size):
                clip.write(kept)
            else:
                self._go_on_with(clip, kept)
        except (VideoError, UnwritableFile) as error:
            self._give_up(clip, error)

    def _go_on_with(self, clip: _Clip, kept: _Kept) -> None:
        """End a clip where the size of the frames changes, and begin another with the rest of its span."""
        clip.incomplete = True
        self._end(clip)
        rest = _Clip(self._path(clip.path.stem), clip.start_s, clip.end_s, clip.written, list(clip.alarms))
        rest.incomplete = True
        self._open.append(rest)

    def _end(self, clip: _Clip) -> None:
        self._open.remove(clip)
        clip.incomplete |= self._newest_s < clip.end_s - _ROUNDING_S
        try:
            clip.finish()
        except (VideoError, UnwritableFile) as error:
            self._count_failure(clip, error)
            return
        with self._changed:
            self._clips += 1
            self._incomplete += clip.incomplete
            self._problem = ""

    def _give_up(self, clip: _Clip, error: Exception) -> None:
        self._open.remove(clip)
        clip.abandon()
        self._count_failure(clip, error)

    def _count_failure(self, clip: _Clip, error: Exception) -> None:
        log.warning("The clip of the alarm %r is not whole: %s", clip.alarms[0].name, error)
        with self._changed:
            self._failed += 1
            self._problem = str(error)


class _Memory:
    """The newest frames: those that an alarm may ask for yet, within a bound of bytes."""

    def __init__(self, settings: RecorderSettings) -> None:
        self._span_s = settings.before_s + settings.lag_s
        self._most_bytes = settings.memory_bytes
        self._frames: deque[_Kept] = deque()
        self.bytes = 0
        self._forgotten_s = -math.inf

    def add(self, kept: _Kept, needed: int) -> None:
        """Keep a frame, and forget old ones up to number `needed`; beyond the bound of bytes, any."""
        self._frames.append(kept)
        self.bytes += kept.jpeg.nbytes
        while len(self._frames) > 1 and (
            self.bytes > self._most_bytes
            or (self._frames[0].time_s < kept.time_s - self._span_s and self._frames[0].number <= needed)
        ):
            gone = self._frames.popleft()
            self.bytes -= gone.jpeg.nbytes
            self._forgotten_s = gone.time_s

    def first_from(self, start_s: float) -> int:
        """Number of the first frame that is not before a time; of the next to come if there is none."""
        found = next((kept for kept in self._frames if kept.time_s >= start_s - _ROUNDING_S), None)
        return found.number if found else (self._frames[-1].number + 1 if self._frames else 0)

    def forgot_from(self, start_s: float) -> bool:
        """Whether a frame that is not before a time is gone."""
        return self._forgotten_s >= start_s - _ROUNDING_S

    def following(self, clip: _Clip) -> _Kept | None:
        """The frame that a clip is to be given next, if it is here."""
        frames, written = self._frames, clip.written
        if not frames or frames[-1].number <= written:
            return None
        # Without gaps in the numbers this is the place; with gaps it is further left.
        place = min(max(0, written + 1 - frames[0].number), len(frames) - 1)
        while place > 0 and frames[place - 1].number > written:
            place -= 1
        return frames[place] if frames[place].time_s <= clip.end_s + _ROUNDING_S else None

    @property
    def is_half_full(self) -> bool:
        """Whether half of the bytes are used."""
        return 2 * self.bytes > self._most_bytes


@dataclass
class _Clip:
    """A file in the making."""

    path: Path
    start_s: float
    end_s: float
    written: int
    """Number of the newest frame in it, or of the one before its first."""
    alarms: list[Alarm]
    incomplete: bool = False
    _writer: VideoWriter | None = None
    _first: _Kept | None = None
    _last_s: float = 0.0
    _frames: int = 0

    def __post_init__(self) -> None:
        self._missing: list[int] = []

    @property
    def size(self) -> tuple[int, int] | None:
        """`(H, W)` of its frames, once there is one."""
        return None if self._first is None else self._first.size

    def write(self, kept: _Kept) -> None:
        """Append a frame."""
        if self._writer is None or self._first is None:
            self._writer = VideoWriter(
                self.path,
                kept.size,
                _NOMINAL_FPS,
                keyframe_interval=_KEY_FRAMES,
                threads=1,
                preset="ultrafast",  # the model needs the processor more
            )
            self._first = kept
        else:
            missing = range(self.written + 1, kept.number)
            self._missing.extend(missing)
            self.incomplete |= bool(missing)
        self._writer.write(kept.pixels(), kept.time_s - self._first.time_s)
        self.written, self._last_s = kept.number, kept.time_s
        self._frames += 1

    def finish(self) -> None:
        """Close the file and write what is known of it beside it."""
        if self._writer is None:
            raise UnwritableFile(f"{self.path} would hold no frame: none came between its start and its end.")
        self._writer.close()
        write_text(
            self.path.with_suffix(".json"), json.dumps(self._to_json(), ensure_ascii=False, indent=2) + "\n"
        )

    def abandon(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.abandon()

    def _to_json(self) -> dict[str, Any]:
        assert self._first is not None
        begin_s = self._first.time_s
        return {
            "clip": self.path.name,
            "first_frame": self._first.number,
            "last_frame": self.written,
            "frames": self._frames,
            "missing": self._missing,
            "start": round(begin_s, 6),
            "end": round(self._last_s, 6),
            "incomplete": self.incomplete,
            "alarms": [{**alarm.to_json(), "at": round(alarm.time_s - begin_s, 6)} for alarm in self.alarms],
        }
