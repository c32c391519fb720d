"""Movements through space and about the body's axis: walk, run, jump, stamp, turn, stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.motion.controls import COLUMN, keyed, posture
from kinesphere.synthetic.motion.motion import GRAVITY_MPS2
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement, repeated

_LEG_M = 0.85
_PELVIS_M = 0.94


@movement("stand", ("balance",), cyclic=True)
def stand(performance: Performance) -> Sketch:
    """Waiting on both feet."""
    still = posture({"hands_x": float(performance.generator.uniform(0.03, 0.2))})
    return Sketch(lambda t: np.repeat(still[None], len(t), axis=0), 3.0, 3.0)


@movement(
    "walk", ("floor_pattern", "flow", "acceleration", "shape_emphasis"), cyclic=True, reverse="walk backwards"
)
def walk(performance: Performance) -> Sketch:
    """Heel-to-toe gait along a straight or curved path."""
    gait = Gait(
        step=0.82 * lerp(0.9, 1.1, performance.amplitude - 0.5), rate_hz=1.95, swing=(0.12, 0.98),
        lift=0.10, bounce=0.012, toe_off=0.75, arms=0.36 * performance.amplitude, elbow=0.0, lean=0.03,
    )  # fmt: skip
    return gait.sketch(performance)


@movement("run", ("floor_pattern", "air_time", "flow", "acceleration"), cyclic=True)
def run(performance: Performance) -> Sketch:
    """Gait with a phase of flight, bent arms and a high heel."""
    air = performance.evaluation.air_time
    gait = Gait(
        step=1.0 * performance.amplitude * lerp(0.9, 1.15, air), rate_hz=2.75, swing=(-0.45, 0.98), lift=0.42,
        bounce=lerp(0.03, 0.08, air), toe_off=1.1, arms=0.34 * performance.amplitude, elbow=1.0, lean=0.20,
    )  # fmt: skip
    return gait.sketch(performance)


@movement("run on the spot", ("air_time", "flow"), cyclic=True)
def run_on_the_spot(performance: Performance) -> Sketch:
    """Jogging without getting anywhere."""
    gait = Gait(
        step=0.02, rate_hz=2.6, swing=(-0.45, 0.98), lift=float(performance.generator.uniform(0.08, 0.5)),
        bounce=lerp(0.02, 0.06, performance.evaluation.air_time), toe_off=0.9,
        arms=float(performance.generator.uniform(0.1, 0.35)),
        elbow=float(performance.generator.uniform(0.3, 1.0)),
        lean=float(performance.generator.uniform(0.0, 0.15)),
    )  # fmt: skip
    return gait.sketch(performance)


@movement("walk on the spot", ("flow",), cyclic=True)
def walk_on_the_spot(performance: Performance) -> Sketch:
    """Stepping or marching without getting anywhere."""
    gait = Gait(
        step=0.02, rate_hz=1.8, swing=(0.12, 0.98), lift=float(performance.generator.uniform(0.08, 0.4)),
        bounce=0.01, toe_off=0.5, arms=float(performance.generator.uniform(0.1, 0.45)), elbow=0.1, lean=0.0,
    )  # fmt: skip
    return gait.sketch(performance)


@dataclass(frozen=True)
class Gait:
    """Alternating steps: footholds along a path, a pelvis between them, arms against the legs.

    Attributes:
        step: Step length, leg lengths.
        rate_hz: Steps a second.
        swing: When a foot leaves and lands, in steps relative to the one it makes.
        lift, bounce: Height of the swinging foot and of the pelvis (leg lengths, fraction of pelvis height).
        toe_off: Heel rise in radians as the foot leaves.
        arms, elbow: Arm swing (arm lengths) and how far the elbows are bent (0 hanging, 1 right angle).
        lean: Forward lean in radians.
    """

    step: float
    rate_hz: float
    swing: tuple[float, float]
    lift: float
    bounce: float
    toe_off: float
    arms: float
    elbow: float
    lean: float

    def sketch(self, performance: Performance) -> Sketch:
        """The gait along the floor pattern of a performance."""
        bow = performance.evaluation.floor_pattern
        # Below the level's border the path is as good as straight; above, a circle of about a body's reach.
        curvature = 0.85 * max(0.0, bow - 0.35) / 0.65
        if performance.generator.random() < 0.5:
            curvature = -curvature
        return Sketch(
            lambda t: self._controls(np.asarray(t) * self.rate_hz, curvature),
            2 / self.rate_hz,
            1 / self.rate_hz,
        )

    def _controls(self, phase: Array, curvature: float) -> Array:
        controls = np.repeat(posture()[None], len(phase), axis=0)

        def put(name: str, values: Array) -> None:
            controls[:, COLUMN[name]] = values

        travelled = phase * self.step
        x, y, heading = _path(travelled, np.zeros_like(phase), curvature)
        sway = np.cos(np.pi * (phase - 0.5))
        put("x", x - 0.03 * self.elbow)
        put("y", y - 0.02 * sway * np.cos(heading))
        put("yaw", heading + 0.09 * np.cos(np.pi * phase))
        highest = 0.5 + 0.27 * self.elbow  # mid-stance in walking, mid-flight in running
        put("height", 0.985 - 0.03 * self.elbow + self.bounce * np.cos(2 * np.pi * (phase - highest)))
        put("pitch", np.full_like(phase, 0.4 * self.lean))
        put("roll", -0.035 * sway)
        put("bend", np.full_like(phase, 0.6 * self.lean))
        put("twist", -0.22 * np.cos(np.pi * phase))
        put("nod", np.full_like(phase, -0.5 * self.lean))
        for side, parity, sign in (("left", 0, 1.0), ("right", 1, -1.0)):
            self._foot(put, side, phase, parity, sign, curvature)
            against = sign * self.arms * np.cos(np.pi * phase)
            bent = self.elbow
            put(f"{side}_hand_x", against + 0.08 + 0.28 * bent)
            put(f"{side}_hand_y", np.full_like(phase, 0.10 - 0.06 * bent))
            put(f"{side}_hand_z", -0.94 + 0.42 * bent + (0.25 + 0.5 * bent) * np.maximum(against, 0.0))
        return controls

    def _foot(
        self,
        put: Callable[[str, Array], None],
        side: str,
        phase: Array,
        parity: int,
        sign: float,
        curvature: float,
    ) -> None:
        """One foot: steps k of its own parity bring it from foothold k - 2 to foothold k."""
        start, land = self.swing
        k = 2 * np.floor((phase - start - parity) / 2) + parity
        u = np.clip((phase - k - start) / (land - start), 0.0, 1.0)
        ease = u * u * (3 - 2 * u)
        along = (k + 1.5 + 2 * (ease - 1)) * self.step
        x, y, heading = _path(along, np.full_like(along, sign * 0.085), curvature)
        put(f"{side}_foot_x", x)
        put(f"{side}_foot_y", y)
        put(f"{side}_foot_yaw", heading + sign * 0.1)
        put(f"{side}_foot_lift", self.lift * np.sin(np.pi * u**0.8) ** 1.2)
        # The heel rises while the foot still stands, and the toes are up just before it lands.
        leaving = np.clip((phase - (k + 2) - start + 0.35) / 0.35, 0.0, 1.0) ** 2
        rising = self.toe_off * np.where(u < 1, np.clip(1 - u / 0.55, 0.0, 1.0), leaving)
        landing = (
            -0.30 * np.clip((u - 0.6) / 0.3, 0.0, 1.0) * np.clip(1 - (phase - k - land) / 0.12, 0.0, 1.0)
        )
        put(f"{side}_foot_pitch", rising + landing)


def _path(along: Array, aside: Array, curvature: float) -> tuple[Array, Array, Array]:
    """Points (x, y) and heading at arc length `along` and lateral offset `aside` of a circular path."""
    heading = curvature * along
    if abs(curvature) < 1e-6:
        return along, aside, heading
    x = np.sin(heading) / curvature - aside * np.sin(heading)
    y = (1 - np.cos(heading)) / curvature + aside * np.cos(heading)
    return x, y, heading


@movement("jump", ("air_time", "emphasis_direction", "shape_emphasis"), cyclic=True)
def jump(performance: Performance) -> Sketch:
    """Two-footed jumps, upward or forward, each with a preparation and a landing."""
    e = performance.evaluation
    air_s, forward = lerp(0.30, 0.52, e.air_time), e.emphasis_direction
    crouch_s, push_s, land_s, rest_s = 0.38, 0.14, 0.30, 0.12
    off = crouch_s + push_s
    down = off + air_s
    period = down + land_s + rest_s
    travel = lerp(0.05, 0.85, forward) * performance.amplitude
    up = lerp(1.0, 0.25, forward)
    crouch = {
        "height": 0.74, "bend": 0.55, "pitch": 0.25, "nod": -0.4, "x": -0.06,
        "hands_x": -0.42, "hands_y": 0.15, "hands_z": -0.75,
    }  # fmt: skip
    launch = {
        "height": 1.06, "x": 0.1 * forward, "bend": -0.05, "feet_pitch": 0.8,
        "hands_x": lerp(0.35, 0.75, forward), "hands_y": 0.15, "hands_z": 0.85 * up, "hands_elbow": 0.5,
    }  # fmt: skip
    middle = launch | {
        "height": 1.0, "x": 0.5 * travel, "feet_x": 0.5 * travel, "feet_pitch": 0.5, "pitch": 0.1,
    }  # fmt: skip
    land = {
        "height": 0.97, "x": 0.96 * travel, "feet_x": travel,
        "hands_x": 0.4, "hands_y": 0.2, "hands_z": -0.3,
    }  # fmt: skip
    absorb = land | {"height": 0.76, "bend": 0.45, "pitch": 0.2, "x": 0.98 * travel, "hands_z": -0.7}
    end = {"x": travel, "feet_x": travel}
    flight = [(off, launch), (off + air_s / 2, middle), (down, land)]
    landing = [(down + 0.12, absorb), (down + land_s, end), (period, end)]
    base = keyed([(0, {}), (crouch_s, crouch), *flight, *landing])

    def track(t: Array) -> Array:
        controls = base(t)
        s = np.clip(np.asarray(t) - off, 0.0, air_s)
        height_m = GRAVITY_MPS2 / 2 * s * (air_s - s)
        controls[:, COLUMN["height"]] += height_m / _PELVIS_M
        tuck = np.sin(np.pi * s / air_s)
        for side in ("left", "right"):
            controls[:, COLUMN[f"{side}_foot_lift"]] += height_m / _LEG_M + 0.07 * tuck
        return controls

    return Sketch(repeated(track, period, travel), period, period)


@movement("jumping jack", ("kinesphere", "air_time"), cyclic=True)
def jumping_jack(performance: Performance) -> Sketch:
    """Jumping with the legs apart and the arms up, and together again."""
    e = performance.evaluation
    air_s, ground_s = lerp(0.20, 0.30, e.air_time), 0.20
    out, up = lerp(0.28, 0.5, e.kinesphere), lerp(0.2, 0.85, e.kinesphere)
    period = 2 * (air_s + ground_s)
    shut = {"feet_y": 0.10, "hands_y": 0.14, "height": 0.975}
    apart = {
        "feet_y": out,
        "hands_y": 0.4,
        "hands_z": up,
        "hands_x": 0.05,
        "hands_elbow": 0.6,
        "height": 0.965,
    }
    keys = [
        (0, shut),
        (ground_s, shut),
        (ground_s + air_s, apart),
        (2 * ground_s + air_s, apart),
        (period, shut),
    ]
    base = keyed(keys)

    def track(t: Array) -> Array:
        controls = base(t)
        since = np.asarray(t) % (period / 2) - ground_s
        s = np.clip(since, 0.0, air_s)
        height_m = GRAVITY_MPS2 / 2 * s * (air_s - s)
        controls[:, COLUMN["height"]] += height_m / _PELVIS_M
        for side in ("left", "right"):
            controls[:, COLUMN[f"{side}_foot_lift"]] += height_m / _LEG_M
        return controls

    return Sketch(repeated(track, period), period, period / 2)


@movement("stamp", ("strength", "body_use"), cyclic=True, ends_standing=True)
def stamp(performance: Performance) -> Sketch:
    """Feet lifted and driven into the floor on the spot, one after the other."""
    e = performance.evaluation
    force, whole = e.strength, e.body_use
    high = lerp(0.24, 0.50, force) * performance.amplitude
    period = 0.62

    def lifted(side: str, other: float) -> dict[str, float]:
        return {
            f"{side}_foot_lift": high, f"{side}_foot_x": 0.16, f"{side}_foot_pitch": 0.3,
            "y": other * 0.05, "roll": -other * 0.04, "height": 0.985, "bend": 0.1 + 0.2 * whole,
            "hands_x": 0.10 + 0.2 * whole, "hands_z": -0.9 + 0.45 * whole, "hands_y": 0.2, "nod": 0.15,
        }  # fmt: skip

    def struck(other: float) -> dict[str, float]:
        return {
            "height": lerp(0.965, 0.90, force), "y": other * 0.02, "bend": 0.12 + 0.4 * whole * force,
            "nod": 0.2, "hands_x": 0.12, "hands_y": 0.2, "hands_z": -0.93 + 0.15 * whole,
        }  # fmt: skip

    drop = lerp(0.20, 0.09, force)
    one = [(0.30, lifted("right", 1.0)), (0.30 + drop, struck(1.0))]
    two = [(0.30 + period, lifted("left", -1.0)), (0.30 + period + drop, struck(-1.0))]
    keys = [(0.0, {}), *one, (period, {}), *two, (2 * period, {})]
    return Sketch(repeated(keyed(keys), 2 * period), 2 * period, period)


@movement("turn", ("shape_emphasis", "flow", "balance"), cyclic=False)
def turn(performance: Performance) -> Sketch:
    """A whole turn or more on the spot, stepping round, arms out for the swing."""
    angle = 2 * np.pi * float(performance.generator.choice([0.75, 1.0, 1.25]))
    return turn_by(-angle if performance.generator.random() < 0.5 else angle, performance)


def turn_by(angle_rad: float, performance: Performance) -> Sketch:
    """A turn on the spot by an angle in radians (counter-clockwise positive)."""
    quarters = max(1, round(abs(angle_rad) / (np.pi / 2)))
    duration = 0.30 * quarters + 0.35
    reach = 0.45 * performance.amplitude
    sign = float(np.sign(angle_rad))
    arms = {
        "hands_x": 0.12, "hands_y": 0.12 + reach, "hands_z": -0.68, "height": 0.97,
        "roll": -0.04 * sign, "look": 0.35 * sign, "twist": 0.12 * sign,
    }  # fmt: skip
    base = keyed([(0, {}), (0.3, arms), (duration - 0.25, arms), (duration, {})])
    stance = posture()

    def track(t: Array) -> Array:
        controls = base(t)
        u = np.clip(np.asarray(t) / duration, 0.0, 1.0)
        progress = u * u * (3 - 2 * u)
        controls[:, COLUMN["yaw"]] = angle_rad * progress
        for side, late in (("left", 0.0), ("right", 0.5)):
            steps = progress * quarters + late
            whole, part = np.floor(steps), steps - np.floor(steps)
            moving = np.clip((part - 0.25) / 0.5, 0.0, 1.0)
            done = (whole + moving * moving * (3 - 2 * moving) - late) / quarters
            done = np.clip(done, 0.0, 1.0) * angle_rad
            home_x, home_y = stance[COLUMN[f"{side}_foot_x"]], stance[COLUMN[f"{side}_foot_y"]]
            controls[:, COLUMN[f"{side}_foot_x"]] = np.cos(done) * home_x - np.sin(done) * home_y
            controls[:, COLUMN[f"{side}_foot_y"]] = np.sin(done) * home_x + np.cos(done) * home_y
            controls[:, COLUMN[f"{side}_foot_yaw"]] = stance[COLUMN[f"{side}_foot_yaw"]] + done
            controls[:, COLUMN[f"{side}_foot_lift"]] = 0.07 * np.sin(np.pi * moving)
        return controls

    return Sketch(track, duration, 0.3)
