"""What a report tells of single clips: every mistake, the skeletons that were seen, the order of classes."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kinesphere.apps.html import choose_examples, render_report, with_frames, write_report_html
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate import Environment, Predictions, Protocol, Report, report_from_predictions
from kinesphere.predict import SegmentRule, Timeline, annotate
from kinesphere.video import Video, VideoWriter

PLACE = Protocol("data"), Environment("m", "0", "0", "cpu", "fp32")


def table(
    paths: tuple[str, ...], labels: LabelSet, targets: list[int], said: list[list[float]]
) -> Predictions:
    n = len(paths)
    return Predictions(
        labels, tuple(map(str, range(n))), paths, ((0.0, 1.0),) * n, (None,) * n, np.array(targets),
        np.array(said), (None,) * n,
    )  # fmt: skip


@pytest.fixture
def predictions() -> Predictions:
    labels = LabelSet(("little", "medium", "max"), ordered=True)
    said = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]]
    return table(("a.mp4", "b.mp4", "<c>.mp4", "d.mp4"), labels, [0, 1, 2, 2], said)


def test_every_wrong_clip_is_listed_here_and_beside(predictions: Predictions, tmp_path: Path) -> None:
    predictions.write(tmp_path / "predictions.parquet")
    report_from_predictions(predictions, *PLACE).write(tmp_path / "report.json")
    page = write_report_html(tmp_path).read_text(encoding="utf-8")
    rows = list(csv.DictReader((tmp_path / "mistakes.csv").open(encoding="utf-8")))
    assert [(row["path"], row["truth"], row["answer"]) for row in rows] == [
        ("<c>.mp4", "max", "medium"), ("b.mp4", "medium", "little"),
    ]  # fmt: skip
    assert float(rows[1]["truth_probability"]) == pytest.approx(0.3)
    assert "All 2 clips that were called something else" in page
    assert "&lt;c&gt;.mp4" in page


def test_predictions_name_their_classes(predictions: Predictions, tmp_path: Path) -> None:
    predictions.write(tmp_path / "predictions.parquet")
    first = pq.read_table(tmp_path / "predictions.parquet").to_pylist()[1]
    assert first["answer"] == ["little"]
    assert first["probabilities"] == {"little": 0.6, "medium": 0.3, "max": 0.1}
    back = Predictions.read(tmp_path / "predictions.parquet")
    assert back.labels.ordered
    assert np.array_equal(back.probabilities, predictions.probabilities)


def test_classes_keep_the_order_that_is_stated(predictions: Predictions) -> None:
    report = Report.from_json(report_from_predictions(predictions, *PLACE).to_json())
    page = render_report(report)
    assert "In the order that the recipe states." in page
    body = page[page.index('id="classes"') :]
    assert re.findall(r'title="(little|medium|max)"', body)[:3] == ["little", "medium", "max"]


def test_clips_of_a_single_recording_are_said_beside_the_headline(predictions: Predictions) -> None:
    one = table(("day.mp4",) * 4, predictions.labels, [0, 1, 2, 2], predictions.probabilities.tolist())
    assert "from a single recording" in render_report(report_from_predictions(one, *PLACE))
    assert "from a single recording" not in render_report(report_from_predictions(predictions, *PLACE))


def people(size: tuple[int, int] | None) -> Poses:
    skeleton = SKELETONS.get("coco17")
    dimensions = 2 if size else 3
    joints = np.ones((8, 1, len(skeleton.joints), dimensions), np.float32)
    joints[..., 0] = np.linspace(10, 50, len(skeleton.joints))
    joints[..., 1] = np.linspace(10, 40, len(skeleton.joints))
    seen = np.ones(joints.shape[:3], np.float32)
    return Poses(np.arange(8) / 8, joints, seen, np.array([1]), "coco17", frame_size=size, fps=8.0)


def test_skeletons_are_drawn_into_examples(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "grey.mp4", (48, 64), 8) as writer:
        for _ in range(8):
            writer.write(np.full((48, 64, 3), 128, np.uint8))
    labels = LabelSet(("a", "b"))
    (video,) = choose_examples(table((str(tmp_path / "grey.mp4"),), labels, [0], [[0.9, 0.1]]))
    plain, drawn = with_frames(video), with_frames(video, poses=lambda _: people((48, 64)))
    assert plain.frames
    assert drawn.frames
    assert spread(plain.frames[2]) < 5 < spread(drawn.frames[2])


@pytest.mark.parametrize("size", [(48, 64), None])
def test_a_pose_file_shows_its_skeleton(tmp_path: Path, size: tuple[int, int] | None) -> None:
    write_poses(people(size), tmp_path / "clip.pose.npz")
    labels = LabelSet(("a", "b"))
    (clip,) = choose_examples(table((str(tmp_path / "clip.pose.npz"),), labels, [0], [[0.9, 0.1]]))
    shown = with_frames(clip)
    assert len(shown.frames) == 6, shown.problem
    assert spread(shown.frames[2]) > 5


def spread(jpeg: bytes) -> float:
    import cv2

    return float(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).std())


def test_the_strip_of_a_timeline_has_a_legend(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "grey.mp4", (360, 480), 4) as writer:
        for _ in range(8):
            writer.write(np.full((360, 480, 3), 128, np.uint8))
    spans = np.array([[0.0, 1.0], [1.0, 2.0]])
    said = Timeline(np.array([[0.9, 0.1], [0.4, 0.6]]), spans, LabelSet(("a", "b")), "grey.mp4")
    annotate(tmp_path / "grey.mp4", tmp_path / "out.mp4", said, rule=SegmentRule(threshold=0.5))
    with Video.open(tmp_path / "out.mp4") as video:
        picture = video.frames_at(np.array([0.1])).data[0].transpose(1, 2, 0).astype(int)
    legend = picture[-40:-24, :120]
    for hue in ((45, 191, 174), (251, 138, 74)):
        assert (np.abs(legend - hue).max(-1) < 40).sum() > 40
