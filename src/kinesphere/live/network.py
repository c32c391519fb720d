"""Streams of a network (RTSP, RTMP, HTTP, UDP) and files at their own pace, read packet by packet."""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from fractions import Fraction
from urllib.parse import urlsplit

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidSetting, SourceTimeout, UnreadableVideo
from kinesphere.live.clock import Clock
from kinesphere.live.feed import Arrival, Picture
from kinesphere.live.settings import LiveSettings
from kinesphere.video.container import MAX_FRAME_PIXELS, Source, pick_stream
from kinesphere.video.damage import Patience

# A second is enough to tell what a stream is; its frames need not be counted for their rate.
_OPENING = {"analyzeduration": "1000000", "fpsprobesize": "0"}
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
# A server that is there answers within this.
_KNOCK_S = 1.0
# Packets whose arrival is remembered until their frame is decoded.
_MOST_FLYING = 512
# FFmpeg's flag of formats without stamps, AVFMT_NOTIMESTAMPS.
_NO_TIMESTAMPS = 0x80
# As many as FFmpeg takes by itself.
_MOST_THREADS = 16


class StreamFeed:
    """What FFmpeg opens: a stream of a network, or a file.

    Args:
        source: What to open.
        settings: How long to wait for what.
        clock: What time it is.
        paced: Whether a file's frames come when they are due, as from a camera, or as fast as they are read.
    """

    def __init__(self, source: Source, settings: LiveSettings, clock: Clock, *, paced: bool = True) -> None:
        self.source, self.settings, self.clock = source, settings, clock
        self.name = source.name
        self.ends = source.local
        self.fps: Fraction | None = None
        self.moves = False
        """Whether it has sent more than one picture."""
        self._paced = paced

    def connect(self) -> StreamConnection:
        """See `Feed.connect`."""
        self._knock()
        container = self.source.open(
            self.settings.open_timeout_s, self._options(), read_timeout_s=self.settings.frozen_s
        )
        # A film on a web server ends where it says.
        self.ends = self.source.local or (self.source.kind == "http" and container.duration is not None)
        try:
            if not self._paced and not self.ends:
                raise cannot_wait(self.name)
            stream = container.streams[self._index(container)]
            assert isinstance(stream, VideoStream)
            self.fps = stream.average_rate or stream.guessed_rate or None
            return StreamConnection(self, container, stream, paced=self._paced and self.ends)
        except BaseException:
            container.close()
            raise

    def _options(self) -> dict[str, str]:
        if self.source.local:
            return {}
        return _OPENING | ({"overrun_nonfatal": "1"} if self.source.location.startswith("udp:") else {})

    def _index(self, container: InputContainer) -> int:
        return pick_stream(container, self.source, Patience(self.name, self.settings.open_timeout_s))

    def _knock(self) -> None:
        """See whether anybody answers before FFmpeg waits for it, which takes longer.

        Raises:
            UnreadableVideo: If nobody does.
        """
        url = urlsplit(self.source.location) if self.source.kind == "live" else None
        if url is None or url.scheme.lower() not in _DEFAULT_PORTS or url.hostname is None:
            return
        try:
            port = url.port or _DEFAULT_PORTS[url.scheme.lower()]
            socket.create_connection((url.hostname, port), _KNOCK_S).close()
        except (OSError, ValueError) as error:
            raise UnreadableVideo(
                f"{self.name} cannot be reached ({error}); check the address and that the source is running."
            ) from None


def cannot_wait(name: str) -> InvalidSetting:
    """The error that a source goes on whether or not somebody waits for a model."""
    return InvalidSetting(
        f"{name} goes on by itself: as fast as possible is for files, which wait for the model; leave it out."
    )


class StreamConnection:
    """An open stream; a frame leaves the decoder as soon as its packet is there."""

    def __init__(
        self, feed: StreamFeed, container: InputContainer, stream: VideoStream, *, paced: bool
    ) -> None:
        self._feed, self._container, self._stream, self._paced = feed, container, stream, paced
        context = stream.codec_context
        # Threads that work at several frames at once hold each of them back.
        context.thread_type = "SLICE"
        # Damaged H.264 is patched up otherwise by one thread than by several: two at least, so that frames do
        # not depend on the number of cores.
        context.thread_count = min(max(cpu_count(), 2), _MOST_THREADS)
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        if not feed.ends:
            context.flags |= int(Flags.low_delay)
        # Such formats hold pictures alone: FFmpeg counts them at 25 a second, whatever the camera's rate.
        counted = bool(container.format.flags & _NO_TIMESTAMPS)
        self._stamped = feed.ends or not counted
        self._codec = context.name
        self._undecodable = 0
        self._flying: OrderedDict[int | None, float] = OrderedDict()
        self._frames = self._decoded()
        self._stop = threading.Event()
        self._began: tuple[float, float] | None = None  # when the first frame was due, and its time

    def read(self) -> Arrival | None:
        """See `Connection.read`."""
        frame = next(self._frames, None)
        if frame is None or self._stop.is_set():
            return None
        # What a decoder gives up at the end does not tell its time base.
        base = frame.time_base or self._stream.time_base
        stamp_s = None if frame.pts is None or base is None or not self._stamped else float(frame.pts * base)
        arrived_s = self._flying.pop(frame.pts, self._feed.clock.now())
        if self._paced and stamp_s is not None:
            arrived_s = self._due(stamp_s)
        undecodable, self._undecodable = self._undecodable, 0
        return Arrival(Picture(frame), stamp_s, arrived_s, self._codec, bool(frame.is_corrupt), undecodable)

    def abandon(self) -> None:
        """See `Connection.abandon`."""
        self._stop.set()

    def close(self) -> None:
        """See `Connection.close`."""
        self._frames.close()
        self._container.close()

    def _due(self, stamp_s: float) -> float:
        """Wait until a frame of a file is due; when that is."""
        clock = self._feed.clock
        if self._began is None:
            self._began = clock.now(), stamp_s
        due_s = self._began[0] + stamp_s - self._began[1]
        clock.wait(self._stop, due_s - clock.now())
        return due_s

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The packets of the stream, and None at its end, for what the decoder still holds."""
        patience_s = self._feed.settings.frozen_s
        silence = SourceTimeout(f"{self._feed.name} sent nothing for {patience_s:g} s")
        last_s, seen = time.monotonic(), 0
        try:
            for packet in self._container.demux(self._stream):
                # The first wait that is broken off ends with what the parser still held, and no error.
                if time.monotonic() - last_s >= patience_s and not self._feed.ends:
                    raise silence
                last_s = time.monotonic()
                if packet.size:
                    seen += 1
                    self._feed.moves |= seen > 1
                    yield packet
        except (av.error.ExitError, SourceTimeout):
            raise silence from None
        except (av.FFmpegError, OSError) as error:
            self._refuse_one_picture()
            raise UnreadableVideo(f"{self._feed.name} broke off ({error.strerror or error})") from error
        self._refuse_one_picture()
        yield None

    def _refuse_one_picture(self) -> None:
        """Refuse the address of a camera's snapshot, which would be asked for again and again.

        Raises:
            InvalidSetting: If it is one.
        """
        is_image = self._container.format.name.endswith("_pipe")
        if is_image and not self._feed.moves and not self._feed.source.local:
            raise InvalidSetting(
                f"{self._feed.name} is one picture and no stream; name the address of the camera's stream."
            )

    def _decoded(self) -> Generator[av.VideoFrame]:
        context, settings = self._stream.codec_context, self._feed.settings
        # Whoever connects between two key frames has to wait for the next; connecting anew does not help.
        patience_s, fresh_s = max(settings.key_frame_s, settings.frozen_s), time.monotonic()
        for packet in self._packets():
            if self._stop.is_set():
                return
            now_s = self._feed.clock.now()
            if packet is not None:
                self._flying[packet.pts] = now_s
                if len(self._flying) > _MOST_FLYING:
                    self._flying.popitem(last=False)
            try:
                frames = context.decode(packet)
            except (av.error.EOFError, av.error.InvalidDataError):
                frames = []  # what is broken is passed over; the next key frame mends it
                self._undecodable += packet is not None
            except (av.FFmpegError, OSError) as error:
                raise UnreadableVideo(f"{self._feed.name} cannot be decoded any more ({error})") from error
            if frames:
                yield from frames
                patience_s, fresh_s = settings.frozen_s, time.monotonic()
            elif not self._feed.ends and time.monotonic() - fresh_s > patience_s:
                raise SourceTimeout(
                    f"{self._feed.name} sent no picture that can be decoded for {patience_s:g} s"
                )
