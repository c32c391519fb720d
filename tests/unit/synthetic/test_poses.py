from __future__ import annotations

import numpy as np
import pytest

from kinesphere.clips.skeleton import COCO17
from kinesphere.data.manifest import Manifest
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.motion.variety import enact
from kinesphere.synthetic.poses import pose_clips, write_pose_clips
from kinesphere.synthetic.settings import MannequinSettings

SETTINGS = MannequinSettings(
    classes=("clap", "fall", "walk"), clips_per_class=10, splits=(0.8, 0.1, 0.1), performers=12, view_deg=180,
    elevation_deg=(-5, 40), seed=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def clips():
    return list(pose_clips(SETTINGS, views=2))


def test_the_same_settings_give_the_same_poses_whatever_else_is_made(clips):
    few = MannequinSettings(
        classes=("fall",), clips_per_class=10, splits=(0.8, 0.1, 0.1), performers=12, view_deg=180,
        elevation_deg=(-5, 40), seed=3,
    )  # fmt: skip
    again = {clip.id: clip for clip in pose_clips(few, views=2)}
    own = {clip.id: clip for clip in clips if clip.label == "fall"}
    assert own.keys() == again.keys()
    for name, clip in own.items():
        np.testing.assert_array_equal(clip.poses.keypoints, again[name].poses.keypoints)
        np.testing.assert_array_equal(clip.poses.scores, again[name].poses.scores)


def test_poses_are_coco_joints_of_bodies_seen_from_all_sides(clips):
    assert len(clips) == 3 * 10 * 2
    front = 0
    for clip in clips:
        poses = clip.poses
        assert poses.skeleton == COCO17.name
        assert len(poses) >= 4
        seen = poses.scores[:, 0] > 0
        assert seen.any()
        left, right = (COCO17.index(f"{side}_shoulder") for side in ("left", "right"))
        both = seen[:, left] & seen[:, right]
        across = poses.keypoints[both, 0, left, 0] - poses.keypoints[both, 0, right, 0]
        front += bool(len(across) and across.mean() > 0)
    assert 0.3 * len(clips) < front < 0.95 * len(clips)
    ears = [COCO17.index("left_ear"), COCO17.index("right_ear")]
    without = np.mean([not (clip.poses.scores[:, 0, ears] > 0).any() for clip in clips])
    assert 0.2 < without < 0.8
    assert len({clip.poses.fps for clip in clips}) > 2


def test_who_falls_ends_low_and_stands_before():
    generator = np.random.default_rng(0)
    performer = cast(SETTINGS, 0)
    for _ in range(5):
        motion, (start, end) = enact("fall", performer, generator, alone=0.0)
        height = motion.pose(np.array([start, end]), performer.body).root[:, 2]
        assert height[1] < 0.6 * height[0]


def test_a_clap_is_seen_between_other_things_and_hands_hang_at_times():
    generator = np.random.default_rng(1)
    spans = [enact("clap", cast(SETTINGS, 1), generator) for _ in range(12)]
    assert len({len(motion.passages) for motion, _ in spans}) > 1
    for motion, (start, end) in spans:
        own = next(passage for passage in motion.passages if passage.label == "clap")
        covered = min(end, own.end_s) - max(start, own.start_s)
        assert covered > 0.6 * (own.end_s - own.start_s)


def test_written_poses_are_a_set_whose_performers_keep_to_their_split(clips, tmp_path):
    manifest = Manifest.read(write_pose_clips(clips, tmp_path, {"fall": "down", "walk": "on foot"}))
    assert manifest.labels.names == ("clap", "down", "on foot")
    splits: dict[str | None, set[str | None]] = {}
    for sample in manifest:
        assert sample.path.is_file()
        splits.setdefault(sample.group, set()).add(sample.split)
    assert {len(names) for names in splits.values()} == {1}
    assert {sample.split for sample in manifest} == {"train", "val", "test"}
