"""`Poses`, pose files, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.clips.modalities.pose.file import _recent, read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.preflight_poses import facts_of


def make(count: int = 10, people: int = 2, fps: float = 10.0, seed: int = 0, **changes: Any) -> Poses:
    """People whose joints move in straight lines across a frame of 120x160."""
    generator = np.random.default_rng(seed)
    start = generator.uniform(20, 100, (1, people, 17, 2))
    step = generator.uniform(-1, 1, (1, people, 17, 2))
    times = np.arange(count) / fps
    values: dict[str, Any] = {
        "times": times,
        "keypoints": (start + step * 10 * times[:, None, None, None]).astype(np.float32),
        "scores": np.full((count, people, 17), 0.75, np.float32),
        "tracks": np.arange(1, people + 1),
        "skeleton": "coco17",
        "frame_size": (120, 160),
        "fps": fps,
        "origin": "test 1",
    }
    return Poses(**values | changes)


def test_boxes_surround_the_seen_joints() -> None:
    poses = make()
    np.testing.assert_allclose(poses.boxes[..., :2], poses.keypoints.min(2))
    np.testing.assert_allclose(poses.boxes[..., 2:], poses.keypoints.max(2))
    scores = poses.scores.copy()
    scores[3, 1] = 0
    away = make(scores=scores)
    assert np.isnan(away.boxes[3, 1]).all()
    assert away.present[3].tolist() == [True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": np.zeros((10, 2, 16, 2))}, r"Poses of coco17 are \(T, P, 17, 2 or 3\); got"),
        ({"keypoints": np.zeros((10, 2, 17, 3))}, r"keypoints of poses in pixels must be \(10, 2, 17, 2\)"),
        ({"frame_size": None}, r"keypoints of poses in space must be \(10, 2, 17, 3\)"),
        ({"times": np.zeros(10)}, "must be finite and ascend"),
        ({"times": np.arange(9.0)}, r"times of poses in pixels must be \(10,\)"),
        ({"tracks": np.array([1, 1])}, r"different track numbers; got \[1, 1\]"),
        ({"scores": np.full((10, 2, 17), 1.5)}, r"must lie in \[0, 1\]"),
        ({"keypoints": np.full((10, 2, 17, 2), np.nan)}, "coordinates that are no numbers"),
        ({"frame_size": (0, 10)}, r"positive \(H, W\); got \(0, 10\)"),
        ({"world": np.zeros((10, 2, 17, 2))}, r"world of poses in pixels must be \(10, 2, 17, 3\)"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidAnnotation, match=message):
        make(**changes)


def test_no_frame_at_all_is_refused() -> None:
    with pytest.raises(InvalidAnnotation, match="cover no frame at all"):
        make(count=0)


# ------------------------------------------------------------------------ another rate, another size


def test_joints_at_the_times_of_the_poses_are_the_poses() -> None:
    poses = make()
    at = poses.joints_at(poses.times[[3, 3, 0, 9]] + 4e-5)
    np.testing.assert_array_equal(at[..., :2], poses.keypoints[[3, 3, 0, 9]])
    np.testing.assert_array_equal(at[..., 2], poses.scores[[3, 3, 0, 9]])


@settings(max_examples=30, deadline=None)
@given(st.floats(4, 60), st.floats(4, 60), st.integers(0, 5))
def test_poses_of_another_frame_rate_give_the_same_motion(taken: float, wanted: float, seed: int) -> None:
    poses = make(count=round(2 * taken), fps=taken, seed=seed)
    times = np.arange(round(2 * wanted)) / wanted
    times = times[times <= poses.times[-1]]
    truth = make(count=len(times), fps=wanted, seed=seed).keypoints
    np.testing.assert_allclose(poses.joints_at(times)[..., :2], truth, atol=2e-3)


def test_a_person_is_not_drawn_through_a_long_absence() -> None:
    poses = make(count=30, fps=10)
    scores = poses.scores.copy()
    scores[10:20, 0] = 0
    gone = replace(poses, scores=scores)
    at = gone.joints_at(np.array([0.94, 0.96, 1.5, 1.94, 1.96]))
    assert (at[:, 0, :, 2] > 0).all(1).tolist() == [True, False, False, False, True]
    assert (at[:, 1, :, 2] > 0).all()
    assert (at[2, 0] == 0).all()


@pytest.mark.parametrize("rate", [0.25, 0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize("is_told", [True, False])
def test_poses_at_a_low_rate_hold_for_half_of_their_interval(rate: float, is_told: bool) -> None:
    poses = replace(make(count=6), times=np.arange(6) / rate, fps=rate if is_told else None)
    times = np.linspace(-0.49 / rate, 5.49 / rate, 200)
    at = poses.joints_at(times)
    assert (at[..., 2] > 0).all()
    nearest = np.abs(times[:, None] - poses.times).argmin(1)
    np.testing.assert_array_equal(at[..., :2], poses.keypoints[nearest])
    for beyond in (-0.52 / rate, 5.52 / rate):
        assert not poses.joints_at(np.array([beyond])).any()


def test_poses_that_have_the_times_of_frames_leave_no_gap() -> None:
    begins = np.arange(60) / 10
    times = begins[np.searchsorted(begins, np.arange(8) / 1.5 + 1e-6, side="right") - 1]
    poses = replace(make(count=8), times=times, fps=1.5)
    assert (poses.joints_at(np.linspace(0, times[-1], 300))[..., 2] > 0).all()


def test_a_clip_between_two_poses_of_a_low_rate_shows_the_people() -> None:
    facts = facts_of(replace(make(count=4), times=np.arange(4) * 2.0, fps=0.5))
    assert facts.during((0.5, 0.9)).tolist() == [2]
    assert facts.during((1.9, 4.1)).tolist() == [2, 2]
    assert facts.during((20.0, 21.0)).tolist() == []


def test_sparse_poses_hold_for_a_moment_only() -> None:
    poses = replace(make(count=2), times=np.array([0.0, 4.0]))
    seen = poses.joints_at(np.array([0.2, 0.3, 2.0, 3.8, 4.2, 4.3]))[..., 2].any((1, 2))
    assert seen.tolist() == [True, False, False, True, True, False]


def test_one_pose_serves_its_moment() -> None:
    poses = make(count=1)
    at = poses.joints_at(np.array([0.0, 0.1, 1.0]))
    assert at[..., 2].any((1, 2)).tolist() == [True, True, False]


@settings(deadline=None)
@given(st.integers(30, 2000), st.integers(30, 2000), st.floats(0.2, 4))
def test_poses_of_another_resolution_are_rescaled(height: int, width: int, scale: float) -> None:
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    poses = make(frame_size=(height, width))
    resized = poses.resized(size)
    assert resized.frame_size == size
    corner = np.array([size[1] / width, size[0] / height])
    np.testing.assert_allclose(
        resized.keypoints + 0.5, (poses.keypoints + 0.5) * corner, rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(
        resized.resized((height, width)).keypoints, poses.keypoints, rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(resized.boxes[..., :2], resized.keypoints.min(2), rtol=1e-4, atol=1e-3)


def test_poses_of_a_picture_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidAnnotation, match="taken from frames of 160x120 px, but these are 200x120 px"):
        make().resized((120, 200))


# ------------------------------------------------------------------------------------------- people


def test_leading_people_are_those_seen_for_longest_in_their_order() -> None:
    poses = make(people=4)
    scores = poses.scores.copy()
    scores[:, 0] = 0
    scores[1:, 2] = 0
    poses = replace(poses, scores=scores)
    assert poses.leading(2).tolist() == [1, 3]
    assert poses.leading(9).tolist() == [1, 2, 3]
    chosen = poses.select(poses.leading(2))
    assert chosen.tracks.tolist() == [2, 4]
    assert poses.during((0.0, 0.05)).leading(9).tolist() == [1, 2, 3]
    assert poses.during((0.5, 0.6)).leading(9).tolist() == [1, 3]


def test_during_an_instant_takes_the_nearest_pose() -> None:
    assert make().during((0.42, 0.43)).times.tolist() == [0.4]


def test_other_skeletons_and_spaces() -> None:
    world = np.random.default_rng(0).normal(size=(10, 2, 17, 3)).astype(np.float32)
    poses = make(world=world)
    assert poses.to("openpose18").keypoints.shape == (10, 2, 18, 2)
    space = poses.to("ntu25").in_space()
    assert space.keypoints.shape == (10, 2, 25, 3)
    assert space.in_space() is space
    with pytest.raises(InvalidAnnotation, match="are joints in space, but pixels are asked for"):
        space.in_pixels()
    with pytest.raises(InvalidAnnotation, match=r"These poses \(test 1\) hold pixels only"):
        make().in_space()


# -------------------------------------------------------------------------------------------- files


def test_file_round_trip_is_stable(tmp_path: Path) -> None:
    poses = make(world=np.random.default_rng(0).normal(size=(10, 2, 17, 3)).astype(np.float32))
    scores = poses.scores.copy()
    scores[2, 1] = 0
    scores[3, 1, 4] = 1e-5
    poses = replace(poses, scores=scores, boxes=np.empty(0))
    first, second = tmp_path / "a" / "clip.mp4.pose.npz", tmp_path / "b.pose.npz"
    write_poses(poses, first)
    read = read_poses(first)
    seen = poses.scores > 0
    assert (read.scores > 0).tolist() == seen.tolist()
    np.testing.assert_allclose(read.keypoints[seen], poses.keypoints[seen], atol=1 / 64)
    assert read.world is not None
    np.testing.assert_allclose(read.world[seen], poses.world[seen], atol=1 / 8192)  # type: ignore[index]
    np.testing.assert_allclose(read.scores, poses.scores, atol=1 / 1024)
    assert (read.skeleton, read.frame_size, read.fps, read.origin) == ("coco17", (120, 160), 10.0, "test 1")
    write_poses(read, second)
    again = read_poses(second)
    for name in ("times", "keypoints", "scores", "tracks", "boxes", "world"):
        np.testing.assert_array_equal(getattr(again, name), getattr(read, name))


def test_files_read_before_come_from_memory_until_they_change(tmp_path: Path) -> None:
    path = tmp_path / "a.pose.npz"
    write_poses(make(), path)
    first = read_poses(path)
    assert read_poses(path) is first
    assert not first.keypoints.flags.writeable
    write_poses(replace(first, origin="another"), path)
    assert read_poses(path).origin == "another"


def test_poses_in_memory_are_counted_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pose.npz"
    write_poses(make(20), path)
    cache = _recent.cache
    cache.clear()
    poses = read_poses(path)
    arrays = (poses.times, poses.keypoints, poses.scores, poses.tracks, poses.boxes)
    assert cache.currsize == sum(array.nbytes for array in arrays)
    assert cache.maxsize == 128 * 2**20
    assert len(poses[2:5]) == 3
    np.testing.assert_array_equal(poses[2:5].keypoints, poses.keypoints[2:5])


def test_files_tell_their_video_where_it_was_known(tmp_path: Path) -> None:
    path = tmp_path / "a.pose.npz"
    write_poses(make(), path)
    assert (read_poses(path).video, read_poses(path).max_people) == (None, None)
    extent = Extent.of(np.arange(40) * 1001 / 30000, 30000 / 1001)
    write_poses(make(video=extent, max_people=3), path)
    assert (read_poses(path).video, read_poses(path).max_people) == (extent, 3)
    content = dict(np.load(path))
    np.savez(path, **content | {"video_frames": np.array(0)})
    with pytest.raises(InvalidAnnotation, match=r"a.pose.npz: A video has frames, a length and a rate; got"):
        read_poses(path)


def test_nobody_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "empty.pose.npz"
    write_poses(make(people=0), path)
    assert read_poses(path).people == 0


def test_missing_empty_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidAnnotation, match=r"no pose file .*none.pose.npz; make it with `kinesphere extract"
    ):
        read_poses(tmp_path / "none.pose.npz")
    empty = tmp_path / "empty.pose.npz"
    empty.touch()
    with pytest.raises(InvalidAnnotation, match=r"empty.pose.npz is empty; delete it and extract"):
        read_poses(empty)
    foreign = tmp_path / "foreign.pose.npz"
    foreign.write_bytes(b"no zip at all")
    with pytest.raises(InvalidAnnotation, match=r"foreign.pose.npz is not a readable pose file"):
        read_poses(foreign)
    np.savez(foreign, format=np.array("something else"))
    with pytest.raises(InvalidAnnotation, match="not a pose file; it says 'something else'"):
        read_poses(foreign)
    np.savez(foreign, format=np.array("kinesphere poses"), version=np.array(99))
    with pytest.raises(InvalidAnnotation, match="of version 99, but we read up to 2; update"):
        read_poses(foreign)
    with pytest.raises(InvalidAnnotation, match=r"Pose files end in .pose.npz; got 'poses.npz'"):
        write_poses(make(), tmp_path / "poses.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.pose.npz"
    write_poses(make(), path)
    content = dict(np.load(path))
    content["times"] = np.array([object()])
    np.savez(path, **content)
    with pytest.raises(InvalidAnnotation, match=r"not a readable pose file.*pickle"):
        read_poses(path)


def test_contradictory_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.pose.npz"
    write_poses(make(), path)
    content = dict(np.load(path))
    np.savez(path, **content | {"skeleton": np.array("octopus")})
    with pytest.raises(InvalidAnnotation, match=r"clip.pose.npz has joints of an unknown skeleton 'octopus'"):
        read_poses(path)
    np.savez(path, **content | {"tracks": np.arange(3)})
    with pytest.raises(InvalidAnnotation, match=r"clip.pose.npz: tracks of poses in pixels must be \(2,\)"):
        read_poses(path)
    del content["scores"]
    np.savez(path, **content)
    with pytest.raises(InvalidAnnotation, match=r"clip.pose.npz is not a readable pose file .'scores'"):
        read_poses(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "clip.pose.npz"
    write_poses(make(), whole)
    content = whole.read_bytes()
    cut = tmp_path / "cut.pose.npz"
    for length in range(1, len(content), max(1, len(content) // 25)):
        cut.write_bytes(content[:length])
        with pytest.raises(InvalidAnnotation, match=r"cut.pose.npz is not a readable pose file"):
            read_poses(cut)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=12, unique=True), st.floats(-1, 21), st.floats(0, 9))
def test_poses_during_a_span_are_those_in_it_else_the_nearest(
    times: list[float], start: float, length: float
) -> None:
    ascending = np.array(sorted({round(time, 3) for time in times}))
    poses = replace(make(count=len(ascending)), times=ascending, fps=None)
    end = start + length
    inside = np.flatnonzero((ascending >= start) & (ascending < end))
    if not len(inside):
        inside = np.array([np.abs(ascending - (start + end) / 2).argmin()])
    np.testing.assert_array_equal(poses.during((start, end)).times, ascending[inside])


def test_joints_of_a_timestamp_are_made_of_the_poses_around_it_alone() -> None:
    poses = make(count=1000)
    around = poses.around(np.array([50.05, 10.0, 99.9]))
    assert len(around.rows) <= 6
    np.testing.assert_array_equal(
        around.joints(poses[around.rows].keypoints, poses[around.rows].scores),
        poses.joints_at(np.array([50.05, 10.0, 99.9])),
    )


def test_a_later_clock_keeps_everything_but_the_times() -> None:
    poses = make(video=Extent(10, 0.9, 10.0), clock=1)
    assert poses.interval_s == 0.1
    moved = poses.later(0.5)
    np.testing.assert_allclose(moved.times, poses.times + 0.5)
    assert moved.video == Extent(10, 1.4, 10.0)
    assert (moved.clock, poses.clock) == (2, 1)
    assert moved.keypoints is poses.keypoints
