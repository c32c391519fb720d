"""Models that see flow, from video alone."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.extract import FlowExtractor
from kinesphere.clips.modalities.flow.file import FlowFile
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.preparation import Preparation
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.predict import (
    Extracts,
    FlowOverlay,
    FusedPredictor,
    Opening,
    Prediction,
    Predictor,
    annotate,
)
from kinesphere.video import Video

MakeVideo = Callable[..., Path]
LABELS = LabelSet(("hop", "skip", "jump"))


def predictor_of(
    name: str,
    opening: Opening = Opening(),  # noqa: B008 (frozen)
    learnt: Preparation = Preparation(),  # noqa: B008 (frozen)
) -> Predictor:
    torch.manual_seed(0)
    recogniser = create_model(name, LABELS)
    recogniser.provenance = replace(recogniser.provenance, preparation=learnt)
    return Predictor(recogniser, Compute("cpu", "fp32", True), opening=opening)


def flow_of(predictor: Predictor, video: Path) -> np.ndarray:
    """What the network reads of a video's flow."""
    spec = predictor.specs[1]
    with predictor.opening.open(video, [spec]) as source:
        return MODALITIES.get("flow").read(source, spec)[0].data.numpy()


@pytest.mark.parametrize("name", ["two_stream_tiny", "two_stream_fused_3d_tiny", "two_stream_i3d_tiny"])
def test_fused_models_predict_from_video_alone(make_video: MakeVideo, name: str) -> None:
    video = make_video()
    predictor = predictor_of(name)
    said = predictor.predict(video)
    assert said.probabilities.sum() == pytest.approx(1)
    assert np.array_equal(predictor.predict(video.read_bytes()).probabilities, said.probabilities)


def test_windows_say_what_their_spans_say(make_video: MakeVideo) -> None:
    video = make_video()
    predictor = predictor_of("two_stream_tiny")
    timeline = predictor.timeline(video, window_s=1.5, stride_s=0.5, batch_size=1)
    assert len(timeline) > 4
    for i, span in enumerate(timeline.spans):
        alone = predictor.predict(video, span=tuple(span))
        np.testing.assert_allclose(timeline.probabilities[i], alone.probabilities, atol=1e-6)


def test_what_is_extracted_on_the_way_is_kept_on_request(make_video: MakeVideo, tmp_path: Path) -> None:
    video = Path(shutil.copy(make_video(), tmp_path / "clip.mp4"))
    without = predictor_of("two_stream_tiny").predict(video)
    assert list(tmp_path.iterdir()) == [video]
    folder = tmp_path / "kept"
    keeping = predictor_of("two_stream_tiny", Opening(Extracts(folder, tmp_path), keep=True))
    first = keeping.predict(video)
    (file,) = folder.iterdir()
    assert file.name == "clip.mp4.flow.npz"
    written = file.stat().st_mtime_ns
    assert np.array_equal(keeping.predict(video).probabilities, first.probabilities)
    assert file.stat().st_mtime_ns == written
    np.testing.assert_allclose(first.probabilities, without.probabilities, atol=0.02)
    timeline = keeping.timeline(video, window_s=2.0, stride_s=1.0)
    alone = keeping.predict(video, span=tuple(timeline.spans[1]))
    np.testing.assert_allclose(timeline.probabilities[1], alone.probabilities, atol=1e-6)


def test_flow_is_estimated_at_the_size_that_the_model_learnt_from(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    video = Path(shutil.copy(make_video(), tmp_path / "clip.mp4"))
    learnt = Preparation(flow_short_side_px=24, flow_bound_px=20.0)
    predictor = predictor_of("two_stream_tiny", learnt=learnt)
    alone = predictor.predict(video)
    seen, unaware = flow_of(predictor, video), flow_of(predictor_of("two_stream_tiny"), video)
    timeline = predictor.timeline(video, window_s=2.0, stride_s=1.0)
    part = predictor.predict(video, span=tuple(timeline.spans[1]))
    np.testing.assert_allclose(timeline.probabilities[1], part.probabilities, atol=1e-6)
    assert np.array_equal(predictor.predict(video.read_bytes()).probabilities, alone.probabilities)

    keeping = predictor_of("two_stream_tiny", Opening(keep=True), learnt)
    filed = keeping.predict(video)
    path = tmp_path / "clip.mp4.flow.npz"
    assert min(FlowFile.open(path).size) == 24
    stored = flow_of(keeping, video)
    # What is left is compression, at a ninth of the pixels that are read.
    assert np.abs(seen - stored).mean() < np.abs(unaware - stored).mean() / 2
    assert filed.notes == alone.notes == ()
    FlowExtractor(short_side_px=32).extract(video, path)
    note = "its flow was estimated at 32 px, what was learnt from at 24 px"
    assert predictor.predict(video).notes == (note,)
    assert predictor.timeline(video, window_s=2.0, stride_s=1.0).to_json()["notes"] == [note]


def test_without_files_to_learn_from_flow_is_kept_at_the_size_that_is_read(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    video = Path(shutil.copy(make_video(size=(144, 192)), tmp_path / "clip.mp4"))
    predictor_of("two_stream_tiny", Opening(keep=True)).predict(video)
    assert min(FlowFile.open(tmp_path / "clip.mp4.flow.npz").size) == 72


def test_fused_models_that_learnt_from_other_files_follow_most(caplog: pytest.LogCaptureFixture) -> None:
    members = [
        predictor_of("two_stream_tiny", learnt=Preparation(flow_short_side_px=side)) for side in (24, 32, 32)
    ]
    with caplog.at_level(logging.WARNING, "kinesphere.predict"):
        fused = FusedPredictor(members)
    assert fused.opening.preparation == Preparation(flow_short_side_px=32)
    assert (
        "files that were made with different settings (flow_short_side_px); most are followed" in caplog.text
    )


def test_motion_is_tinted_and_the_rest_keeps_its_colours(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(size=(96, 128))
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, str(video), (5.0, 6.0), 1)
    plain = annotate(video, tmp_path / "plain.mp4", said)
    tinted = annotate(video, tmp_path / "tinted.mp4", said, overlay=FlowOverlay())
    pictures = []
    for path in (plain, tinted):
        with Video.open(path) as source:
            pictures.append(source.frames_at([1.0]).data[0].astype(int))
    changed = np.abs(pictures[0] - pictures[1]).max(0) > 60
    assert 0.002 < changed.mean() < 0.35
