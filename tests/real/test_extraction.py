"""Flow and masks of real videos and of mannequins, with MediaPipe."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.extract import FlowExtractor, MaskExtractor, extract, mask_model
from kinesphere.clips.modalities.flow.file import FlowFile
from kinesphere.clips.modalities.mask.file import MaskFile
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic import MannequinSettings, generate, load_ground_truth
from kinesphere.video import Video

DATA = os.environ.get("KINESPHERE_TEST_DATA")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(DATA is None, reason="KINESPHERE_TEST_DATA names no folder with test data"),
]
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="MediaPipe (the extra `pose`) is not installed"
)
MODELS = ("selfie_segmentation.tflite", "pose_landmarker_lite.task")


def weights(name: str) -> Path:
    return Path(str(DATA)) / "weights" / name


@pytest.fixture(scope="module")
def handshake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short recording of two people."""
    videos = (Path(str(DATA)) / "videos" / "ut_interaction_set1").rglob("*.avi")
    return Path(shutil.copy(min(videos, key=lambda path: path.stat().st_size), tmp_path_factory.mktemp("ut")))


def test_flow_files_of_a_real_video_are_small(handshake: Path) -> None:
    assert extract([handshake], FlowExtractor(), workers=1).written == (handshake,)
    path = handshake.with_name(handshake.name + ".flow.npz")
    file = FlowFile.open(path)
    with Video.open(handshake) as video:
        assert file.frames == len(video.frame_times())
    assert path.stat().st_size / file.frames < 8000
    assert file.clipped < 0.01


@needs_mediapipe
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_masks_show_two_people(handshake: Path, model: str) -> None:
    done = extract([handshake], MaskExtractor(weights(model)), workers=1, overwrite=True)
    assert done.written == (handshake,)
    file = MaskFile.open(handshake.with_name(handshake.name + ".mask.npz"))
    people = file.masks(np.arange(file.frames)) > 127
    assert 0.03 < people.mean() < 0.4
    assert (people.mean((1, 2)) > 0.02).all()
    other = extract([handshake], MaskExtractor(weights(MODELS[1 - MODELS.index(model)])), workers=1)
    assert "holds masks by MediaPipe" in other.failures[0].reason


@needs_mediapipe
@pytest.mark.parametrize(("model", "least"), [(MODELS[0], 0.75), (MODELS[1], 0.85)])
def test_masks_agree_with_the_mannequins_truth(tmp_path: Path, model: str, least: float) -> None:
    settings = MannequinSettings(
        classes=("wave",), clips_per_class=2, splits=(1, 0, 0), size=(240, 320), fps=5, performers=2, scenes=2
    )
    root = generate(settings, tmp_path / "set", workers=1).parent
    videos = sorted(root.glob("videos/*.mp4"))
    extract(videos, MaskExtractor(weights(model)), workers=1)
    shared = either = 0
    for video in videos:
        truth = load_ground_truth(root / "truth" / f"{video.stem}.npz").mask.any(1)
        found = MaskFile.open(video.with_name(video.name + ".mask.npz")).masks(np.arange(len(truth))) > 127
        shared += int((found & truth).sum())
        either += int((found | truth).sum())
    assert shared / either > least


@needs_mediapipe
def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"The mask model is selfie, pose, or a .tflite or .task file"):
        mask_model("cutter")
    with pytest.raises(InvalidSetting, match="At least one person is looked for; got people=0"):
        MaskExtractor(weights(MODELS[0]), people=0)
    rubbish = tmp_path / "rubbish.tflite"
    rubbish.write_bytes(b"TFL3" * 100)
    from kinesphere.annotations.extract.mask import PeopleFinder

    with pytest.raises(InvalidSetting, match=r"rubbish.tflite is no model of people for MediaPipe"):
        PeopleFinder(rubbish)
