"""`FrameObserver`: whoever is told of frames, answers and incidents while a source is watched."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult


class FrameObserver(Protocol):
    """A recorder, a front end, an alarm: all of them are told the same.

    `frame` is called on the thread that reads the source, for every decoded frame in order; it must return
    within a millisecond or so, since nothing is read meanwhile: keep the frame, and work elsewhere. The other
    three are called on the thread that iterates over `watch`. What an observer raises ends the watching.
    """

    def frame(self, frame: LiveFrame) -> None:
        """A frame was decoded, whether or not a model sees it."""
        ...

    def result(self, result: LiveResult) -> None:
        """The model answered; its frame was told before."""
        ...

    def incident(self, incident: Incident) -> None:
        """Something happened to the source."""
        ...

    def close(self) -> None:
        """The watching ended; called once, whatever ended it. Finish and free everything."""
        ...


@runtime_checkable
class ClockObserver(FrameObserver, Protocol):
    """An observer that is told how far the answers are, for whom it matters that none came."""

    def clock(self, time_s: float) -> None:
        """No answer follows that ends before a time on the stream's clock.

        Called on the thread that iterates over `watch`: after the answers at a frame, though there be none,
        and several times a second while the source is away.
        """
        ...
