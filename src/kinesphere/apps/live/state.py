"""`LiveState`: what a front end shows of a source that is watched."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from kinesphere.live.alarms import Alarm
from kinesphere.live.annotated import people_of
from kinesphere.live.delivery import Delivery
from kinesphere.live.frame import LiveFrame
from kinesphere.live.latency import Latencies
from kinesphere.live.recorder import Recorder
from kinesphere.live.result import Incident, LiveResult
from kinesphere.live.settings import LiveSettings
from kinesphere.predict.people.drawn import draw_people

News = LiveResult | Incident | Alarm
"""What a front end is told."""

_KEPT = 20
_RATE_OVER_S = 3.0
_AWAY = ("lost", "frozen")


class FrontEnd(Protocol):
    """Shows the state; told on the thread that iterates over `watch`, so it must return at once."""

    def tell(self, news: News) -> None:
        """Something is new in the state."""
        ...

    def close(self) -> None:
        """The watching ended."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment.

    Attributes:
        sequence: Grows with everything that is new.
        results: What was answered at the newest frame that was inferred: one, or one a person.
        incidents: The newest of the source, newest first.
        alarms: The newest alarms, newest first.
        is_away: Whether the source is away or frozen.
        fps: Answered frames per second over the last seconds.
        latency_s: Median and 95th percentile of capture to answer after the warm-up; NaN before that.
        frames: Number of frames that were decoded.
        dropped: Number of frames that the model was to see and did not; None where nobody counts them.
    """

    sequence: int
    results: tuple[LiveResult, ...]
    incidents: tuple[Incident, ...]
    alarms: tuple[Alarm, ...]
    is_away: bool
    fps: float
    latency_s: tuple[float, float]
    frames: int
    dropped: int | None

    @property
    def picture(self) -> np.ndarray | None:
        """The newest frame that was inferred, uint8 RGB, with the people drawn on it who are told apart."""
        if not self.results:
            return None
        people = people_of(self.results)
        pixels = self.results[0].frame.pixels
        return draw_people(pixels, people) if people else pixels


class LiveState:
    """Observes a source, and tells front ends what is new.

    Args:
        source: Its name, as it is shown.
        deliveries: Whose counts are shown.
        recorder: Whose counts are shown.
        dropped: Gives the number of frames that the model was to see and did not.
    """

    def __init__(
        self,
        source: str,
        *,
        deliveries: Sequence[Delivery] = (),
        recorder: Recorder | None = None,
        dropped: Callable[[], int] | None = None,
    ) -> None:
        self.source = source
        self.dropped = dropped
        self.front_ends: list[FrontEnd] = []
        self._deliveries, self._recorder = tuple(deliveries), recorder
        self._lock = threading.Lock()
        self._sequence = self._frames = 0
        self._results: tuple[LiveResult, ...] = ()
        self._incidents: deque[Incident] = deque(maxlen=_KEPT)
        self._alarms: deque[Alarm] = deque(maxlen=_KEPT)
        self._is_away = False
        self._latencies = Latencies(LiveSettings().warm_up)
        self._answered_s: deque[float] = deque(maxlen=256)

    def frame(self, frame: LiveFrame) -> None:
        """See `FrameObserver.frame`."""
        self._frames = frame.number + 1

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver.result`."""
        with self._lock:
            is_new = not self._results or self._results[0].frame.number != result.frame.number
            self._results = (result,) if is_new else (*self._results, result)
            self._latencies.add(result.latency_s)
            if is_new:
                self._answered_s.append(time.monotonic())
        self._tell(result)

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver.incident`."""
        with self._lock:
            self._incidents.appendleft(incident)
            self._is_away = incident.kind in _AWAY
        self._tell(incident)

    def alarm(self, alarm: Alarm) -> None:
        """See `AlarmReceiver.alarm`."""
        with self._lock:
            self._alarms.appendleft(alarm)
        self._tell(alarm)

    def close(self) -> None:
        """Close the front ends; may be called again."""
        for front_end in self.front_ends:
            front_end.close()

    def snapshot(self) -> Snapshot:
        """The state now."""
        with self._lock:
            since_s = time.monotonic() - _RATE_OVER_S
            answered = sum(at_s > since_s for at_s in self._answered_s)
            return Snapshot(
                sequence=self._sequence,
                results=self._results,
                incidents=tuple(self._incidents),
                alarms=tuple(self._alarms),
                is_away=self._is_away,
                fps=answered / _RATE_OVER_S,
                latency_s=(self._latencies.percentile(50), self._latencies.percentile(95)),
                frames=self._frames,
                dropped=None if self.dropped is None else self.dropped(),
            )

    def outputs(self) -> dict[str, Any]:
        """Counts of deliveries and of the recorder, as plain values."""
        return output_counts(self._deliveries, self._recorder)

    def _tell(self, news: News) -> None:
        with self._lock:
            self._sequence += 1
        for front_end in self.front_ends:
            front_end.tell(news)


def output_counts(deliveries: Sequence[Delivery], recorder: Recorder | None) -> dict[str, Any]:
    """Counts as plain values: `deliveries`, each with what it goes `to`, and `recorder`."""
    counts = [{"to": delivery.channel.name, **asdict(delivery.counts)} for delivery in deliveries]
    return {"deliveries": counts, "recorder": None if recorder is None else asdict(recorder.counts)}
