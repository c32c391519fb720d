"""Prediction of real videos: every container and codec, windows, annotated copies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.predict import Prediction, Predictor, annotate, find_sources
from kinesphere.video import Video
from kinesphere.video.cursor import Cursor

pytestmark = pytest.mark.real
ROOT = os.environ.get("KINESPHERE_TEST_DATA")
SAMPLES = Path(ROOT, "videos/samples") if ROOT else Path()

if not ROOT or not SAMPLES.is_dir():
    pytest.skip("KINESPHERE_TEST_DATA names no folder with videos/samples", allow_module_level=True)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    recogniser = create_model("r3d_tiny", LabelSet(("hop", "skip", "jump")))
    return Predictor(recogniser, Compute("cpu", "fp32", True))


def test_a_folder_of_assorted_videos(predictor: Predictor) -> None:
    sources = find_sources([str(SAMPLES)])
    found = list(predictor.predict_many(sources, batch_size=4))
    assert len(found) == len(sources) == 11
    assert all(isinstance(each, Prediction) for each in found)


@pytest.mark.parametrize("name", ["ta_chi.mp4", "flipping_a_pancake.mkv", "v_BaseballPitch_g01_c01.avi"])
def test_windows_agree_with_spans_and_decode_once(
    predictor: Predictor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = 0
    feed = Cursor._feed

    def count(self: Cursor, packet: object) -> None:
        nonlocal fed
        fed += packet is not None
        feed(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Cursor, "_feed", count)
    timeline = predictor.timeline(SAMPLES / name, window_s=2, stride_s=0.45)
    with Video.open(SAMPLES / name) as video:
        assert video.frame_count is not None
        # Opening decodes the first frame; the decoder runs a few packets ahead.
        assert fed <= video.frame_count + 16
    for i in (0, len(timeline) // 2, len(timeline) - 1):
        start, end = timeline.spans[i].tolist()
        alone = predictor.predict(SAMPLES / name, span=(start, end))
        np.testing.assert_allclose(timeline.probabilities[i], alone.probabilities, atol=1e-5)


def test_annotated_copy_has_every_frame(predictor: Predictor, tmp_path: Path) -> None:
    path = SAMPLES / "v_BaseballPitch_g01_c01.avi"
    timeline = predictor.timeline(path, window_s=1, stride_s=0.5)
    annotate(path, tmp_path / "out.mp4", timeline)
    with Video.open(path) as before, Video.open(tmp_path / "out.mp4") as after:
        assert after.frame_count == before.frame_count
        assert after.size == (360, 480)
