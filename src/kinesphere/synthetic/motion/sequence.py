"""Movements one after the other, as one motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinesphere.synthetic.body.body import Array, Body, Placement, Pose
from kinesphere.synthetic.motion.controls import solve
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement, SceneObject

BLEND_S = 0.4
"""Seconds that a body takes at least from one movement's last posture to the next one's first."""


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
    """

    passages: tuple[Passage, ...]
    duration_s: float

    def pose(self, times_s: Array, body: Body) -> Pose:
        """Joint rotations of `body` at times (T,) in seconds."""
        return solve(self.controls(np.asarray(times_s, dtype=float)), body)

    def controls(self, times_s: Array) -> Array:
        """Control vectors (T, 32)."""
        first = self.passages[0]
        result = first.movement.controls(times_s - first.start_s)
        for before, passage in zip(self.passages, self.passages[1:], strict=False):
            gap_s = passage.start_s - before.end_s
            eased = np.clip((times_s - before.end_s) / gap_s, 0.0, 1.0)[:, None]
            eased = eased * eased * (3 - 2 * eased)
            here = passage.movement.controls(np.maximum(times_s - passage.start_s, 0.0))
            held = np.minimum(times_s, before.end_s) - before.start_s
            result = np.where(times_s[:, None] > before.end_s, before.movement.controls(held), result)
            result = result + eased * (here - result)
        return result

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
