from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import (
    COCO,
    INDEX,
    JOINTS,
    PARENTS,
    Body,
    Pose,
    Proportions,
    forward_kinematics,
    rotation,
)
from kinesphere.synthetic.motion.controls import CHANNELS, COLUMN, keyed, mirrored, moved, posture, solve

factor = st.floats(0.85, 1.15)
bodies = st.builds(Proportions, height_m=st.floats(1.4, 2.0), leg=factor, arm=factor, shoulder=factor).map(
    Body
)


def test_parents_come_before_their_children():
    assert len(JOINTS) == len(PARENTS) == 31
    assert all(parent < joint for joint, parent in enumerate(PARENTS))


def test_coco_order_is_the_published_one():
    assert tuple(JOINTS[i] for i in COCO) == COCO17.joints


@given(bodies)
def test_the_identity_pose_is_the_rest_pose(body):
    still = Pose(body.rest[None, 0], np.tile(np.eye(3), (1, 31, 1, 1)))
    placement = forward_kinematics(body, still)
    np.testing.assert_allclose(placement.positions[0], body.rest, atol=1e-12)


@given(bodies, st.integers(0, 1000))
def test_solved_poses_keep_every_bone_length(body, seed):
    noise = np.random.default_rng(seed).normal(0, 0.4, (5, len(CHANNELS)))
    placement = forward_kinematics(body, solve(posture() + noise, body))
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            bone = np.linalg.norm(placement.positions[:, joint] - placement.positions[:, parent], axis=1)
            np.testing.assert_allclose(bone, np.linalg.norm(body.offsets[joint]), atol=1e-9)
    identity = placement.orientations @ np.swapaxes(placement.orientations, -1, -2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-9)


@given(bodies, st.floats(-0.5, 0.5), st.floats(-0.4, 1.2))
def test_planted_feet_stay_where_they_are_put_and_never_sink(body, lean, pitch):
    controls = np.stack([posture({"x": lean * 0.2, "height": 0.9, "feet_pitch": pitch, "bend": lean})])
    placement = forward_kinematics(body, solve(controls, body))
    for side in ("left", "right"):
        assert placement.of(f"{side}_ankle")[0, 2] > 0.3 * body.ankle_m
        assert placement.of(f"{side}_ball")[0, 2] > 0


def test_hands_reach_their_targets_within_the_arms_length():
    body = Body()
    controls = posture({"hands_x": 0.5, "hands_y": 0.1, "hands_z": 0.3})[None]
    placement = forward_kinematics(body, solve(controls, body))
    offset = placement.of("left_wrist") - placement.of("left_shoulder")
    np.testing.assert_allclose(offset[0] / body.arm_m, [0.5, 0.1, 0.3], atol=1e-6)


def test_mirroring_reflects_every_joint():
    body = Body()
    rng = np.random.default_rng(3)
    controls = posture() + rng.normal(0, 0.15, (4, len(CHANNELS)))
    one = forward_kinematics(body, solve(controls, body))
    two = forward_kinematics(body, solve(mirrored(controls), body))
    for name in JOINTS:
        other = name.replace("left", "@").replace("right", "left").replace("@", "right")
        np.testing.assert_allclose(one.of(name) * [1, -1, 1], two.of(other), atol=1e-9)
    np.testing.assert_array_equal(mirrored(mirrored(controls)), controls)


def test_moving_turns_and_shifts_every_joint():
    body = Body()
    controls = posture() + np.random.default_rng(4).normal(0, 0.1, (3, len(CHANNELS)))
    one = forward_kinematics(body, solve(controls, body))
    two = forward_kinematics(body, solve(moved(controls, 0.7, -0.4, 1.1), body))
    shift = np.array([0.7, -0.4, 0]) * body.leg_m
    expected = one.positions @ rotation("z", np.array(1.1)).T + shift
    np.testing.assert_allclose(two.positions, expected, atol=1e-9)


def test_keyed_tracks_pass_through_their_keys_without_overshoot():
    track = keyed([(0.0, {"x": 0.0}), (0.5, {"x": 1.0}), (1.0, {"x": 1.0}), (1.5, {"x": 2.0})])
    x = track(np.linspace(-1, 3, 401))[:, COLUMN["x"]]
    assert x[0] == 0
    assert x[-1] == 2
    assert np.all(np.diff(x) >= -1e-12)
    np.testing.assert_allclose(track(np.array([0.5, 1.0]))[:, COLUMN["x"]], 1.0)


def test_longer_legs_leave_the_stature():
    long, short = Body(Proportions(leg=1.05)), Body(Proportions(leg=0.95))
    assert long.leg_m > short.leg_m
    assert long.rest[INDEX["head_top"], 2] == pytest.approx(short.rest[INDEX["head_top"], 2])


def test_impossible_bodies_are_refused():
    with pytest.raises(InvalidSetting, match=r"0.5 to 2.5 m tall; got height_m=3"):
        Proportions(height_m=3)
    with pytest.raises(InvalidSetting, match=r"factors from 0.6 to 1.6; got {'leg': 2}"):
        Proportions(leg=2)
    with pytest.raises(InvalidSetting, match=r"A pose has a root of shape"):
        Pose(np.zeros((2, 3)), np.zeros((2, 5, 3, 3)))
