"""What people do between the movements that have a name: postures that last, and gestures of daily life."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.motion.controls import COLUMN, Track, keyed, posture
from kinesphere.synthetic.motion.motion import Chair
from kinesphere.synthetic.motion.movements.levels import SEATED
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement, repeated

_ARMS: tuple[Mapping[str, float], ...] = (
    {"hands_x": 0.08, "hands_y": 0.12, "hands_z": -0.96},
    {"hands_x": 0.42, "hands_y": -0.28, "hands_z": -0.48, "hands_elbow": 0.2},  # folded
    {"hands_x": 0.05, "hands_y": 0.02, "hands_z": -0.58, "hands_elbow": 1.0},  # on the hips
    {"hands_x": -0.24, "hands_y": -0.20, "hands_z": -0.78, "hands_elbow": 0.4},  # behind the back
    {"hands_x": 0.30, "hands_y": -0.24, "hands_z": -0.80},  # one in the other
)


def _held(
    keys: Mapping[str, float], period_s: float, generator: np.random.Generator, restless: float
) -> Track:
    """One posture in which hands and head are never quite at rest."""
    still = posture(keys)
    columns = [
        COLUMN[n]
        for n in ("look", "nod", "side", *(f"{s}_hand_{a}" for s in ("left", "right") for a in "xyz"))
    ]
    size = restless * generator.uniform(0.3, 1.0, len(columns)) * np.array([0.5, 0.25, 0.08, *[0.12] * 6])
    phase = generator.uniform(0, 2 * np.pi, len(columns))
    cycles = generator.integers(1, 4, len(columns))

    def track(times_s: Array) -> Array:
        controls = np.repeat(still[None], len(times_s), axis=0)
        angle = 2 * np.pi * cycles * np.asarray(times_s)[:, None] / period_s
        controls[:, columns] += size * np.sin(angle + phase)
        return controls

    return track


@movement("idle", ("body_use",), cyclic=True)
def idle(performance: Performance) -> Sketch:
    """Standing about, arms hanging, folded, on the hips or behind the back, looking here and there."""
    generator = performance.generator
    arms = _ARMS[int(generator.integers(len(_ARMS)))]
    lean = float(generator.uniform(-0.03, 0.03))
    stance = {**arms, "y": lean, "roll": lean, "feet_y": float(generator.uniform(0.08, 0.2))}
    return Sketch(_held(stance, 4.0, generator, lerp(0.4, 1.6, performance.evaluation.body_use)), 4.0, 4.0)


@movement("sit", ("body_use",), cyclic=True, ends_standing=False)
def sit(performance: Performance) -> Sketch:
    """Sitting on a chair, the hands on the lap or busy before the chest."""
    generator = performance.generator
    busy = float(generator.random() < 0.4)
    seated = dict(SEATED) | {
        "hands_z": -0.66 + 0.18 * busy, "hands_x": float(generator.uniform(0.42, 0.6)),
        "bend": float(generator.uniform(0.0, 0.4)), "feet_x": float(generator.uniform(-0.15, 0.2)),
    }  # fmt: skip
    track = _held(seated, 4.0, generator, lerp(0.4, 1.8, performance.evaluation.body_use))
    return Sketch(track, 4.0, 4.0, (Chair(-0.54),))


@movement("lie", ("body_use",), cyclic=True, ends_standing=False)
def lie(performance: Performance) -> Sketch:
    """Lying on the back without getting up."""
    generator = performance.generator
    lying = {
        "height": 0.125, "x": -0.72, "pitch": -1.50, "bend": 0.03, "nod": 0.12,
        "hands_x": -0.10, "hands_y": float(generator.uniform(0.15, 0.7)), "hands_z": -0.60,
        "hands_elbow": 0.9, "feet_x": 0.18, "feet_y": 0.18, "feet_pitch": -1.1, "feet_yaw": 0.3,
    }  # fmt: skip
    return Sketch(_held(lying, 5.0, generator, lerp(0.2, 0.8, performance.evaluation.body_use)), 5.0, 5.0)


@movement("point", ("emphasis_direction", "flow"), cyclic=False)
def point(performance: Performance) -> Sketch:
    """One arm rises to point at something, stays and sinks."""
    generator = performance.generator
    up = lerp(0.45, -0.15, performance.evaluation.emphasis_direction)
    aside = float(generator.uniform(-0.15, 0.6))
    there = {
        "right_hand_x": 0.93 * np.cos(up) * np.cos(aside), "right_hand_y": 0.93 * np.sin(aside),
        "right_hand_z": 0.93 * np.sin(up), "look": -0.5 * aside, "twist": 0.15, "right_hand_elbow": 0.2,
    }  # fmt: skip
    hold = float(generator.uniform(0.4, 1.6))
    keys = [(0, {}), (0.5, there), (0.5 + hold, there), (1.05 + hold, {})]
    return Sketch(keyed(keys), 1.05 + hold, 0.5)


@movement("drink", ("body_use", "flow"), cyclic=False)
def drink(performance: Performance) -> Sketch:
    """A hand comes to the mouth or the ear, stays and goes back: drinking, telephoning."""
    generator = performance.generator
    ear = float(generator.random() < 0.4)
    at_face = {
        "right_hand_x": 0.36 - 0.22 * ear, "right_hand_y": -0.26 + 0.20 * ear,
        "right_hand_z": 0.30 + 0.08 * ear,
        "right_hand_elbow": float(generator.uniform(0.2, 0.8)),
        "nod": -0.25 * performance.evaluation.body_use * (1 - ear), "tilt": 0.1 * ear,
    }  # fmt: skip
    start = {"right_hand_x": 0.4, "right_hand_z": -0.45} if generator.random() < 0.5 else {}
    hold = float(generator.uniform(0.5, 1.8))
    keys = [(0, start), (0.6, at_face), (0.6 + hold, at_face), (1.2 + hold, start)]
    return Sketch(keyed(keys), 1.2 + hold, 0.6)


@movement("scratch", ("flow",), cyclic=False)
def scratch(performance: Performance) -> Sketch:
    """A hand goes to the head and rubs it, or wipes the brow, or brushes the hair."""
    generator = performance.generator
    height, back = float(generator.uniform(0.35, 0.55)), float(generator.uniform(-0.12, 0.2))
    rubs = int(generator.integers(2, 6))
    on_the_way = {"right_hand_x": 0.5, "right_hand_y": 0.1, "right_hand_z": 0.1, "right_hand_elbow": 0.6}
    keys: list[tuple[float, Mapping[str, float]]] = [(0, {}), (0.35, on_the_way)]
    for i in range(2 * rubs):
        sign = 1 if i % 2 else -1
        at = {
            "right_hand_x": back + 0.05 * sign, "right_hand_y": -0.08 + 0.05 * sign,
            "right_hand_z": height + 0.06 * sign, "right_hand_elbow": 0.9, "nod": 0.15, "tilt": 0.1,
        }  # fmt: skip
        keys.append((0.6 + 0.2 * i, at))
    end = keys[-1][0] + 0.6
    return Sketch(keyed([*keys, (end - 0.3, on_the_way), (end, {})]), end, 0.6)


@movement("shake hands", ("strength", "body_use"), cyclic=False)
def shake_hands(performance: Performance) -> Sketch:
    """The leading hand is held out at waist height and shaken with somebody's."""
    e = performance.evaluation
    out = {
        "right_hand_x": 0.72, "right_hand_y": -0.10, "right_hand_z": -0.45, "right_hand_elbow": 0.1,
        "bend": 0.05 + 0.2 * e.body_use, "twist": 0.2, "right_foot_x": 0.2 * e.body_use,
        "x": 0.1 * e.body_use,
    }  # fmt: skip
    keys: list[tuple[float, Mapping[str, float]]] = [(0, {}), (0.5, out)]
    for i in range(int(performance.generator.integers(1, 5))):
        size = lerp(0.04, 0.14, e.strength)
        keys.append((0.64 + 0.26 * i, out | {"right_hand_z": -0.45 + size}))
        keys.append((0.77 + 0.26 * i, out | {"right_hand_z": -0.45 - size}))
    end = keys[-1][0] + 0.55
    return Sketch(keyed([*keys, (end, {})]), end, 0.5)


@movement("embrace", ("kinesphere", "flow"), cyclic=False)
def embrace(performance: Performance) -> Sketch:
    """A step forward, and both arms close round somebody."""
    e = performance.evaluation
    step = {"x": 0.35, "left_foot_x": 0.42, "right_foot_x": 0.2}
    opened = step | {"hands_x": 0.62, "hands_y": lerp(0.1, 0.45, e.kinesphere), "hands_z": -0.1}
    closed = step | {"hands_x": 0.48, "hands_y": -0.34, "hands_z": -0.05, "hands_elbow": 0.5, "bend": 0.25}
    hold = float(performance.generator.uniform(0.5, 1.6))
    keys = [(0, {}), (0.55, opened), (0.95, closed), (0.95 + hold, closed), (1.5 + hold, step)]
    return Sketch(keyed(keys), 1.5 + hold, 0.5)


@movement("draw in the air", ("kinesphere", "flow"), cyclic=True)
def draw_in_the_air(performance: Performance) -> Sketch:
    """The leading hand draws a circle, a line or a cross before the body."""
    e, generator = performance.evaluation, performance.generator
    size = lerp(0.12, 0.42, e.kinesphere) * performance.amplitude
    kind = int(generator.integers(3))
    height, period = float(generator.uniform(-0.25, 0.3)), float(generator.uniform(1.0, 2.2))
    sign = 1.0 if generator.random() < 0.5 else -1.0
    corners = ((1, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)) if kind == 2 else ((1, 1), (-1, -0.4), (1, 1))
    base = {"right_hand_x": 0.68, "right_hand_elbow": 0.3}
    if kind == 0:
        turns = np.linspace(0, 2 * np.pi, 9)
        path = [(float(np.cos(a)), float(np.sin(a) * sign)) for a in turns]
    else:
        path = [(float(y), float(z) * sign) for y, z in corners]
    keys = [
        (
            period * i / (len(path) - 1),
            base | {"right_hand_y": 0.05 + size * y, "right_hand_z": height + size * z},
        )
        for i, (y, z) in enumerate(path)
    ]
    return Sketch(repeated(keyed(keys), period), period, period / 2)


@movement("hammer", ("strength", "body_use"), cyclic=True)
def hammer(performance: Performance) -> Sketch:
    """The leading fist is lifted and comes down before the body, as with a hammer."""
    e = performance.evaluation
    up = {
        "right_hand_x": 0.30, "right_hand_y": 0.08, "right_hand_z": lerp(0.15, 0.6, e.strength),
        "right_hand_elbow": 0.5, "bend": -0.05,
    }  # fmt: skip
    down = {
        "right_hand_x": 0.72, "right_hand_y": -0.05, "right_hand_z": -0.35, "right_hand_elbow": 0.3,
        "bend": 0.10 + 0.25 * e.body_use * e.strength,
    }  # fmt: skip
    fall = lerp(0.32, 0.16, e.strength)
    period = 0.55 + fall
    return Sketch(
        repeated(keyed([(0, up), (fall, down), (fall + 0.1, down), (period, up)]), period), period, period
    )


@movement("swing a bat", ("strength", "body_use", "kinesphere"), cyclic=False)
def swing_a_bat(performance: Performance) -> Sketch:
    """Both hands together swing across the body, level as with a bat or low as with a golf club."""
    e = performance.evaluation
    low = float(performance.generator.random() < 0.5)
    force, wide = lerp(0.6, 1.0, e.strength), lerp(0.7, 1.0, e.kinesphere)
    lean = {"bend": 0.15 + 0.4 * low, "pitch": 0.1 * low, "feet_y": 0.24, "height": 0.95}

    def hands(x: float, across: float, z: float) -> dict[str, float]:
        return {
            "right_hand_x": x, "right_hand_y": across - 0.3, "left_hand_x": x, "left_hand_y": -across - 0.3,
            "right_hand_z": z, "left_hand_z": z,
        }  # fmt: skip

    ready = lean | hands(0.55, 0.0, -0.4 - 0.3 * low)
    back = lean | hands(0.25, 0.75 * wide, 0.25) | {"twist": -0.7 * force, "yaw": -0.3 * e.body_use}
    hit = lean | hands(0.80, 0.05, -0.15 - 0.55 * low) | {"twist": 0.1}
    after = lean | hands(0.30, -0.75 * wide, 0.35) | {
        "twist": 0.8 * force, "yaw": 0.35 * e.body_use, "right_foot_pitch": 0.6 * e.body_use,
    }  # fmt: skip
    fast = lerp(0.34, 0.18, e.strength)
    keys = [(0, ready), (0.6, back), (0.75, back), (0.75 + fast / 2, hit), (0.75 + fast, after)]
    return Sketch(keyed([*keys, (1.2 + fast, after), (1.8 + fast, ready)]), 1.8 + fast, 0.6)


@movement("squat", ("kinesphere", "strength"), cyclic=True)
def squat(performance: Performance) -> Sketch:
    """Down on bent knees with an upright back and up again."""
    e = performance.evaluation
    low = lerp(0.78, 0.52, e.kinesphere)
    out = float(performance.generator.random() < 0.5)
    down = {
        "height": low, "x": -0.14, "pitch": 0.35, "bend": 0.15, "nod": -0.2, "feet_y": 0.18,
        "hands_x": 0.08 + 0.75 * out, "hands_z": -0.85 + 0.75 * out, "hands_y": 0.02,
    }  # fmt: skip
    half = lerp(0.9, 0.55, e.strength)
    period = 2 * half + 0.35
    keys = [(0, {"feet_y": 0.18}), (half, down), (half + 0.15, down), (period, {"feet_y": 0.18})]
    return Sketch(repeated(keyed(keys), period), period, period)


@movement("warm up", ("kinesphere", "flow"), cyclic=True)
def warm_up(performance: Performance) -> Sketch:
    """Arms or trunk go round and from side to side, as in warming up."""
    e, generator = performance.evaluation, performance.generator
    period, kind = float(generator.uniform(1.0, 2.2)), int(generator.integers(3))
    size = lerp(0.5, 1.0, e.kinesphere)
    arms = dict(_ARMS[2]) if kind == 0 else {}
    base = posture({**arms, "feet_y": 0.2})

    def track(times_s: Array) -> Array:
        phase = 2 * np.pi * np.asarray(times_s) / period
        controls = np.repeat(base[None], len(phase), axis=0)
        if kind == 0:  # the trunk from side to side
            controls[:, COLUMN["side"]] = 0.5 * size * np.sin(phase)
            controls[:, COLUMN["y"]] = 0.05 * np.sin(phase)
        elif kind == 1:  # the trunk turned, arms out
            controls[:, COLUMN["twist"]] = 0.7 * size * np.sin(phase)
            for side in ("left", "right"):
                controls[:, COLUMN[f"{side}_hand_y"]], controls[:, COLUMN[f"{side}_hand_z"]] = 0.85, -0.1
        else:  # the arms in circles
            for side in ("left", "right"):
                controls[:, COLUMN[f"{side}_hand_x"]] = 0.75 * size * np.sin(phase)
                controls[:, COLUMN[f"{side}_hand_z"]] = -0.75 * size * np.cos(phase)
                controls[:, COLUMN[f"{side}_hand_y"]] = 0.3
        return controls

    return Sketch(track, period, period / 2)
