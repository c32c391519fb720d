"""Models that see joints, alone and beside pixels: found on the way, kept beside the frames, fused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import PoseSettings
from kinesphere.annotations.tracking import Detections
from kinesphere.clips.spec import Sampling
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.live import LiveResult, LiveSettings, watch
from kinesphere.models import create_model
from kinesphere.predict import FusedPredictor, Opening, Predictor
from kinesphere.video import VideoWriter

LABELS = LabelSet(("hop", "skip", "jump"))
PLACES = np.random.default_rng(0).random((33, 2)).astype(np.float32)
CPU = Compute.choose("cpu", "fp32")


class SquareFinder:
    """Takes a bright square for a person."""

    version = "MediaPipe 0 lite"

    def __init__(self, settings: PoseSettings) -> None:
        assert settings.model.name == "lite.task"

    def find(self, picture: np.ndarray, box: np.ndarray | None = None) -> Detections:
        rows, columns = np.nonzero(picture.min(-1) > 200)
        if len(rows) < 50:
            empty = np.zeros((0, 33, 2), np.float32)
            return Detections(empty, empty[..., 0], np.zeros((0, 4), np.float32), np.zeros((0, 33, 3)))
        around = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
        keypoints = (around[:2] + PLACES * (around[2:] - around[:2]))[None]
        return Detections(keypoints, np.full((1, 33), 0.9, np.float32), around[None], np.zeros((1, 33, 3)))

    def __enter__(self) -> SquareFinder:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Opening:
    monkeypatch.setattr("kinesphere.annotations.extract.pose.PoseFinder", SquareFinder)
    monkeypatch.setattr("kinesphere.annotations.extract.pose.require_mediapipe", lambda: None)
    (tmp_path / "lite.task").touch()
    return Opening(pose_model=str(tmp_path / "lite.task"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright square that moves for a second and a half."""
    path = tmp_path_factory.mktemp("square") / "square.mp4"
    with VideoWriter(path, (48, 64), 20, threads=1) as writer:
        for number in range(30):
            frame = np.full((48, 64, 3), 60, np.uint8)
            frame[10:30, number : number + 16] = 250
            writer.write(frame)
    return path


def predictor(name: str, opening: Opening, sampling: Sampling | None = None) -> Predictor:
    torch.manual_seed(3)
    model = create_model(name, LABELS)
    if sampling is not None:
        model.specs = tuple(spec.with_(sampling=sampling, fps=10.0) for spec in model.specs)
    return Predictor(model, CPU, name=name, opening=opening)


def answers(film: Path, model: Predictor | FusedPredictor) -> list[LiveResult]:
    settings = LiveSettings(as_fast_as_possible=True, stride_s=0.3, window_s=0.8)
    with watch(film, model, settings) as watching:
        found = [each for each in watching if isinstance(each, LiveResult)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("live")]
    return found


def test_pixels_and_joints_are_fused_as_those_of_a_file(film: Path, opening: Opening) -> None:
    names, sampling = ("dd_net_tiny", "r3d_tiny"), Sampling("dense", 8)
    fused = FusedPredictor([predictor(name, opening, sampling) for name in names], opening=opening)
    found = answers(film, fused)
    assert [result.frame.number for result in found] == [18, 24]
    for result in found:
        whole = fused.predict(film, span=result.prediction.span)
        # What follows a window is not known to it, so that joints at its end may differ a little.
        assert np.abs(whole.probabilities - result.prediction.probabilities).max() < 1e-2


def test_a_network_of_both_gets_both(film: Path, opening: Opening) -> None:
    found = answers(film, predictor("rgbpose_conv3d_tiny", opening))
    assert [result.frame.number for result in found] == [18, 24]


def test_what_is_not_extracted_live_is_said(film: Path, opening: Opening) -> None:
    model = create_model("r3d_tiny", LABELS)
    mask = model.specs[0].with_(modality="mask", mean=(0.5,), std=(0.25,))
    model.specs = (mask,)
    with pytest.raises(InvalidSetting, match=r"needs masks, which are not extracted from a live source"):
        watch(film, Predictor(model, CPU, optimise=False), LiveSettings())
