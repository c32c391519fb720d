from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.synthetic.body.body import Body, Pose, forward_kinematics
from kinesphere.synthetic.motion.grades import BY_NAME, GRADES, Evaluation
from kinesphere.synthetic.motion.motion import Recorded
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance
from kinesphere.synthetic.settings import DEFAULT_CLASSES, SPEED_PAIRS, TIME_REVERSED

BODY = Body()
ASKED = {
    "walk", "run", "jump", "stamp", "turn", "clap", "wave", "punch", "kick", "expand", "contract", "reach",
    "throw", "balance", "swing", "sit down", "stand up", "fall", "get up", "pick up", "push", "bend",
}  # fmt: skip


def done(name: str, seed: int = 0, tempo: float = 1.0, left_handed: bool = False, **values: float):
    rng = np.random.default_rng(seed)
    drawn = Evaluation.draw(MOVEMENTS.get(name).grades, rng)
    fields = {grade.name: drawn.value(grade.name) for grade in GRADES}
    evaluation = Evaluation(**(fields | values))
    return MOVEMENTS.get(name).perform(Performance(evaluation, tempo, 1.0, left_handed, 0.0, 2.0, rng))


def joints(movement, count: int = 60, body: Body = BODY):
    times = np.linspace(0, movement.duration_s, count)
    return forward_kinematics(body, movement.pose(times, body))


def test_every_asked_movement_exists_and_unknown_ones_get_a_hint():
    assert set(MOVEMENTS) >= ASKED
    assert set(DEFAULT_CLASSES) <= set(MOVEMENTS)
    with pytest.raises(UnknownName, match="no movement called 'wolk'; did you mean walk"):
        MOVEMENTS.get("wolk")


@pytest.mark.parametrize("name", sorted(MOVEMENTS))
@pytest.mark.parametrize("seed", range(3))
def test_bodies_stay_whole_on_the_floor_and_within_human_speed(name, seed):
    movement = done(name, seed)
    placed = joints(movement)
    assert np.isfinite(placed.positions).all()
    # Joints are centres of limbs; only the soft parts of a lying body may touch the floor plane.
    assert placed.positions[..., 2].min() > -0.12
    assert placed.of("head")[:, 2].min() > 0.0
    speed = np.linalg.norm(np.diff(placed.positions, axis=0), axis=2) / (movement.duration_s / 59)
    assert speed.max() < 16
    assert placed.of("head_top")[:, 2].max() < 2.6


@pytest.mark.parametrize("name", sorted(MOVEMENTS))
def test_knees_bend_forward_only(name):
    placed = joints(done(name, 1))
    for side in ("left", "right"):
        hip, knee, ankle = (placed.of(f"{side}_{n}") for n in ("hip", "knee", "ankle"))
        lateral = placed.orientations[:, 0, :, 1]
        thigh, shank = knee - hip, ankle - knee
        bend = np.einsum("ti,ti->t", np.cross(shank, thigh), lateral)
        size = np.linalg.norm(thigh, axis=1) * np.linalg.norm(shank, axis=1)
        assert (bend / size).min() > -0.25 or (bend / size).max() < 0.25


@pytest.mark.parametrize(("forward", "backward"), TIME_REVERSED)
def test_reversed_pairs_hold_the_same_postures_in_opposite_order(forward, backward):
    one, two = done(forward, 5), done(backward, 5)
    assert one.duration_s == pytest.approx(two.duration_s)
    times = np.linspace(0, one.duration_s, 33)
    np.testing.assert_allclose(one.controls(times), two.controls(one.duration_s - times), atol=1e-9)


@pytest.mark.parametrize(("quick", "slow"), SPEED_PAIRS)
def test_speed_pairs_share_their_track(quick, slow):
    a, b = MOVEMENTS.get(quick), MOVEMENTS.get(slow)
    assert a.build is b.build
    assert a.grades == b.grades
    assert b.rate < 0.5 < a.rate


def test_a_walking_foot_stands_still_while_it_carries():
    placed = joints(done("walk", 2, floor_pattern=0.0, flow=0.5, acceleration=0.5, shape_emphasis=0.5), 200)
    ball = placed.of("left_ball")
    step = np.linalg.norm(np.diff(ball, axis=0), axis=1)
    standing = step < 0.002
    assert 0.25 < standing.mean() < 0.75
    assert ball[:-1][standing][:, 2].max() < 0.05


def test_jumps_leave_the_floor_for_as_long_as_they_are_graded():
    def airborne(air_time: float) -> float:
        placed = joints(done("jump", 0, air_time=air_time, shape_emphasis=0.5), 400)
        low = np.minimum(placed.of("left_toes")[:, 2], placed.of("right_toes")[:, 2])
        return float((low > 0.06).mean())

    assert 0 < airborne(0.1) < airborne(0.9)


def test_grades_show_in_the_movement():
    def travelled(value: float) -> float:
        path = joints(done("walk", 3, floor_pattern=value, flow=0.5, acceleration=0.5)).of("pelvis")[:, :2]
        return float(np.linalg.norm(path[-1] - path[0]))

    assert travelled(0.9) < 0.8 * travelled(0.1)

    def span(value: float) -> float:
        placed = joints(done("clap", 3, kinesphere=value))
        return float(np.linalg.norm(placed.of("left_wrist") - placed.of("right_wrist"), axis=1).max())

    assert span(0.9) > span(0.1) + 0.2

    def end_head(value: float) -> float:
        return float(joints(done("fall", 3, end_position=value)).of("head")[-1, 2])

    assert end_head(0.1) > 0.45 > 0.35 > end_head(0.9)

    def unrest(value: float) -> float:
        head = joints(done("balance", 3, balance=value)).of("head")[30:]
        return float(np.linalg.norm(np.diff(head, axis=0), axis=1).sum())

    assert unrest(0.1) > 2 * unrest(0.95)


def test_a_push_drives_both_hands_forward_and_a_pull_draws_them_in():
    def ahead(name: str) -> np.ndarray:
        placed = joints(done(name, 4), 100)
        hands = [placed.of(f"{side}_wrist")[:, 0] - placed.of("chest")[:, 0] for side in ("left", "right")]
        return np.minimum(*hands)

    pushed, pulled = ahead("push"), ahead("pull")
    assert pushed.max() > 0.45
    step = np.diff(pushed)
    assert step.max() > 1.5 * -step.min()  # out faster than back
    np.testing.assert_allclose(pulled, pushed[::-1], atol=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_who_bends_comes_up_again_and_who_falls_does_not(seed):
    height = joints(done("bend", seed)).of("head")[:, 2]
    assert height.min() < 0.83 * height[0]
    assert height[-1] == pytest.approx(height[0], abs=0.08)
    for name in ("fall forwards", "fall sideways", "fall off a chair"):
        assert joints(done(name, seed)).of("head")[-1, 2] < 0.45


def test_left_handers_lead_with_the_left():
    right, left = joints(done("wave", 1)), joints(done("wave", 1, left_handed=True))
    assert right.of("right_wrist")[:, 2].mean() > 1.3 > right.of("left_wrist")[:, 2].mean()
    assert left.of("left_wrist")[:, 2].mean() > 1.3 > left.of("right_wrist")[:, 2].mean()


def test_a_thrown_ball_leaves_the_hand_and_a_picked_box_comes_with_it():
    for name, away in (("throw", True), ("pick up", False)):
        movement = done(name, 2)
        times = np.linspace(0, movement.duration_s, 50)
        placed = forward_kinematics(BODY, movement.pose(times, BODY))
        (thing,) = movement.objects(times, BODY, placed)
        distance = np.linalg.norm(thing.positions - placed.of("right_fingers"), axis=1)
        assert (distance[-1] > 0.8) == away
        assert distance.min() < 0.2
        assert thing.positions[:, 2].min() > 0


def test_grade_levels_and_values():
    strength = BY_NAME["strength"]
    assert [strength.level(v) for v in (0.0, 0.5, 1.0)] == ["none", "little", "max"]
    rng = np.random.default_rng(0)
    drawn = [strength.level(strength.draw(rng)) for _ in range(300)]
    assert min(drawn.count(level) for level in strength.levels) > 70
    with pytest.raises(InvalidSetting, match=r"'flow' is a value from 0 to 1; got 1\.5"):
        Evaluation(flow=1.5)


def test_recorded_rotations_are_replayed_on_other_bodies():
    times = np.linspace(0, 1, 31)
    source = done("kick", 4)
    pose = source.pose(times, BODY)
    replay = Recorded(pose, 30.0, float(BODY.rest[0, 2]))
    assert replay.duration_s == pytest.approx(1.0)
    same = forward_kinematics(BODY, replay.pose(times, BODY))
    np.testing.assert_allclose(same.positions, forward_kinematics(BODY, pose).positions, atol=1e-6)
    between = replay.pose(np.array([0.51]), BODY).rotations[0]
    np.testing.assert_allclose(
        between @ np.swapaxes(between, 1, 2), np.tile(np.eye(3), (31, 1, 1)), atol=1e-9
    )
    with pytest.raises(InvalidSetting, match="two or more poses"):
        Recorded(Pose(pose.root[:1], pose.rotations[:1]), 30.0, 0.9)
