"""What people do on top of their movements: hold arms some way, and bring a palm to where something is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinesphere.synthetic.body.body import INDEX, Array, Body, Placement, Pose, forward_kinematics
from kinesphere.synthetic.motion.controls import COLUMN, solve
from kinesphere.synthetic.motion.motion import SceneObject, palm
from kinesphere.synthetic.motion.sequence import Sequence

Side = Literal["left", "right"]
_ROUNDS = 3  # a palm lies off the wrist in a direction that follows from where the wrist is
_FAR = 1.3  # arm lengths beyond which no target helps


@dataclass(frozen=True)
class Layer:
    """Arms held some way for a while, whatever the rest of the body does.

    Attributes:
        start_s, end_s: From when to when.
        ramp_s: How long they take to get there after the start, and away before the end.
        changes: Channels of the control vector (see `motion.controls`) and their values.
    """

    start_s: float
    end_s: float
    ramp_s: float
    changes: Mapping[str, float]

    def weight(self, times_s: Array) -> Array:
        """How much the arms are held that way, (T,) from 0 to 1."""
        return _ramped(times_s, self.start_s + self.ramp_s, self.end_s - self.ramp_s, self.ramp_s)


@dataclass(frozen=True)
class Grip:
    """A palm that is at a point for a while.

    Attributes:
        side: Which hand.
        start_s, end_s: From when to when it is there.
        ramp_s: How long before the start it leaves its movement, and after the end until it is back.
        point: Times (T,) in seconds to points (T, 3), metres in the motion's own frame.
    """

    side: Side
    start_s: float
    end_s: float
    ramp_s: float
    point: Callable[[Array], Array]

    def weight(self, times_s: Array) -> Array:
        """How much the palm is there, (T,) from 0 to 1."""
        return _ramped(times_s, self.start_s, self.end_s, self.ramp_s)


@dataclass(frozen=True)
class Acting:
    """Movements one after the other, with arms that do something of their own.

    Attributes:
        sequence: The movements; what they handle themselves is left out.
        layers: Arms held some way, the later ones over the earlier ones.
        grips: Palms that are at a point; out of reach, the arm stretches towards it.
    """

    sequence: Sequence
    layers: tuple[Layer, ...] = ()
    grips: tuple[Grip, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of the sequence."""
        return self.sequence.duration_s

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Joint rotations of `body` at times (T,) in seconds."""
        times = np.asarray(times_s, dtype=float)
        controls = self.sequence.controls(times)
        if not len(times):
            return solve(controls, body)
        low, high = float(times.min()), float(times.max())
        for layer in self.layers:
            if layer.start_s < high and low < layer.end_s:
                columns = [COLUMN[name] for name in layer.changes]
                there = np.array(list(layer.changes.values()))
                controls[:, columns] += layer.weight(times)[:, None] * (there - controls[:, columns])
        grips = [
            grip
            for grip in self.grips
            if grip.start_s - grip.ramp_s < high and low < grip.end_s + grip.ramp_s
        ]
        busy = np.any([grip.weight(times) > 0 for grip in grips], axis=0) if grips else np.zeros(1, bool)
        if busy.any():
            controls[busy] = _gripping(controls[busy], times[busy], grips, body)
        return solve(controls, body)

    def objects(self, times_s: Array, body: Body, placement: Placement) -> tuple[SceneObject, ...]:
        """None: things have a life of their own."""
        return ()


def _gripping(controls: Array, times_s: Array, grips: list[Grip], body: Body) -> Array:
    """Control vectors whose palms are where the grips want them."""
    weights = [grip.weight(times_s) for grip in grips]
    rows = [np.flatnonzero(weight > 0) for weight in weights]
    hands = [np.array([COLUMN[f"{grip.side}_hand_{axis}"] for axis in "xyz"]) for grip in grips]
    targets = [grip.point(times_s[own]) for grip, own in zip(grips, rows, strict=True)]
    aimed = controls.copy()
    for _ in range(_ROUNDS):
        placed = forward_kinematics(body, solve(aimed, body))
        chest = placed.orientations[:, INDEX["chest"]]
        for grip, own, columns, target in zip(grips, rows, hands, targets, strict=True):
            miss = target - palm(placed, grip.side)[own]
            off = np.einsum("tba,tb->ta", chest[own], miss) / body.arm_m
            off[:, 1] *= 1.0 if grip.side == "left" else -1.0
            wanted = aimed[np.ix_(own, columns)] + off
            size = np.linalg.norm(wanted, axis=1, keepdims=True)
            aimed[np.ix_(own, columns)] = wanted * np.minimum(1.0, _FAR / np.maximum(size, 1e-9))
    result = controls.copy()
    for weight, columns in zip(weights, hands, strict=True):
        result[:, columns] += weight[:, None] * (aimed[:, columns] - controls[:, columns])
    return result


def _ramped(times_s: Array, start_s: float, end_s: float, ramp_s: float) -> Array:
    """1 from `start_s` to `end_s`, smoothly from and to 0 within `ramp_s` before and after."""
    part = np.clip(1 - np.maximum(start_s - times_s, times_s - end_s) / ramp_s, 0.0, 1.0)
    smooth: Array = part * part * (3 - 2 * part)
    return smooth
