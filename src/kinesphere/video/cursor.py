"""`Cursor`: one demuxer and one decoder, moved to key frames and read forward.

Every frame leaves with its tick, the integer time that the `FrameIndex` knows it by. A frame after a seek
counts only if the first one out is the key frame that was aimed at; so what a seek yields is bit for bit
what decoding from the start yields.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Set
from itertools import islice
from typing import TYPE_CHECKING

import av
from av.video.stream import VideoStream

from kinesphere.core.device import cpu_count
from kinesphere.video.container import MAX_FRAME_PIXELS, Source, pick_stream
from kinesphere.video.damage import Damage, Patience
from kinesphere.video.frame_index import FrameIndex, demux

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet as AVPacket

    Packet = AVPacket[VideoStream]

Decoded = tuple[int, av.VideoFrame]

# Decoders that may be asked between two packets to leave out frames that no other leans on. Others read that
# when they open, or leave out what cannot be spared (libdav1d).
_SPARING = {
    "h264", "hevc", "vvc", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3", "h263", "flv", "wmv1",
    "wmv2", "mpeg1video", "mpeg2video", "vp8",
}  # fmt: skip
# Its threads do not know what the header said once a seek has come between.
_ONE_THREAD = {"apng"}
# Decoders of which a small frame takes no longer than handing it to a thread does.
_QUICK = {"mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3", "h263", "flv", "wmv1", "wmv2"}
_SMALL_PIXELS = 352 * 288


class UnsafeKey(Exception):
    """Decoding from this key packet does not start with its frame."""


class Cursor:
    """Reads one video stream.

    Args:
        source: What to read.
        timeout_s: Longest wait for the next frame.
        threads: Threads that may decode and convert; None for one per core, or a single one in a data
            loader's worker.
        damage: Where broken parts are counted.
        stream: Number of the stream, if that is known already.
    """

    def __init__(
        self,
        source: Source,
        timeout_s: float,
        threads: int | None,
        damage: Damage,
        *,
        stream: int | None = None,
    ) -> None:
        self.source = source
        self._index = stream
        self.damage = damage
        self.patience = Patience(source.name, timeout_s)
        self.frame_index: FrameIndex | None = None
        self.threads = threads or _default_threads()
        self.moves = 0
        self._sought = False
        self._others: list[InputContainer] = []
        self._open()

    def _forget(self, position: int) -> None:
        self._next = position
        self._held: Packet | None = None
        self._ready: deque[Decoded] = deque()
        self._flying: set[int] = set()
        self._drained: int | None = None
        self._last: int | None = None
        self._expect: int | None = None
        self._ended = False
        self._peeked = False

    def _open(self) -> None:
        self.container = self.source.open(self.patience.timeout_s)
        self.moves += 1
        self._sought = False
        try:
            if self._index is None:
                self._index = pick_stream(self.container, self.source, self.patience)
            stream = self.container.streams[self._index]
            assert isinstance(stream, VideoStream)
            self.stream = stream
        except BaseException:
            self.container.close()
            raise
        self.context = self.stream.codec_context
        self.has_frame_threads = self.threads > 1 and self._gains_by_threads()
        self.context.thread_count = self.threads if self.has_frame_threads else 1
        self.context.thread_type = "AUTO" if self.has_frame_threads else "SLICE"
        # Holes are patched from the frame before; searching for their motion could take seconds a frame.
        self.context.options = {"max_pixels": str(MAX_FRAME_PIXELS), "ec": "deblock+favor_inter"}
        self._packets = demux(self.container, self.stream, self.damage, self.patience)
        self._can_spare = self.context.name in _SPARING
        self._sparing = False
        self._forget(0)

    def _gains_by_threads(self) -> bool:
        """Whether several decoder threads are faster than one."""
        name, pixels = self.context.name, self.context.width * self.context.height
        return name not in _ONE_THREAD and not (name in _QUICK and pixels <= _SMALL_PIXELS)

    def reopen(self) -> None:
        """Begin anew with a fresh demuxer and decoder."""
        self.close()
        self._open()

    def close(self) -> None:
        """Free the decoder and the file."""
        for container in (*self._others, self.container):
            container.close()
        self._others.clear()

    def packets(self) -> Iterator[Packet]:
        """The packets that follow; for scanning without decoding."""
        return self._packets

    def start(self, key: int) -> None:
        """Move to the key packet at position `key`, so that it is the next one decoded."""
        assert self.frame_index is not None
        self.moves += 1
        self.patience.renew()
        if key == 0 and self._peeked:
            return
        if not (self._seek(key, key) or self._seek(key, max(0, key - 1)) or self._seek(key, 0)):
            self.reopen()
            self._skip_to(key)
        self._expect = self.frame_index.key_tick(key) if key else None

    def reaches(self, key: int, position: int, ticks: list[int]) -> bool:
        """Whether reading on gives the frames `ticks` for less work than a move to `key` would take.

        Args:
            key: Packet from which the first of them decodes.
            position: Packet with which the first of them comes out.
            ticks: The frames, ascending.
        """
        ready = {tick for tick, _ in self._ready}
        if self._ended:
            return ready.issuperset(ticks)
        ahead = position >= self._next or ticks[0] in self._flying or ticks[0] in ready
        return ahead and key <= self._next + self.threads + 1

    def peek(self) -> Decoded | None:
        """The next frame, without consuming it; None at the end."""
        if self.frame_index is not None and self.frame_index.clock == "pts":
            # The first packet alone tells, if it is the first on screen: no need to fill the decoder.
            shown_first = self.frame_index.key_tick(0) == self.frame_index.ticks[0]
            first = next(self.read(last=0), None) if shown_first else None
            if first is not None and first[0] == self.frame_index.ticks[0]:
                self._ended = True
                return first
            self.start(0)
        first = next(self.read(), None)
        if first is not None:
            self._ready.appendleft(first)
            self._peeked = True
        return first

    def read(self, needed: Set[int] | None = None, last: int | None = None) -> Iterator[Decoded]:
        """Decode on from here, in order of display.

        Args:
            needed: Ticks of the frames that matter; others that nothing leans on are not decoded.
            last: Position of the last packet that is needed: the decoder is emptied after it.

        Raises:
            UnsafeKey: If this follows a move and the first frame is not the expected one.
            SourceTimeout: If no frame comes in time.
        """
        self.patience.renew()
        self._peeked = False
        # Reading on past the last needed frame, its followers are decoded for a later call to find.
        horizon = max(needed, default=0) if needed is not None and last is None else None
        yield from self._given()
        while not self._ended:
            packet = self._next_packet()
            if packet is None or (last is not None and self._next > last):
                self._ended = True
                self._drained = 0
                self._feed(None)
            elif self._wanted(packet, needed, horizon):
                self._feed(packet)
            self._next += packet is not None
            yield from self._given()

    def _given(self) -> Iterator[Decoded]:
        """The frames that are decoded; what is done with each of them takes none of the source's time."""
        while self._ready:
            yield self._ready.popleft()
            self.patience.renew()

    def _next_packet(self) -> Packet | None:
        held, self._held = self._held, None
        packet = next(self._packets, None) if held is None else held
        if (
            packet is None
            and self._sought
            and self.frame_index
            and self._next < len(self.frame_index.packets)
        ):
            packet = self._resume(self.frame_index)
        stamps = None if self.frame_index is None else self.frame_index.stamps
        if packet is not None and stamps is not None:
            if self._next >= len(stamps):
                return None
            packet.pts = int(stamps[self._next])
        return packet

    def _resume(self, frame_index: FrameIndex) -> Packet | None:
        """The next packet of a file that ends too soon after a seek, as joined ones do."""
        frame_index.unseekable = True
        self._sought = False
        # The decoder goes on, and it belongs to the container that it was opened with.
        self._others.append(self.source.open(self.patience.timeout_s))
        stream = self._others[-1].streams[self.stream.index]
        assert isinstance(stream, VideoStream)
        self._packets = demux(self._others[-1], stream, self.damage, self.patience)
        return next(islice(self._packets, self._next, None), None)

    def _wanted(self, packet: Packet, needed: Set[int] | None, horizon: int | None) -> bool:
        """Whether to decode a packet at all; frames that nothing leans on are left out by the decoder."""
        if self.frame_index is None or not self.frame_index.steady:
            return True
        by_pts = self.frame_index.clock == "pts"
        tick = packet.pts if by_pts else packet.dts
        if by_pts and self._expect is not None and tick is not None and tick < self._expect:
            return False  # leads its key frame on screen: what it leans on was not decoded
        spare = needed is not None and tick is not None and tick not in needed and self._can_spare
        if spare and horizon is not None and tick is not None:
            spare = tick < horizon
        if spare != self._sparing:
            self._sparing = spare
            self.context.skip_frame = "NONREF" if spare else "DEFAULT"
        if by_pts and not spare and tick is not None:
            self._flying.add(tick)
        return True

    def _feed(self, packet: Packet | None) -> None:
        self.patience.check()
        try:
            frames = self.context.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            self.damage.note(f"undecodable packet ({getattr(error, 'strerror', None) or error})")
            return
        for frame in frames:
            self._take(frame)

    def _take(self, frame: av.VideoFrame) -> None:
        self.patience.renew()
        tick = self._tick(frame)
        if self._expect is not None and self._last is None and self._off_key(frame, tick):
            raise UnsafeKey
        if self._last is not None and tick <= self._last:
            self.damage.note("frame with a repeated or backward timestamp")
            return
        self._last = tick
        self._flying.discard(tick)
        if not 0 < frame.width * frame.height <= MAX_FRAME_PIXELS:
            self.damage.note(f"frame of {frame.width}x{frame.height} pixels")
            return
        if frame.is_corrupt:
            self.damage.note("frame with decoding errors")
        self._ready.append((tick, frame))

    def _off_key(self, frame: av.VideoFrame, tick: int) -> bool:
        assert self.frame_index is not None
        if self.frame_index.clock == "pts":
            return tick != self._expect
        return not frame.key_frame

    def _tick(self, frame: av.VideoFrame) -> int:
        following = 0 if self._last is None else self._last + 1
        if self.frame_index is None:
            return following if frame.pts is None else frame.pts
        if self.frame_index.clock == "index":
            return following
        if self.frame_index.clock == "pts":
            return following if frame.pts is None else frame.pts
        if frame.dts is None and self._drained is not None and self.frame_index.steady:
            self._drained += 1
            return self.frame_index.drained_tick(self._next - 1, self._drained)
        return following if frame.dts is None else frame.dts

    def _seek(self, key: int, via: int) -> bool:
        """Seek to packet `via` or before and step to `key`; False if that did not lead there."""
        assert self.frame_index is not None
        if self.frame_index.counted:
            return False
        table = self.frame_index.packets
        aims = (int(table.pts[via]), int(table.dts[via]))
        for aim in sorted(aims, reverse=True):
            if abs(aim) > 2**62:
                continue
            try:
                self.container.seek(aim, stream=self.stream, backward=True)
            except (av.FFmpegError, OSError):
                continue
            self._packets = demux(self.container, self.stream, self.damage, self.patience)
            self._sought = True
            self._forget(0)
            if self._skip_to(key):
                return True
        return False

    def _skip_to(self, key: int) -> bool:
        """Drop packets until the one at position `key` is next."""
        assert self.frame_index is not None
        by_count = self.frame_index.counted
        for count, packet in enumerate(self._packets):
            position = count if by_count else self.frame_index.locate(packet, key)
            if position == key:
                self._held = packet
                self._next = key
                return True
            if position is not None and position > key:
                return False
            self.patience.check()
        return False


def _default_threads() -> int:
    # A worker shares the machine with its siblings, which already use every core.
    data = sys.modules.get("torch.utils.data")
    in_worker = data is not None and data.get_worker_info() is not None
    if in_worker or cpu_count() == 1:
        return 1
    # One more than cores, so that none waits while this thread converts what another decoded.
    return min(cpu_count() + 1, 16)
