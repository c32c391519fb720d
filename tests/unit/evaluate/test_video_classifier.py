"""Scores of an external video classifier in those of segments: formats, products, and that it is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.video_classifier import (
    Fusing,
    VideoScores,
    fuse_classifier,
    read_video_scores,
)
from kinesphere.evaluate.predictions import Predictions

SCORES = VideoScores("c.json", {"v": {"a": 0.5, "b": 0.4, "c": 0.1}, "w": {"a": 0.1, "b": 0.2, "c": 0.7}})
TRUTH = TimedLabels(
    (TimedLabel("v", "a", 0, 10), TimedLabel("v", "b", 20, 30), TimedLabel("w", "c", 0, 10)), ("v", "w")
)


def found(*rows: tuple[str, str, float, float, float]) -> TimedLabels:
    return TimedLabels.of(Detection(*row[:4], score=row[4]) for row in rows)


PROPOSALS = found(
    ("v", "proposal", 0, 10, 0.9), ("v", "proposal", 20, 30, 0.4), ("w", "proposal", 0, 10, 0.5),
    ("x", "proposal", 0, 1, 0.9),
)  # fmt: skip


def test_proposals_take_the_best_labels_of_their_video() -> None:
    fused = fuse_classifier(PROPOSALS, SCORES)
    assert fused.agnostic
    assert fused.without_scores == 1
    rows = [(each.video, each.label, each.start_s) for each in fused.results.labels]
    assert rows == [(v, k, s) for v, k, s in (
        ("v", "a", 0), ("v", "b", 0), ("v", "a", 20), ("v", "b", 20), ("w", "c", 0), ("w", "b", 0),
    )]  # fmt: skip
    scores = [each.score for each in fused.results.labels if isinstance(each, Detection)]
    products = np.array([0.9 * 0.5, 0.9 * 0.4, 0.4 * 0.5, 0.4 * 0.4, 0.5 * 0.7, 0.5 * 0.2])
    np.testing.assert_allclose(scores, np.sqrt(products))
    one = fuse_classifier(PROPOSALS, SCORES, Fusing(top=1, weight=0)).results.labels
    assert [(each.label, each.score) for each in one if isinstance(each, Detection)] == [
        ("a", 0.9), ("a", 0.4), ("c", 0.5),
    ]  # fmt: skip


def test_labels_of_detections_stay_and_others_than_the_best_go() -> None:
    given = found(("v", "a", 0, 10, 0.9), ("v", "c", 0, 10, 0.8), ("w", "c", 0, 10, 0.5))
    fused = fuse_classifier(given, SCORES)
    assert (fused.agnostic, fused.other_labels, fused.without_scores) == (False, 1, 0)
    assert [(each.video, each.label) for each in fused.results.labels] == [("v", "a"), ("w", "c")]


def test_scores_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    def read(name: str, content: str) -> VideoScores:
        (tmp_path / name).write_text(content)
        return read_video_scores(tmp_path / name)

    wanted = {"v": {"a": 0.75, "b": 0.25}, "w": {"a": 0.5, "b": 0.5}}
    entries = {v: [{"label": k, "score": s} for k, s in own.items()] for v, own in wanted.items()}
    files = [
        read("activitynet.json", json.dumps({"version": "VERSION 1.3", "results": entries})),
        # CUHK's of 2017, as BMN's code reads it.
        read("cuhk.json", json.dumps({"results": {"v": [0.75, 0.25], "w": [0.5, 0.5]}, "class": ["a", "b"]})),
        read("long.csv", "video,label,score\nv.mp4,a,0.75\nv.mp4,b,0.25\nw.mp4,a,0.5\nw.mp4,b,0.5\n"),
        read("wide.csv", "video,a,b\nfolder/v.mp4,0.75,0.25\nw,0.5,0.5\n"),
        read(
            "answers.csv",
            "source,start_s,end_s,label_1,probability_1,label_2,probability_2,notes,error\n"
            "v.mp4,0,9,a,0.75,b,0.25,,\nw.mp4,0,9,a,0.5,b,0.5,,\n",
        ),
        read(
            "answers.jsonl",
            "\n".join(
                json.dumps(
                    {
                        "source": f"{v}.mp4",
                        "top": [{"label": k, "probability": p} for k, p in own.items()],
                    }
                )
                for v, own in wanted.items()
            ),
        ),
    ]  # fmt: skip
    table = Predictions(
        LabelSet(("a", "b")), ("1", "2", "3"), ("v.mp4", "v.mp4", "w.mp4"), (None,) * 3, (None,) * 3,
        np.zeros(3, np.int64), np.array([[1, 0], [0.5, 0.5], [0.5, 0.5]]), (None,) * 3,
    )  # fmt: skip
    table.write(tmp_path / "predictions.parquet")
    files += [read_video_scores(tmp_path / "predictions.parquet"), read_video_scores(tmp_path)]
    for each in files:
        assert each.by_video == wanted, each.name
    named = read("you.json", json.dumps({"results": {"v_0123456789a": [{"label": "a", "score": "1.0"}]}}))
    assert named.by_video == {"0123456789a": {"a": 1.0}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "none of the suffixes of video scores"),
        ("a.json", "[]", "holds no `results` by video"),
        ("a.json", '{"results": {"v": {}}}', "scores should be a list; got"),
        ("a.json", '{"results": {"v": [1, 2]}, "class": ["a"]}', "2 scores of 1 classes"),
        ("a.json", '{"results": {"v": [1]}}', "entries hold `label` and `score`; got 1"),
        ("a.json", '{"results": {"v": [{"label": "a", "score": "x"}]}}', "a score should be a number"),
        (
            "a.json",
            '{"results": {"v": [{"label": "a", "score": -1}]}}',
            "are 0 or more, such as probabilities",
        ),
        ("a.json", '{"results": {}}', "has no scores of any video"),
        ("a.csv", "name,a\nv,1\n", "needs a column of videos .video, path, source.; its columns are"),
        ("a.csv", "video,label,score\nv,a,1\nv,a,1\n", "of the video .* twice; keep one"),
    ],
)
def test_files_that_are_no_scores_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidAnnotation, match=message):
        read_video_scores(tmp_path / name)


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="has scores of none of the videos with results"):
        fuse_classifier(found(("z", "a", 0, 1, 0.5)), SCORES)
    with pytest.raises(InvalidSetting, match=r"are multiplied, so they are 0 or more; 'a' in 'v' has -1"):
        fuse_classifier(found(("v", "a", 0, 1, -1.0)), SCORES)
    for wrong in ({"top": 0}, {"weight": 1.5}):
        with pytest.raises(InvalidSetting, match=r"gives 1 label of a video or more .* weight from 0 to 1"):
            Fusing(**wrong)


@pytest.mark.slow
def test_the_command_prints_both_results_and_says_whose_scores_are_in_them(tmp_path: Path) -> None:
    given = found(
        ("v", "a", 0, 10, 0.5), ("v", "a", 20, 30, 0.9), ("v", "b", 20, 30, 0.6), ("w", "c", 0, 10, 0.6),
        ("w", "a", 40, 50, 0.9),
    )  # fmt: skip
    write_activitynet(given, tmp_path / "found.json")
    write_activitynet(TRUTH, tmp_path / "truth.json")
    content = {
        "results": {
            v: [{"label": k, "score": s} for k, s in own.items()] for v, own in SCORES.by_video.items()
        }
    }
    (tmp_path / "cuhk.json").write_text(json.dumps(content))
    words = ["score", "detections", str(tmp_path / "found.json"), "--truth", str(tmp_path / "truth.json")]
    own = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    words += ["--classifier", str(tmp_path / "cuhk.json")]
    document = json.loads(CliRunner().invoke(app, [*words, "--json", "--errors"]).stdout)
    # Of w's detections that of `a` is left out; of v's both stay, so a is found in second place.
    assert own["scores"]["map"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert document["scores"]["map"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert document["external"]["without"]["scores"] == own["scores"]
    assert document["external"]["classifier"] == "cuhk.json"
    assert document["counts"]["segments_of_other_labels_than_the_classifier"] == 1
    assert document["errors"]["map"]["value"] == pytest.approx(document["scores"]["map"])
    shown = CliRunner().invoke(app, words).output
    assert "without the classifier" in shown
    assert (
        "external video classifier, cuhk.json, which kept those of its labels: the best 2 of each video"
        in shown
    )
    assert "Without it mAP is 77.8 %" in shown
    wrong = CliRunner().invoke(app, [*words, "--protocol", "ava"]).exception
    assert "--classifier is of timed segments; boxes of --protocol ava have none" in str(wrong)
    few = json.loads(CliRunner().invoke(app, [*words, "--classifier-top", "1", "--json"]).stdout)
    assert few["external"]["top"] == 1
    assert few["scores"]["map"] == pytest.approx((1 / 2 + 0 + 1) / 3)
