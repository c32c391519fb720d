"""Poses of real people: extraction from video, and skeleton data sets as their authors publish them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.formats.bvh import read_bvh
from kinesphere.annotations.formats.ntu import read_missing, read_ntu
from kinesphere.annotations.formats.utkinect import read_utkinect_labels
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.skeleton import COCO17, KINECT20
from kinesphere.core.archives import opened
from kinesphere.data import ClipDataset, Item, Manifest
from kinesphere.datasets import DATASETS, import_skeletons
from kinesphere.video import Video

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")

if not ROOT:
    pytest.skip("KINESPHERE_TEST_DATA names no folder of real data", allow_module_level=True)

DATA = Path(ROOT or "")
SPACE = ClipSpec(Sampling.parse("uniform32"), (64, 64), "pose", skeleton="kinect20", dimensions=3,
                 mean=(0.0,) * 3, std=(1.0,) * 3, align="centre")  # fmt: skip
PICTURE = ClipSpec(Sampling.parse("uniform32"), (64, 64), "pose", resize="people", skeleton="coco17",
                   mean=(0.5, 0.5), std=(0.5, 0.5))  # fmt: skip


def test_jhmdb(tmp_path: Path) -> None:
    result = import_skeletons("jhmdb", DATA / "skeletons" / "jhmdb", tmp_path)
    manifest = Manifest.read(result.manifest)
    assert (len(manifest.where(split="train")), len(manifest.where(split="test"))) == (433, 176)
    assert len(manifest.labels) == 14
    assert f"{len(manifest)} of {len(manifest.labels)} classes" in DATASETS.get("jhmdb").card.size
    spec = PICTURE.with_(skeleton="jhmdb15")
    item = ClipDataset(manifest, spec, train=False)[0]
    assert isinstance(item, Item)
    assert item.inputs[0].shape == (1, 32, 1, 15, 3)
    # Heads are above hips.
    poses = [read_poses(sample.path) for sample in manifest.where(split="test")]
    upright = [p.keypoints[:, 0, 2, 1].mean() < p.keypoints[:, 0, 1, 1].mean() for p in poses]
    assert np.mean(upright) > 0.75


def test_utkinect(tmp_path: Path) -> None:
    result = import_skeletons("utkinect", DATA / "skeletons" / "utkinect.tar.xz", tmp_path)
    manifest = Manifest.read(result.manifest)
    assert (result.files, len(manifest), len(manifest.labels), len(manifest.groups)) == (16, 160, 10, 8)
    assert {skipped.path for skipped in result.skipped} == {
        "s09_e01", "s09_e02", "s10_e01", "s10_e02", "s10_e02 carry",
    }  # fmt: skip
    dataset = ClipDataset(manifest, SPACE, train=False)
    assert all(isinstance(dataset[i], Item) for i in range(0, 160, 16))


@pytest.mark.slow
def test_msr_action3d(tmp_path: Path) -> None:
    result = import_skeletons("msr_action3d", DATA / "skeletons" / "msraction3d.tar.xz", tmp_path)
    manifest = Manifest.read(result.manifest)
    assert (len(manifest), len(manifest.labels), len(manifest.groups)) == (566, 20, 10)
    assert [skipped.path for skipped in result.skipped] == ["a13_s09_e02_skeleton3D.txt"]
    assert manifest.splits == ("train", "test")
    counts = {count.split: count.number for count in DATASETS.get("msr_action3d").card.counts}
    assert {split: len(manifest.where(split=split)) for split in manifest.splits} == counts
    # Who waves high raises the right hand more than the left one.
    waves = [read_poses(s.path) for s in manifest.where(label="high arm wave")]
    right, left = KINECT20.index("right_hand"), KINECT20.index("left_hand")
    rises = [p.keypoints[:, 0, right, 1].std() > p.keypoints[:, 0, left, 1].std() for p in waves]
    assert np.mean(rises) > 0.9


def test_cards_say_what_the_files_count() -> None:
    cards = {name: DATASETS.get(name).card for name in ("utkinect", "msr_action3d", "bandai_namco")}
    with opened(DATA / "skeletons" / "utkinect.tar.xz") as folder:
        found = read_utkinect_labels(folder / "actionLabel.txt").found
    sequences = {passage.sequence for passage in found}
    subjects = {sequence[:3] for sequence in sequences}
    assert cards["utkinect"].size == (
        f"{len(found)} passages in {len(sequences)} sequences of {len(subjects)} subjects"
    )
    assert {passage.label for passage in found} == set(cards["utkinect"].classes)
    with opened(DATA / "skeletons" / "msraction3d.tar.xz") as folder:
        names = [path.name.split("_") for path in folder.glob("a*_skeleton3D.txt")]
    clips, actions, subjects = len(names), {name[0] for name in names}, {name[1] for name in names}
    assert cards["msr_action3d"].size == f"{clips} clips of {len(subjects)} subjects; one shows nobody"
    assert len(actions) == len(cards["msr_action3d"].classes)
    with opened(DATA / "mocap" / "styles.tar.xz") as folder:
        licence = (folder / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("Attribution-NonCommercial 4.0 International")
    assert cards["bandai_namco"].licence == "CC BY-NC 4.0"


def test_ntu_joints_lie_on_the_people_of_the_video() -> None:
    folder = DATA / "skeletons" / "ntu"
    assert len(read_missing(folder / "NTU_RGBD_samples_with_missing_skeletons.txt")) == 302
    for path in folder.glob("*.skeleton"):
        poses = read_ntu(path)
        seen = poses.scores[:, 0] > 0
        assert ((poses.keypoints[:, 0][seen] >= 0) & (poses.keypoints[:, 0][seen] < [1920, 1080])).all()
    poses = read_ntu(folder / "S001C001P001R001A001.skeleton")
    with Video.open(folder / "S001C001P001R001A001_rgb.avi") as video:
        assert abs(poses.times[-1] - video.frame_times()[-1]) < 1.5
        assert poses.resized(video.size).frame_size == video.size


def test_motion_capture_of_both_sets_stands_upright_and_faces_the_camera() -> None:
    names = {
        "styles": ("dataset-1_bow_active_001", "dataset-1_bye_normal_001"),
        "laban_effort": ("effort/Picking_0_0_0_0", "cmu_motions/walking_141_764",
                         "walking_perform_user_study_1/walking_-1_-1_-1_-1"),
    }  # fmt: skip
    left, right = COCO17.index("left_hip"), COCO17.index("right_hip")
    for archive, files in names.items():
        with opened(DATA / "mocap" / f"{archive}.tar.xz") as folder:
            for name in files:
                poses = read_bvh(folder / f"{name}.bvh").seen_by(size=(240, 320))
                assert poses.keypoints[0, 0, left, 0] > poses.keypoints[0, 0, right, 0]
                assert poses.world is not None
                tall = np.ptp(poses.world[0, 0, poses.scores[0, 0] > 0, 2])
                assert 1.2 < tall < 1.9
                seen = poses.keypoints[:, 0][poses.scores[:, 0] > 0]
                assert ((seen >= 0) & (seen < [320, 240])).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["17_3_0.avi", "10_2_1.avi"])
def test_two_people_stay_apart_through_handshake_and_hug(name: str) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: pip install 'kinesphere[pose]'")
    from kinesphere.annotations.extract.mediapipe_pose import PoseFinder, PoseSettings
    from kinesphere.annotations.extract.pose import extract_poses

    settings = PoseSettings(DATA / "weights" / "pose_landmarker_lite.task")
    with PoseFinder(settings) as finder:
        poses = extract_poses(DATA / "videos" / "ut_interaction_set1" / name, finder, fps=10)
    assert poses.people == 2
    assert poses.world is not None
    assert poses.present[[0, -1]].all()
    # Nobody changes sides: who is on the left at the beginning is there at the end.
    middle = poses.boxes[..., [0, 2]].mean(-1)
    assert np.sign(middle[0, 0] - middle[0, 1]) == np.sign(middle[-1, 0] - middle[-1, 1])
    assert abs(middle[0, 0] - middle[0, 1]) > 50
    assert poses.present.any(1).all()
    # Ankles are below hips, hips below shoulders.
    coco = poses.to("coco17")
    heights = [coco.keypoints[0, :, COCO17.index(f"left_{part}"), 1] for part in ("shoulder", "hip", "ankle")]
    assert (np.diff(heights, axis=0) > 20).all()
