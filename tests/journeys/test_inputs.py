"""Poses at the command line: several inputs fitted to the clips, streams of a skeleton, and their fusion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.clips.modalities.pose.file import read_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.models import load_model
from kinesphere.video import Video

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def extracts(mannequins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pose files of two people who sway, mirrored under a folder."""
    folder = tmp_path_factory.mktemp("extracts")
    for number, path in enumerate(sorted((mannequins / "videos").glob("*.mp4"))):
        with Video.open(path) as video:
            times, size = video.frame_times(), video.size
        rng = np.random.default_rng(number)
        places = rng.uniform(8, 40, (1, 2, 33, 2)) + rng.normal(0, 1, (len(times), 2, 33, 2))
        seen = np.full(places.shape[:-1], 0.9, np.float32)
        poses = Poses(
            times, places.astype(np.float32), seen, np.array([1, 2]), "blazepose33", size, fps=8.0,
            origin="MediaPipe 0 pose_landmarker_lite",
        )  # fmt: skip
        target = folder / "videos" / f"{path.name}.pose.npz"
        target.parent.mkdir(exist_ok=True)
        write_poses(poses, target)
    return folder


def train(kinesphere: Command, mannequins: Path, extracts: Path, out: Path, *more: str) -> None:
    words = ["train.epochs=1", "train.batch_size=6", "compute.workers=0", f"data.extracts={extracts}"]
    code, _, errors = kinesphere("train", mannequins / "manifest.csv", *words, *more, f"out={out}", "--json")
    assert code == 0, errors


def test_each_input_is_fitted_to_the_clips(
    kinesphere: Command, mannequins: Path, extracts: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fitted = ("clip.size=48", "clip.rgb.sampling=uniform4", "clip.pose.sampling=uniform12", "clip.people=1")
    train(
        kinesphere, mannequins, extracts, run,
        "model={name: rgbpose_late_tiny, arguments: {size_px: 24}}", *fitted,
    )  # fmt: skip
    model = load_model(run)
    assert [(spec.size, str(spec.sampling), spec.people) for spec in model.specs] == [
        ((48, 48), "uniform4", 1),
        ((24, 24), "uniform12", 1),
    ]
    assert model.provenance.preparation.poses == "pose_landmarker_lite"

    video = Path(shutil.copy(_first(mannequins), tmp_path / "clip.mp4"))
    words = ("predict", video, "--model", run, "--json")
    file = Path(shutil.copy(extracts / "videos" / f"{_first(mannequins).name}.pose.npz", f"{video}.pose.npz"))
    code, text, errors = kinesphere(*words)
    assert code == 0, errors
    assert "notes" not in json.loads(text)
    write_poses(replace(read_poses(file), origin="MediaPipe 0 pose_landmarker_heavy"), file)
    code, text, errors = kinesphere(*words)
    note = "its poses come from pose_landmarker_heavy, the model learnt from those of pose_landmarker_lite"
    assert json.loads(text)["notes"] == [note]
    code, text, errors = kinesphere(*words[:-1], "--window", "1")
    assert code == 0, errors
    assert note in text


@pytest.mark.slow
def test_streams_of_a_skeleton_are_trained_apart_and_fused(
    kinesphere: Command, mannequins: Path, extracts: Path, tmp_path: Path
) -> None:
    runs = [tmp_path / stream for stream in ("joint", "bone")]
    for run in runs:
        train(
            kinesphere, mannequins, extracts, run,
            "model.name=stgcnpp_tiny", f"model.arguments.stream={run.name}",
        )  # fmt: skip
        assert load_model(run).arguments["stream"] == run.name
    fused = tmp_path / "fused"
    code, text, errors = kinesphere("fuse", *runs, "--weights", "learned", "--out", fused, "--json")
    assert code == 0, errors
    assert json.loads(text)["learned_on"] == 6
    words = ("predict", _first(mannequins), "--model", fused, "--extracts", extracts / "videos", "--json")
    code, text, errors = kinesphere(*words)
    assert code == 0, errors
    assert sum(each["probability"] for each in json.loads(text)["top"]) == pytest.approx(1, abs=1e-5)


def _first(mannequins: Path) -> Path:
    return sorted((mannequins / "videos").glob("*.mp4"))[0]
