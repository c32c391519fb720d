"""The recogniser in the box: what answers about which source, with nothing downloaded."""

from __future__ import annotations

import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.apps.cli.main import app
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import MissingWeights
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.explain import explain
from kinesphere.models import Provenance, create_model, save_model
from kinesphere.models.rejection import Rejection
from kinesphere.predict import BoxPredictor, Prediction, load
from kinesphere.predict.fusion import FusionFile

MakeVideo = Callable[..., Path]
CPU = Compute("cpu", "fp32", True)
NONE = "none of these"
LABELS = LabelSet(("hop", "skip", NONE))
PIXELS, POSES = "r3d_tiny.basic", "dd_net_tiny.basic"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A box with small networks that were never trained."""
    folder = tmp_path_factory.mktemp("box")
    torch.manual_seed(0)
    rejection = Rejection(NONE, 0.0, "nothing")
    files = []
    for name, stem in (("r3d_tiny", "basic_rgb"), ("dd_net_tiny", "basic_pose")):
        recogniser = create_model(name, LABELS)
        path = folder / f"{stem}.safetensors"
        files.append(save_model(recogniser, path, provenance=Provenance("trained", rejection=rejection)))
    FusionFile(tuple(files), (0.25, 0.75), Rejection(NONE, 1.0, "nothing")).write(folder)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no model of MediaPipe on this machine."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network is asked for something")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)


def with_poses(video: Path, folder: Path) -> Path:
    """A copy of a video with a pose file beside it."""
    copy = folder / f"posed_{video.name}"
    shutil.copy(video, copy)
    times = np.arange(40) / 10
    walk = 20 + np.random.default_rng(0).random((40, 1, 17, 2), dtype=np.float32) * 20
    poses = Poses(times, walk, np.ones((40, 1, 17), np.float32), np.array([1]), "coco17", (48, 64), fps=10.0)
    write_poses(poses, copy.with_name(f"{copy.name}.pose.npz"), of=copy)
    return copy


@pytest.fixture
def box(folder: Path, offline: None) -> BoxPredictor:
    return BoxPredictor(folder, CPU)


def test_pixels_answer_alone_and_joints_join_where_a_file_lies_beside(
    box: BoxPredictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    plain, posed = make_video(), with_poses(make_video(), tmp_path)
    missing = tmp_path / "missing.mp4"
    alone, both, pose_file, gone = box.predict_many(
        [plain, posed, posed.with_name(f"{posed.name}.pose.npz"), missing]
    )
    assert isinstance(alone, Prediction)
    assert isinstance(both, Prediction)
    assert isinstance(pose_file, Prediction)
    assert isinstance(gone, Skipped)
    assert [each.model for each in (alone, both, pose_file)] == [
        PIXELS, f"0.25 × {PIXELS} + 0.75 × {POSES}", POSES,
    ]  # fmt: skip
    expected = 0.25 * alone.probabilities + 0.75 * pose_file.probabilities
    np.testing.assert_allclose(both.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(box.predict(posed).probabilities, both.probabilities, atol=1e-6)
    assert both.answer == NONE  # its own threshold is 1
    timeline = box.timeline(posed, window_s=2, stride_s=2)
    assert (timeline.model, timeline.unanswered.all()) == (both.model, True)


@pytest.mark.slow
def test_its_answers_are_explained_as_they_are_given(
    folder: Path, offline: None, make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, posed = make_video(), with_poses(make_video(), tmp_path)
    box = BoxPredictor(folder, CPU)
    said = box.predict(plain, views=Views())
    assert explain(box, plain).probability == pytest.approx(max(said.probabilities), abs=1e-5)
    assert [each.name for each in explain(box, posed).streams] == [PIXELS, POSES]
    monkeypatch.setattr("kinesphere.predict.load", lambda *_, **__: box)
    words = ["explain", str(plain), "--no-film", "--out", str(tmp_path / "heat")]
    with pytest.raises(SystemExit) as left:
        app(words)
    assert left.value.code == 0
    assert list((tmp_path / "heat").glob("*.png"))


def test_with_joints_all_models_answer(box: BoxPredictor) -> None:
    assert box.with_joints() is box.fused
    assert box.fused.with_joints() is box.fused


def test_joints_are_extracted_where_that_needs_no_download(
    folder: Path,
    offline: None,
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    video = make_video()
    assert BoxPredictor(folder, CPU).for_source(video).name == PIXELS
    bundle = tmp_path / "pose_landmarker_lite.task"
    bundle.write_bytes(b"a download that ended early")
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("kinesphere.annotations.extract.mediapipe_pose._is_installed", lambda _: True)
    assert BoxPredictor(folder, CPU).for_source(video).name == PIXELS
    assert caplog.text.count("pose_landmarker_lite.task is not used: it is damaged") == 1
    zipfile.ZipFile(bundle, "w").close()
    box = BoxPredictor(folder, CPU)
    assert box.opening.pose_model == "lite"
    assert "Where none does, poses are extracted first (lite)" in " ".join(box.about())
    assert box.for_source(video) is box.fused
    monkeypatch.setattr("kinesphere.annotations.extract.mediapipe_pose._is_installed", lambda _: False)
    assert BoxPredictor(folder, CPU).for_source(video).name == PIXELS


def test_a_pose_file_of_another_video_is_told(
    box: BoxPredictor, make_video: MakeVideo, tmp_path: Path
) -> None:
    posed = with_poses(make_video(), tmp_path)
    shutil.copy(make_video(seed=3), posed)
    (answer,) = box.predict_many([posed])
    assert isinstance(answer, Skipped)
    assert "another video" in answer.reason


def test_it_says_what_it_knows_and_what_an_empty_box_means(box: BoxPredictor, tmp_path: Path) -> None:
    about = " ".join(box.about())
    assert f"No model was named, so the recogniser in the box answers ({PIXELS} on pixels, " in about
    assert "It knows 2 movements: hop, skip. Whoever does none of them is 'none of these'." in about
    assert (
        "Where a pose file lies beside a video (kinesphere extract pose VIDEOS), its models answer" in about
    )
    assert "trained on generated people alone" in about
    assert box.labels == LABELS
    with pytest.raises(MissingWeights, match=r"has no recogniser of its own in .*; name one with --model"):
        BoxPredictor(tmp_path, CPU)


def test_without_a_name_the_box_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinesphere.predict.loading.BoxPredictor", lambda **given: ("box", *given))
    assert load() == ("box", "compute", "opening")


def test_another_rule_of_rejection_is_another_digest(folder: Path, tmp_path: Path) -> None:
    box = Path(shutil.copytree(folder, tmp_path / "box"))
    before = BoxPredictor(box, CPU).digest()
    fusion = FusionFile.read(box)
    FusionFile(fusion.models, fusion.weights, Rejection(NONE, 0.5, "nothing")).write(box)
    assert BoxPredictor(box, CPU).digest() != before
