"""Movements as they happen outside of a studio: between other things, with the arms busy, once or thrice.

The plain generator shows each movement tidily, which is what tells graded evaluations apart. What learns
from it and is then shown real people needs the rest: other tempi and sizes than one would guess, arms that
carry, fold or telephone meanwhile, postures of one's own, and something before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.motion.controls import CHANNELS, COLUMN, Track, posture
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance
from kinesphere.synthetic.motion.sequence import Passage, Sequence

_ARMS_FREE = frozenset({
    "walk", "walk backwards", "walk on the spot", "turn", "sit down", "stand up", "bend", "stand", "squat",
    "kick a ball", "kick to the side", "kick", "sit", "balance", "jump", "run",
})  # fmt: skip
"""Movements that are the same whatever the arms do."""
_CARRIED: tuple[Mapping[str, float], ...] = (
    {"x": 0.08, "y": 0.02, "z": -0.72, "elbow": 0.5},  # in the pocket
    {"x": 0.42, "y": -0.28, "z": -0.48, "elbow": 0.2},  # folded
    {"x": 0.05, "y": 0.02, "z": -0.58, "elbow": 1.0},  # on the hip
    {"x": -0.24, "y": -0.20, "z": -0.78, "elbow": 0.4},  # behind the back
    {"x": 0.50, "y": -0.15, "z": -0.45, "elbow": 0.2},  # something carried before the body
    {"x": 0.15, "y": -0.05, "z": 0.38, "elbow": 0.6},  # a telephone
    {"x": 0.08, "y": 0.12, "z": -0.96, "elbow": 0.0},  # hanging still
)
_BUSY = 0.35
_FAST, _SLOW = 1.7, 0.6
# Movements that just go on; other cyclic ones are done a few times.
_LASTING = frozenset({
    "walk", "walk backwards", "walk on the spot", "run", "run on the spot", "stand", "idle", "sit", "lie",
})  # fmt: skip
_CYCLES = (1, 1, 1, 2, 3, 5)
_BESIDE = ("stand", "stand", "stand", "stand", "stand", "idle", "walk", "turn")
# Postures that one passes to from standing: pelvis at this height at least and the trunk this upright.
_UPRIGHT_HEIGHT, _UPRIGHT_RAD = 0.90, 0.35


def enact(
    label: str, performer: Performer, generator: np.random.Generator, *, alone: float = 0.3
) -> tuple[Sequence, tuple[float, float]]:
    """Somebody does `label` on some occasion: a motion, and from when to when it should be seen.

    Args:
        label: The base movement.
        performer: Who does it, on average.
        generator: Draws everything.
        alone: Probability that nothing comes before, and that nothing follows.

    Returns:
        The motion and a span in its seconds that shows most of the movement, and a little of what lies about.
    """
    main = _done(label, performer, generator)
    parts: list[tuple[str, Movement]] = [(label, main)]
    place = 0
    if generator.random() > alone and _stands(main, 0.0):
        parts.insert(0, _neighbour(performer, generator))
        place = 1
    if generator.random() > alone and _stands(main, main.duration_s):
        parts.append(_neighbour(performer, generator))
    passages: list[Passage] = []
    clock, spot = 0.0, (0.0, 0.0, 0.0)
    for name, each in parts:
        placed = continued(each, spot)
        passages.append(Passage(name, Evaluation(), placed, clock, clock + placed.duration_s))
        end = placed.controls(np.array([placed.duration_s]))[0]
        spot = (float(end[COLUMN["x"]]), float(end[COLUMN["y"]]), float(end[COLUMN["yaw"]]))
        clock += placed.duration_s + float(generator.uniform(0.2, 0.8))
    sequence = Sequence(tuple(passages), passages[-1].end_s)
    return sequence, _seen(passages[place], generator)


def _done(label: str, performer: Performer, generator: np.random.Generator) -> Movement:
    """One performance, with everything about it drawn anew."""
    primitive = MOVEMENTS.get(label)
    evaluation = Evaluation.draw(primitive.grades, generator)
    counted = primitive.cyclic and label not in _LASTING
    manner = Performance(
        evaluation=evaluation,
        tempo=performer.tempo * math.exp(float(generator.uniform(math.log(_SLOW), math.log(_FAST)))),
        amplitude=performer.amplitude * float(generator.uniform(0.75, 1.2)),
        left_handed=bool(generator.random() < 0.5),
        slouch_rad=performer.slouch_rad + float(generator.normal(0, 0.06)),
        clip_s=float(generator.uniform(0.8, 4.0)),
        generator=generator,
        cycles=int(generator.choice(_CYCLES)) if counted else None,
    )
    movement = primitive.perform(manner)
    movement = replace(movement, track=_own_way(label, movement.track, generator))
    # Before its first and after its last posture the body waits, also where the movement would go on.
    length = movement.duration_s
    bend = float(generator.uniform(-0.5, 0.5))

    def clock(times_s: Array) -> Array:
        u = np.clip(np.asarray(times_s) / length, 0.0, 1.0)
        warped: Array = length * (u + bend * u * (1 - u))
        return warped

    return movement.played(clock, length)


def _own_way(label: str, track: Track, generator: np.random.Generator) -> Track:
    """The track with a posture of one's own, and arms that may be busy with something else."""
    offset = np.zeros(len(CHANNELS))
    spread = {
        "bend": 0.06, "side": 0.03, "nod": 0.12, "look": 0.25, "twist": 0.06, "height": 0.012,
        **{f"{side}_hand_{axis}": 0.06 for side in ("left", "right") for axis in "xyz"},
        **{f"{side}_hand_elbow": 0.15 for side in ("left", "right")},
    }  # fmt: skip
    for name, size in spread.items():
        offset[COLUMN[name]] = generator.normal(0, size)
    offset[COLUMN["height"]] = -abs(offset[COLUMN["height"]])
    apart = float(generator.normal(0, 0.03))
    offset[COLUMN["left_foot_y"]], offset[COLUMN["right_foot_y"]] = apart, -apart
    held, columns = posture(), []
    if label in _ARMS_FREE and generator.random() < _BUSY:
        both = generator.random() < 0.6
        carried = _CARRIED[int(generator.integers(len(_CARRIED)))]
        sides = ("left", "right") if both else (("left", "right")[int(generator.integers(2))],)
        for side in sides:
            for axis, value in carried.items():
                held[COLUMN[f"{side}_hand_{axis}"]] = value
                columns.append(COLUMN[f"{side}_hand_{axis}"])
    firm = float(generator.uniform(0.8, 1.0))

    def result(times_s: Array) -> Array:
        controls = track(times_s)
        if columns:
            controls[:, columns] += firm * (held[columns] - controls[:, columns])
        own: Array = controls + offset
        return own

    return result


def _neighbour(performer: Performer, generator: np.random.Generator) -> tuple[str, Movement]:
    """What comes before or after: mostly nothing but standing there."""
    name = _BESIDE[int(generator.integers(len(_BESIDE)))]
    return name, _done(name, performer, generator)


def _stands(movement: Movement, at_s: float) -> bool:
    """Whether the body is upright at that time, so that something may come before or after."""
    controls = movement.controls(np.array([at_s]))[0]
    upright = max(abs(controls[COLUMN["pitch"]]), abs(controls[COLUMN["roll"]])) < _UPRIGHT_RAD
    return bool(controls[COLUMN["height"]] > _UPRIGHT_HEIGHT and upright)


def continued(movement: Movement, spot: tuple[float, float, float]) -> Movement:
    """The movement begun where, and facing as, the body is: `(x, y, yaw)`."""
    start = movement.controls(np.zeros(1))[0]
    x, y, yaw = spot
    facing = yaw - float(start[COLUMN["yaw"]])
    c, s = math.cos(facing), math.sin(facing)
    sx, sy = float(start[COLUMN["x"]]), float(start[COLUMN["y"]])
    return movement.moved(x - c * sx + s * sy, y - s * sx - c * sy, facing)


def _seen(passage: Passage, generator: np.random.Generator) -> tuple[float, float]:
    """A span about a passage: cut tightly, a little too short, or with room before and after."""
    length = passage.end_s - passage.start_s
    kind = float(generator.random())
    if kind < 0.2:
        room = length * generator.uniform(-0.06, 0.06, 2)
    elif kind < 0.35:
        room = length * generator.uniform(-0.18, 0.1, 2)
    else:
        # As data sets are cut: from rest to rest, however short the movement between.
        room = length * generator.uniform(0.0, 0.5, 2) + generator.uniform(0.0, 1.3, 2)
    start, end = passage.start_s - room[0], passage.end_s + room[1]
    return float(start), float(max(end, start + 0.4))
