"""What happens to people who are pushed or hit."""

from __future__ import annotations

from kinesphere.synthetic.motion.controls import keyed
from kinesphere.synthetic.motion.primitive import Performance, Sketch, lerp, movement


@movement("stagger", ("strength", "balance"), cyclic=False)
def stagger(performance: Performance) -> Sketch:
    """A blow from the front: the body gives way by two steps, arms up, and finds its balance again."""
    e = performance.evaluation
    far = lerp(0.30, 0.60, e.strength)
    arms = {"hands_x": 0.45, "hands_y": 0.22, "hands_z": -0.28, "hands_elbow": 0.5}
    hit = arms | {
        "x": -0.22 * far, "pitch": -0.14, "bend": 0.34, "nod": 0.35, "height": 0.97,
        "right_foot_x": -0.35 * far, "right_foot_lift": 0.10,
    }  # fmt: skip
    caught = arms | {
        "x": -0.65 * far, "pitch": -0.10, "bend": 0.30, "nod": 0.2, "height": 0.95, "right_foot_x": -far,
        "left_foot_pitch": 0.3, "hands_y": 0.40,
    }  # fmt: skip
    second = caught | {
        "x": -0.90 * far, "left_foot_x": -0.5 * far, "left_foot_lift": 0.09, "left_foot_pitch": 0.2,
    }  # fmt: skip
    held = {"x": -far, "feet_x": -far, "bend": 0.15, "height": 0.965, "hands_x": 0.25, "hands_z": -0.75}
    keys = [(0, {}), (0.14, hit), (0.34, caught), (0.54, second), (0.76, held)]
    return Sketch(keyed([*keys, (1.25, {"x": -far, "feet_x": -far})]), 1.25, 0.34)
