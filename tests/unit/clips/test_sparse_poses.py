"""Poses by detection are the same poses, in memory that grows with who is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.tracking import Detections, assemble
from kinesphere.clips import Clip, ClipSpec, Sampling
from kinesphere.clips.modalities.pose import file as pose_file
from kinesphere.clips.modalities.pose import reader, sparse
from kinesphere.clips.modalities.pose.attach import attached
from kinesphere.clips.modalities.pose.file import open_poses, read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.modalities.pose.sparse import SparsePoses
from kinesphere.clips.modalities.pose.track import PoseTrack
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.cropping import joints_outside
from kinesphere.data.preflight_poses import facts_of

SPEC = ClipSpec(
    Sampling.parse("6x2x1"), (56, 56), "pose", skeleton="coco17", people=3, mean=(0.5, 0.5), std=(0.5, 0.5)
)
FRAMES = 200

Assembled = Poses | SparsePoses


def street(has_world: bool = False) -> Assembled:
    """Two people pass at a time, a new one every five frames; from frame 100 to 120 nobody does."""
    rng = np.random.default_rng(0)
    frames, numbers = [], []
    for t in range(FRAMES):
        count = 0 if 100 <= t < 120 else 2
        points = rng.uniform(0, 100, (count, 17, 2)).astype(np.float32)
        scores = rng.uniform(0, 1, (count, 17)).astype(np.float32)
        scores[scores < 0.2] = 0
        boxes = np.concatenate([points.min(1), points.max(1)], -1) if count else np.empty((0, 4), np.float32)
        world = rng.uniform(-1, 1, (count, 17, 3)).astype(np.float32) if has_world else None
        frames.append(Detections(points, scores, boxes, world))
        numbers.append(t // 5 + np.arange(1, 3)[:count][::-1])
    return assemble(
        frames,
        numbers,
        np.arange(FRAMES) / 10,
        skeleton="coco17",
        frame_size=(120, 160),
        fps=10.0,
        origin="generated 1",
    )


@pytest.fixture
def by_detection(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(sparse, "_LARGE_BYTES", 0)


def equal(one: Poses, other: Poses) -> None:
    for name in ("times", "keypoints", "scores", "tracks", "boxes", "world"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("skeleton", "frame_size", "fps", "origin", "video", "max_people", "clock"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("has_world", [False, True])
def test_they_hold_what_dense_poses_hold(by_detection: Callable[[], None], has_world: bool) -> None:
    dense = street(has_world)
    by_detection()
    found = street(has_world)
    assert isinstance(dense, Poses)
    assert isinstance(found, SparsePoses)
    equal(found.dense(), dense)
    assert (found.people, len(found)) == (dense.people, len(dense))
    assert (found.interval_s, found.holds_s) == (dense.interval_s, dense.holds_s)
    np.testing.assert_array_equal(found.people_seen(), dense.people_seen())
    assert joints_outside(found, (0.2, 0.2, 0.8, 0.8)) == joints_outside(dense, (0.2, 0.2, 0.8, 0.8))
    np.testing.assert_array_equal(facts_of(found).seen, facts_of(dense).seen)


def test_a_part_holds_the_people_seen_in_it_alone(by_detection: Callable[[], None]) -> None:
    dense = street()
    by_detection()
    found = street()
    assert isinstance(dense, Poses)
    for part in (slice(30, 41), slice(95, 125), slice(100, 110), np.array([3, 4, 150])):
        few = found[part]
        assert few.people <= 9
        equal(few.of(dense.tracks), dense[part])
    assert found.during((10.3, 11.5)).people == 0


def test_clips_are_the_same(by_detection: Callable[[], None], tmp_path: Path) -> None:
    clips: list[list[Clip]] = []
    for _ in range(2):
        path = tmp_path / f"{len(clips)}.pose.npz"
        write_poses(street(), path)
        spans = [(2.0, 4.0), (9.0, 11.0), (12.4, 13.0)]
        clips.append([reader.read(PoseTrack(path), SPEC, span)[0] for span in spans])
        by_detection()
    for one, other in zip(*clips, strict=True):
        assert one.data.any()
        assert torch.equal(one.data, other.data)


def test_files_are_the_same_when_read_whole(by_detection: Callable[[], None], tmp_path: Path) -> None:
    one, other = tmp_path / "one.pose.npz", tmp_path / "other.pose.npz"
    extent = Extent(FRAMES, 19.9, 10.0)
    for path in (one, other):
        found = street(has_world=True)
        write_poses(found.taken(np.arange(FRAMES) / 10, extent, 4), path)
        by_detection()
    equal(read_poses(other), read_poses(one))
    assert isinstance(open_poses(other), SparsePoses)
    assert (int(np.load(one)["version"]), int(np.load(other)["version"])) == (1, 2)
    with pytest.raises(ValueError, match="read-only"):
        open_poses(other).detections().keypoints[0] = 0


def test_they_are_held_against_their_video_as_others_are(by_detection: Callable[[], None]) -> None:
    class Film:
        mirrored = False

        def frame_times(self) -> np.ndarray:
            return 0.5 + np.arange(FRAMES) / 10

    by_detection()
    found = street()
    old = found.taken(found.times, Extent(FRAMES, 19.9, 10.0), None)
    assert isinstance(old, SparsePoses)
    old = replace(old, each=replace(old.each, clock=1))
    moved = attached(old, Film())  # type: ignore[arg-type]
    np.testing.assert_array_equal(moved.times, Film().frame_times())
    assert moved.video == Extent(FRAMES, 20.4, 10.0)
    with pytest.raises(InvalidAnnotation, match=r"are of a video of 200 frames to 19\.90 s"):
        attached(replace(old, each=replace(old.each, clock=2)), Film())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.array([1, 0])}, "in order of frames and then of people; these are not"),
        ({"who": np.array([0, 5])}, "of the frames and people that there are"),
        ({"frames": np.array([0])}, r"2 detections have a frame and a person each; got \(1,\)"),
        ({"tracks": np.array([1, 1])}, "different track numbers; these have not"),
        ({"times": np.array([0.0, 0.0])}, "must be finite and ascend"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, np.ndarray], message: str) -> None:
    each = Poses(
        np.arange(2.0), np.ones((2, 1, 17, 2)), np.ones((2, 1, 17)), np.array([1]), "coco17", (10, 10)
    )
    given = {
        "times": np.arange(2.0),
        "frames": np.arange(2),
        "who": np.arange(2),
        "tracks": np.array([7, 9]),
    }
    with pytest.raises(InvalidAnnotation, match=message):
        SparsePoses(**given | changes, each=each)


def test_damaged_files_say_so(by_detection: Callable[[], None], tmp_path: Path) -> None:
    by_detection()
    path = tmp_path / "a.pose.npz"
    write_poses(street(), path)
    content = dict(np.load(path))
    np.savez(path, **content | {"frames": content["frames"][::-1]})
    with pytest.raises(InvalidAnnotation, match=r"a.pose.npz: Detections are of the frames"):
        open_poses(path)
    content.pop("who")
    np.savez(path, **content)
    with pytest.raises(InvalidAnnotation, match="is not a readable pose file"):
        open_poses(path)


def test_they_take_memory_for_who_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = street()
    monkeypatch.setattr(sparse, "_LARGE_BYTES", 0)
    assert pose_file._bytes(street()) < pose_file._bytes(dense) / 10
