from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.synthetic.body.body import Body, Placement, Proportions, forward_kinematics
from kinesphere.synthetic.body.performer import draw_performer
from kinesphere.synthetic.clips import perform
from kinesphere.synthetic.motion.grades import Evaluation

CAPTURED = {
    "Hips": "pelvis", "Spine": "spine", "Neck": "neck", "Head": "head",
    **{
        f"{side}{bone}": f"{side.lower()}_{joint}"
        for side in ("Left", "Right")
        for bone, joint in (
            ("Arm", "shoulder"), ("ForeArm", "elbow"), ("Hand", "wrist"), ("HandIndex1", "fingers"),
            ("UpLeg", "hip"), ("Leg", "knee"), ("Foot", "ankle"), ("ToeBase", "ball"),
        )
    },
}  # fmt: skip
"""Names of bones in files, and the joints of ours that stand in for captured ones."""

Acted = Callable[[str], Placement]


@pytest.fixture(scope="session")
def actor() -> Body:
    """A tall person with long legs and short arms, whose motion is captured."""
    return Body(Proportions(height_m=1.88, leg=1.06, arm=0.94, shoulder=1.1, hip=0.9))


@pytest.fixture(scope="session")
def acted(actor: Body) -> Acted:
    """Where the actor's joints are at 20 Hz during a movement."""

    def act(label: str) -> Placement:
        generator = np.random.default_rng(4)
        movement = perform(label, draw_performer("actor", generator), Evaluation(), 2.0, generator)
        times = np.arange(round(movement.duration_s * 20)) / 20
        return forward_kinematics(actor, movement.pose(times, actor))

    return act


@pytest.fixture(scope="session")
def write_bvh() -> Callable[[Path, Placement], None]:
    """Writes joints as a BVH file in centimetres at 20 Hz: every bone has channels for its place."""

    def write(path: Path, placed: Placement) -> None:
        places = [100 * placed.of(joint) for joint in CAPTURED.values()]
        rows = [places[0], *(place - places[0] for place in places[1:])]
        # x forward, y left and z up are the file's z, x and y.
        values = np.concatenate([row[:, [1, 2, 0]] for row in rows], axis=1)
        channels = "OFFSET 0 1 0\nCHANNELS 3 Xposition Yposition Zposition"
        hips, *bones = CAPTURED
        tree = "\n".join(f"JOINT {bone}\n{{\n{channels}\n}}" for bone in bones)
        lines = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in values)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"HIERARCHY\nROOT {hips}\n{{\n{channels}\n{tree}\n}}\n"
            f"MOTION\nFrames: {len(values)}\nFrame Time: 0.05\n{lines}\n"
        )

    return write
