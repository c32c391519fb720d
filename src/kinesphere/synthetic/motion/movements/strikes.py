"""Further ways of hitting, kicking, throwing and waving, as people do them who were not told how."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.motion.controls import COLUMN, keyed
from kinesphere.synthetic.motion.motion import Handled
from kinesphere.synthetic.motion.movements.gestures import MIDLINE
from kinesphere.synthetic.motion.movements.locomotion import Gait
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement, repeated

Keys = list[tuple[float, Mapping[str, float]]]


@movement("push", ("strength", "body_use"), cyclic=False, reverse="pull")
def push(performance: Performance) -> Sketch:
    """Both hands drive forward from the chest to full stretch; reversed, something is pulled in."""
    e, generator = performance.evaluation, performance.generator
    height, whole = float(generator.uniform(-0.22, 0.18)), e.body_use * lerp(0.5, 1.0, e.strength)
    step = 0.45 * whole * float(generator.random() < 0.6)
    wide = float(generator.uniform(-0.12, 0.08))
    ready = {
        "hands_x": 0.26, "hands_y": wide + 0.06, "hands_z": height - 0.12, "hands_elbow": 0.15,
        "bend": 0.05, "x": -0.06 * whole, "right_foot_x": -0.18 * whole, "left_foot_x": 0.08 * whole,
    }  # fmt: skip
    out = {
        "hands_x": 0.95, "hands_y": wide, "hands_z": height, "hands_elbow": 0.3,
        "bend": 0.10 + 0.22 * whole, "pitch": 0.16 * whole, "x": 0.10 * whole + step,
        "left_foot_x": 0.12 * whole + 1.3 * step, "right_foot_x": -0.18 * whole,
        "right_foot_pitch": 0.5 * whole, "height": 0.985 - 0.05 * whole, "nod": -0.1,
    }  # fmt: skip
    drive, hold = lerp(0.45, 0.20, e.strength), float(generator.uniform(0.05, 0.4))
    at = 0.45
    keys: Keys = [(0, {}), (at, ready), (at + drive, out), (at + drive + hold, out)]
    end = at + drive + hold + 0.6
    home = {"x": step, "left_foot_x": step, "right_foot_x": 0.6 * step}
    return Sketch(keyed([*keys, (end, home)]), end, at)


@movement("wave with both hands", ("kinesphere", "body_use", "flow"), cyclic=True)
def wave_with_both_hands(performance: Performance) -> Sketch:
    """Both raised hands swing from side to side, together or against each other."""
    e, generator = performance.evaluation, performance.generator
    wide = lerp(0.12, 0.45, e.kinesphere) * performance.amplitude
    height, out = float(generator.uniform(0.25, 0.72)), float(generator.uniform(0.15, 0.4))
    period, against = lerp(0.5, 1.1, e.kinesphere), 1.0 if generator.random() < 0.65 else -1.0

    def at(sign: float) -> dict[str, float]:
        right, left = sign * wide, against * sign * wide
        return {
            "hands_x": 0.18, "hands_elbow": 0.8, "hands_shrug": -0.2,
            "right_hand_y": out + right, "right_hand_z": height - 0.5 * right,
            "left_hand_y": out + left, "left_hand_z": height - 0.5 * left,
            "side": 0.10 * sign * e.body_use * (against < 0),
        }  # fmt: skip

    keys = [(0, at(1.0)), (period / 2, at(-1.0)), (period, at(1.0))]
    return Sketch(repeated(keyed(keys), period), period, period / 2)


@movement("wave from the elbow", ("kinesphere", "flow"), cyclic=True)
def wave_from_the_elbow(performance: Performance) -> Sketch:
    """A small greeting: the hand beside the shoulder or the head swings from side to side."""
    e, generator = performance.evaluation, performance.generator
    wide = lerp(0.10, 0.26, e.kinesphere) * performance.amplitude
    height, period = float(generator.uniform(0.02, 0.45)), lerp(0.36, 0.7, e.kinesphere)
    forward, out = float(generator.uniform(0.25, 0.5)), float(generator.uniform(0.1, 0.4))

    def at(sign: float) -> dict[str, float]:
        return {
            "right_hand_x": forward, "right_hand_y": out + sign * wide,
            "right_hand_z": height - 0.3 * abs(wide) * sign, "right_hand_elbow": 0.35,
        }  # fmt: skip

    keys = [(0, at(1.0)), (period / 2, at(-1.0)), (period, at(1.0))]
    return Sketch(repeated(keyed(keys), period), period, period / 2)


@movement("throw underarm", ("strength", "body_use"), cyclic=False)
def throw_underarm(performance: Performance) -> Sketch:
    """The arm swings back beside the body and forward, and lets a ball go low."""
    e = performance.evaluation
    force, whole = lerp(0.6, 1.0, e.strength), e.body_use
    back = {
        "right_hand_x": -0.75 * force, "right_hand_y": 0.15, "right_hand_z": -0.55, "twist": -0.3 * whole,
        "bend": 0.15 + 0.2 * whole, "left_foot_x": 0.15, "left_hand_x": 0.25, "left_hand_z": -0.85,
    }  # fmt: skip
    release = {
        "right_hand_x": 0.82, "right_hand_y": 0.0, "right_hand_z": lerp(-0.35, 0.25, e.strength),
        "twist": 0.25 * whole, "bend": 0.20, "x": 0.15 * whole, "left_foot_x": 0.15 + 0.2 * whole,
        "right_foot_pitch": 0.4 * whole,
    }  # fmt: skip
    through = release | {"right_hand_x": 0.70, "right_hand_z": lerp(0.1, 0.55, e.strength)}
    fast = lerp(0.34, 0.22, e.strength)
    let_go = 0.5 + fast
    keys: Keys = [(0, {}), (0.5, back), (let_go, release), (let_go + 0.15, through), (let_go + 0.75, {})]
    velocity = (lerp(2.5, 4.5, e.strength), 0.0, 1.2)
    ball = Handled("ball", float(performance.generator.uniform(0.08, 0.2)), "right", (0.0, let_go), velocity)
    return Sketch(keyed(keys), let_go + 0.75, let_go, (ball,))


@movement("throw with both hands", ("strength", "body_use"), cyclic=False)
def throw_with_both_hands(performance: Performance) -> Sketch:
    """A ball is lifted over the head, or taken to the chest, and thrown with both hands."""
    e, generator = performance.evaluation, performance.generator
    over = generator.random() < 0.7
    hold = {"hands_x": 0.45, "hands_y": -0.2, "hands_z": -0.35}
    wound = {
        "hands_x": -0.10, "hands_y": -0.12, "hands_z": 0.72, "hands_elbow": 0.6, "bend": -0.15, "nod": -0.1,
    } if over else hold | {"hands_x": 0.25, "hands_z": -0.1}  # fmt: skip
    release = {
        "hands_x": 0.75, "hands_y": -0.12, "hands_z": 0.45 if over else 0.3, "bend": 0.15,
        "x": 0.12 * e.body_use, "right_foot_pitch": 0.4 * e.body_use, "left_foot_x": 0.2 * e.body_use,
    }  # fmt: skip
    through = release | {"hands_z": -0.15 if over else 0.15, "bend": 0.15 + 0.3 * e.body_use}
    fast = lerp(0.34, 0.18, e.strength)
    let_go = 0.6 + fast
    lifted = hold | {"hands_x": 0.55, "hands_z": 0.35 if over else -0.2, "hands_elbow": 0.5}
    keys: Keys = [(0, hold), (0.3, lifted), (0.55, wound), (0.6, wound), (let_go, release)]
    keys += [(let_go + 0.18, through), (let_go + 0.7, {})]
    velocity = (lerp(3.0, 5.0, e.strength), 0.0, 1.0)
    ball = Handled("ball", float(generator.uniform(0.18, 0.26)), "right", (0.0, let_go), velocity)
    return Sketch(keyed(keys), let_go + 0.7, let_go, (ball,))


@movement("jab", ("strength", "kinesphere"), cyclic=True)
def jab(performance: Performance) -> Sketch:
    """Fists drive out straight from the body one after the other, without the whole body behind them."""
    e, generator = performance.evaluation, performance.generator
    height, aside = float(generator.uniform(-0.15, 0.2)), float(generator.uniform(-0.15, 0.9))
    low = float(generator.random() < 0.4)  # the other hand hangs instead of guarding
    both = generator.random() < 0.6
    guard = {
        "hands_x": 0.32,
        "hands_y": -0.06,
        "hands_z": -0.1,
        "hands_elbow": 0.1,
        "height": 0.965,
        "bend": 0.06,
    }
    reach = lerp(0.8, 0.97, e.kinesphere)
    out, drive = lerp(0.24, 0.12, e.strength), 0.3 * e.strength

    def struck(side: str, sign: float, angle: float) -> dict[str, float]:
        return guard | {
            f"{side}_hand_x": reach * (1 - 0.55 * angle), f"{side}_hand_y": 0.85 * angle,
            f"{side}_hand_z": height, "twist": sign * drive, "x": 0.05 * e.strength,
        }  # fmt: skip

    rest = {"left_hand_x": 0.08, "left_hand_y": 0.12, "left_hand_z": -0.94} if low and not both else {}
    guard, angle = guard | rest, max(0.0, aside)
    gap = float(generator.uniform(0.25, 0.6))
    one = out + 0.08 + 0.22
    keys: Keys = [
        (0, guard),
        (out, struck("right", 1, angle) | rest),
        (out + 0.06, struck("right", 1, angle) | rest),
    ]
    keys += [(one, guard)]
    period = one + gap
    if both:
        other = [
            (period, guard),
            (period + out, struck("left", -1, 0.0)),
            (period + out + 0.06, struck("left", -1, 0.0)),
        ]
        keys += [*other, (period + one, guard)]
        period *= 2
    return Sketch(repeated(keyed([*keys, (period, guard)]), period), period, period)


@movement("hit out", ("strength", "body_use"), cyclic=False)
def hit_out(performance: Performance) -> Sketch:
    """Out of standing with hanging arms one fist is drawn to the shoulder, driven out, and sinks again."""
    e, generator = performance.evaluation, performance.generator
    aside = float(generator.uniform(-0.2, 1.3)) * float(generator.random() < 0.6)
    height, whole = float(generator.uniform(-0.05, 0.35)), e.body_use * lerp(0.5, 1.0, e.strength)
    drawn = {
        "right_hand_x": 0.22, "right_hand_y": 0.10, "right_hand_z": float(generator.uniform(-0.25, 0.05)),
        "right_hand_elbow": 0.4, "twist": -0.25 * whole,
    }  # fmt: skip
    out = {
        "right_hand_x": 0.92 * float(np.cos(aside)), "right_hand_y": 0.92 * float(np.sin(aside)),
        "right_hand_z": height, "right_hand_elbow": 0.4, "twist": 0.45 * whole, "bend": 0.15 * whole,
        "x": 0.12 * whole, "right_foot_pitch": 0.3 * whole, "left_foot_x": 0.2 * whole,
    }  # fmt: skip
    drive, hold = lerp(0.3, 0.13, e.strength), float(generator.uniform(0.02, 0.2))
    at = 0.35 + drive
    keys: Keys = [(0, {}), (0.35, drawn), (at, out), (at + hold, out), (at + hold + 0.2, drawn)]
    return Sketch(keyed([*keys, (at + hold + 0.6, {})]), at + hold + 0.6, 0.35)


@movement("kick a ball", ("strength", "body_use"), cyclic=False)
def kick_a_ball(performance: Performance) -> Sketch:
    """The leg swings from behind through a ball on the floor, low and straight."""
    e, generator = performance.evaluation, performance.generator
    force = lerp(0.5, 1.0, e.strength)
    steps = float(generator.uniform(0.0, 0.5))
    plant = {"x": steps, "left_foot_x": steps + 0.05, "y": 0.05}
    back = plant | {
        "right_foot_x": steps - 0.55 * force, "right_foot_lift": 0.30 * force, "right_foot_pitch": 1.0,
        "bend": 0.10, "twist": 0.2, "left_hand_x": 0.35, "left_hand_y": 0.4, "left_hand_z": -0.6,
        "right_hand_x": -0.3, "right_hand_z": -0.85,
    }  # fmt: skip
    through = plant | {
        "right_foot_x": steps + 0.80 * force, "right_foot_lift": lerp(0.15, 0.55, e.strength),
        "right_foot_pitch": 0.1, "pitch": -0.12 - 0.15 * e.body_use, "bend": 0.15, "twist": -0.2,
        "left_hand_x": -0.2, "left_hand_y": 0.5, "left_hand_z": -0.6, "right_hand_x": 0.35,
    }  # fmt: skip
    fast = lerp(0.34, 0.20, e.strength)
    end = {"x": steps, "feet_x": steps}
    keys: Keys = [(0, {}), (0.45, back), (0.45 + fast, through), (0.55 + fast, through), (1.15 + fast, end)]
    return Sketch(keyed(keys), 1.15 + fast, 0.45)


@movement("kick to the side", ("strength", "balance"), cyclic=True)
def kick_to_the_side(performance: Performance) -> Sketch:
    """A side kick: the knee is drawn up, the leg driven out sideways, the body leaning away."""
    e = performance.evaluation
    high = lerp(0.35, 0.8, e.strength) * performance.amplitude
    stance = {"height": 0.97, "feet_y": 0.16, "hands_x": 0.34, "hands_y": 0.0, "hands_z": -0.25}
    chamber = stance | {
        "right_foot_x": 0.12, "right_foot_y": -0.18, "right_foot_lift": 0.45, "y": 0.10, "roll": 0.05,
    }  # fmt: skip
    out = stance | {
        "right_foot_x": 0.05, "right_foot_y": -0.85, "right_foot_lift": high, "right_foot_yaw": -0.3,
        "y": 0.14, "roll": -0.25 - 0.2 * high, "side": -0.15, "right_hand_y": 0.3, "right_hand_z": -0.6,
        "left_hand_x": 0.4, "height": 0.965,
    }  # fmt: skip
    snap = lerp(0.28, 0.16, e.strength)
    hit = 0.36 + snap
    keys: Keys = [(0, stance), (0.36, chamber), (hit, out), (hit + 0.06, out), (hit + 0.3, chamber)]
    period = hit + 0.8
    return Sketch(repeated(keyed([*keys, (hit + 0.6, stance), (period, stance)]), period), period, period)


@movement("push along", ("strength", "body_use"), cyclic=True)
def push_along(performance: Performance) -> Sketch:
    """Something heavy or on wheels is pushed along: steps with a leaning body behind stretched arms."""
    e, generator = performance.evaluation, performance.generator
    lean = lerp(0.1, 0.75, e.strength) * lerp(0.6, 1.0, e.body_use)
    gait = Gait(
        step=lerp(0.75, 0.45, e.strength), rate_hz=1.7, swing=(0.12, 0.98), lift=0.08, bounce=0.01,
        toe_off=0.8, arms=0.0, elbow=0.0, lean=lean,
    )  # fmt: skip
    walked = gait.sketch(performance)
    height, reach = float(generator.uniform(-0.5, 0.1)) + 0.5 * lean, float(generator.uniform(0.6, 0.95))

    def track(times_s: Array) -> Array:
        controls = walked.track(times_s)
        for side in ("left", "right"):
            for axis, value in (("x", reach), ("y", 0.0), ("z", height)):
                controls[:, COLUMN[f"{side}_hand_{axis}"]] = value
        controls[:, COLUMN["height"]] -= 0.10 * lean
        controls[:, COLUMN["x"]] += 0.25 * lean
        return controls

    return Sketch(track, walked.natural_s, walked.accent_s)


@movement("clap widely", ("kinesphere", "strength"), cyclic=True)
def clap_widely(performance: Performance) -> Sketch:
    """Stretched arms swing in from the sides, and the palms meet before the body or the face."""
    e, generator = performance.evaluation, performance.generator
    wide = lerp(0.55, 0.92, e.kinesphere)
    height, lower = float(generator.uniform(-0.35, 0.25)), float(generator.uniform(0.0, 0.25))
    apart = {"hands_x": 0.25, "hands_y": wide, "hands_z": height - lower, "hands_elbow": 0.4}
    meet = {"hands_x": 0.72, "hands_y": MIDLINE, "hands_z": height, "hands_elbow": 0.4, "nod": 0.1}
    period = lerp(1.0, 0.6, e.strength)
    keys: Keys = [(0, apart), (0.45 * period, meet), (0.55 * period, meet), (period, apart)]
    return Sketch(repeated(keyed(keys), period), period, period)


@movement("wave widely", ("kinesphere", "flow"), cyclic=True)
def wave_widely(performance: Performance) -> Sketch:
    """One stretched arm or both swing to and fro overhead."""
    e, generator = performance.evaluation, performance.generator
    swing = lerp(0.35, 1.05, e.kinesphere) * performance.amplitude
    middle, reach = float(generator.uniform(0.0, 0.8)), float(generator.uniform(0.75, 0.95))
    period = lerp(0.8, 1.4, e.kinesphere)
    sides = ("left", "right") if generator.random() < 0.5 else ("right",)

    def at(sign: float) -> dict[str, float]:
        angle = middle + sign * swing
        posture = {
            "x": 0.12,
            "y": reach * float(np.sin(angle)),
            "z": reach * float(np.cos(angle)),
            "elbow": 0.8,
        }
        return {f"{side}_hand_{axis}": value for side in sides for axis, value in posture.items()}

    keys = [(0, at(1.0)), (period / 2, at(-1.0)), (period, at(1.0))]
    return Sketch(repeated(keyed(keys), period), period, period / 2)


@movement("throw from the shoulder", ("strength", "emphasis_direction"), cyclic=False)
def throw_from_the_shoulder(performance: Performance) -> Sketch:
    """One arm is raised behind the head and thrown forward, the rest of the body as good as still."""
    e, generator = performance.evaluation, performance.generator
    whole = 0.5 * e.strength
    on_the_way = {"right_hand_x": 0.45, "right_hand_y": 0.15, "right_hand_z": 0.0, "right_hand_elbow": 0.6}
    wound = {
        "right_hand_x": -0.22, "right_hand_y": 0.22, "right_hand_z": float(generator.uniform(0.3, 0.6)),
        "right_hand_elbow": 0.8, "twist": -0.3 * whole, "bend": -0.1 * whole,
    }  # fmt: skip
    release = {
        "right_hand_x": 0.75, "right_hand_y": 0.02, "right_hand_z": lerp(0.6, 0.25, e.emphasis_direction),
        "right_hand_elbow": 0.5, "twist": 0.4 * whole, "bend": 0.15 * whole,
    }  # fmt: skip
    through = {"right_hand_x": 0.55, "right_hand_y": -0.2, "right_hand_z": -0.5, "twist": 0.5 * whole}
    wait, fast = float(generator.uniform(0.02, 0.3)), lerp(0.32, 0.18, e.strength)
    let_go = 0.6 + wait + fast
    keys: Keys = [(0, {}), (0.3, on_the_way), (0.6, wound), (0.6 + wait, wound), (let_go, release)]
    keys += [(let_go + 0.25, through), (let_go + 0.7, {})]
    speed = lerp(3.0, 5.0, e.strength)
    ball = Handled("ball", float(generator.uniform(0.07, 0.14)), "right", (0.0, let_go), (speed, 0.0, 1.0))
    return Sketch(keyed(keys), let_go + 0.7, let_go, (ball,))
