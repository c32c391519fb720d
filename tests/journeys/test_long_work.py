"""Work that takes long tells how far it is where nobody watches, and how not to do it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.extract import FlowExtractor, PoseExtractor, Watch, unfinished
from kinesphere.apps.cli import console
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.models import create_model, save_model
from kinesphere.video import Video

Command = Callable[..., tuple[int, str, str]]


def test_a_redirected_extraction_tells_how_far_it_is(
    kinesphere: Command, mannequins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FlowExtractor.extract

    def slow(self: FlowExtractor, video: Path, target: Path) -> str | None:
        time.sleep(0.3)
        return original(self, video, target)

    monkeypatch.setattr(FlowExtractor, "extract", slow)
    monkeypatch.setattr(console, "EVERY_S", 0.1)
    videos = sorted((mannequins / "videos").glob("*.mp4"))[:2]
    words = ("extract", "flow", *videos, "--out", tmp_path / "flow", "--short-side", "16", "--workers", "1")
    code, _, errors = kinesphere(*words)
    assert code == 0, errors
    lines = errors.splitlines()
    assert f"Extracting: 0 of 2 videos; at {videos[0].name}" in errors
    assert f"Extracting: 1 of 2 videos; at {videos[1].name}" in lines
    code, _, errors = kinesphere(*words, "--json")
    assert (code, errors) == (0, "")


def test_a_long_file_is_shown_with_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "_EVERY_S", 0.0)
    video, target = tmp_path / "clip.mp4", tmp_path / "clip.mp4.flow.npz"
    watch = Watch()
    watch.begin(video, target)
    watch.begin(tmp_path / "other.mp4", tmp_path / "other.mp4.flow.npz")
    with unfinished.unfinished(target, "x") as parts:
        parts.add({"a": np.zeros(3)}, 0.42)
        assert watch.line() == "clip.mp4 42%, other.mp4"
    watch.end(video)
    assert watch.line() == "other.mp4"


def test_prediction_says_how_poses_are_kept(
    kinesphere: Command, mannequins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(self: PoseExtractor, source: Path, span: object = None) -> Poses:
        with Video.open(source) as video:
            times, size = video.frame_times(), video.size
        shape = (len(times), 1, 33)
        joints = np.random.default_rng(0).uniform(0, 40, (*shape, 2)).astype(np.float32)
        return Poses(times, joints, np.ones(shape, np.float32), np.array([1]), "blazepose33", size, fps=8.0)

    monkeypatch.setattr(PoseExtractor, "poses", found)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.pose_model", lambda name: Path(f"{name}.task"))
    model = tmp_path / "model.safetensors"
    save_model(create_model("dd_net_tiny", ("a", "b")), model)
    videos = sorted((mannequins / "videos").glob("*.mp4"))[:2]
    code, text, errors = kinesphere("predict", *videos, "--model", model, "--json")
    assert code == 0, errors
    assert len([json.loads(line) for line in text.splitlines()]) == 2
    assert "the poses of 2 videos were extracted for these answers only" in errors
    assert "--keep keeps them" in errors
