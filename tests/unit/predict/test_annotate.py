from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models.rejection import Rejection
from kinesphere.predict import Prediction, SegmentRule, Timeline, annotate
from kinesphere.video import Video, VideoWriter

from .conftest import MakeVideo

LABELS = LabelSet(("hop", "skip", "a name much too long for a picture of this size"))


def test_small_video_is_enlarged_and_keeps_its_length(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video()
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, str(path), (0.0, 4.0))
    seen: list[tuple[int, int | None]] = []
    written = annotate(path, tmp_path / "out.mp4", said, progress=lambda n, total: seen.append((n, total)))
    with Video.open(written) as video:
        assert video.size == (360, 480)
        assert video.frame_count == 40
        assert float(video.fps) == pytest.approx(10)
        assert video.info.codec == "h264"
    assert seen[-1] == (40, 40)


def test_panel_shows_only_within_the_span(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video()
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, str(path), (2.0, 4.0))
    annotate(path, tmp_path / "out.mp4", said)
    with Video.open(path) as before, Video.open(tmp_path / "out.mp4") as after:
        times = [0.5, 3.0]
        corner = (slice(None), slice(None), slice(8, 60), slice(8, 120))
        plain = before.frames_at(times, size=(360, 480)).data[corner].astype(float)
        drawn = after.frames_at(times).data[corner].astype(float)
    change = np.abs(plain - drawn).mean((1, 2, 3))
    assert change[0] < 12
    assert change[1] > 25


@pytest.mark.parametrize(
    ("threshold", "rule"), [(0.5, None), (0.1, Rejection("none", 0.5, "nothing"))], ids=["threshold", "rule"]
)
def test_strip_marks_the_labels_of_a_timeline(
    make_video: MakeVideo, tmp_path: Path, threshold: float, rule: Rejection | None
) -> None:
    path = make_video()
    rows = np.array([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.3, 0.4, 0.3]])
    spans = np.array([[0, 1], [1, 2], [2, 3], [3, 4]], dtype=float)
    answer = Timeline(rows, spans, LABELS, str(path), rejection=rule)
    annotate(path, tmp_path / "out.mp4", answer, rule=SegmentRule(threshold=threshold))
    with Video.open(tmp_path / "out.mp4") as video:
        lower = video.frames_at([0.05]).data[0].transpose(1, 2, 0)[-6:].astype(float).mean(0)
    hop, skip, unsure = lower[100], lower[300], lower[420]
    assert hop[1] > hop[0] + 60
    assert skip[0] > skip[2] + 60
    assert np.ptp(unsure) < 40


@pytest.mark.parametrize(
    ("size", "drawn"), [((32, 1280), (48, 1920)), ((16, 4000), (16, 4000)), ((640, 16), (640, 16))]
)
def test_strips_are_not_enlarged_beyond_what_players_show(
    size: tuple[int, int], drawn: tuple[int, int], tmp_path: Path
) -> None:
    with VideoWriter(tmp_path / "in.mp4", size, 5) as writer:
        for level in (0, 90, 180):
            writer.write(np.full((*size, 3), level, np.uint8))
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, "in.mp4", (0.0, 0.6))
    rows, spans = said.probabilities[None], np.array([[0.0, 0.6]])
    for each in (said, Timeline(rows, spans, LABELS, "in.mp4")):
        with Video.open(annotate(tmp_path / "in.mp4", tmp_path / "out.mp4", each)) as video:
            assert (video.size, video.frame_count) == (drawn, 3)


def test_more_labels_than_there_are_are_fine_and_none_is_refused(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    path = make_video(frames=12)
    said = Prediction(np.array([0.7, 0.2, 0.1]), LABELS, str(path), (0.0, 4.0))
    annotate(path, tmp_path / "out.mp4", said, top=9)
    with pytest.raises(InvalidSetting, match="At least one label is drawn; got top=0"):
        annotate(path, tmp_path / "none.mp4", said, top=0)
