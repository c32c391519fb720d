"""Motions: functions from time to pose, independent of bodies, cameras and scenes.

Anything with `duration_s`, `pose` and `objects` can be performed by a mannequin: the parametric movements
below, sequences of them, or recorded joint rotations (`Recorded`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import INDEX, Array, Body, Placement, Pose, forward_kinematics
from kinesphere.synthetic.motion.controls import COLUMN, Track, mirrored, moved, posture, solve

Clock = Callable[[Array], Array]
ObjectKind = Literal["ball", "box", "chair", "bottle", "stick", "machete"]
GRAVITY_MPS2 = 9.81


@dataclass(frozen=True)
class SceneObject:
    """A thing that a figure uses.

    Attributes:
        kind: What it is.
        size_m: Its largest extent; of a chair the height of its seat.
        positions: Where it is over time, (T, 3) metres.
        yaw_rad: Its heading.
        orientations: How it is turned over time, (T, 3, 3), before its heading; None: upright.
        colour: RGB 0-255; None leaves it to the film.
    """

    kind: ObjectKind
    size_m: float
    positions: Array
    yaw_rad: float = 0.0
    orientations: Array | None = None
    colour: tuple[float, float, float] | None = None


class Motion(Protocol):
    """A function from time to pose."""

    @property
    def duration_s(self) -> float:
        """Length; before 0 and after here the first and the last posture are held, or a cycle goes on."""

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Joint rotations of `body` at times (T,) in seconds."""

    def objects(self, times_s: Array, body: Body, placement: Placement) -> tuple[SceneObject, ...]:
        """What the figure sits on, holds or throws at those times, given where its joints are."""


@dataclass(frozen=True)
class Chair:
    """A seat behind the figure, on the floor at (x, y) leg lengths."""

    x: float
    y: float = 0.0
    yaw_rad: float = 0.0


@dataclass(frozen=True)
class Handled:
    """A ball or box in one hand during `held_s` of the movement's own time.

    Before, it rests on the floor below the grasp; afterwards it flies with `velocity_mps`.
    """

    kind: Literal["ball", "box"]
    size_m: float
    side: Literal["left", "right"]
    held_s: tuple[float, float]
    velocity_mps: tuple[float, float, float] = (0.0, 0.0, 0.0)


Prop = Chair | Handled


@dataclass(frozen=True)
class Movement:
    """A parametric movement: a control track run through a clock.

    Attributes:
        duration_s: Length in seconds of played time.
        track: Control vectors as a function of the movement's own time.
        clock: Played time to own time; tempo, acceleration, phase and direction of time live here.
        sway: Control vectors added as a function of played time: the living body's unrest.
        props: What is handled.
    """

    duration_s: float
    track: Track
    clock: Clock
    sway: Track
    props: tuple[Prop, ...] = ()

    def controls(self, times_s: Array) -> Array:
        """Control vectors (T, 32)."""
        result: Array = self.track(self.clock(times_s)) + self.sway(times_s)
        return result

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Joint rotations of `body` at times (T,) in seconds."""
        return solve(self.controls(times_s), body)

    def objects(self, times_s: Array, body: Body, placement: Placement) -> tuple[SceneObject, ...]:
        """Chairs, and handled things along their paths."""
        return tuple(self._object(prop, times_s, body, placement) for prop in self.props)

    def played(self, clock: Clock, duration_s: float) -> Movement:
        """The same movement with `clock` run before its own one."""
        own = self.clock
        return replace(self, duration_s=duration_s, clock=lambda t: own(clock(t)))

    def backwards(self) -> Movement:
        """The exact time reversal."""
        end, sway = self.duration_s, self.sway
        turned = replace(self, sway=lambda t: sway(end - t))
        return turned.played(lambda t: end - t, end)

    def mirrored(self) -> Movement:
        """Left and right exchanged."""
        track, sway = self.track, self.sway
        return replace(
            self,
            track=lambda t: mirrored(track(t)),
            sway=lambda t: mirrored(sway(t)),
            props=tuple(_mirrored_prop(prop) for prop in self.props),
        )

    def moved(self, x: float, y: float, yaw_rad: float) -> Movement:
        """On another spot of the floor (leg lengths), facing another way."""
        track, sway = self.track, self.sway
        return replace(
            self,
            track=lambda t: moved(track(t), x, y, yaw_rad),
            sway=lambda t: moved(sway(t), 0.0, 0.0, yaw_rad) - moved(0 * sway(t), 0.0, 0.0, yaw_rad),
            props=tuple(_moved_prop(prop, x, y, yaw_rad) for prop in self.props),
        )

    def _object(self, prop: Prop, times_s: Array, body: Body, placement: Placement) -> SceneObject:
        if isinstance(prop, Chair):
            spot = np.array([prop.x * body.leg_m, prop.y * body.leg_m, 0.0])
            seat = float(body.rest[INDEX["left_knee"], 2]) - 0.03
            return SceneObject("chair", seat, np.broadcast_to(spot, (len(times_s), 3)), prop.yaw_rad)
        own = self.clock(times_s)
        start, end = prop.held_s
        path = _in_hand(placement, prop)
        ends = np.array([start, end])
        grasp, release = _in_hand(forward_kinematics(body, solve(self.track(ends), body)), prop)
        grasp[2] = prop.size_m / 2
        since = np.maximum(own - end, 0.0)[:, None]
        heading = moved(posture()[None], 0.0, 0.0, float(self.track(ends)[1, COLUMN["yaw"]]))
        c, s = np.cos(heading[0, COLUMN["yaw"]]), np.sin(heading[0, COLUMN["yaw"]])
        vx, vy, vz = prop.velocity_mps
        velocity = np.array([c * vx - s * vy, s * vx + c * vy, vz])
        flight = release + velocity * since - np.array([0, 0, GRAVITY_MPS2 / 2]) * since**2
        flight[:, 2] = np.maximum(flight[:, 2], prop.size_m / 2)
        path = np.where((own < start)[:, None], grasp, path)
        return SceneObject(prop.kind, prop.size_m, np.where((own > end)[:, None], flight, path))


@dataclass(frozen=True)
class Recorded:
    """Joint rotations recorded at a fixed rate, for example motion capture mapped onto our joints.

    Attributes:
        recorded: T poses of a figure whose pelvis stood `pelvis_m` above the floor when upright.
        rate_hz: Poses a second.
        pelvis_m: Scale of the root's path; it is stretched to the pelvis height of the body that plays it.
    """

    recorded: Pose
    rate_hz: float
    pelvis_m: float

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or self.pelvis_m <= 0 or len(self.recorded.root) < 2:
            raise InvalidSetting(
                "A recording needs two or more poses, a positive rate_hz and pelvis_m; got "
                f"{len(self.recorded.root)} poses, {self.rate_hz} and {self.pelvis_m}."
            )

    @property
    def duration_s(self) -> float:
        """Time from the first to the last pose."""
        return (len(self.recorded.root) - 1) / self.rate_hz

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Poses interpolated between the recorded ones; rotations stay orthonormal."""
        at = np.clip(np.asarray(times_s) * self.rate_hz, 0, len(self.recorded.root) - 1)
        low = np.minimum(at.astype(int), len(self.recorded.root) - 2)
        part = at - low
        root = self.recorded.root
        scale = body.rest[INDEX["pelvis"], 2] / self.pelvis_m
        between = root[low] + part[:, None] * (root[low + 1] - root[low])
        turns = self.recorded.rotations
        weight = part[:, None, None, None]
        return Pose(between * scale, orthonormal((1 - weight) * turns[low] + weight * turns[low + 1]))

    def objects(self, times_s: Array, body: Body, placement: Placement) -> tuple[SceneObject, ...]:
        """None: recordings carry a body only."""
        return ()


def unrest(generator: np.random.Generator, steadiness: float) -> Track:
    """Smooth random sway, as strong forwards as backwards in time.

    Args:
        generator: Draws phases and frequencies.
        steadiness: From 0, about to lose balance, to 1, a trained stand.
    """
    wobble = 1.0 - steadiness
    strength = {
        "roll": 0.010 + 0.12 * wobble,
        "pitch": 0.010 + 0.06 * wobble,
        "side": 0.012 + 0.14 * wobble,
        "bend": 0.015 + 0.05 * wobble,
        "x": 0.004 + 0.03 * wobble,
        "y": 0.004 + 0.05 * wobble,
        "nod": 0.04,
        "look": 0.06,
        **{f"{side}_hand_{axis}": 0.012 + 0.08 * wobble for side in ("left", "right") for axis in "xyz"},
    }
    columns = [COLUMN[name] for name in strength]
    size = np.array(list(strength.values()))
    frequency = generator.uniform(0.25, 0.9, (2, len(columns))) * (1.0 + 1.2 * wobble)
    phase = generator.uniform(0, 2 * np.pi, (2, len(columns)))

    def track(times_s: Array) -> Array:
        waves = np.sin(2 * np.pi * frequency * np.asarray(times_s)[:, None, None] + phase)
        result = np.zeros((len(times_s), len(COLUMN)))
        result[:, columns] = size * waves.mean(axis=1)
        return result

    return track


def palm(placement: Placement, side: Literal["left", "right"]) -> Array:
    """The middle of a hand, (T, 3)."""
    middle: Array = 0.45 * placement.of(f"{side}_wrist") + 0.55 * placement.of(f"{side}_fingers")
    return middle


def _in_hand(placement: Placement, prop: Handled) -> Array:
    """Where a thing in the hand is, (T, 3)."""
    forearm = placement.of(f"{prop.side}_fingers") - placement.of(f"{prop.side}_wrist")
    away = forearm / np.linalg.norm(forearm, axis=1, keepdims=True)
    held: Array = palm(placement, prop.side) + away * prop.size_m * 0.4
    return held


def _mirrored_prop(prop: Prop) -> Prop:
    if isinstance(prop, Chair):
        return Chair(prop.x, -prop.y, -prop.yaw_rad)
    vx, vy, vz = prop.velocity_mps
    return replace(prop, side="left" if prop.side == "right" else "right", velocity_mps=(vx, -vy, vz))


def _moved_prop(prop: Prop, x: float, y: float, yaw_rad: float) -> Prop:
    if isinstance(prop, Handled):
        return prop
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return Chair(c * prop.x - s * prop.y + x, s * prop.x + c * prop.y + y, prop.yaw_rad + yaw_rad)


def orthonormal(matrices: Array) -> Array:
    """Near-rotations (..., 3, 3) made rotations, by Gram-Schmidt on the first two columns."""
    x = matrices[..., 0] / np.linalg.norm(matrices[..., 0], axis=-1, keepdims=True)
    y = matrices[..., 1] - x * np.sum(x * matrices[..., 1], axis=-1, keepdims=True)
    y /= np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)
