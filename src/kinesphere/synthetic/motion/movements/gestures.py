"""Movements of the limbs on the spot: clap, wave, reach, punch, kick, throw, swing, expand, balance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.motion.controls import COLUMN, keyed, posture
from kinesphere.synthetic.motion.motion import Handled
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement, repeated

MIDLINE = -0.33  # hands' y at which the palms meet before the chest, arm lengths


@movement("clap", ("kinesphere", "strength", "body_use"), cyclic=True)
def clap(performance: Performance) -> Sketch:
    """Both palms meet before the chest again and again."""
    e = performance.evaluation
    wide = lerp(0.05, 0.62, e.kinesphere) * performance.amplitude
    period = lerp(0.42, 0.62, e.kinesphere)
    height = float(performance.generator.uniform(-0.30, 0.05))
    dip = 0.03 * e.body_use * e.strength
    apart = {
        "hands_x": 0.50 - 0.25 * e.kinesphere, "hands_y": wide, "hands_z": height, "hands_elbow": 0.45,
        "bend": -0.06 * e.body_use, "nod": 0.08,
    }  # fmt: skip
    meet = {
        "hands_x": 0.60, "hands_y": MIDLINE, "hands_z": height + 0.04, "hands_elbow": 0.35,
        "bend": 0.05 + 0.22 * e.body_use * e.strength, "height": 0.985 - dip, "nod": 0.12,
    }  # fmt: skip
    hit = period * lerp(0.55, 0.40, e.strength)
    return Sketch(repeated(keyed([(0, apart), (hit, meet), (period, apart)]), period), period, period)


@movement("wave", ("kinesphere", "body_use", "flow"), cyclic=True)
def wave(performance: Performance) -> Sketch:
    """A raised hand swings from side to side."""
    e = performance.evaluation
    wide = lerp(0.16, 0.50, e.kinesphere) * performance.amplitude
    middle, period = 0.18 + 0.10 * e.kinesphere, lerp(0.48, 0.72, e.kinesphere)
    height = float(performance.generator.uniform(0.52, 0.68))

    def at(sign: float) -> dict[str, float]:
        return {
            "right_hand_x": 0.22, "right_hand_y": middle + sign * wide, "right_hand_z": height - 0.08 * sign,
            "right_hand_elbow": 0.8, "right_hand_shrug": -0.25, "left_hand_z": -0.95,
            "side": 0.14 * sign * e.body_use, "y": -0.04 * sign * e.body_use,
            "tilt": 0.10 * sign * e.body_use,
        }  # fmt: skip

    keys = [(0, at(1.0)), (period / 2, at(-1.0)), (period, at(1.0))]
    return Sketch(repeated(keyed(keys), period), period, period / 2)


@movement("reach", ("kinesphere", "emphasis_direction", "body_use", "flow"), cyclic=False)
def reach(performance: Performance) -> Sketch:
    """One arm stretches for something high or far, stays a moment and comes back."""
    e = performance.evaluation
    far = lerp(0.62, 1.0, e.kinesphere)
    up = lerp(1.25, 0.12, e.emphasis_direction)  # elevation of the arm, radians
    across = float(performance.generator.uniform(-0.1, 0.3))
    whole = e.body_use * e.kinesphere
    target = {
        "right_hand_x": far * np.cos(up), "right_hand_y": across * far, "right_hand_z": far * np.sin(up),
        "right_hand_elbow": 0.2, "right_hand_shrug": -0.35 * np.sin(up),
        "left_hand_x": -0.12, "left_hand_y": 0.25 + 0.15 * whole, "left_hand_z": -0.88,
        "x": 0.16 * whole * np.cos(up), "pitch": 0.25 * whole * np.cos(up), "bend": 0.30 * whole * np.cos(up),
        "twist": 0.35 * (0.3 + whole), "height": 0.985 + 0.05 * whole * np.sin(up),
        "feet_pitch": 0.6 * whole * np.sin(up), "nod": -0.4 * np.sin(up),
    }  # fmt: skip
    hold = float(performance.generator.uniform(0.10, 0.25))
    track = keyed([(0, {}), (0.65, target), (0.65 + hold, target), (1.3 + hold, {})])
    return Sketch(track, 1.3 + hold, 0.65)


@movement("punch", ("strength", "body_use"), cyclic=True, slow=("press", 0.28))
def punch(performance: Performance) -> Sketch:
    """From a guard the leading fist drives forward and returns; slowed down it becomes a press."""
    e = performance.evaluation
    drive = lerp(0.5, 1.0, e.strength) * lerp(0.6, 1.1, e.body_use)
    height = float(performance.generator.uniform(-0.08, 0.14))
    guard = {
        "height": 0.95, "left_foot_x": 0.20, "right_foot_x": -0.22, "right_foot_yaw": -0.5, "feet_pitch": 0.0,
        "yaw": -0.35, "twist": -0.1, "bend": 0.12, "look": 0.4, "nod": 0.08,
        "hands_x": 0.34, "hands_y": -0.10, "hands_z": 0.02, "hands_elbow": 0.05,
    }  # fmt: skip
    wound = guard | {
        "twist": -0.1 - 0.30 * drive, "right_hand_x": 0.12, "right_hand_y": 0.05, "right_hand_z": -0.08,
        "x": -0.05 * drive, "look": 0.5,
    }  # fmt: skip
    struck = guard | {
        "twist": 0.25 + 0.45 * drive, "yaw": -0.15 + 0.15 * drive, "x": 0.12 * drive,
        "bend": 0.12 + 0.12 * drive, "right_hand_x": 0.97, "right_hand_y": 0.05 + 0.1 * drive,
        "right_hand_z": height, "right_hand_elbow": 0.4, "right_foot_pitch": 0.5 * drive,
        "look": -0.1 - 0.4 * drive,
    }  # fmt: skip
    fast = lerp(0.24, 0.13, e.strength)
    hit = 0.24 + fast
    period = hit + 0.46
    keys = [(0, guard), (0.24, wound), (hit, struck), (hit + 0.06, struck), (hit + 0.36, guard)]
    keys += [(period, guard)]
    return Sketch(repeated(keyed(keys), period), period, period)


@movement("kick", ("strength", "balance", "body_use"), cyclic=True)
def kick(performance: Performance) -> Sketch:
    """A front kick: knee up, leg snaps out, knee, floor."""
    e = performance.evaluation
    high = lerp(0.45, 0.95, e.strength) * performance.amplitude
    lean = lerp(0.10, 0.34, e.body_use)
    stance = {
        "height": 0.96, "left_foot_x": 0.10, "right_foot_x": -0.20, "hands_x": 0.36, "hands_y": -0.02,
        "hands_z": -0.18, "hands_elbow": 0.1, "bend": 0.08,
    }  # fmt: skip
    chamber = stance | {
        "right_foot_x": 0.22, "right_foot_y": -0.10, "right_foot_lift": 0.50, "right_foot_pitch": 0.5,
        "x": 0.06, "y": 0.06, "pitch": -0.10, "bend": 0.10, "left_hand_x": 0.42, "right_hand_z": -0.4,
    }  # fmt: skip
    extended = stance | {
        "right_foot_x": 0.92, "right_foot_y": -0.06, "right_foot_lift": high, "right_foot_pitch": -0.5,
        "x": 0.10, "y": 0.06, "pitch": -lean, "bend": 0.10, "height": 0.955, "left_hand_x": 0.45,
        "left_hand_y": 0.1, "right_hand_x": -0.15, "right_hand_y": 0.35, "right_hand_z": -0.75,
    }  # fmt: skip
    snap = lerp(0.24, 0.14, e.strength)
    out = 0.34 + snap
    period = out + 0.74
    keys = [(0, stance), (0.34, chamber), (out, extended), (out + 0.05, extended), (out + 0.26, chamber)]
    keys += [(out + 0.58, stance), (period, stance)]
    return Sketch(repeated(keyed(keys), period), period, period)


@movement(
    "throw",
    ("strength", "emphasis_direction", "body_use"),
    cyclic=False,
    reverse="catch",
    reverse_ends_standing=False,
)
def throw(performance: Performance) -> Sketch:
    """A ball is drawn back over the shoulder and thrown; reversed, it is caught."""
    e = performance.evaluation
    force, whole = lerp(0.5, 1.0, e.strength), e.body_use
    hold = {
        "right_hand_x": 0.42, "right_hand_y": -0.12, "right_hand_z": -0.42,
        "left_hand_x": 0.40, "left_hand_y": -0.2, "left_hand_z": -0.45, "nod": 0.15,
    }  # fmt: skip
    wound = {
        "right_hand_x": -0.42, "right_hand_y": 0.32, "right_hand_z": 0.40, "right_hand_elbow": 0.7,
        "left_hand_x": 0.72, "left_hand_y": 0.08, "left_hand_z": 0.05, "twist": -0.45 * force - 0.25 * whole,
        "yaw": -0.45 * whole, "x": -0.12 * whole, "bend": -0.14, "pitch": -0.08, "look": 0.6 * whole + 0.3,
        "left_foot_lift": 0.16 * whole, "left_foot_x": 0.12, "right_foot_yaw": -0.6, "height": 0.975,
    }  # fmt: skip
    release = {
        "right_hand_x": 0.62, "right_hand_y": 0.10, "right_hand_z": lerp(0.75, 0.55, e.emphasis_direction),
        "right_hand_elbow": 0.5, "left_hand_x": 0.10, "left_hand_y": 0.30, "left_hand_z": -0.6,
        "twist": 0.30 * force + 0.25 * whole, "x": 0.20 * whole + 0.05, "bend": 0.18, "pitch": 0.08,
        "left_foot_x": 0.42 * whole + 0.1, "right_foot_pitch": 0.6 * whole, "right_foot_yaw": -0.4,
        "height": 0.95,
    }  # fmt: skip
    through = release | {
        "right_hand_x": 0.50, "right_hand_y": -0.38, "right_hand_z": -0.62, "right_hand_elbow": 0.1,
        "twist": 0.55 * force + 0.25 * whole, "bend": 0.35 + 0.3 * whole * force, "x": 0.28 * whole + 0.05,
    }  # fmt: skip
    whip = lerp(0.26, 0.15, e.strength)
    let_go = 0.60 + whip
    keys = [(0, hold), (0.50, wound), (0.60, wound), (let_go, release), (let_go + 0.18, through)]
    keys += [(let_go + 0.7, {})]
    speed, climb = lerp(3.2, 5.5, e.strength), lerp(1.0, 0.15, e.emphasis_direction)
    velocity = (speed * float(np.cos(climb)), 0.0, speed * float(np.sin(climb)))
    size = float(performance.generator.uniform(0.13, 0.22))
    ball = Handled("ball", size, "right", (0.0, let_go), velocity)
    return Sketch(keyed(keys), let_go + 0.7, let_go, (ball,))


@movement("swing", ("kinesphere", "flow", "body_use", "acceleration"), cyclic=True, slow=("slow swing", 0.36))
def swing(performance: Performance) -> Sketch:
    """Both arms swing forward and back like pendulums, the knees giving at the bottom."""
    e = performance.evaluation
    period = 1.15
    forward = lerp(0.7, 1.9, e.kinesphere) * performance.amplitude  # radians from hanging
    back = lerp(0.5, 1.0, e.kinesphere)
    give, fold = 0.02 + 0.07 * e.body_use, 0.42 * e.body_use
    base = posture({"hands_elbow": 0.1, "hands_y": 0.14})

    def track(times_s: Array) -> Array:
        phase = 2 * np.pi * np.asarray(times_s) / period
        wave = np.sin(phase)
        angle = np.where(wave > 0, forward, back) * wave
        controls = np.repeat(base[None], len(phase), axis=0)
        for side in ("left", "right"):
            controls[:, COLUMN[f"{side}_hand_x"]] = 0.95 * np.sin(angle)
            controls[:, COLUMN[f"{side}_hand_z"]] = -0.95 * np.cos(angle)
        controls[:, COLUMN["height"]] -= give * (1 + np.cos(2 * phase)) / 2 + 0.01
        controls[:, COLUMN["bend"]] = fold * (0.5 - 0.5 * wave) - 0.05
        controls[:, COLUMN["x"]] = 0.04 * e.body_use * wave
        controls[:, COLUMN["nod"]] = -0.12 * wave
        return controls

    return Sketch(track, period, period / 2)


@movement("expand", ("kinesphere", "flow", "acceleration", "strength"), cyclic=False, reverse="contract")
def expand(performance: Performance) -> Sketch:
    """From a closed, low shape to a wide, open one; reversed, the body contracts."""
    e = performance.evaluation
    wide = lerp(0.45, 1.0, e.kinesphere)
    closed = {
        "height": lerp(0.80, 0.62, e.kinesphere), "x": -0.05, "pitch": 0.30, "bend": 0.75, "nod": 0.5,
        "hands_x": 0.34, "hands_y": -0.30, "hands_z": -0.22, "hands_elbow": 0.0, "feet_y": 0.10,
    }  # fmt: skip
    opened = {
        "height": 0.985, "pitch": -0.04, "bend": -0.20, "nod": -0.35, "hands_x": 0.02,
        "hands_y": 0.95 * np.cos(0.75 * wide), "hands_z": 0.95 * np.sin(0.95 * wide) - 0.1,
        "hands_elbow": 0.6, "hands_shrug": -0.2 * wide, "feet_y": 0.12 + 0.24 * wide, "feet_yaw": 0.35,
    }  # fmt: skip
    duration = lerp(1.25, 0.85, e.strength)
    return Sketch(
        keyed([(0, closed), (0.45 * duration, _between(closed, opened)), (duration, opened)]),
        duration,
        duration / 2,
    )


def _between(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Half-way, the feet lifted where they travel and the arms leading."""
    middle = {name: 0.5 * (a.get(name, 0.0) + b.get(name, 0.0)) for name in {*a, *b}}
    rest = {"height": 0.985, "feet_y": 0.11, "feet_yaw": 0.14}
    for name, value in rest.items():
        middle[name] = 0.5 * (a.get(name, value) + b.get(name, value))
    return middle | {"hands_y": 0.30, "hands_x": 0.45, "hands_z": -0.05}


@movement("balance", ("balance", "kinesphere", "shape_emphasis"), cyclic=False)
def balance(performance: Performance) -> Sketch:
    """Standing on one leg, the other one lifted to the front, the side of the knee, or the back."""
    e = performance.evaluation
    wide = lerp(0.35, 0.95, e.kinesphere)
    kind = str(performance.generator.choice(["passe", "front", "arabesque"]))
    arms = {"hands_x": 0.05, "hands_y": wide, "hands_z": -0.55 * (1 - e.kinesphere), "hands_elbow": 0.5}
    lean = {
        "passe": {"right_foot_x": 0.08, "right_foot_y": -0.02, "right_foot_lift": 0.50,
        "right_foot_pitch": 0.7,
                  "right_foot_yaw": -0.9, "roll": 0.05},
        "front": {"right_foot_x": 0.72, "right_foot_lift": lerp(0.35, 0.6, e.kinesphere),
        "right_foot_pitch": 0.3,
                  "pitch": -0.10},
        "arabesque": {"right_foot_x": -0.80, "right_foot_lift": lerp(0.40, 0.75, e.kinesphere),
                      "right_foot_pitch": 1.5, "pitch": 0.75, "bend": 0.1, "nod": -0.6, "x": 0.05,
                      "hands_x": 0.35},
    }[kind]  # fmt: skip
    up = arms | {"y": 0.115, "left_foot_y": 0.10, "height": 0.99} | lean
    hold = 1.5
    return Sketch(keyed([(0, {}), (0.25, {"y": 0.07}), (0.8, up), (0.8 + hold, up)]), 0.8 + hold, 0.8)
