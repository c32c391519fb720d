"""The exact times of all frames and the places to start decoding, from packets alone.

Nothing is decoded here. Where a container stores presentation times, they count (`pts`), unless they
contradict one another (see `repair`); AVI stores none, so its decoding order counts (`dts`), where the
frame that comes out of the decoder with packet n is the one shown at n; where both are missing, frames are
counted (`index`). Time 0 is where the container starts, video or sound, as every player counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from operator import add
from typing import Literal

import av
import numpy as np
from av.container import Container, InputContainer
from av.packet import Packet as AVPacket
from av.video.stream import VideoStream

from kinesphere.core.errors import UnreadableVideo
from kinesphere.video import repair
from kinesphere.video.damage import Damage, Patience

Clock = Literal["pts", "dts", "index"]

MAX_FRAMES = 10_000_000
# No frame for longer is worth a word.
LONG_GAP_S = 600.0
# Containers whose clock may be set anew within a file.
_BROADCAST = {"mpegts", "mpeg"}
# Codecs that show frames in the order in which they are decoded.
_IN_ORDER = {
    "vp8", "vp9", "av1", "libdav1d", "libaom-av1", "mjpeg", "mjpegb", "ffv1", "prores", "dnxhd", "rawvideo",
    "huffyuv", "ffvhuff", "utvideo", "png", "apng", "gif", "qtrle", "dvvideo", "theora", "cfhd", "magicyuv",
}  # fmt: skip
# A container's start is known to the microsecond.
_START_ERROR_S = 2e-6
# Slowest medium that a scan waits for; a scan that is slower than this stops making progress.
_SLOWEST_BYTES_PER_S = 10e6
# Decoders whose output delay is fixed by the stream header, so that counting by dts survives a seek.
_FIXED_DELAY = {
    "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3", "h263", "flv1", "wmv1", "wmv2",
    "mjpeg", "rawvideo", "ffv1", "huffyuv", "ffvhuff", "dvvideo", "png", "qtrle", "utvideo",
}  # fmt: skip
_SMALLEST_PICTURE = 8
_BATCH = 128
NO_TIME = int(np.iinfo(np.int64).min)


def displayed(frame_times: np.ndarray, times_s: np.ndarray, tolerance_s: float) -> np.ndarray:
    """Which frames are displayed at some times: for each the last one that has started, or else the first.

    The rule stands here alone: pixels, flow, poses and masks of a time are all of the frame that this names.

    Args:
        frame_times: `(N,)` seconds when the frames begin, ascending.
        times_s: `(T,)` seconds.
        tolerance_s: How far a time may fall short of a frame's and still mean it (see `Video.tolerance_s`).

    Returns:
        `(T,)` indices in [0, N).
    """
    rows: np.ndarray = np.searchsorted(frame_times, np.asarray(times_s) + tolerance_s, side="right") - 1
    return rows.clip(0, len(frame_times) - 1)


@dataclass
class Packets:
    """One row per packet of the video stream, in decoding order; `end` is where the last ends in the file.

    Times that are not known are `NO_TIME`.
    """

    pts: np.ndarray
    dts: np.ndarray
    size: np.ndarray
    key: np.ndarray
    hidden: np.ndarray
    end: int = 0

    def __len__(self) -> int:
        return len(self.pts)


@dataclass
class FrameIndex:
    """N displayed frames in order of display, found among M packets in order of decoding.

    Attributes:
        clock: Which timestamp identifies a frame.
        ticks: `(N,)` int64, strictly increasing, in units of `time_base`.
        decode_index: `(N,)` position among the packets of the last packet that a frame needs.
        time_base: Seconds per tick.
        keys: Positions of the packets where decoding can start, ascending; 0 is always one.
        packets: The M packets.
        steady: Whether leaving out frames that no other leans on keeps the ticks of the rest.
        start_s: Where the container starts on its own clock; None where it does not tell.
        stamps: `(M,)` what the packets' `pts` must be replaced by before they are decoded, in units of
            `time_base`; None where they are what they should be.
        resolution: Seconds to which the container rounds its times, if that is not `time_base`.
        zero: Tick of time 0.
        unseekable: Whether seeking was found to lead astray.
    """

    clock: Clock
    ticks: np.ndarray
    decode_index: np.ndarray
    time_base: Fraction
    keys: list[int]
    packets: Packets
    steady: bool
    start_s: Fraction | None = None
    stamps: np.ndarray | None = None
    resolution: Fraction | None = None
    zero: float = 0.0
    unseekable: bool = False
    _delay: int = 0
    _times: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._count_from_start(0)

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def times_s(self) -> np.ndarray:
        """`(N,)` float64 seconds from the container's start; not to be written to."""
        if self._times is None:
            self._times = self.time_of(self.ticks)
            self._times.flags.writeable = False
        return self._times

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""
        table = self.packets
        arrays = (table.pts, table.dts, table.size, table.key, table.hidden, self.ticks, self.decode_index)
        stamps = 0 if self.stamps is None else self.stamps.nbytes
        return sum(array.nbytes for array in arrays) + 8 * len(self) + stamps + 40 * len(self.keys)

    def copied(self) -> FrameIndex:
        """The same for another reader, which finds out for itself where decoding cannot start."""
        return copy(self)

    def time_of(self, ticks: np.ndarray) -> np.ndarray:
        """Seconds from the container's start, of ticks."""
        times: np.ndarray = (ticks - self.zero) * float(self.time_base)
        return times

    @property
    def counted(self) -> bool:
        """Whether packets are known by their number only, so that a place is reached by reading up to it."""
        return self.clock == "index" or self.stamps is not None or self.unseekable

    @property
    def tolerance_s(self) -> float:
        """How far a requested time may fall short of a frame's and still mean it.

        Containers round times to their clock (Matroska to 1 ms); `2 / fps` must find frame 2.
        """
        return min(float(self.resolution or self.time_base) / 2, 5e-4)

    def show(self, times_s: np.ndarray) -> np.ndarray:
        """Index of the frame that is displayed at each time (see `displayed`)."""
        return displayed(self.times_s, times_s, self.tolerance_s)

    def locate(self, packet: AVPacket[VideoStream], hint: int) -> int | None:
        """Position of a packet in decoding order; found at once if it is `hint`."""
        dts = _stamp(packet.dts)
        row = (dts if self.clock == "dts" else _stamp(packet.pts), dts, packet.size)
        if row == (self._identity[hint], self.packets.dts[hint], self.packets.size[hint]):
            return hint
        return self._positions.get(row)

    @property
    def _identity(self) -> np.ndarray:
        """What packets are known by beside their `dts`: where that counts, their `pts` need not be known."""
        return self.packets.dts if self.clock == "dts" else self.packets.pts

    @cached_property
    def _positions(self) -> dict[tuple[int, int, int], int]:
        table = self.packets
        rows = zip(self._identity.tolist(), table.dts.tolist(), table.size.tolist(), strict=True)
        return {row: i for i, row in enumerate(rows)}

    def key_before(self, frame: int) -> int:
        """Position of the last packet from which displayed frame `frame` decodes exactly.

        Frames that follow a key frame in the file but precede it on screen (open GOP) lean on the
        key frame before.
        """
        tick, position = int(self.ticks[frame]), int(self.decode_index[frame])
        # By dts, frames that lean back past a key frame cannot be distinguished; stay clear of any.
        position -= 4 * self._delay
        keys = self.keys  # another thread may put a shorter list in its place
        for number in range(bisect_right(keys, position) - 1, -1, -1):
            key = keys[number]
            if key == 0 or self.key_tick(key) <= tick:
                return key
        return 0

    def key_tick(self, key: int) -> int:
        """Display tick of a key packet (for the `dts` clock the earliest that it can have)."""
        if self.clock != "pts":
            return int(self.packets.dts[key])
        return int(self.packets.pts[key] if self.stamps is None else self.stamps[key])

    def drained_tick(self, position: int, count: int) -> int:
        """Tick of the frame that comes out as number `count` after packet `position`, the last one fed."""
        dts, last = self.packets.dts, len(self.packets) - 1
        place = min(position, last) + count
        return int(dts[place]) if place <= last else int(dts[last]) + place - last

    def distrust(self, key: int) -> None:
        """Never start at `key` again: what came out there was not the frame it promised."""
        if key != 0:
            self.keys = [each for each in self.keys if each != key]

    def begin_at(self, tick: int) -> None:
        """Declare `tick` the first displayed frame, as the decoder has shown.

        Frames before it lean on something that the file does not hold. For the `dts` clock the
        difference is the decoder's delay: a frame comes out with a later packet than its own.
        """
        late = 0
        if self.clock == "dts":
            self._delay = delay = int(np.searchsorted(self.ticks, tick))
            late, last = int(self.ticks[min(delay, len(self) - 1)] - self.ticks[0]), int(self.ticks[-1])
            self.ticks = np.concatenate([self.ticks[delay:], last + 1 + np.arange(delay)])
            self.decode_index = np.minimum(np.arange(len(self.ticks)) + delay, len(self.packets) - 1)
        elif self.clock == "pts":
            kept = self.ticks >= tick
            self.ticks, self.decode_index = self.ticks[kept], self.decode_index[kept]
        self._count_from_start(late)

    def _count_from_start(self, late: int) -> None:
        """Find the tick of time 0; frames come out of the decoder `late` ticks after they are due."""
        first = int(self.ticks[0])
        begins = zero_tick(self.start_s, self.time_base)
        self.zero = first if begins is None else min(begins + late, first)
        self._times = None


def zero_tick(start_s: Fraction | None, time_base: Fraction) -> float | None:
    """The tick of a container's start, whole where a tick is as near as the start is known."""
    if start_s is None:
        return None
    exact = start_s / time_base
    whole = round(exact)
    return whole if abs(exact - whole) * time_base <= _START_ERROR_S else float(exact)


def container_start(container: Container) -> Fraction | None:
    """Where a container starts on its own clock, in seconds: with its first frame or sample of sound."""
    start = container.start_time if isinstance(container, InputContainer) else None
    return None if start is None or abs(start) > 2**62 else Fraction(start, av.time_base)


def index_frames(table: Packets, stream: VideoStream, damage: Damage) -> FrameIndex:
    """Work out a stream's frames from all its packets.

    Args:
        table: The packets.
        stream: For its clock and codec.
        damage: Where broken timestamps are counted.

    Raises:
        UnreadableVideo: If there is no packet.
    """
    if not len(table):
        raise UnreadableVideo(f"{damage.source} holds no video packet; copy or download it again.")
    is_avi = stream.container.format.name == "avi"
    start_s = container_start(stream.container)
    frame_index = (
        (None if is_avi else _by_pts(table, stream, start_s, damage))
        or _by_dts(table, stream, start_s)
        or _by_index(table, stream)
    )
    steps_s = np.diff(frame_index.ticks) * float(frame_index.time_base)
    for place in np.flatnonzero(steps_s > LONG_GAP_S).tolist():
        damage.note(f"no frame for {steps_s[place]:.0f} s from {frame_index.times_s[place]:.2f} s on")
    return frame_index


def scan(
    packets: Iterable[AVPacket[VideoStream]], size_bytes: int | None, damage: Damage, patience: Patience
) -> Packets:
    """Read all packets of a stream.

    Args:
        packets: The stream's packets from the first on.
        size_bytes: Length of the file, if known; bounds what damaged tables can make us read.
        damage: Where broken packets are counted.
        patience: Bound on the time without progress.

    Raises:
        SourceTimeout: If reading stalls.
    """
    columns: list[list[int]] = [[] for _ in range(5)]
    budget = None if size_bytes is None else 2 * size_bytes + 1_000_000
    read = end = 0
    following = iter(packets)
    while batch := [
        (
            NO_TIME if p.pts is None else p.pts,
            NO_TIME if p.dts is None else p.dts,
            p.size,
            p.is_keyframe,
            p.is_discard,
            p.is_corrupt,
            p.pos or 0,
        )
        for p in islice(following, _BATCH)
    ]:
        *rows, corrupt, starts = zip(*batch, strict=True)
        sizes = rows[2]
        for column, values in zip(columns, rows, strict=True):
            column += values
        read += (length := sum(sizes))
        end = max(end, *map(add, starts, sizes))
        for _ in range(sum(corrupt)):
            damage.note("incomplete packet")
        patience.extend(length / _SLOWEST_BYTES_PER_S)
        patience.check()
        if len(columns[0]) > MAX_FRAMES or (budget is not None and read > budget):
            damage.note("its index names more data than the file holds")
            break
    pts, dts, size, key, hidden = columns
    return Packets(
        np.array(pts, np.int64),
        np.array(dts, np.int64),
        np.array(size, np.int64),
        np.array(key, np.bool_),
        np.array(hidden, np.bool_),
        end,
    )


def _by_pts(
    table: Packets, stream: VideoStream, start_s: Fraction | None, damage: Damage
) -> FrameIndex | None:
    shown = np.flatnonzero(~table.hidden)
    pts, dts, key, known = table.pts[shown], table.dts[shown], table.key[shown], table.pts[shown] != NO_TIME
    if 2 * known.sum() <= len(shown):
        return None
    tick = _time_base(stream)
    reorders = stream.codec_context.name not in _IN_ORDER and not _in_step(pts, dts)
    broadcast = stream.container.format.name in _BROADCAST
    stated = repair.Stated(pts, dts, key, known, float(tick), reorders, broadcast)
    keys = _with_start(np.flatnonzero(table.key & ~table.hidden).tolist())
    if repair.is_sound(stated):
        order = np.argsort(pts, kind="stable")
        return FrameIndex("pts", pts[order], shown[order], tick, keys, table, True, start_s)
    if not known.all() and _orderly(table):
        return None
    found = repair.repaired(stated)
    _note_repair(found, tick, damage)
    if found.replaced.any():
        start_s = _sound_start(stream.container)
    order = np.argsort(found.stamps, kind="stable")
    stamps = np.full(len(table), NO_TIME, np.int64)
    stamps[shown] = found.stamps
    base = tick / repair.SCALE
    return FrameIndex(
        "pts", found.stamps[order], shown[order], base, keys, table, True, start_s, stamps, resolution=tick
    )


def _in_step(pts: np.ndarray, dts: np.ndarray) -> bool:
    """Whether packets are shown as they are decoded: nearly all of them at once.

    A codec that may show them in another order tells the decoder to wait, however seldom it does so: then
    they are shown some time after they are decoded, by far the most of them the same time.
    """
    stated = (pts != NO_TIME) & (dts != NO_TIME)
    return int(np.count_nonzero(pts[stated] <= dts[stated])) >= 0.9 * len(pts)


def _note_repair(found: repair.Repaired, tick: Fraction, damage: Damage) -> None:
    if count := int(found.replaced.sum()):
        damage.note(
            f"{count} of {len(found.replaced)} timestamps are missing or contradict their neighbours and "
            "were replaced"
        )
    if found.restarts:
        first_s = float((found.stamps[found.restarts[0]] - found.stamps.min()) * (tick / repair.SCALE))
        times = f"{len(found.restarts)} times, first" if len(found.restarts) > 1 else "again"
        damage.note(
            f"its clock starts {times} {first_s:.2f} s after the first frame; the recordings were put one "
            "after another"
        )


def _sound_start(container: Container) -> Fraction | None:
    """Where the other streams start, for a video whose own clock is not to be believed."""
    starts = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.type == "audio" and stream.start_time is not None and stream.time_base
    ]
    return min(starts, default=None)


def _orderly(table: Packets) -> bool:
    """Whether the times of decoding are all there and ascend."""
    return not (table.hidden.any() or (table.dts == NO_TIME).any() or (np.diff(table.dts) <= 0).any())


def _by_dts(table: Packets, stream: VideoStream, start_s: Fraction | None) -> FrameIndex | None:
    if not _orderly(table):
        return None
    # DivX packs two frames into one packet and lets an empty one follow; only in order do they come out.
    packed = bool((table.size < _SMALLEST_PICTURE).any())
    steady = stream.codec_context.name in _FIXED_DELAY and not packed
    keys = np.flatnonzero(table.key).tolist() if steady else []
    positions, ticks = np.arange(len(table)), table.dts.copy()
    base = _time_base(stream)
    return FrameIndex("dts", ticks, positions, base, _with_start(keys), table, steady, start_s)


USUAL_RATE = Fraction(25)
"""FFmpeg's own default, in frames per second, where nothing states a rate."""
RAW = ("h264", "hevc", "vvc", "evc", "obu", "h261", "h263", "mjpeg")
"""Formats that are a codec's stream alone, whose frames have no times and perhaps no rate."""


def _by_index(table: Packets, stream: VideoStream) -> FrameIndex:
    shown = np.arange(int((~table.hidden).sum()))
    return FrameIndex("index", shown, shown, 1 / nominal_rate(stream), [0], table, False)


def is_raw(stream: VideoStream) -> bool:
    """Whether the file is the codec's stream alone, without a container that states times."""
    return stream.container.format.name in RAW


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second by the header; FFmpeg's own default of 25 where it says nothing."""
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if is_raw(stream):  # the average is that default, whatever the codec's own header says
        rates.pop(0)
    for rate in rates:
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return USUAL_RATE


def demux(
    container: InputContainer, stream: VideoStream, damage: Damage, patience: Patience
) -> Iterator[AVPacket[VideoStream]]:
    """The stream's packets up to the end; unreadable stretches are counted and stepped over."""
    failures = 0
    while failures < 16:
        try:
            for packet in container.demux(stream):
                # An empty packet would put the decoder into its end state; AVI uses them for drops.
                if packet.size:
                    failures = 0
                    yield packet
            return
        except av.error.ExitError as error:
            raise patience.expired() from error
        except av.error.BlockingIOError:
            patience.check()
        except (av.FFmpegError, OSError, ValueError) as error:
            failures += 1
            damage.note(f"the container breaks off ({getattr(error, 'strerror', None) or error})")
            patience.check()


def _with_start(keys: list[int]) -> list[int]:
    return keys if keys and keys[0] == 0 else [0, *keys]


def _time_base(stream: VideoStream) -> Fraction:
    return Fraction(stream.time_base) if stream.time_base else 1 / nominal_rate(stream)


def _stamp(value: int | None) -> int:
    return NO_TIME if value is None else value
