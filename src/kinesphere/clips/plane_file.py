"""Grey frames of a whole video in one small file: what flow and mask files are made of.

The planes of a frame (x and y of flow; the one of a mask) lie on top of one another in grey H.264 videos,
one for each segment of the frames, inside a zip beside facts about them. A file is read through once in each
process, then only the segments that are asked for. Random access costs the decoding from the key frame
before. Segments of short files stay decoded in memory, because training comes back to them in every epoch.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeVar
from zipfile import ZipInfo

import numpy as np
from cachetools import LRUCache, cached

from kinesphere.clips.geometry import Size
from kinesphere.clips.npz import BROKEN, BrokenArchive, entries_of, read_entry
from kinesphere.clips.sidecar import (
    CLOCK,
    check_orientation,
    damaged,
    named_video,
    plain_text,
    read_archive,
)
from kinesphere.clips.source import VideoSource
from kinesphere.core.content import State, settled_state
from kinesphere.core.errors import InvalidAnnotation, UnwritableVideo, VideoError
from kinesphere.core.files import replacing
from kinesphere.core.structured import parse_json
from kinesphere.video import Video, VideoWriter

VERSION = 2
SEGMENT = 96
"""Frames that are encoded together, apart from those before and after them: what is done of a long video can
be kept before all of it is."""
_RATE = 25  # of the inner video, whose clock means nothing
_KEY_FRAMES = 24
# Pixels that a frame may have: in any file, and more for each byte of it.
_SPARE_PIXELS = 4 * 2**20
_PIXELS_PER_BYTE = 32
_MOST_FACTS_BYTES = 2**20
# RGB pixels that are decoded at a time.
_AT_ONCE = 16 * 2**20
# Of decoded frames: the largest file whose segments are decoded as a whole, and what each process keeps of
# such.
_WHOLE_BYTES = 16 * 2**20
_KEPT_BYTES = 256 * 2**20
# Segments of files that each process knows the places of.
_KEPT_PLACES = 100_000

Facts = Mapping[str, str | float]


def encode(frames: Iterable[np.ndarray], *, size: Size, planes: int, quality: int) -> bytes:
    """A segment: at most `SEGMENT` frames as an H.264 video.

    Args:
        frames: uint8 `(planes, H, W)` each; at least one.
        size: `(H, W)` of a plane.
        planes: Per frame.
        quality: Constant rate factor.

    Raises:
        UnwritableVideo: If there is no frame or the encoder refuses.
    """
    tall = (planes * size[0], size[1])
    inner = io.BytesIO()
    with VideoWriter(inner, tall, _RATE, quality=quality, keyframe_interval=_KEY_FRAMES) as writer:
        for frame in frames:
            writer.write(np.repeat(frame.reshape(*tall, 1), 3, axis=2))
    return inner.getvalue()


def segments_of(frames: Iterable[np.ndarray]) -> Iterator[Iterator[np.ndarray]]:
    """Frames in runs of `SEGMENT`, each to be used up before the next one."""
    left = iter(frames)
    for first in left:
        yield chain([first], islice(left, SEGMENT - 1))


def write_planes(
    path: Path,
    kind: str,
    segments: Sequence[bytes],
    facts: Facts,
    *,
    count: int,
    size: Size,
    planes: int,
    of: Path | None = None,
) -> None:
    """Write a file of encoded segments; atomic.

    Args:
        path: Where to.
        kind: `"flow"` or `"mask"`.
        segments: Segments of `SEGMENT` frames each, the last one of the rest.
        facts: What else to keep.
        count: Frames in all.
        size: `(H, W)` of a plane.
        planes: Per frame.
        of: The video that they were taken from, if the file is to say so.

    Raises:
        UnwritableVideo: If there is no segment.
    """
    if not segments:
        raise UnwritableVideo(f"{path} would hold no frame; write at least one.")
    content = {
        "format": np.array(f"kinesphere {kind}"),
        # Whoever reads the first version looks for one segment.
        "version": np.array(1 if len(segments) == 1 else VERSION),
        "clock": np.array(CLOCK),
        "size": np.array(size, np.int32),
        "planes": np.array(planes),
        "count": np.array(count),
        "segment": np.array(SEGMENT),
        "facts": np.array(json.dumps(dict(facts))),
        **{_member(number): np.frombuffer(video, np.uint8) for number, video in enumerate(segments)},
        **named_video(of),
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **content)


def _member(number: int) -> str:
    return f"video_{number}" if number else "video"


@dataclass(frozen=True, eq=False)
class PlaneFile:
    """One file, its frames still encoded.

    Attributes:
        path: Where it lies.
        kind: `"flow"` or `"mask"`.
        size: `(H, W)` of a plane.
        planes: Per frame.
        count: Frames.
        facts: What the writer noted.
        segments: Where the encoded videos lie in the file.
        segment: Frames of each but the last.
        clock: How the video was read that they were made from (see `clips.archive.CLOCK`).
    """

    path: Path
    kind: str
    size: Size
    planes: int
    count: int
    facts: Facts
    segments: tuple[ZipInfo, ...]
    segment: int
    clock: int = CLOCK

    @classmethod
    def open(cls, path: Path, kind: str) -> PlaneFile:
        """Read a file; of one that this process knows and that has not changed since, nothing is read.

        Raises:
            InvalidAnnotation: If it is missing, empty, damaged, of another kind or of a newer version.
        """
        state = settled_state(path)
        with _LOCK:
            known = None if state is None else _KNOWN.get((state, kind))
        if known is not None:
            return replace(known, path=path)
        file = cls._read_through(path, kind)
        if state is not None and len(file.segments) <= _KEPT_PLACES:
            with _LOCK:
                _KNOWN[state, kind] = file
        return file

    @classmethod
    def _read_through(cls, path: Path, kind: str) -> PlaneFile:
        content = read_archive(path, kind, VERSION)
        try:
            height, width = (int(side) for side in content["size"])
            facts = parse_json(
                str(content["facts"]), f"{path} (its facts)", InvalidAnnotation, largest=_MOST_FACTS_BYTES
            )
            if not isinstance(facts, dict):
                raise ValueError("its facts are no table")
            count = int(content["count"])
            # The first version has one segment, however long.
            segment = int(content["segment"]) if int(content["version"]) > 1 else max(count, 1)
            if not 0 < segment <= max(count, 1) or not 0 < count <= sum(a.nbytes for a in content.values()):
                raise ValueError(f"{count} frames in segments of {segment}")
            entries = entries_of(path)
            videos = (entries[_member(number)] for number in range(math.ceil(count / segment)))
            file = cls(
                path,
                kind,
                (height, width),
                int(content["planes"]),
                count,
                facts,
                tuple(videos),
                segment,
                int(content.get("clock", 1)),
            )
        except BROKEN as error:
            raise damaged(path, kind, error) from error
        file._check()
        return file

    def _check(self) -> None:
        """Refuse what no writer of ours states: nothing, or more than the bytes make plausible."""
        pixels = self.planes * self.size[0] * self.size[1]
        held = sum(entry.file_size for entry in self.segments)
        if not (min(*self.size, self.planes, self.count) > 0 and self.count <= held):
            problem = f"{self.count} frames of {self.planes} times {self.size} in {held} bytes"
            raise damaged(self.path, self.kind, ValueError(problem))
        if pixels > (most := _SPARE_PIXELS + _PIXELS_PER_BYTE * held):
            problem = f"{pixels} pixels a frame, more than the {most} that {held} bytes may have"
            raise damaged(self.path, self.kind, ValueError(problem))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The planes of the numbered frames: uint8 `(n, planes, H, W)`.

        Raises:
            InvalidAnnotation: If the frames are damaged or fewer than the file says.
        """
        height, width = self.size
        rows = np.asarray(rows)
        if self.planes * height * width * self.count > _WHOLE_BYTES:
            return self._decode(rows)
        result = np.empty((len(rows), self.planes, height, width), np.uint8)
        numbers = rows // self.segment
        for number in np.unique(numbers).tolist():
            places = np.flatnonzero(numbers == number)
            result[places] = _decoded(self, number)[rows[places] - number * self.segment]
        return result

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        height, width = self.size
        result = np.empty((len(rows), self.planes * height, width), np.uint8)
        step = max(1, _AT_ONCE // (3 * self.planes * height * width))
        numbers = rows // self.segment
        try:
            for number in np.unique(numbers).tolist():
                places = np.flatnonzero(numbers == number)
                with self._video(number) as video:
                    for start in range(0, len(places), step):
                        part = places[start : start + step]
                        times = (rows[part] - number * self.segment + 0.5) / _RATE
                        images = np.asarray(video.frames_at(times).data)
                        # One channel: the other two are the same.
                        result[part] = images[:, 1, : self.planes * height, :width]
        except VideoError as error:
            raise damaged(self.path, self.kind, error) from error
        return result.reshape(len(rows), self.planes, height, width)

    def _video(self, number: int) -> Video:
        """The frames of a segment as a video, if they are as the file says."""
        try:
            data = read_entry(self.path, self.segments[number]).tobytes()
        except BrokenArchive as error:
            raise damaged(self.path, self.kind, error) from error
        if data[4:8] != b"ftyp":
            raise damaged(self.path, self.kind, ValueError("it holds no frames"))
        tall = (self.planes * self.size[0], self.size[1])
        video = Video.open(data, threads=1)
        try:
            # Odd sides are stored as even ones.
            if video.size != (tall[0] + tall[0] % 2, tall[1] + tall[1] % 2):
                problem = f"its frames are {video.size} pixels, not the {tall} that it says"
                raise damaged(self.path, self.kind, ValueError(problem))
            if len(video.frame_times()) != min(self.segment, self.count - number * self.segment):
                raise damaged(self.path, self.kind, ValueError("it lacks frames"))
        except BaseException:
            video.close()
            raise
        return video

    def fact(self, name: str) -> str | float:
        """One fact.

        Raises:
            InvalidAnnotation: If the file does not state it.
        """
        if name not in self.facts:
            raise InvalidAnnotation(f"{self.path} does not state its {name}; extract it again.")
        return self.facts[name]

    def text(self, name: str) -> str:
        """One fact that is a short text.

        Raises:
            InvalidAnnotation: If the file does not state it, or something else.
        """
        try:
            return plain_text(self.fact(name))
        except ValueError as error:
            raise damaged(self.path, self.kind, error) from error

    def number(self, name: str) -> float:
        """One fact that is a finite number.

        Raises:
            InvalidAnnotation: If the file does not state it, or something else.
        """
        try:
            value = float(self.fact(name))
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise InvalidAnnotation(f"{self.path} states no number as its {name}; extract it again.")
        return value


_KNOWN: LRUCache[tuple[State, str], PlaneFile] = LRUCache(
    _KEPT_PLACES, getsizeof=lambda file: len(file.segments)
)
_LOCK = Lock()


def _same(file: PlaneFile, number: int) -> tuple[Hashable, ...]:
    """The same for segments that hold the same: by position, length, checksum and what they should be."""
    entry = file.segments[number]
    where = str(file.path.absolute()), entry.header_offset, entry.file_size, entry.CRC
    return *where, file.size, file.planes, file.count, file.segment, number


@cached(LRUCache(_KEPT_BYTES, getsizeof=lambda planes: planes.nbytes), key=_same, lock=Lock())
def _decoded(file: PlaneFile, number: int) -> np.ndarray:
    """All planes of a segment of a short file; those decoded last stay in memory."""
    first = number * file.segment
    whole = file._decode(np.arange(first, min(first + file.segment, file.count)))
    whole.flags.writeable = False
    return whole


class MadeOfPlanes(Protocol):
    """What a modality makes of a file of planes."""

    @property
    def planes(self) -> PlaneFile: ...

    @property
    def frames(self) -> int: ...


M = TypeVar("M", bound=MadeOfPlanes)


def attached(content: M, video: VideoSource) -> M:
    """What a file holds, if it is of this video.

    Raises:
        InvalidAnnotation: If it is of another one, or that was shown another way up.
    """
    planes, frames = content.planes, content.frames
    check_orientation(f"{planes.path} holds the {planes.kind}", planes.clock, video)
    if frames != (found := len(video.frame_times())):
        raise InvalidAnnotation(
            f"{planes.path} holds the {planes.kind} of {frames} frames, but the video has {found}; it "
            "belongs to another video or another version of it. Extract it again."
        )
    return content
