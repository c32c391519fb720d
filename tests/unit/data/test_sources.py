"""How a sample is opened where something beside it is missing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.extract import PoseExtractor
from kinesphere.clips import ClipSpec, Sampling
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import MissingWeights, UnreadableVideo
from kinesphere.core.skipped import Skipped
from kinesphere.data import ClipDataset, Item, Manifest, Opening

POSE = ClipSpec(Sampling.parse("uniform6"), (32, 32), "pose", skeleton="coco17",
                mean=(0.5, 0.5), std=(0.5, 0.5))  # fmt: skip


@pytest.fixture
def videos(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    for number in range(3):
        (tmp_path / "hop").mkdir(exist_ok=True)
        make_video(tmp_path / "hop" / f"{number}.mp4", frames=6, tint=number)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """The spans that poses were extracted of, by a stand-in that is quick."""
    spans: list[object] = []

    def found(self: PoseExtractor, source: Path, span: object = None) -> Poses:
        spans.append(span)
        joints = np.full((6, 1, 17, 2), 5, np.float32)
        times, scores = np.arange(6) / 10, np.ones((6, 1, 17), np.float32)
        return Poses(times, joints, scores, np.array([1]), "coco17", (48, 64), fps=10.0)

    monkeypatch.setattr(PoseExtractor, "poses", found)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.pose_model", lambda name: Path(f"{name}.task"))
    return spans


def test_poses_of_a_span_do_not_depend_on_what_was_read_before(videos: Path, asked: list[object]) -> None:
    opening, path = Opening(), videos / "hop" / "0.mp4"
    for span in ((0.1, 0.5), (0.1, 0.5), (0.2, 0.4), None, (0.2, 0.4)):
        opening.open(path, [POSE], span=span).close()
    assert asked == [(0.1, 0.5), (0.2, 0.4), None]  # all of a video serves its parts
    assert opening.forgotten == 1


def test_missing_weights_are_asked_for_once_for_each_model(
    videos: Path, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[str] = []

    def found(name: str) -> Path:
        looked_for.append(name)
        if name == "full":
            raise MissingWeights("pose_landmarker_full.task is not here.")
        return Path(f"{name}.task")

    monkeypatch.setattr("kinesphere.annotations.extract.pose.pose_model", found)
    opening = Opening(pose_model="full")
    for number in range(2):
        with pytest.raises(MissingWeights, match=r"pose_landmarker_full\.task is not here"):
            opening.open(videos / "hop" / f"{number}.mp4", [POSE])
    replace(opening, pose_model="lite").open(videos / "hop" / "0.mp4", [POSE]).close()
    assert looked_for == ["full", "lite"]
    assert asked == [None]


def test_training_refuses_what_evaluation_extracts(videos: Path, asked: list[object]) -> None:
    manifest = Manifest.read(videos)
    trained = ClipDataset(manifest, POSE, train=True, opening=Opening())[0]
    assert isinstance(trained, Skipped)
    assert "There is no pose file" in trained.reason
    assert asked == []
    tested = ClipDataset(manifest, POSE, train=False, opening=Opening())[0]
    assert isinstance(tested, Item)


def test_weights_that_cannot_be_had_are_asked_for_once(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def offline(*what: object) -> Path:
        tried.append(what)
        raise OSError("no network")

    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    monkeypatch.setattr("kinesphere.core.download.download", offline)
    monkeypatch.setenv("XDG_CACHE_HOME", str(videos / "cache"))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)
    dataset = ClipDataset(Manifest.read(videos), POSE, train=False, opening=Opening())
    reasons = {item.reason for item in map(dataset.__getitem__, range(3)) if isinstance(item, Skipped)}
    assert len(reasons) == len(tried) == 1
    assert "no network" in reasons.pop()


def test_another_process_gets_the_settings(asked: list[object], videos: Path) -> None:
    opening = Opening(pose_model="lite")
    opening.open(videos / "hop" / "0.mp4", [POSE]).close()
    there = pickle.loads(pickle.dumps(opening))
    assert there == opening
    assert there.forgotten == 0


def test_a_video_that_is_not_there(asked: list[object], tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="does not exist; check the path"):
        Opening().open(tmp_path / "no.mp4", [POSE])
