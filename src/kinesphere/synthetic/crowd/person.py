"""One person while a script is staged: what was done so far, where that led, and when the person is free."""

from __future__ import annotations

import math
from bisect import bisect_left
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kinesphere.synthetic.body.body import Array, Placement
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.crowd.script import Entrance, Occurrence, Spot
from kinesphere.synthetic.motion.acting import Acting, Grip, Layer
from kinesphere.synthetic.motion.controls import COLUMN
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance
from kinesphere.synthetic.motion.sequence import Passage, Sequence
from kinesphere.synthetic.render.render import Figure

_LEAST_GAP_S, _TURN_S_PER_RAD, _MOST_GAP_S = 0.35, 0.35, 1.3
_LONG_S = 0.9  # who waits for longer does not freeze
_IDLE = "idle"
_EASE_S = {"run": 0.55}  # how long a gait takes to get going, and to stop
_ON_THE_WAY = 9  # places of a movement at which the person's way is known
_GAITS = ("walk", "run", "walk backwards")


_REMEMBERED = frozenset({
    "passages", "layers", "grips", "done", "moving", "spot", "yaw_rad", "free_s", "way",
})  # fmt: skip


@dataclass(frozen=True)
class Begun:
    """A movement that was placed in time."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Gait:
    """A gait that goes on at an even speed."""

    label: str
    steady: Movement
    speed_mps: float

    def lasts_s(self, distance_m: float) -> float:
        """How long it takes over a distance, from standing to standing."""
        evenly = max(distance_m / self.speed_mps, 0.2)
        return evenly + min(_EASE_S.get(self.label, 0.4), evenly)

    def over(self, distance_m: float) -> Movement:
        """The gait over a distance."""
        whole = self.lasts_s(distance_m)
        evenly = max(distance_m / self.speed_mps, 0.2)
        ease = whole - evenly

        def clock(times_s: Array) -> Array:
            t = np.clip(times_s, 0.0, whole)
            speeding, slowing = np.minimum(t, ease), np.maximum(t - evenly, 0.0)
            own: Array = t - speeding + speeding**2 / (2 * ease) - slowing**2 / (2 * ease)
            return own

        return self.steady.played(clock, whole)


class Person:
    """What one person did so far.

    Args:
        identity: As tracks have it.
        performer: Who it is.
        entrance: Where the person stands at first.
        generator: Draws how movements are done.

    Attributes:
        way: When the person was where, (t, x, y).
        done: What the truth tells of.
    """

    def __init__(
        self, identity: int, performer: Performer, entrance: Entrance, generator: np.random.Generator
    ) -> None:
        self.identity, self.performer, self.generator = identity, performer, generator
        self.passages: list[Passage] = []
        self.layers: list[Layer] = []
        self.grips: list[Grip] = []
        self.done: list[Occurrence] = []
        self.moving: list[Begun] = []
        self.spot: Spot = entrance.at
        self.yaw_rad = entrance.facing_rad
        self.free_s = 0.0
        self.way: list[tuple[float, float, float]] = [(0.0, *entrance.at)]
        self.waits(0.3)

    def memory(self) -> dict[str, Any]:
        """All that was done so far, to come back to."""
        return {name: copy(value) for name, value in vars(self).items() if name in _REMEMBERED}

    def recall(self, memory: dict[str, Any]) -> None:
        """Undo what was done since."""
        vars(self).update(memory)

    @property
    def lead(self) -> str:
        """The side that leads."""
        return "left" if self.performer.left_handed else "right"

    def where(self, times_s: Array) -> Array:
        """The place on the floor at ascending times (T,), (T, 2) metres; in the end where it led."""
        # Who looks ahead asks for the last few movements of hundreds.
        first = max(bisect_left(self.way, (float(times_s[0]),)) - 1, 0)
        at, x, y = np.array(self.way[first:]).T
        return np.stack([np.interp(times_s, at, x), np.interp(times_s, at, y)], axis=1)

    def gap_s(self, facing_rad: float | None) -> float:
        """How long the person takes to begin a movement that faces another way."""
        turn = 0.0 if facing_rad is None else abs(_wrapped(facing_rad - self.yaw_rad))
        return min(_LEAST_GAP_S + _TURN_S_PER_RAD * turn, _MOST_GAP_S)

    def facing(self, spot: Spot) -> float:
        """The bearing of a place from where the person is."""
        return math.atan2(spot[1] - self.spot[1], spot[0] - self.spot[0])

    def does(
        self,
        label: str,
        movement: Movement,
        start_s: float = 0.0,
        *,
        facing_rad: float | None = None,
        heading_rad: float | None = None,
        other: int | None = None,
        named: bool = True,
    ) -> Begun:
        """Add a movement.

        Args:
            label: What it is called.
            movement: How it is done, somewhere on the floor.
            start_s: Not before; the person waits until then.
            facing_rad: Which way the person faces at its start; None keeps it.
            heading_rad: Which way it leads instead, of a gait.
            other: Identity of who takes part.
            named: Whether the truth tells of it.
        """
        turned = heading_rad if heading_rad is not None and label != "walk backwards" else facing_rad
        gap_s = self.gap_s(turned)
        if start_s - self.free_s > gap_s + _LONG_S:
            self.waits(start_s - self.free_s - gap_s)
        begin = max(start_s, self.free_s + gap_s)
        if not self.passages:
            begin = start_s
        placed = self._placed(movement, facing_rad, heading_rad)
        end = begin + placed.duration_s
        self.passages.append(Passage(label, Evaluation(), placed, begin, end))
        own = np.linspace(0, placed.duration_s, _ON_THE_WAY)
        controls = placed.controls(own)
        places = controls[:, [COLUMN["x"], COLUMN["y"]]] * self.performer.body.leg_m
        self.way += [(begin + float(t), float(x), float(y)) for t, (x, y) in zip(own, places, strict=True)]
        self.spot = self.way[-1][1:]
        self.yaw_rad, self.free_s = float(controls[-1, COLUMN["yaw"]]), end
        begun = Begun(label, begin, end)
        if named:
            self.done.append(Occurrence(label, begin, end, self.identity, other))
            self.moving.append(begun)
        return begun

    def goes(self, label: str, to: Spot, start_s: float = 0.0, gait: Gait | None = None) -> Begun:
        """Walk or run somewhere, straight, by a gait that may be drawn already."""
        way = gait or self.gait(label)
        movement = way.over(math.dist(self.spot, to))
        return self.does(label, movement, start_s, heading_rad=self.facing(to))

    def gait(self, label: str) -> Gait:
        """This person's gait this time."""
        steady = self.performed(label, 60.0)
        first, last = steady.controls(np.array([0.0, 20.0]))
        way = math.hypot(*(last - first)[[COLUMN["x"], COLUMN["y"]]]) * self.performer.body.leg_m
        return Gait(label, steady, way / 20.0)

    def performed(
        self, label: str, seconds: float, *, cycles: int | None = None, plain: bool = False
    ) -> Movement:
        """A movement in this person's manner, without the things that it would bring along.

        Args:
            label: A base movement.
            seconds: Length of one that just goes on.
            cycles: How often it is done instead.
            plain: With the right hand, at a middling pace.
        """
        primitive = MOVEMENTS.get(label)
        graded = (
            Evaluation() if label in _GAITS or plain else Evaluation.draw(primitive.grades, self.generator)
        )
        manner = Performance(
            evaluation=graded,
            tempo=1.0 if plain else self.performer.tempo * float(self.generator.uniform(0.92, 1.08)),
            amplitude=self.performer.amplitude,
            left_handed=self.performer.left_handed and not plain,
            slouch_rad=self.performer.slouch_rad,
            clip_s=seconds,
            generator=self.generator,
            cycles=cycles if primitive.cyclic else None,
        )
        movement = replace(primitive.perform(manner), props=())
        length = movement.duration_s
        return movement.played(lambda t: np.clip(t, 0.0, length), length)

    def acting(self, duration_s: float) -> Acting:
        """What was done so far, as a motion."""
        return Acting(
            Sequence(tuple(self.passages), duration_s, steps=True), tuple(self.layers), tuple(self.grips)
        )

    def placed(self, times_s: Array) -> Placement:
        """The person's joints at times (T,) as far as the script is staged, arms at no work."""
        bare = Acting(Sequence(tuple(self.passages), self.free_s, steps=True))
        return Figure(self.performer, bare).placed(times_s)[0]

    def waits_until(self, end_s: float) -> None:
        """Stand about to the end of the recording."""
        if end_s - self.free_s > _LEAST_GAP_S:
            self.waits(end_s - self.free_s)

    def waits(self, seconds: float) -> None:
        """Stand about, which is no movement that the truth tells of."""
        start_s = self.free_s + (_LEAST_GAP_S if self.passages else 0.0)
        lasts = max(seconds - (start_s - self.free_s), 0.1)
        self.does(_IDLE, self.performed(_IDLE, lasts), start_s, named=False, facing_rad=self.yaw_rad)

    def _placed(self, movement: Movement, facing_rad: float | None, heading_rad: float | None) -> Movement:
        """The movement on the person's spot, turned as asked by the shorter way round."""
        first, last = movement.controls(np.array([0.0, movement.duration_s]))
        x, y, yaw = (COLUMN[name] for name in ("x", "y", "yaw"))
        if heading_rad is not None:
            turn = heading_rad - math.atan2(last[y] - first[y], last[x] - first[x])
        else:
            turn = (self.yaw_rad if facing_rad is None else facing_rad) - float(first[yaw])
        turn = _wrapped(turn + float(first[yaw]) - self.yaw_rad) + self.yaw_rad - float(first[yaw])
        leg = self.performer.body.leg_m
        c, s = math.cos(turn), math.sin(turn)
        return movement.moved(
            self.spot[0] / leg - c * float(first[x]) + s * float(first[y]),
            self.spot[1] / leg - s * float(first[x]) - c * float(first[y]),
            turn,
        )


def _wrapped(angle_rad: float) -> float:
    """The same direction between -pi and pi."""
    return math.remainder(angle_rad, 2 * math.pi)
