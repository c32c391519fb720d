"""The exact times of all frames and the places to start decoding, from packets alone.

Nothing is decoded here. A container that stores presentation times is taken at its word (`pts`); AVI
stores none, so its decoding order counts (`dts`), where the frame that comes out of the decoder with
packet n is the one shown at n; where both are missing or repeat, frames are counted (`index`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet as AVPacket
from av.video.stream import VideoStream

from kinesphere.core.errors import UnreadableVideo
from kinesphere.video.damage import Damage, Patience

Clock = Literal["pts", "dts", "index"]

MAX_FRAMES = 10_000_000
MAX_GAP_S = 3600.0
# Slowest medium that a scan waits for; a scan that is slower than this stops making progress.
_SLOWEST_BYTES_PER_S = 10e6
# Decoders whose output delay is fixed by the stream header, so that counting by dts survives a seek.
_FIXED_DELAY = {
    "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3", "h263", "flv1", "wmv1", "wmv2",
    "mjpeg", "rawvideo", "ffv1", "huffyuv", "ffvhuff", "dvvideo", "png", "qtrle", "utvideo",
}  # fmt: skip
_SMALLEST_PICTURE = 8
_BATCH = 128
_NONE = int(np.iinfo(np.int64).min)


@dataclass
class Packets:
    """One row per packet of the video stream, in decoding order."""

    pts: np.ndarray
    dts: np.ndarray
    size: np.ndarray
    key: np.ndarray
    hidden: np.ndarray

    def __len__(self) -> int:
        return len(self.pts)


@dataclass
class Timeline:
    """N displayed frames in order of display, found among M packets in order of decoding.

    Attributes:
        clock: Which timestamp identifies a frame.
        ticks: `(N,)` int64, strictly increasing, in units of `time_base`.
        decode_index: `(N,)` position among the packets of the last packet that a frame needs.
        time_base: Seconds per tick.
        keys: Positions of the packets where decoding can start, ascending; 0 is always one.
        packets: The M packets.
        steady: Whether leaving out frames that no other leans on keeps the ticks of the rest.
    """

    clock: Clock
    ticks: np.ndarray
    decode_index: np.ndarray
    time_base: Fraction
    keys: list[int]
    packets: Packets
    steady: bool
    _delay: int = 0

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def times_s(self) -> np.ndarray:
        """`(N,)` float64 seconds from the first displayed frame."""
        times: np.ndarray = (self.ticks - self.ticks[0]) * float(self.time_base)
        return times

    @property
    def tolerance_s(self) -> float:
        """How far a requested time may fall short of a frame's and still mean it.

        Containers round times to their clock (Matroska to 1 ms); `2 / fps` must find frame 2.
        """
        return min(float(self.time_base) / 2, 5e-4)

    def show(self, times_s: np.ndarray) -> np.ndarray:
        """Index of the frame that is on show at each time: the last one that has started."""
        found = np.searchsorted(self.times_s, times_s + self.tolerance_s, side="right") - 1
        return np.clip(found, 0, len(self) - 1)

    def locate(self, packet: AVPacket[VideoStream], hint: int) -> int | None:
        """Position of a packet in decoding order; found at once if it is `hint`."""
        row = (_stamp(packet.pts), _stamp(packet.dts), packet.size)
        table = self.packets
        if row == (table.pts[hint], table.dts[hint], table.size[hint]):
            return hint
        return self._positions.get(row)

    @cached_property
    def _positions(self) -> dict[tuple[int, int, int], int]:
        table = self.packets
        rows = zip(table.pts.tolist(), table.dts.tolist(), table.size.tolist(), strict=True)
        return {row: i for i, row in enumerate(rows)}

    def key_before(self, frame: int) -> int:
        """Position of the last packet from which displayed frame `frame` decodes exactly.

        Frames that follow a key frame in the file but precede it on screen (open GOP) lean on the
        key frame before.
        """
        tick, position = int(self.ticks[frame]), int(self.decode_index[frame])
        # By dts, frames that lean back past a key frame cannot be told; stay clear of any.
        position -= 4 * self._delay
        for key in reversed(self.keys[: int(np.searchsorted(self.keys, position, side="right"))]):
            if key == 0 or self.key_tick(key) <= tick:
                return key
        return 0

    def key_tick(self, key: int) -> int:
        """Display tick of a key packet (for the `dts` clock the earliest that it can have)."""
        return int(self.packets.pts[key] if self.clock == "pts" else self.packets.dts[key])

    def distrust(self, key: int) -> None:
        """Never start at `key` again: what came out there was not the frame it promised."""
        if key != 0:
            with contextlib.suppress(ValueError):  # another thread may have found out before
                self.keys.remove(key)

    def begin_at(self, tick: int) -> None:
        """Declare `tick` the first displayed frame, as the decoder has shown.

        Frames before it lean on something that the file does not hold. For the `dts` clock the
        difference is the decoder's delay: a frame comes out with a later packet than its own.
        """
        if self.clock == "dts":
            self._delay = delay = int(np.searchsorted(self.ticks, tick))
            last = int(self.ticks[-1])
            self.ticks = np.concatenate([self.ticks[delay:], last + 1 + np.arange(delay)])
            self.decode_index = np.minimum(np.arange(len(self.ticks)) + delay, len(self.packets) - 1)
        elif self.clock == "pts":
            kept = self.ticks >= tick
            self.ticks, self.decode_index = self.ticks[kept], self.decode_index[kept]


def scan(
    packets: Iterable[AVPacket[VideoStream]],
    stream: VideoStream,
    size_bytes: int | None,
    damage: Damage,
    patience: Patience,
) -> Timeline:
    """Read all packets of a stream and work out its timeline.

    Args:
        packets: The stream's packets from the first on.
        stream: For its clock and codec.
        size_bytes: Length of the file, if known; bounds what damaged tables can make us read.
        damage: Where broken packets are counted.
        patience: Bound on the time without progress.

    Raises:
        UnreadableVideo: If there is no packet, or the timestamps are absurd.
        SourceTimeout: If reading stalls.
    """
    table = _collect(packets, size_bytes, damage, patience)
    if not len(table):
        raise UnreadableVideo(f"{damage.source} holds no video packet; copy or download it again.")
    is_avi = stream.container.format.name == "avi"
    timeline = (
        (None if is_avi else _by_pts(table, stream)) or _by_dts(table, stream) or _by_index(table, stream)
    )
    gap_s = float(np.diff(timeline.ticks).max(initial=0) * timeline.time_base)
    if gap_s > MAX_GAP_S:
        raise UnreadableVideo(
            f"{damage.source} has two successive frames {gap_s:.0f} s apart; its timestamps are damaged. "
            "Re-encode it to give it new ones."
        )
    return timeline


def _collect(
    packets: Iterable[AVPacket[VideoStream]], size_bytes: int | None, damage: Damage, patience: Patience
) -> Packets:
    rows: list[tuple[int, int, int, bool, bool]] = []
    budget = None if size_bytes is None else 2 * size_bytes + 1_000_000
    read = 0
    following = iter(packets)
    while True:
        batch = [
            (p.pts, p.dts, p.size, p.is_keyframe, p.is_discard, p.is_corrupt)
            for p in islice(following, _BATCH)
        ]
        if not batch:
            break
        length = sum(row[2] for row in batch)
        read += length
        patience.extend(length / _SLOWEST_BYTES_PER_S)
        patience.check()
        for pts, dts, size, key, hidden, corrupt in batch:
            if corrupt:
                damage.note("incomplete packet")
            rows.append((_NONE if pts is None else pts, _NONE if dts is None else dts, size, key, hidden))
        if len(rows) > MAX_FRAMES or (budget is not None and read > budget):
            damage.note("its index names more data than the file holds")
            break
    table = np.array(rows, np.int64).reshape(-1, 5)
    return Packets(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, table[:, 4] > 0)


def _by_pts(table: Packets, stream: VideoStream) -> Timeline | None:
    shown = np.flatnonzero(~table.hidden)
    ticks = table.pts[shown]
    order = np.argsort(ticks, kind="stable")
    ticks = ticks[order]
    if not len(ticks) or ticks[0] == _NONE or (np.diff(ticks) == 0).any():
        return None
    keys = np.flatnonzero(table.key & ~table.hidden).tolist()
    return Timeline("pts", ticks, shown[order], _time_base(stream), _with_start(keys), table, True)


def _by_dts(table: Packets, stream: VideoStream) -> Timeline | None:
    if table.hidden.any() or (table.dts == _NONE).any() or (np.diff(table.dts) <= 0).any():
        return None
    # DivX packs two frames into one packet and lets an empty one follow; only in order do they come out.
    packed = bool((table.size < _SMALLEST_PICTURE).any())
    steady = stream.codec_context.name in _FIXED_DELAY and not packed
    keys = np.flatnonzero(table.key).tolist() if steady else []
    positions = np.arange(len(table))
    return Timeline("dts", table.dts.copy(), positions, _time_base(stream), _with_start(keys), table, steady)


def _by_index(table: Packets, stream: VideoStream) -> Timeline:
    shown = np.arange(int((~table.hidden).sum()))
    return Timeline("index", shown, shown, 1 / nominal_rate(stream), [0], table, False)


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second by the header; FFmpeg's own default of 25 where it says nothing."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


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
    return _NONE if value is None else value
