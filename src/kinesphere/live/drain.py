"""`Drain`: reads a source without pause on a thread of its own, whatever becomes of the source."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinesphere.core.errors import KinesphereError, SourceTimeout, VideoError
from kinesphere.live.clock import Clock
from kinesphere.live.feed import Arrival, Connection, Feed
from kinesphere.live.observer import FrameObserver
from kinesphere.live.result import Incident, IncidentKind
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Shown
from kinesphere.live.stamps import StreamClock

log = logging.getLogger("kinesphere.live")

# Seconds between frames while nothing tells them.
_UNKNOWN_FRAME_S = 0.04


@dataclass(frozen=True)
class Outlets:
    """Where what is read goes, on the thread that reads.

    Attributes:
        frame: Takes every frame.
        incident: Takes every incident.
        end: Told once that nothing more comes, with the error if there is one.
    """

    frame: Callable[[Shown], None]
    incident: Callable[[Incident], None]
    end: Callable[[BaseException | None], None]


class Drain:
    """Connects, reads, numbers, and connects anew until it is stopped or the source ends for good.

    Reading never waits for a model: what waits between the two is one frame. A connection that ends, breaks
    or gives no new picture for `frozen_s` is closed and opened anew, again and again, with waits that double
    up to `longest_backoff_s`; that makes one incident when it is lost and one when it is back.

    Args:
        feed: What to read.
        settings: How long to wait for what.
        clock: What time it is.
        outlets: Where frames and incidents go.
        observers: Told of every frame.
    """

    def __init__(
        self,
        feed: Feed,
        settings: LiveSettings,
        clock: Clock,
        outlets: Outlets,
        observers: Sequence[FrameObserver] = (),
    ) -> None:
        self.feed, self.settings, self.clock = feed, settings, clock
        self.decoded = 0
        """Frames so far."""
        self.damaged = self.undecodable = 0
        """Frames of these of which parts are patched, and packets that no frame came of."""
        self.incidents: Counter[IncidentKind] = Counter()
        self.times = StreamClock(settings.gap_s)
        self._outlets, self._observers = outlets, observers
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._segment = 0
        self._kind: tuple[tuple[int, int], str] | None = None
        self._last: tuple[float, float] | None = None  # time and arrival of the last frame
        self._lost: tuple[float, int] | None = None  # when, and attempts since
        self._opened_s: float | None = None  # when it was open for the first time
        self._thread = threading.Thread(target=self.run, name="live-drain", daemon=True)

    def start(self) -> None:
        """Read on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, and wait for the thread to end; may be called again."""
        self._stop.set()
        with self._lock:
            if self._connection is not None:
                self._connection.abandon()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(self.settings.open_timeout_s + self.settings.frozen_s)

    def run(self) -> None:
        """Read until the end; what `start` runs."""
        error: BaseException | None = None
        try:
            while not self._is_over() and self._connected_once():
                pass
        except BaseException as raised:  # it belongs to whoever takes the frames
            error = raised
        self._outlets.end(error)

    def _connected_once(self) -> bool:
        """Connect, and read as long as that holds; whether to connect again."""
        connection = self._connect()
        if connection is None:
            return False
        opened_s = self.clock.now()
        kind: IncidentKind
        kind, detail = "lost", "the connection ended"
        try:
            if self._read(connection):
                return False
        except VideoError as error:
            if self.feed.ends:  # a file is as it is
                raise
            kind, detail = "frozen" if isinstance(error, SourceTimeout) else "lost", str(error)
        finally:
            with self._lock:
                self._connection = None
            connection.close()
        if self._stop.is_set():
            return False
        if self._lost is None:
            lasted = self.clock.now() - opened_s >= self.settings.longest_backoff_s
            self._lost = self.clock.now(), 0 if lasted else _often(self.settings)
            self._incident(kind, detail)
        return True

    def _connect(self) -> Connection | None:
        """Open the source, as often as it takes once it was open; None where that is not wanted any more."""
        while not self._is_over():
            if self._lost is not None:
                since_s, attempts = self._lost
                # No more of them than make the wait the longest: a source may stay away for days.
                self._lost = since_s, min(attempts + 1, _often(self.settings))
                wait_s = min(self.settings.backoff_s * 2.0**attempts, self.settings.longest_backoff_s)
                if self.clock.wait(self._stop, wait_s):
                    return None
            try:
                connection = self.feed.connect()
            except KinesphereError as error:
                if self._lost is None:
                    raise
                log.debug("%s is not back: %s", self.feed.name, error)
                continue
            with self._lock:
                self._connection = connection
            if self._opened_s is None:
                self._opened_s = self.clock.now()
            self.times.begin()
            self.times.trusted = self.feed.ends
            return connection
        return None

    def _read(self, connection: Connection) -> bool:
        """Read a connection; whether that was all there is. False where it has to be opened anew."""
        fresh_s = self.clock.now()
        while not self._is_over():
            arrival = connection.read()
            if arrival is None:
                return self.feed.ends or self._stop.is_set()
            if self._take(arrival):
                fresh_s = self.clock.now()
            elif self.clock.now() - fresh_s > self.settings.frozen_s:
                raise SourceTimeout(
                    f"{self.feed.name} gave no new picture for {self.settings.frozen_s:g} s, though its "
                    "connection goes on"
                )
        return True

    def _take(self, arrival: Arrival) -> bool:
        """Hand a frame on; whether it is a new one."""
        self.undecodable += arrival.undecodable
        stamp = self.times.stamp(arrival.stamp_s, arrival.arrived_s)
        if stamp is None:
            return False
        kind = arrival.picture.size, arrival.codec
        self._last = stamp.time_s, arrival.arrived_s
        if self._lost is not None:
            since_s, _ = self._lost
            self._lost = None
            away_s = self.clock.now() - since_s
            self._incident("back", f"after {away_s:.1f} s; connected anew")
        elif stamp.gap_s:
            self._incident("dropped", f"the source left out {stamp.gap_s:.1f} s")
        if self._kind not in (None, kind):
            assert self._kind is not None
            self._incident("changed", f"from {_words(*self._kind)} to {_words(*kind)}")
        self._kind = kind
        shown = Shown(
            self.decoded, stamp.time_s, stamp.captured_s, arrival.picture, self._segment, self._frame_s(),
            arrival.is_damaged,
        )  # fmt: skip
        self.decoded += 1
        self.damaged += arrival.is_damaged
        for observer in self._observers:
            observer.frame(shown.frame)
        self._outlets.frame(shown)
        return True

    def _incident(self, kind: IncidentKind, detail: str) -> None:
        self._segment += 1
        self.incidents[kind] += 1
        incident = Incident(kind, self.decoded, self.time_s, detail)
        log.log(
            logging.INFO if kind == "back" else logging.WARNING, "%s: %s, %s", self.feed.name, kind, detail
        )
        self._outlets.incident(incident)

    @property
    def time_s(self) -> float:
        """What the stream's clock shows now."""
        if self._last is None:
            return 0.0
        time_s, arrived_s = self._last
        return time_s if self.feed.ends else time_s + max(0.0, self.clock.now() - arrived_s)

    @property
    def is_away(self) -> bool:
        """Whether the source is lost or frozen, and not back."""
        return self._lost is not None

    def _frame_s(self) -> float:
        """Seconds between frames: of a file as it states them, of a live source as they come."""
        stated_s = float(1 / self.feed.fps) if self.feed.fps else None
        measured_s = self.times.frame_s
        first, second = (stated_s, measured_s) if self.feed.ends else (measured_s, stated_s)
        return first or second or _UNKNOWN_FRAME_S

    @property
    def waits_in_vain(self) -> bool:
        """Whether the seconds are over while a source is waited for that is away, or sent no picture yet."""
        return (self.is_away or not self.decoded) and not self.feed.ends and self._is_over()

    def _is_over(self) -> bool:
        seconds = self.settings.seconds
        if self._last is None and self._opened_s is not None and not self.feed.ends:
            passed_s = self.clock.now() - self._opened_s  # no picture has begun the stream's clock
        else:
            passed_s = self.time_s
        return self._stop.is_set() or (seconds is not None and passed_s >= seconds)


def _often(settings: LiveSettings) -> int:
    """Attempts after which the wait is the longest, for sources that break as soon as they are open."""
    attempts = 0
    while settings.backoff_s * 2.0**attempts < settings.longest_backoff_s:
        attempts += 1
    return attempts


def _words(size: tuple[int, int], codec: str) -> str:
    return f"{size[1]}x{size[0]} {codec}"
