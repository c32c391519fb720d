"""Files that an earlier version wrote (`tests/fixtures/earlier`) are read, and give the numbers they gave."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rich.console import Console

from kinesphere.clips.preparation import Preparation
from kinesphere.core.device import Compute
from kinesphere.data import FrameCache
from kinesphere.models import load_model
from kinesphere.predict import load
from kinesphere.train import Recipe, train

FIXTURES = Path(__file__).parents[1] / "fixtures" / "earlier"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A copy of the folder."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "earlier"))


def said_by(model: Path, video: Path) -> np.ndarray:
    return load(model, compute=Compute("cpu", "fp32", True)).predict(video).probabilities


@pytest.mark.parametrize("name", ["pixels.safetensors", "poses.safetensors", "fused"])
def test_models_and_sidecar_files_give_the_same_answers(earlier: Path, name: str) -> None:
    said = said_by(earlier / name, earlier / "clip.mp4")
    np.testing.assert_allclose(said, EXPECTED[name.removesuffix(".safetensors")], atol=1e-6)


def test_a_model_file_states_its_preparation(earlier: Path) -> None:
    assert load_model(earlier / "poses.safetensors").provenance.preparation == Preparation(
        poses="pose_landmarker_lite", max_people=2, flow_short_side_px=16, flow_bound_px=20.0
    )


def test_a_stopped_run_goes_on_to_where_it_would_have_ended(earlier: Path) -> None:
    recipe = Recipe.load(earlier / "run" / "recipe.yaml")
    recipe = recipe.override(f"data.source={earlier / 'videos'}", f"out={earlier / 'run'}")
    run = train(recipe, resume=True, console=Console(quiet=True))
    np.testing.assert_allclose(said_by(run.folder, earlier / "clip.mp4"), EXPECTED["resumed"], atol=1e-5)


def test_a_frame_cache_is_read(earlier: Path, forbid_decoding: Callable[[], None]) -> None:
    video = earlier / "clip.mp4"
    named_then = next(path.stem for path in (earlier / "cache").glob("*/*.json"))
    key = entry_key(video)
    (earlier / "cache" / key[:2]).mkdir()
    for path in list((earlier / "cache" / named_then[:2]).iterdir()):
        path.rename(earlier / "cache" / key[:2] / path.name.replace(named_then, key))
    forbid_decoding()
    with FrameCache(earlier / "cache", 2**20).open(video) as cached:
        frames = cached.frames_at(np.array([0.05, 0.3, 0.55, 0.95]), size=(12, 16))
    assert frames.times.tolist() == EXPECTED["cached"]["times"]
    assert frames.data.mean((1, 2, 3)).tolist() == pytest.approx(EXPECTED["cached"]["means"], abs=1e-9)


@pytest.fixture
def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the video was opened although its frames are cached")

    return lambda: monkeypatch.setattr("kinesphere.data.cache.frames.Video.open", refused)


def entry_key(video: Path) -> str:
    """Name of a file's entries: of its path, size, time of change and the libraries' versions."""
    state = video.stat()
    known = (str(video.absolute()), state.st_size, state.st_mtime_ns)
    return hashlib.sha256(repr((known, (2, av.__version__, cv2.__version__))).encode()).hexdigest()[:32]
