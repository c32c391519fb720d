"""`LiveEvents`: composite activities found while a source is watched, told to its alarms."""

from __future__ import annotations

import math

from kinesphere.live.alarms import Alarms
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.predict.events import Event, Fact, Matcher, Rules, StreamFacts
from kinesphere.predict.segment_rule import SegmentRule

STEADY = SegmentRule(keep=0.3, min_s=0.5, gap_s=0.5)
"""How answers become facts by default: with hysteresis, without what is shorter than half a second."""


class LiveEvents:
    """Finds events by rules in the answers about a source, as an observer that is told before its alarms.

    What a gap in the source hides has not happened; it is decided while the source is away.

    Args:
        rules: What to look for.
        alarms: Who is told of each event, with the frame whose answer decided it.
        steady: How answers become facts.

    Raises:
        InvalidSetting: If facts of a stream cannot be found so.
    """

    def __init__(self, rules: Rules, alarms: Alarms, steady: SegmentRule = STEADY) -> None:
        self.found = 0
        """Number of events so far."""
        self._alarms = alarms
        self._stream = StreamFacts(steady)
        self._matcher = Matcher(rules, follows_facts=False)
        self._newest: LiveFrame | None = None

    def frame(self, frame: LiveFrame) -> None:
        """See `FrameObserver.frame`."""

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver.result`."""
        self._newest = result.frame
        ended = self._stream.end(result.person) if result.begins else []
        self._take([*ended, *self._stream.add(result.prediction, result.person, result.box)])

    def clock(self, time_s: float) -> None:
        """See `ClockObserver.clock`: what has not happened by then has not, though nobody is seen."""
        self._take(self._stream.advance(time_s))

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver.incident`: nothing goes on over a gap, nor waits for the source to come back."""
        if incident.kind == "back":
            return
        ended = self._stream.close()
        over_s = max((fact.end_s for fact in ended), default=incident.time_s)
        self._take(ended)
        self._tell(self._matcher.advance(math.nextafter(max(incident.time_s, over_s), math.inf)))

    def close(self) -> None:
        """See `FrameObserver.close`: what has not happened by now does not happen."""
        self._take(self._stream.close())
        self._tell(self._matcher.finish())

    def _take(self, facts: list[Fact]) -> None:
        for fact in facts:
            self._matcher.add(fact)
        self._tell(self._matcher.advance(self._stream.known_s))

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self.found += 1
            if self._newest is not None:
                self._alarms.event(event, self._newest)
