"""Chosen frames by the cheapest way: what to decode, from which key frame, on which core.

Frames that one key frame serves make a stretch. Several stretches are shared out among single-threaded
decoders, one per core; a single one is read by the video's own decoder, with frame threads where they help.
A thread converts what it decodes, and with nothing left to decode it converts for the others. Either way no
frame is decoded twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Lock

import av
import numpy as np

from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import conversion
from kinesphere.video.cursor import Cursor, Decoded, UnsafeKey
from kinesphere.video.frame_index import FrameIndex

# Decoders of their own cost a few milliseconds each, as much as this many small frames.
_SHARED_FROM_PACKETS = 48
# Frame threads keep about this fraction of the cores busy.
_FRAME_THREADING = 0.7
# Decoded frames that may wait for each thread that only converts.
_AHEAD = 8
# A thread is started in the time that few conversions take.
_HELPED_FROM_FRAMES = 4

# A decoded frame and where its pixels go, at each size that is wanted of it.
Job = tuple[av.VideoFrame, Sequence[np.ndarray]]


@dataclass
class Stretch:
    """Places in the list of wanted frames that are decoded in one go, from packet `key` to `last`."""

    key: int
    last: int
    places: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.last - self.key + 1


@dataclass(frozen=True, eq=False)
class _Wanted:
    """Displayed frames, ascending, with where their pixels and the ticks that were found go."""

    frame_index: FrameIndex
    frames: list[int]
    targets: Sequence[Sequence[np.ndarray]]
    found: np.ndarray


class _Converting:
    """Threads that decode and convert; one that has no more to decode converts for the others.

    Args:
        convert: Writes a frame's pixels.
        count: How many threads take part; each calls `work` once.
    """

    def __init__(self, convert: Callable[[av.VideoFrame, Sequence[np.ndarray]], None], count: int) -> None:
        self._convert = convert
        self._count = self._decoding = count
        self._lock = Lock()
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()

    def work(self, decoded: Iterator[Job]) -> None:
        """Decode and convert, then convert what others decode until none does."""
        try:
            for job in decoded:
                if self._waiting.qsize() < _AHEAD * (self._count - self._decoding):
                    self._waiting.put(job)
                else:
                    self._convert(*job)
        finally:
            with self._lock:
                self._decoding -= 1
                is_last = self._decoding == 0
            if is_last:
                for _ in range(self._count):
                    self._waiting.put(None)
        while (waiting := self._waiting.get()) is not None:
            self._convert(*waiting)


class Gatherer:
    """Decodes chosen frames of one video, straight to their size.

    Args:
        cursor: The video's own reader.
        rotation_deg: Rotation for display.
        mirrored: Whether left and right are exchanged before that.
    """

    def __init__(self, cursor: Cursor, rotation_deg: int, mirrored: bool) -> None:
        self._cursor = cursor
        self._convert = partial(_convert, rotation_deg=rotation_deg, mirrored=mirrored)
        self._helpers: list[Cursor] = []
        self._end = -1

    def close(self) -> None:
        """Free the helpers."""
        for helper in self._helpers:
            helper.close()

    def collect(
        self,
        frame_index: FrameIndex,
        wanted: list[int],
        targets: Sequence[Sequence[np.ndarray]],
        *,
        onward: bool = False,
    ) -> np.ndarray:
        """Decode displayed frames.

        Args:
            frame_index: Frame index of the video.
            wanted: Indices of the frames in order of display, ascending.
            targets: For each of them the arrays uint8 `(H, W, 3)`, of any sizes, to write RGB to.
            onward: Whether the next call asks for frames behind these: then one decoder goes through the
                video, and what it holds of the frames that follow is kept for that call.

        Returns:
            `(len(wanted),)` ticks of the frames that were found: a frame's own, or those of the last
            decodable one before it.
        """
        self._cursor.moves += 1
        chosen = _Wanted(frame_index, wanted, targets, np.empty(len(wanted), np.int64))
        stretches = _stretches(frame_index, wanted)
        if not onward and self._worth_sharing(stretches):
            self._share(chosen, _chunks(stretches, 4 * self._cursor.threads))
        else:
            self._read_through(chosen, stretches, onward=onward)
        return chosen.found

    def _worth_sharing(self, stretches: list[Stretch]) -> bool:
        cores = max(1, self._cursor.threads - 1)
        total = sum(map(len, stretches))
        if self._cursor.threads == 1 or len(stretches) < 2 or total < _SHARED_FROM_PACKETS:
            return False
        read_through = _FRAME_THREADING * cores if self._cursor.has_frame_threads else 1.0
        return total / max(max(map(len, stretches)), total / cores) >= read_through

    def _share(self, chosen: _Wanted, stretches: list[Stretch]) -> None:
        waiting = deque(sorted(stretches, key=len, reverse=True))
        idle = deque(self._helpers)

        def decoded() -> Iterator[Job]:
            helper = idle.popleft() if idle else self._new_helper()
            while waiting:
                try:
                    stretch = waiting.popleft()
                except IndexError:  # another decoder was faster
                    return
                frames = [chosen.frames[i] for i in stretch.places]
                read = self._read(helper, chosen.frame_index, frames, drain=True)
                yield from _jobs(chosen, zip(stretch.places, read, strict=True))

        self._convert_all([decoded() for _ in range(min(len(stretches), max(2, self._cursor.threads - 1)))])

    def _new_helper(self) -> Cursor:
        main = self._cursor
        helper = Cursor(main.source, main.patience.timeout_s, 1, main.damage, stream=main.stream.index)
        helper.frame_index = main.frame_index
        self._helpers.append(helper)
        return helper

    def _read_through(self, chosen: _Wanted, stretches: list[Stretch], *, onward: bool) -> None:
        decoded = _jobs(chosen, self._in_order(chosen, stretches, onward=onward))
        helps = self._cursor.threads > 1 and len(chosen.frames) >= _HELPED_FROM_FRAMES
        self._convert_all([decoded, iter(())] if helps else [decoded])

    def _convert_all(self, decoding: list[Iterator[Job]]) -> None:
        """Decode and convert with one thread for each of `decoding`, this one among them."""
        if len(decoding) == 1:
            for frame, targets in decoding[0]:
                self._convert(frame, targets)
            return
        shared = _Converting(self._convert, len(decoding))
        with ThreadPoolExecutor(len(decoding) - 1) as pool:
            others = [pool.submit(shared.work, decoded) for decoded in decoding[1:]]
            shared.work(decoding[0])
            for other in others:
                other.result()

    def _in_order(
        self, chosen: _Wanted, stretches: list[Stretch], *, onward: bool
    ) -> Iterator[tuple[int, Decoded]]:
        """The wanted frames with their places, through the video's own cursor."""
        stretches = _joined(stretches, self._cursor.threads + 1)
        # Whoever asked for the frames that follow will go on; only then is decoding ahead no waste.
        goes_on = onward or (self._end < stretches[0].last and stretches[0].key <= self._end + 1)
        self._end = stretches[-1].last
        for stretch in stretches:
            drain = chosen.frame_index.clock != "index" and not (goes_on and stretch is stretches[-1])
            frames = [chosen.frames[i] for i in stretch.places]
            read = self._read(self._cursor, chosen.frame_index, frames, drain=drain)
            yield from zip(stretch.places, read, strict=True)

    def _read(
        self, cursor: Cursor, frame_index: FrameIndex, frames: list[int], *, drain: bool
    ) -> Iterator[Decoded]:
        """For each displayed frame its pixels, or the last decodable one before it."""
        ticks = frame_index.ticks[frames].tolist()
        last = int(frame_index.decode_index[frames].max())
        key = frame_index.key_before(frames[0])
        done = 0
        moved = not cursor.reaches(key, int(frame_index.decode_index[frames[0]]), ticks)
        while done < len(ticks):
            if moved:
                cursor.start(key)
            before: Decoded | None = None
            try:
                for tick, frame in cursor.read(frozenset(ticks), last if drain else None):
                    while done < len(ticks) and ticks[done] < tick:
                        if before is None:
                            raise UnsafeKey
                        yield before
                        done += 1
                    before = (tick, frame)
                    if done < len(ticks) and ticks[done] == tick:
                        yield before
                        done += 1
                    if done == len(ticks):
                        return
                if before is None:
                    raise UnsafeKey
                yield from [before] * (len(ticks) - done)
                return
            except UnsafeKey:
                key = self._step_back(frame_index, key, frames[done]) if moved else key
                moved = True

    def _step_back(self, frame_index: FrameIndex, key: int, frame: int) -> int:
        """An earlier key frame to reach `frame` from, after `key` failed."""
        if key == 0:
            damage = self._cursor.damage
            raise UnreadableVideo(
                f"{damage.source} has no decodable frame at {frame_index.times_s[frame]:.3f} s or before; "
                f"it is damaged: {'; '.join(damage.messages())}."
            )
        frame_index.distrust(key)
        return frame_index.key_before(frame)


def _jobs(chosen: _Wanted, found: Iterable[tuple[int, Decoded]]) -> Iterator[Job]:
    """Decoded frames with where their pixels go; their ticks are noted."""
    for i, (tick, frame) in found:
        chosen.found[i] = tick
        yield frame, chosen.targets[i]


def _convert(
    frame: av.VideoFrame, targets: Sequence[np.ndarray], *, rotation_deg: int, mirrored: bool
) -> None:
    for pixels in targets:
        height, width = pixels.shape[:2]
        conversion.rgb(frame, (height, width), rotation_deg, pixels, mirrored=mirrored)


def _stretches(frame_index: FrameIndex, wanted: list[int]) -> list[Stretch]:
    """One stretch for each key frame that is needed."""
    stretches: list[Stretch] = []
    for place, (frame, last) in enumerate(
        zip(wanted, frame_index.decode_index[wanted].tolist(), strict=True)
    ):
        key = frame_index.key_before(frame)
        if not stretches or stretches[-1].key != key:
            stretches.append(Stretch(key, last))
        stretches[-1].places.append(place)
        stretches[-1].last = max(stretches[-1].last, last)
    return stretches


def _chunks(stretches: list[Stretch], count: int) -> list[Stretch]:
    """Join neighbours until about `count` chunks remain, to save seeks."""
    enough = sum(map(len, stretches)) // count
    chunks: list[Stretch] = []
    for stretch in stretches:
        if chunks and len(chunks[-1]) < enough and stretch.key <= chunks[-1].last + 1:
            _extend(chunks[-1], stretch)
        else:
            chunks.append(Stretch(stretch.key, stretch.last, list(stretch.places)))
    return chunks


def _joined(stretches: list[Stretch], gap: int) -> list[Stretch]:
    """Join stretches between which seeking would cost more than decoding through."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and stretch.key <= joined[-1].last + gap:
            _extend(joined[-1], stretch)
        else:
            joined.append(stretch)
    return joined


def _extend(stretch: Stretch, by: Stretch) -> None:
    stretch.places += by.places
    stretch.last = max(stretch.last, by.last)
