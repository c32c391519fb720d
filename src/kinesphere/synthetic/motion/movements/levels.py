"""Movements between levels: sitting, standing, falling, rising, picking up, putting down."""

from __future__ import annotations

from collections.abc import Mapping

from kinesphere.synthetic.motion.controls import keyed
from kinesphere.synthetic.motion.motion import Chair, Handled
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement

Keys = list[tuple[float, Mapping[str, float]]]


@movement(
    "sit down", ("flow", "strength", "acceleration"), cyclic=False, reverse="stand up", ends_standing=False
)
def sit_down(performance: Performance) -> Sketch:
    """From standing onto a chair; reversed, getting up from it."""
    e = performance.evaluation
    lean = float(performance.generator.uniform(0.45, 0.75))
    on_lap = float(performance.generator.uniform(0.42, 0.55))
    seat = 0.605
    over = {
        "x": -0.26, "height": 0.80, "pitch": 0.45 * lean + 0.2, "bend": lean, "nod": -0.25,
        "hands_x": 0.50, "hands_z": -0.62, "hands_y": 0.05,
    }  # fmt: skip
    touch = over | {"x": -0.44, "height": seat + 0.02, "bend": 0.6 * lean, "pitch": 0.18}
    seated = {
        "x": -0.50, "height": seat, "pitch": -0.10, "bend": 0.16, "nod": 0.05,
        "hands_x": on_lap, "hands_y": -0.06, "hands_z": -0.66, "hands_elbow": 0.1,
    }  # fmt: skip
    drop = lerp(0.45, 0.28, e.strength)
    keys: Keys = [(0, {}), (0.45, over), (0.45 + drop, touch), (0.90 + drop, seated)]
    return Sketch(keyed(keys), 0.90 + drop, 0.45, (Chair(-0.54),))


@movement("fall", ("falling_flow", "end_position"), cyclic=False, reverse="get up", ends_standing=False)
def fall(performance: Performance) -> Sketch:
    """To the floor, ending seated or lying, caught in stages or let go; reversed, getting up."""
    e = performance.evaluation
    sideways = float(performance.generator.uniform(-0.5, 0.5))
    loose = lerp(1.0, 0.62, e.falling_flow)
    give = {
        "height": 0.86, "x": -0.08, "bend": 0.25, "pitch": 0.05, "hands_x": 0.3, "hands_y": 0.35,
        "hands_z": -0.6, "side": 0.3 * sideways, "nod": 0.2,
    }  # fmt: skip
    low = {
        "height": 0.42, "x": -0.36, "pitch": -0.25, "bend": 0.55, "roll": 0.25 * sideways,
        "side": 0.2 * sideways, "hands_x": -0.15, "hands_y": 0.45, "hands_z": -0.75, "hands_elbow": 0.4,
        "feet_pitch": -0.15, "nod": 0.3,
    }  # fmt: skip
    sitting = {
        "height": 0.135, "x": -0.62, "pitch": -0.42, "bend": 0.35, "nod": 0.15, "roll": 0.08 * sideways,
        "hands_x": -0.42, "hands_y": 0.35, "hands_z": -0.70, "hands_elbow": 0.3,
        "feet_x": 0.12, "feet_y": 0.15, "feet_pitch": -0.35,
    }  # fmt: skip
    keys: Keys = [(0, {}), (0.35 * loose, give), (0.72 * loose, low), (0.98 * loose, sitting)]
    if e.end_position < 0.5:
        return Sketch(keyed([*keys, (1.15 * loose, sitting)]), 1.15 * loose, 0.4)
    lying = {
        "height": 0.125, "x": -0.72, "pitch": -1.50, "bend": 0.03, "nod": 0.12, "roll": 0.0,
        "side": 0.15 * sideways,
        "hands_x": -0.10, "hands_y": lerp(0.25, 0.75, e.falling_flow), "hands_z": -0.60, "hands_elbow": 0.9,
        "feet_x": 0.18, "feet_y": 0.18, "feet_pitch": -1.1, "feet_yaw": 0.3, "right_foot_x": 0.05,
    }  # fmt: skip
    half = {name: 0.5 * (sitting.get(name, 0.0) + value) for name, value in lying.items()} | {"nod": 0.45}
    keys += [(1.16 * loose, half), (1.36 * loose, lying), (1.5 * loose, lying)]
    return Sketch(keyed(keys), 1.5 * loose, 0.4)


@movement("pick up", ("body_use", "flow"), cyclic=False, reverse="put down", ends_standing=False)
def pick_up(performance: Performance) -> Sketch:
    """A thing is lifted from the floor to the chest; reversed, it is put down."""
    squat = performance.evaluation.body_use
    at_floor = {
        "height": lerp(0.72, 0.50, squat), "x": lerp(-0.16, -0.10, squat), "pitch": lerp(0.85, 0.55, squat),
        "bend": lerp(0.95, 0.80, squat), "nod": -0.25, "hands_x": 0.62, "hands_y": -0.12, "hands_z": -0.70,
        "feet_y": 0.16, "feet_pitch": 0.25 * squat,
    }  # fmt: skip
    carried = {"hands_x": 0.48, "hands_y": -0.20, "hands_z": -0.52, "nod": 0.15, "bend": -0.04}
    size = float(performance.generator.uniform(0.20, 0.30))
    box = Handled("box", size, "right", (0.68, 60.0))
    return Sketch(keyed([(0, {}), (0.62, at_floor), (0.72, at_floor), (1.4, carried)]), 1.4, 0.62, (box,))
