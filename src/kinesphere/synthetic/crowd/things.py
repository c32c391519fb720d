"""Things that people pick up, carry, hold up and put down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinesphere.synthetic.body.body import INDEX, Array, Placement, rotation
from kinesphere.synthetic.motion.controls import unit
from kinesphere.synthetic.motion.motion import ObjectKind, SceneObject, orthonormal, palm
from kinesphere.synthetic.render.render import Figure

Hands = Literal["left", "right", "both"]
_SETTLE_S = 0.12  # how long a thing takes from the floor into the hand's own position
_TILT = {"machete": 0.75, "stick": 0.5, "bottle": 0.0}  # radians off square to the forearm, towards the hand
COLOURS: dict[ObjectKind, tuple[tuple[float, float, float], ...]] = {
    "box": ((186, 146, 98), (160, 120, 80), (90, 110, 150)),
    "ball": ((210, 80, 60), (230, 190, 60), (70, 120, 200)),
    "bottle": ((50, 120, 70), (60, 100, 170), (150, 90, 50)),
    "stick": ((120, 88, 56), (150, 116, 76), (80, 62, 44)),
    "machete": ((178, 184, 190), (150, 156, 164)),
    "chair": ((120, 90, 60),),
}
SIZES_M: dict[ObjectKind, tuple[float, float]] = {
    "box": (0.28, 0.38), "ball": (0.18, 0.26), "bottle": (0.24, 0.34), "stick": (0.7, 1.1),
    "machete": (0.5, 0.68),
}  # fmt: skip
"""Smallest and largest extent of each kind that people can have."""


@dataclass(frozen=True)
class Rest:
    """Where a thing lies: the floor below its middle or grip, (x, y) metres, and its heading."""

    at: tuple[float, float]
    yaw_rad: float = 0.0


@dataclass(frozen=True)
class Hold:
    """A thing in somebody's hands from `start_s` to `end_s`; infinite where it is so from or to the end."""

    figure: Figure
    hands: Hands
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Thing:
    """A thing and its life: it rests, is held, rests, is held, and so on.

    Attributes:
        kind, size_m, colour: What it is.
        rests: Where it lies before, between and after the holds, one more than these.
        holds: In the order of time.
    """

    kind: ObjectKind
    size_m: float
    colour: tuple[float, float, float]
    rests: tuple[Rest, ...]
    holds: tuple[Hold, ...] = ()

    def at(self, times_s: Array) -> SceneObject:
        """The thing at video times (T,)."""
        times = np.asarray(times_s, dtype=float)
        positions, turns = self._lying(self.rests[0], len(times))
        for hold, before, rest in zip(self.holds, self.rests, self.rests[1:], strict=False):
            held, later = (times >= hold.start_s) & (times < hold.end_s), times >= hold.end_s
            if held.any():
                placed = hold.figure.placed(times[held])[0]
                at, turn = in_hands(placed, hold.hands, self.kind, self.size_m)
                settled = np.clip((times[held] - hold.start_s) / _SETTLE_S, 0.0, 1.0)
                settled = np.minimum(settled, np.clip((hold.end_s - times[held]) / _SETTLE_S, 0.0, 1.0))
                # What is grasped, or let go, does not leap: it turns within the hand.
                from_floor = np.where(times[held] < hold.start_s + _SETTLE_S, 0, 1)
                lying = [self._lying(each, 1) for each in (before, rest)]
                spots, stills = (np.concatenate(each)[from_floor] for each in zip(*lying, strict=True))
                part = settled[:, None]
                positions[held] = spots + part * (at - spots)
                turns[held] = orthonormal(stills + part[..., None] * (turn - stills))
            if later.any():
                positions[later], turns[later] = self._lying(rest, int(later.sum()))
        return SceneObject(self.kind, self.size_m, positions, 0.0, turns, self.colour)

    def _lying(self, rest: Rest, count: int) -> tuple[Array, Array]:
        """Positions (count, 3) and orientations (count, 3, 3) on the floor."""
        position = np.array([*rest.at, resting_height_m(self.kind, self.size_m)])
        turn = rotation("z", np.array(rest.yaw_rad))
        if self.kind in ("stick", "machete"):
            turn = turn @ _FLAT
        return np.tile(position, (count, 1)), np.tile(turn, (count, 1, 1))


def resting_height_m(kind: ObjectKind, size_m: float) -> float:
    """How high the middle, or grip, of a thing on the floor is."""
    return {"box": 0.4, "ball": 0.5, "bottle": 0.5}.get(kind, 0.025) * size_m


def in_hands(placed: Placement, hands: Hands, kind: ObjectKind, size_m: float) -> tuple[Array, Array]:
    """Positions (T, 3) and orientations (T, 3, 3) of a thing in hands."""
    if hands == "both":
        chest = placed.orientations[:, INDEX["chest"]]
        return (palm(placed, "left") + palm(placed, "right")) / 2, chest
    forearm = placed.orientations[:, INDEX[f"{hands}_wrist"]]
    towards = unit(placed.of(f"{hands}_fingers") - placed.of(f"{hands}_wrist"))
    at = palm(placed, hands)
    if kind not in _TILT:
        return at + 0.42 * size_m * towards, forearm
    tilt = _TILT[kind]
    along = unit(np.cos(tilt) * forearm[:, :, 0] + np.sin(tilt) * towards)
    across = unit(np.cross(along, towards))
    return at, np.stack([np.cross(across, along), across, along], axis=2)


# Lying on its side: the thing's length along x, its edge along y.
_FLAT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
