"""Sources without a network or a wait: what happens to them, and the time, is written down beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from benchmarks.stamped import stamp

from kinesphere.core.errors import SourceTimeout, UnreadableVideo
from kinesphere.live.drain import Drain, Outlets
from kinesphere.live.feed import Arrival, Picture
from kinesphere.live.result import Incident
from kinesphere.live.settings import LiveSettings
from kinesphere.live.shown import Shown

SIZE = (48, 64)


class VirtualClock:
    """A clock that goes on when somebody waits."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> float:
        return self.s

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.s += max(seconds, 0.0)
        return stop.is_set()


@dataclass
class World:
    """A camera at 25 frames a second that things happen to; a `Feed` on a `VirtualClock`.

    Attributes:
        clock: Moved on by reading.
        outages: From when to when it is away, and how: `cut`, `frozen` (open, silent), or `still` (it sends
            its last frame again and again).
        ends_s: When it is over.
        looks: Size and codec at a time.
        gate: Waited for before each frame.
    """

    clock: VirtualClock
    outages: Sequence[tuple[float, float, str]] = ()
    ends_s: float = 2.0
    looks: Callable[[float], tuple[tuple[int, int], str]] = lambda time_s: (SIZE, "h264")
    gate: Callable[[], None] = lambda: None
    name: str = "world"
    ends: bool = False
    fps: Fraction | None = None
    frame_s: float = 0.04
    attempts: list[float] = field(default_factory=list)

    def away(self, time_s: float) -> tuple[float, float, str] | None:
        return next((each for each in self.outages if each[0] <= time_s < each[1]), None)

    def connect(self) -> Connected:
        self.attempts.append(self.clock.s)
        self.clock.s += 0.05
        if self.away(self.clock.s):
            raise UnreadableVideo("refused")
        return Connected(self, self.clock.s)


class Connected:
    def __init__(self, world: World, began_s: float) -> None:
        self.world, self.began_s = world, began_s
        self.number = int(began_s / world.frame_s) + 1
        self.closed = False

    def read(self) -> Arrival | None:
        world, clock = self.world, self.world.clock
        world.gate()
        time_s = self.number * world.frame_s
        outage = world.away(time_s)
        if time_s >= world.ends_s:
            world.ends = True
            return None
        if outage is not None and outage[2] == "cut":
            clock.s = max(clock.s, time_s)
            raise UnreadableVideo("broke off")
        if outage is not None and outage[2] == "frozen":
            clock.s = max(clock.s, time_s) + 2.0
            raise SourceTimeout("sent nothing for 2 s")
        self.number += 1
        clock.s = max(clock.s, time_s)
        stamp_s = time_s if outage is None else outage[0]
        size, codec = world.looks(time_s)
        image = stamp(np.full((*size, 3), 90, np.uint8), self.number - 1, time_s)
        return Arrival(Picture.of(image), stamp_s - self.began_s, clock.s, codec)

    def abandon(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


@dataclass
class Drained:
    frames: list[Shown] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    error: BaseException | None = None


def drained(world: World, settings: LiveSettings = LiveSettings()) -> Drained:  # noqa: B008
    """All that comes of a world, read on this thread."""
    found = Drained()

    def end(error: BaseException | None) -> None:
        found.error = error

    Drain(world, settings, world.clock, Outlets(found.frames.append, found.incidents.append, end)).run()
    return found
