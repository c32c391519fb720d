"""Movements one after the other, as one motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinesphere.synthetic.body.body import Array, Body, Placement, Pose
from kinesphere.synthetic.motion.controls import CHANNELS, COLUMN, solve
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement, SceneObject

BLEND_S = 0.4
"""Seconds that a body takes at least from one movement's last posture to the next one's first."""

_STEP = 0.10  # leg lengths that a foot is lifted


@dataclass(frozen=True)
class Passage:
    """One movement within a recording, from `start_s` to `end_s`."""

    label: str
    evaluation: Evaluation
    movement: Movement
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Sequence:
    """Movements one after the other; between them the body passes from one posture to the next.

    Attributes:
        passages: In order of time, each with its place on the floor.
        duration_s: Length of the recording.
        steps: Whether the feet go one after the other, lifted, from movement to movement; else they glide.
    """

    passages: tuple[Passage, ...]
    duration_s: float
    steps: bool = False

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Joint rotations of `body` at times (T,) in seconds."""
        return solve(self.controls(np.asarray(times_s, dtype=float)), body)

    def controls(self, times_s: Array) -> Array:
        """Control vectors (T, 32); each time is asked of the two passages that it lies in or between."""
        times = np.asarray(times_s, dtype=float)
        result = np.empty((len(times), len(CHANNELS)))
        which = np.searchsorted([passage.end_s for passage in self.passages[:-1]], times)
        for number in np.unique(which):
            here = which == number
            result[here] = self._about(int(number), times[here])
        return result

    def _about(self, number: int, times: Array) -> Array:
        """Control vectors from the end of the passage before `number` to its own end."""
        passage = self.passages[number]
        if number == 0:
            return passage.movement.controls(times - passage.start_s)
        before = self.passages[number - 1]
        gap_s = passage.start_s - before.end_s
        part = np.clip((times - before.end_s) / gap_s, 0.0, 1.0)
        there = before.movement.controls(np.minimum(times, before.end_s) - before.start_s)
        here = passage.movement.controls(np.maximum(times - passage.start_s, 0.0))
        return _stepping(there, here, part) if self.steps else there + _smooth(part)[:, None] * (here - there)

    def objects(self, times_s: Array, body: Body, placement: Placement) -> tuple[SceneObject, ...]:
        """Chairs stay for the whole recording; handled things are there during their passage."""
        times = np.asarray(times_s, dtype=float)
        things: list[SceneObject] = []
        for passage in self.passages:
            for thing in passage.movement.objects(times - passage.start_s, body, placement):
                if thing.kind == "chair":
                    if not any(_same_spot(thing, other) for other in things):
                        things.append(thing)
                    continue
                during = (times >= passage.start_s - BLEND_S) & (times <= passage.end_s + BLEND_S)
                # Out of sight, below the floor and behind the world, when it is not needed.
                away = np.array([0.0, 0.0, -50.0])
                things.append(replace(thing, positions=np.where(during[:, None], thing.positions, away)))
        return tuple(things)


def _same_spot(one: SceneObject, other: SceneObject) -> bool:
    return other.kind == one.kind and float(np.abs(one.positions[0] - other.positions[0]).max()) < 0.15


def _smooth(part: Array) -> Array:
    """From 0 to 1 without a jolt at either end."""
    eased: Array = part * part * (3 - 2 * part)
    return eased


def _stepping(before: Array, after: Array, part: Array) -> Array:
    """Control vectors on the way from one posture to the next, (T, 32): left foot first, then the right."""
    result: Array = before + _smooth(part)[:, None] * (after - before)
    for side, start in (("left", 0.0), ("right", 0.5)):
        own = np.clip(2 * (part - start), 0.0, 1.0)
        columns = [COLUMN[f"{side}_foot_{name}"] for name in ("x", "y", "lift", "pitch", "yaw")]
        there, here = before[:, columns], after[:, columns]
        result[:, columns] = there + _smooth(own)[:, None] * (here - there)
        far = np.hypot(*(here - there)[:, :2].T) + 0.2 * np.abs((here - there)[:, 4])
        height = _STEP * np.clip(far / 0.3, 0.0, 1.0)
        result[:, COLUMN[f"{side}_foot_lift"]] += height * 4 * own * (1 - own)
    return result
