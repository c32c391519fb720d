"""Movements between levels: sitting, standing, falling, rising, picking up, putting down."""

from __future__ import annotations

from collections.abc import Mapping

from kinesphere.synthetic.motion.controls import keyed
from kinesphere.synthetic.motion.motion import Chair, Handled
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement

Keys = list[tuple[float, Mapping[str, float]]]

SEATED: Mapping[str, float] = {
    "x": -0.50, "height": 0.605, "pitch": -0.08, "bend": 0.15, "nod": 0.05,
    "hands_x": 0.48, "hands_y": -0.06, "hands_z": -0.66, "hands_elbow": 0.1,
}  # fmt: skip


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


@movement("pick up with one hand", ("body_use", "flow"), cyclic=False, reverse="put down with one hand")
def pick_up_with_one_hand(performance: Performance) -> Sketch:
    """A small thing is taken from the floor or from low furniture by one hand; reversed, it is put there."""
    squat, generator = performance.evaluation.body_use, performance.generator
    raised = float(generator.uniform(0.0, 0.35)) * float(generator.random() < 0.5)
    step = float(generator.uniform(0.0, 0.3))
    deep = 1.0 - 0.6 * raised
    at_floor = {
        "height": lerp(0.78, 0.52, squat) + 0.45 * raised, "x": step - 0.14 * deep,
        "pitch": lerp(0.80, 0.50, squat) * deep, "bend": lerp(0.95, 0.80, squat) * deep, "nod": -0.25,
        "right_hand_x": 0.55, "right_hand_y": -0.05, "right_hand_z": -0.78, "twist": 0.15,
        "left_hand_x": lerp(0.15, 0.40, squat), "left_hand_z": -0.75, "left_foot_x": step,
        "right_foot_x": step * 0.3, "right_foot_pitch": 0.3 * squat,
    }  # fmt: skip
    end = {"x": step, "feet_x": step, "nod": 0.15}
    carried = ({"right_hand_x": 0.45, "right_hand_z": -0.5}, {"right_hand_x": 0.12}, {"right_hand_x": 0.2})
    end |= carried[int(generator.integers(3))]
    hold, up = float(generator.uniform(0.08, 0.4)), float(generator.uniform(0.55, 0.85))
    keys: Keys = [(0, {}), (0.62, at_floor), (0.62 + hold, at_floor), (0.62 + hold + up, end)]
    thing = Handled("box", float(generator.uniform(0.06, 0.14)), "right", (0.62 + 0.5 * hold, 60.0))
    return Sketch(keyed(keys), 0.62 + hold + up, 0.62, (thing,))


@movement("bend", ("body_use", "kinesphere", "flow"), cyclic=False)
def bend(performance: Performance) -> Sketch:
    """Bending forward at the waist and coming up again, the arms hanging or along the body."""
    e, generator = performance.evaluation, performance.generator
    deep = lerp(0.95, 1.45, e.kinesphere) * performance.amplitude
    hips = lerp(0.65, 1.1, e.body_use)
    # Hands hang to the floor, rest on the thighs, or stay where arms are in standing.
    hands = (
        {"hands_x": 0.45 * deep, "hands_y": -0.05, "hands_z": -0.78},
        {"hands_x": 0.30, "hands_y": -0.02, "hands_z": -0.80, "hands_elbow": 0.3},
        {"hands_x": 0.10, "hands_y": 0.06, "hands_z": -0.95},
    )[int(generator.choice(3, p=(0.6, 0.2, 0.2)))]
    down = hands | {
        "bend": 0.62 * deep, "pitch": 0.70 * hips * deep, "x": -0.15 * deep * hips, "nod": 0.15,
        "height": 0.97 - 0.04 * hips * deep,
    }  # fmt: skip
    half, hold = float(generator.uniform(0.7, 1.1)), float(generator.uniform(0.05, 0.6))
    keys: Keys = [(0, {}), (half, down), (half + hold, down), (2 * half + hold, {})]
    return Sketch(keyed(keys), 2 * half + hold, half)


@movement(
    "fall forwards", ("falling_flow",), cyclic=False, reverse="get up from the front", ends_standing=False
)
def fall_forwards(performance: Performance) -> Sketch:
    """The knees give, the hands reach for the floor and the body lies on its front; reversed, it gets up."""
    loose = lerp(1.0, 0.68, performance.evaluation.falling_flow)
    aside = float(performance.generator.uniform(-0.4, 0.4))
    give = {
        "height": 0.84, "x": 0.12, "pitch": 0.25, "bend": 0.25, "hands_x": 0.45, "hands_y": 0.2,
        "hands_z": -0.4, "feet_pitch": 0.3, "side": 0.2 * aside,
    }  # fmt: skip
    low = {
        "height": 0.46, "x": 0.55, "pitch": 0.75, "bend": 0.25, "hands_x": 0.75, "hands_y": 0.15,
        "hands_z": -0.15, "feet_pitch": 0.9, "nod": -0.3, "roll": 0.2 * aside,
    }  # fmt: skip
    caught = {
        "height": 0.22, "x": 0.92, "pitch": 1.25, "bend": 0.05, "hands_x": 0.55, "hands_y": 0.25,
        "hands_z": 0.05, "hands_elbow": 0.9, "feet_pitch": 1.15, "nod": -0.5,
    }  # fmt: skip
    lying = {
        "height": 0.135, "x": 1.06, "pitch": 1.48, "bend": 0.0, "hands_x": 0.10, "hands_y": 0.45,
        "hands_z": 0.25, "hands_elbow": 0.9, "feet_pitch": 1.25, "nod": -0.3, "look": 0.5 * aside,
    }  # fmt: skip
    keys: Keys = [(0, {}), (0.35 * loose, give), (0.75 * loose, low), (1.05 * loose, caught)]
    keys += [(1.30 * loose, lying), (1.50 * loose, lying)]
    return Sketch(keyed(keys), 1.5 * loose, 0.4)


@movement(
    "fall sideways", ("falling_flow",), cyclic=False, reverse="get up from the side", ends_standing=False
)
def fall_sideways(performance: Performance) -> Sketch:
    """The body tips over to its right and lies on that side; reversed, it gets up."""
    loose = lerp(1.0, 0.68, performance.evaluation.falling_flow)
    knees = float(performance.generator.uniform(0.0, 0.35))
    give = {
        "height": 0.86, "y": -0.12, "roll": 0.25, "side": 0.15, "bend": 0.2, "hands_y": 0.4, "hands_z": -0.5,
        "hands_x": 0.25,
    }  # fmt: skip
    low = {
        "height": 0.44, "y": -0.42, "roll": 0.75, "side": 0.25, "bend": 0.25, "right_hand_y": 0.5,
        "right_hand_z": -0.3, "left_hand_x": 0.4, "left_hand_z": -0.5, "x": -0.1 * knees,
    }  # fmt: skip
    lying = {
        "height": 0.16, "y": -0.72, "roll": 1.42, "side": 0.05, "bend": 0.15, "x": -0.5 * knees,
        "right_hand_x": 0.88, "right_hand_y": -0.08, "right_hand_z": 0.2, "right_hand_elbow": 0.0,
        "left_hand_x": 0.5, "left_hand_y": -0.1, "left_hand_z": -0.5, "left_foot_lift": 0.10,
        "left_foot_y": 0.02, "right_foot_y": 0.04,
    }  # fmt: skip
    keys: Keys = [(0, {}), (0.38 * loose, give), (0.80 * loose, low), (1.20 * loose, lying)]
    return Sketch(keyed([*keys, (1.45 * loose, lying)]), 1.45 * loose, 0.4)


@movement("fall off a chair", ("falling_flow",), cyclic=False, ends_standing=False)
def fall_off_a_chair(performance: Performance) -> Sketch:
    """From sitting the body slides and tips to the floor beside the chair."""
    loose = lerp(1.0, 0.68, performance.evaluation.falling_flow)
    turn = float(performance.generator.uniform(0.4, 1.2))
    tipping = {
        **SEATED, "y": -0.28, "height": 0.52, "roll": 0.45, "side": 0.3, "right_hand_y": 0.5, "x": -0.4,
    }  # fmt: skip
    low = {
        "x": -0.2, "y": -0.62, "height": 0.24, "roll": 0.95, "bend": 0.4, "right_hand_y": 0.35,
        "right_hand_z": -0.3, "right_hand_x": 0.7, "left_hand_x": 0.4, "left_hand_z": -0.5,
        "yaw": -0.3 * turn,
    }  # fmt: skip
    lying = {
        "x": -0.25, "y": -0.78, "height": 0.16, "roll": 1.40, "bend": 0.3, "right_hand_x": 0.85,
        "right_hand_y": -0.05, "right_hand_z": 0.1, "left_hand_x": 0.5, "left_hand_y": -0.1,
        "left_hand_z": -0.4, "left_foot_lift": 0.10, "left_foot_y": 0.0, "right_foot_y": -0.02,
        "yaw": -0.5 * turn,
    }  # fmt: skip
    keys: Keys = [(0, SEATED), (0.4 * loose, tipping), (0.85 * loose, low), (1.15 * loose, lying)]
    return Sketch(keyed([*keys, (1.4 * loose, lying)]), 1.4 * loose, 0.4, (Chair(-0.54),))
