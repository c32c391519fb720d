"""Motion capture turned into rotations of our own joints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kinesphere.clips.pinhole import framing
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.synthetic.body.body import INDEX, Body, Placement, Proportions, forward_kinematics
from kinesphere.synthetic.motion.motion import Recorded
from kinesphere.synthetic.motion.retarget import NEEDED, retarget

Acted = Callable[[str], Placement]

BODIES = (
    Body(),
    Body(Proportions(height_m=1.50, leg=0.95, arm=1.06)),
    Body(Proportions(height_m=1.95, leg=1.06)),
)
# Captured joints and ours, where the names differ.
JOINTS = {name: name for name in ("pelvis", "spine", "neck", "head", *NEEDED)} | {
    f"{side}_{theirs}": f"{side}_{ours}"
    for side in ("left", "right")
    for theirs, ours in (("hand_tip", "fingers"), ("foot", "ball"))
}
BONES = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
] + [("right_hip", "left_hip"), ("right_shoulder", "left_shoulder")]


def captured(placed: Placement, unit_m: float = 0.01) -> tuple[list[str], np.ndarray]:
    """Names and places of joints as a capture system in centimetres tells them."""
    return list(JOINTS), np.stack([placed.of(ours) for ours in JOINTS.values()], 1) / unit_m


def played(recorded: Recorded, body: Body) -> Placement:
    return forward_kinematics(body, recorded.pose(np.arange(len(recorded.recorded.root)) / 20, body))


def apart_deg(one: Placement, other: Placement, start: str, end: str) -> float:
    """Largest angle between a bone of two figures."""
    a, b = (each.of(end) - each.of(start) for each in (one, other))
    sine, cosine = np.linalg.norm(np.cross(a, b), axis=1), np.sum(a * b, axis=1)
    return float(np.degrees(np.arctan2(sine, cosine)).max())


@pytest.mark.parametrize("label", ["walk", "wave", "kick", "jump", "pick up", "sit down", "fall"])
def test_bones_point_where_the_captured_bones_point(acted: Acted, label: str) -> None:
    truth = acted(label)
    recorded = retarget(*captured(truth), 20)
    for body in BODIES:
        ours = played(recorded, body)
        assert max(apart_deg(ours, truth, *bone) for bone in BONES) < 0.1
        # Trunks and necks of different people have joints in slightly different places.
        assert apart_deg(ours, truth, "neck", "head") < 2
        assert apart_deg(ours, truth, "pelvis", "neck") < 6


@pytest.mark.parametrize("label", ["walk", "kick", "jump", "pick up"])  # nobody shrugs here
def test_who_is_captured_looks_the_same_when_played_by_an_equal_body(
    actor: Body, acted: Acted, label: str
) -> None:
    truth = acted(label)
    ours = played(retarget(*captured(truth), 20), actor)
    points = truth.positions.reshape(-1, 3)
    for azimuth in (0.0, 1.0, 2.5):
        camera = framing(points, azimuth, 0.1, 1.5, (240, 320), 0.1)
        seen, expected = (
            camera.project(np.stack([each.of(name) for name in NEEDED], 1))[..., :2] for each in (ours, truth)
        )
        errors = np.linalg.norm(seen - expected, axis=-1)
        assert errors.max() < 4
        assert np.median(errors) < 2


@pytest.mark.parametrize("label", ["walk", "wave", "kick", "sit down"])
def test_feet_stand_on_the_floor_whoever_plays(acted: Acted, label: str) -> None:
    recorded = retarget(*captured(acted(label)), 20)
    for body in BODIES:
        ours = played(recorded, body)
        balls = [
            ours.of(f"{side}_ball")[:, 2] - body.rest[INDEX["left_ball"], 2] for side in ("left", "right")
        ]
        ankles = [ours.of(f"{side}_ankle")[:, 2] - body.ankle_m for side in ("left", "right")]
        lowest = np.min([*balls, *ankles], axis=0)
        assert np.abs(lowest).max() < 0.04


def test_who_jumps_leaves_the_floor(acted: Acted) -> None:
    truth = acted("jump")
    height = np.min([truth.of(f"{side}_ball")[:, 2] for side in ("left", "right")], axis=0)
    for body in BODIES:
        ours = played(retarget(*captured(truth), 20), body)
        lifted = np.min([ours.of(f"{side}_ball")[:, 2] for side in ("left", "right")], axis=0)
        assert np.ptp(lifted) == pytest.approx(np.ptp(height) * body.leg_m / 0.98, rel=0.25)


def test_the_way_is_as_many_legs_long_as_the_captured_one(actor: Body, acted: Acted) -> None:
    truth = acted("walk")
    way = truth.of("pelvis")[-1, :2] - truth.of("pelvis")[0, :2]
    for unit_m in (0.01, 1.0, 0.0254):
        recorded = retarget(*captured(truth, unit_m), 20)
        for body in BODIES:
            ours = played(recorded, body).of("pelvis")
            np.testing.assert_allclose(
                (ours[-1] - ours[0])[:2] / body.leg_m, way / actor.leg_m, rtol=0.02, atol=0.02
            )


def test_left_stays_left(acted: Acted) -> None:
    truth = acted("wave")
    waving = max(("left", "right"), key=lambda side: np.ptp(truth.of(f"{side}_wrist")[:, 2]))
    ours = played(retarget(*captured(truth), 20), BODIES[1])
    reach = {side: np.ptp(ours.of(f"{side}_wrist")[:, 2]) for side in ("left", "right")}
    assert max(reach, key=lambda side: float(reach[side])) == waving
    for part in ("shoulder", "hip", "eye", "ball"):
        assert (ours.of(f"left_{part}")[:, 1] > ours.of(f"right_{part}")[:, 1]).all()


def test_arms_may_point_straight_up_and_turn_smoothly() -> None:
    body = Body()
    names = list(NEEDED)
    points = np.tile(np.stack([body.rest[INDEX[name]] for name in names]), (61, 1, 1))
    for frame, angle in enumerate(np.linspace(0, np.pi, 61)):
        for side, sign in (("left", 1), ("right", -1)):
            shoulder = points[frame, names.index(f"{side}_shoulder")]
            away = np.array([0, sign * np.sin(angle), -np.cos(angle)])
            points[frame, names.index(f"{side}_elbow")] = shoulder + 0.3 * away
            points[frame, names.index(f"{side}_wrist")] = shoulder + 0.55 * away
    turns = retarget(names, points, 30).recorded.rotations
    steps = np.swapaxes(turns[:-1], 2, 3) @ turns[1:]
    angles = np.degrees(np.arccos(np.clip((np.trace(steps, axis1=2, axis2=3) - 1) / 2, -1, 1)))
    assert angles.max() < 3.5
    np.testing.assert_allclose(turns[0], np.broadcast_to(np.eye(3), turns[0].shape), atol=1e-6)


def test_a_calibration_pose_at_the_start_is_left_out(acted: Acted) -> None:
    names, points = captured(acted("walk"))
    quarter_turn = points[:1, :, [1, 0, 2]] * (-1, 1, 1)
    with_it = retarget(names, np.concatenate([quarter_turn, points]), 20)
    np.testing.assert_allclose(with_it.recorded.rotations, retarget(names, points, 20).recorded.rotations)


def test_what_cannot_be_played_is_named(acted: Acted) -> None:
    names, points = captured(acted("walk"))
    with pytest.raises(InvalidAnnotation, match="cannot be moved without its left_knee; got pelvis, spine"):
        retarget([name.replace("left_knee", "knee") for name in names], points, 20)
    with pytest.raises(InvalidAnnotation, match="1 pose is no movement"):
        retarget(names, points[:1], 20)
    points[3, names.index("left_elbow")] = points[3, names.index("left_shoulder")]
    with pytest.raises(InvalidAnnotation, match="left_shoulder and left_elbow lie on one another"):
        retarget(names, points, 20)
    with pytest.raises(InvalidAnnotation, match="lie on one another"):
        retarget(names, np.zeros_like(points), 20)
