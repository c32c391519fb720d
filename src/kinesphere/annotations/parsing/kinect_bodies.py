"""Which bodies of a depth camera's frames are one person.

The camera gives a body a number while it keeps hold of it. A person who was lost for a moment gets another
number, two who come close may exchange theirs, and for some frames one person may have two. Where a body is
tells more than its number: bodies continue the person nearest to them, and the number decides where that is
in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.clips.boxes import assign

# Metres. A number is worth so much: nearer than that to each other, people keep theirs. Whoever was away may
# be so far off as it reaches while standing, and further for every second, but not anywhere.
_NUMBER_M, _STANDING_M, _PACE_M, _FURTHEST_M = 0.25, 0.35, 1.5, 2.0
# Joint by joint nearer than this, in one frame, are two numbers of one person.
_SAME_M = 0.15
# After so many frames the posture tells nothing any more, only the place.
_POSTURE_FRAMES = 6
# People looked for at a time; those not seen for longest are given up.
_MAX_KNOWN = 32


@dataclass(frozen=True, eq=False)
class Body:
    """A body of one frame.

    Attributes:
        number: That the camera gave it.
        points: `(J, 3)` metres.
        seen: bool `(J,)`.
    """

    number: str
    points: np.ndarray
    seen: np.ndarray


@dataclass
class _Person:
    index: int
    body: Body
    frame: int


def people(frames: Sequence[Sequence[Body]], fps: float) -> list[list[int | None]]:
    """The person that each body of each frame is, counted from 0 in the order of appearance.

    Args:
        frames: The bodies of every frame.
        fps: Frames per second.

    Returns:
        As `frames`; None for a body that is a person's second number in a frame.
    """
    known: list[_Person] = []
    found: list[list[int | None]] = []
    count = 0
    for t, bodies in enumerate(frames):
        owners: list[int | None] = [None] * len(bodies)
        for i, j in assign(_similarity(known, bodies, t, fps)) if known and bodies else ():
            if known[i].body.number == bodies[j].number or _distance(known[i], bodies[j], t) <= _max_distance(
                t - known[i].frame, fps
            ):
                owners[j], known[i].body, known[i].frame = known[i].index, bodies[j], t
        for j, body in enumerate(bodies):
            # Who is there already has been continued, or found before in this frame.
            if owners[j] is None and not any(
                person.frame == t and _distance(person, body, t) < _SAME_M for person in known
            ):
                owners[j] = count
                known.append(_Person(count, body, t))
                count += 1
        known = sorted(known, key=lambda person: -person.frame)[:_MAX_KNOWN]
        found.append(owners)
    return found


def _similarity(known: Sequence[_Person], bodies: Sequence[Body], t: int, fps: float) -> np.ndarray:
    """`(N, M)` how well each body continues each person; what cannot be is worth least."""
    value = np.empty((len(known), len(bodies)))
    for i, person in enumerate(known):
        for j, body in enumerate(bodies):
            distance, is_own = _distance(person, body, t), person.body.number == body.number
            possible = is_own or distance <= _max_distance(t - person.frame, fps)
            # Of two who stand equally near, the one who was here last.
            value[i, j] = _NUMBER_M * is_own - distance - 1e-6 * (t - person.frame) if possible else -1e6
    return value


def _distance(person: _Person, body: Body, t: int) -> float:
    """Metres between a person's last body and another; infinitely many where nothing can be compared."""
    both = person.body.seen & body.seen
    if not both.any():
        return np.inf if person.body.number != body.number else 0.0
    steps = body.points[both] - person.body.points[both]
    if t - person.frame > _POSTURE_FRAMES:
        return float(np.linalg.norm(steps.mean(0)))
    return float(np.linalg.norm(steps, axis=-1).mean())


def _max_distance(frames: int, fps: float) -> float:
    return min(_STANDING_M + _PACE_M * frames / fps, _FURTHEST_M)
