"""Several models, inputs and windows on one video: one decoding, and the answers of each alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.skipped import Skipped
from kinesphere.data.sources import Opening
from kinesphere.models import create_model
from kinesphere.predict import Prediction, Predictor, Timeline
from kinesphere.predict.bulk import predict_side_by_side
from kinesphere.predict.long_video import Look, SharedVideo
from kinesphere.predict.windowed import Windows
from kinesphere.video.cursor import Cursor

from .conftest import MakeVideo

CPU = Compute("cpu", "fp32", True)


def named(model: str, opening: Opening | None = None) -> Predictor:
    torch.manual_seed(0)
    return Predictor(create_model(model, ["hop", "skip"]), CPU, name=model, opening=opening)


@pytest.fixture(scope="module")
def models() -> dict[str, Predictor]:
    """Frames at two sizes, one of them sparse, and frames with flow."""
    return {name: named(name) for name in ("r3d_tiny", "late_fusion_tiny", "two_stream_tiny")}


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Packets that decoders are given."""
    count: list[int] = []
    feed = Cursor._feed

    def counted(self: Cursor, packet: object) -> None:
        if packet is not None:
            count.append(1)
        feed(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Cursor, "_feed", counted)
    return iter([count])


@pytest.mark.parametrize("window_s", [None, 2.0])
def test_several_models_and_inputs_decode_each_frame_once(
    models: dict[str, Predictor], make_video: MakeVideo, fed: Iterator[list[int]], window_s: float | None
) -> None:
    path, count = str(make_video(frames=150)), next(fed)
    cut = None if window_s is None else Windows(window_s, 0.5)
    (found,) = predict_side_by_side(models, [path], windows=cut)
    together = len(count)
    assert together <= 150 + 1  # each once, and the first when the file is opened
    for name, answer in found.answers.items():
        if window_s is None:
            alone: Prediction | Timeline = models[name].predict(path)
        else:
            alone = models[name].timeline(path, window_s=window_s, stride_s=0.5)
        assert isinstance(answer, Prediction | Timeline)
        np.testing.assert_allclose(answer.probabilities, alone.probabilities, atol=1e-6)
    assert len(count) > together


@pytest.mark.parametrize("window_s", [None, 1.0])
def test_a_model_without_its_file_is_skipped_and_the_others_answer(
    models: dict[str, Predictor], make_video: MakeVideo, tmp_path: Path, window_s: float | None
) -> None:
    cut = None if window_s is None else Windows(window_s)
    several = {"poses": named("stgcn_tiny", Opening(extracting=False)), "frames": models["r3d_tiny"]}
    (found,) = predict_side_by_side(several, [str(make_video())], windows=cut)
    missing, answer = found.answers["poses"], found.answers["frames"]
    assert isinstance(missing, Skipped)
    assert "pose" in missing.reason
    assert isinstance(answer, Prediction | Timeline)
    (gone,) = predict_side_by_side(several, [str(tmp_path / "gone.mp4")], windows=cut)
    assert len(gone.failures) == 2
    assert "does not exist" in gone.failures[1].reason


def test_frames_that_no_window_asks_for_any_more_are_forgotten(
    models: dict[str, Predictor], make_video: MakeVideo
) -> None:
    looks = [Look(each.specs, Views(), each.opening) for each in models.values()]
    with SharedVideo(make_video(frames=150), looks) as video:
        held = []
        for _ in video.read(video.spans(1.0, 0.5)):
            assert video.shared is not None
            held.append(video.shared.held)
    assert max(held) <= 3 * 11  # a window of 10 frames, and the one that flow takes behind it
