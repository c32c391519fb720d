"""`FrameCache`: decoded, resized frames kept on disk, so that a video is decoded once.

Later epochs, other folds and other models of the same input size read frames instead of decoding
them. What is kept does not depend on sampling or augmentation, only on the video, the span and the
size; what comes out equals direct decoding bit for bit.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from cachetools import LRUCache

from kinesphere.core.closing import Closing
from kinesphere.core.errors import CacheFull, DamagedVideo, InvalidSetting
from kinesphere.core.files import OF_THE_DISK, unwritable, write_text
from kinesphere.core.structured import read_json
from kinesphere.data.cache.frame_file import DamagedFrameFile, FrameFile, frame_file_bytes, write_frame_file
from kinesphere.data.cache.index import Ledger
from kinesphere.video import Frames, Video
from kinesphere.video.frame_index import displayed

# Part of every key: bump when decoding or resizing changes the pixels it gives, or their times.
# 2: time 0 is the container's start; display matrices, thumbnails and wrong timestamps are seen through.
_PIXELS_VERSION = 2
_BLOCK_BYTES = 64 * 2**20
_QUIET_S = 30.0
# Of what is known of videos, by each process, and the least that one takes.
_FACTS_BYTES, _FACT_BYTES = 64 * 2**20, 1024

Size = tuple[int, int]


@dataclass(frozen=True)
class CacheUsage:
    """How many files of frames a cache holds, their bytes together and the bound on those."""

    entries: int
    used_bytes: int
    limit_bytes: int


class FrameCache:
    """A folder of decoded frames, bounded in size and safe for many processes at once.

    When it is full, the entries unused for longest go, but only those unused for `keep_s`: a
    data set larger than the cache then keeps a constant part of itself there, where dropping the
    oldest first would, in shuffled epochs, drop most files just before their next use.

    Args:
        folder: Where to keep the files; made if missing. Use a local disk.
        limit_bytes: Most bytes of frames to keep.
        keep_s: Entries used within this many seconds are not dropped for others.

    Raises:
        InvalidSetting: If the limit is not positive or the folder cannot be used.
        UnwritableFile: If the disk is full or takes no files.
    """

    def __init__(self, folder: str | Path, limit_bytes: int, *, keep_s: float = 3600.0) -> None:
        if limit_bytes <= 0 or keep_s < 0:
            raise InvalidSetting(
                f"A frame cache needs a positive limit in bytes; got {limit_bytes} (keep_s {keep_s})."
            )
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        self.keep_s = keep_s
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._ledger = Ledger(self.folder)
        except (OSError, sqlite3.Error) as error:
            if (number := _of_the_disk(error)) is not None:
                raise unwritable(self.folder, OSError(number, os.strerror(number))) from error
            raise InvalidSetting(
                f"Cannot write the frame cache {folder}: {error}; choose another."
            ) from error
        self._full_until_s = 0.0
        self._has_warned = False
        self._facts: LRUCache[Path, Facts] = LRUCache(_FACTS_BYTES, getsizeof=lambda facts: facts.nbytes)
        self._lock = Lock()

    def open(self, path: str | Path, span: tuple[float, float] | None = None) -> CachedVideo:
        """A stand-in for `Video.open(path)` that takes frames from the cache where it can.

        Args:
            path: A video file.
            span: Part of the video that will be asked for, in seconds; only its frames are kept.

        Raises:
            UnreadableVideo: If the video has to be opened and cannot be.
        """
        return CachedVideo(self, Path(path), span)

    def usage(self) -> CacheUsage:
        """How full the cache is."""
        entries, used_bytes = self._ledger.totals()
        return CacheUsage(entries, used_bytes, self.limit_bytes)

    def clear(self) -> None:
        """Delete every entry."""
        self._ledger.clear()
        with self._lock:
            self._facts.clear()

    def facts(self, path: Path, find: Callable[[], Facts]) -> Facts:
        """What is known of a video: from memory, else from a file, else found out and written.

        Args:
            path: The file; its name stands for the video as it is now.
            find: Opens the video.
        """
        with self._lock:
            known = self._facts.get(path)
        if known is not None:
            return known
        facts = Facts.read(path)
        if facts is None:
            facts = find()
            try:
                facts.write(path)
            except OSError as error:
                self._warn(f"writing failed ({error}); it is found out every time")
        if facts.nbytes <= _FACTS_BYTES:
            with self._lock:
                self._facts[path] = facts
        return facts

    def load(self, name: str) -> FrameFile | None:
        """The entry of this name, or None; a damaged one is deleted."""
        path = self._ledger.path(name)
        try:
            entry = FrameFile.open(path)
            os.utime(path)  # the clock of "least recently used"
        except FileNotFoundError:
            return None
        except DamagedFrameFile:
            self._ledger.drop(name)
            return None
        return entry

    def store(
        self,
        name: str,
        size: Size,
        count: int,
        blocks: Iterator[tuple[np.ndarray, np.ndarray]],
        damage: Callable[[], list[str]],
    ) -> FrameFile | None:
        """Write an entry if it fits and return it; warns once per process if it does not.

        Args:
            name: Name of the entry.
            size: `(H, W)` of the frames.
            count: Number of frames.
            blocks: Frames `(n, H, W, 3)` and times; consumed only if there is space.
            damage: Complaints of the decoder, asked for after the last block.
        """
        need = frame_file_bytes(count, size)
        if time.monotonic() < self._full_until_s:
            return None
        try:
            fits = self._ledger.reserve(name, need, self.limit_bytes, self.keep_s)
        except (OSError, sqlite3.Error) as error:
            self._warn(f"writing failed ({error}); frames are decoded every time")
            return None
        if not fits:
            if need <= self.limit_bytes:
                self._full_until_s = time.monotonic() + _QUIET_S
            self._warn(f"{need / 2**20:.0f} MiB of frames do not fit; the rest is decoded every time")
            return None
        path = self._ledger.path(name)
        try:
            write_frame_file(path, blocks, damage)
            self._ledger.confirm(name)
        except (OSError, sqlite3.Error) as error:
            self._give_up(name)
            self._warn(f"writing failed ({error}); frames are decoded every time")
            return None
        except BaseException:
            self._give_up(name)
            raise
        try:
            return FrameFile.open(path)
        except FileNotFoundError:  # another process needed its bytes already
            return None

    def _give_up(self, name: str) -> None:
        with suppress(
            OSError, sqlite3.Error
        ):  # a full disk may refuse this, too; the index adopts what it finds
            self._ledger.drop(name)

    def _warn(self, what: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            used_bytes = 0
            with suppress(OSError, sqlite3.Error):
                used_bytes = self._ledger.totals()[1]
            warnings.warn(
                CacheFull(
                    f"Frame cache {self.folder} ({used_bytes / 2**30:.2f} of "
                    f"{self.limit_bytes / 2**30:.2f} GiB used): {what}. Raise its limit if you can."
                ),
                stacklevel=4,
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "limit_bytes": self.limit_bytes, "keep_s": self.keep_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["limit_bytes"], keep_s=state["keep_s"])  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class Facts:
    """What a reader asks of a video before its pixels."""

    size: Size
    fps: Fraction
    duration_s: float
    tolerance_s: float
    mirrored: bool
    times: np.ndarray

    def __post_init__(self) -> None:
        self.times.flags.writeable = False  # all clips of a video share them

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return _FACT_BYTES + self.times.nbytes

    @classmethod
    def of(cls, video: Video) -> Self:
        times = video.frame_times()
        duration_s = video.duration_s
        assert duration_s is not None  # known with the frame times
        return cls(video.size, video.fps, duration_s, video.tolerance_s, video.mirrored, times)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The facts in a file, or None if it is missing or damaged."""
        try:
            plain = read_json(path, InvalidSetting)
            height, width = map(int, plain["size"])
            times = np.array(plain["times"], np.float64)
            over, _, under = str(plain["fps"]).partition("/")  # a text like 1e999999999 would never end
            facts = cls(
                (height, width),
                Fraction(int(over), int(under or 1)),
                float(plain["duration_s"]),
                float(plain["tolerance_s"]),
                bool(plain["mirrored"]),
                times,
            )
        except (InvalidSetting, ValueError, KeyError, TypeError, ArithmeticError):
            return None
        return facts if times.ndim == 1 and len(times) else None

    def write(self, path: Path) -> None:
        plain = vars(self) | {"fps": str(self.fps), "times": self.times.tolist()}
        write_text(path, json.dumps(plain))

    def rows(self, times_s: np.ndarray) -> np.ndarray:
        """Row of the frame that is displayed at each time."""
        return displayed(self.times, times_s, self.tolerance_s)

    def covers(self, times_s: np.ndarray) -> bool:
        """Whether all times lie in the video."""
        first_s, last_s = -self.tolerance_s, self.duration_s + self.tolerance_s
        return bool(((times_s >= first_s) & (times_s <= last_s)).all())


class CachedVideo(Closing):
    """What `Video` is to a reader of clips, with frames from a cache; made by `FrameCache.open`.

    The video itself is opened when something is asked for that the cache does not hold. Its attributes are
    those of a `Video`.

    Attributes:
        damage: What the decoder complained of, so far as frames have been asked for.
    """

    def __init__(self, cache: FrameCache, path: Path, span: tuple[float, float] | None) -> None:
        self.source = str(path)
        self.damage: list[str] = []
        self._cache = cache
        self._path = path
        self._span = span
        self._video: Video | None = None
        self._entries: dict[Size, FrameFile | None] = {}
        self._key = _identity(path)
        self._facts = facts = self._find_facts()
        self.size, self.fps, self.duration_s = facts.size, facts.fps, facts.duration_s
        self.tolerance_s, self.mirrored = facts.tolerance_s, facts.mirrored

    def frame_times(self) -> np.ndarray:
        """`(N,)` presentation times in seconds."""
        return self._facts.times

    def frames_at(self, times_s: Sequence[float] | np.ndarray, size: Size | None = None) -> Frames:
        """The frames shown at these times, as `Video.frames_at` gives them.

        At native size (`size=None`), outside the span, or where the cache has no space, they are
        decoded.
        """
        times = np.asarray(times_s, np.float64)
        if size is None or times.ndim != 1 or not len(times) or not self._facts.covers(times):
            return self._decode(times, size)
        first, last = self._kept_range()
        rows = self._facts.rows(times)
        if rows.min() < first or rows.max() >= last:
            return self._decode(times, size)
        if size not in self._entries:
            self._entries[size] = self._find_entry(size, first, last)
        entry = self._entries[size]
        if entry is None:
            return self._decode(times, size)
        self._tell_damage(entry.damage)
        rows -= first
        return Frames(entry.take(rows).transpose(0, 3, 1, 2), entry.times[rows])

    def close(self) -> None:
        """Release the video if it was opened."""
        self._entries.clear()
        if self._video is not None:
            self._video.close()
            self._video = None

    def _find_facts(self) -> Facts:
        path = self._cache.folder / self._key[:2] / f"{self._key}.json"
        return self._cache.facts(path, lambda: Facts.of(self._direct()))

    def _kept_range(self) -> tuple[int, int]:
        """Rows `[first, last)` of the frames that the span shows."""
        if self._span is None:
            return 0, len(self._facts.times)
        first, last = self._facts.rows(np.array(self._span))
        return int(first), int(last) + 1

    def _find_entry(self, size: Size, first: int, last: int) -> FrameFile | None:
        name = f"{self._key}-{size[0]}x{size[1]}-{first}-{last}"
        entry = self._cache.load(name)
        if entry is not None and len(entry.times) == last - first:
            return entry
        return self._cache.store(
            name, size, last - first, self._blocks(size, first, last), lambda: self.damage
        )

    def _blocks(self, size: Size, first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = max(1, _BLOCK_BYTES // (size[0] * size[1] * 3))
        for start in range(first, last, rows):
            frames = self._decode(self._facts.times[start : min(start + rows, last)], size)
            yield frames.data.transpose(0, 2, 3, 1), frames.times

    def _decode(self, times_s: np.ndarray, size: Size | None) -> Frames:
        video = self._direct()
        frames = video.frames_at(times_s, size=size)
        self.damage = video.damage
        return frames

    def _direct(self) -> Video:
        if self._video is None:
            self._video = Video.open(self._path)
        return self._video

    def _tell_damage(self, damage: tuple[str, ...]) -> None:
        if damage and not self.damage:
            self.damage = list(damage)
            warnings.warn(DamagedVideo(f"{self.source}: {damage[0]}"), stacklevel=3)


def _of_the_disk(error: Exception) -> int | None:
    """The system's number of an error that the disk gives and not the name of a folder; else None."""
    if isinstance(error, OSError):
        return error.errno if error.errno in OF_THE_DISK else None
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}.get(primary)


def _identity(path: Path) -> str:
    """Key of a video's content as far as the file system tells: path, size and time of change."""
    import av
    import cv2

    try:
        stat = path.stat()
        known = (str(path.absolute()), stat.st_size, stat.st_mtime_ns)
    except OSError:
        known = (str(path.absolute()), -1, -1)  # opening the video says what is wrong
    version = (_PIXELS_VERSION, av.__version__, cv2.__version__)
    return hashlib.sha256(repr((known, version)).encode("utf-8", "surrogateescape")).hexdigest()[:32]
