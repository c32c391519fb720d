"""Proposals, segments and tracks in files of anybody: values by hand, properties, and the commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.mot import read_mot
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, Track
from kinesphere.apps.cli import main
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.evaluate.files.segments import score_segments
from kinesphere.evaluate.files.tracks import read_tracks, score_tracks
from kinesphere.evaluate.metrics import lower_is_better
from kinesphere.evaluate.metrics.segments import EVENTS, edit_score, events


def truths(*rows: tuple[str, str, float, float]) -> TimedLabels:
    return TimedLabels.of(TimedLabel(*row) for row in rows)


def results(*rows: tuple[str, str, float, float, float]) -> TimedLabels:
    return TimedLabels.of(Detection(*row[:4], score=row[4]) for row in rows)


def ordered(count: int) -> TimedLabels:
    return results(*(("v", "any", float(i), i + 1.0, 1 / (i + 1)) for i in range(count)))


def test_area_under_average_recall_of_public_examples() -> None:
    truth = truths(*((video, "a", float(i), i + 1.0) for video in "vw" for i in range(2)))
    perfect = results(*((video, "any", float(i), i + 1.0, 0.5) for video in "vw" for i in range(2)))
    found = score_proposals(perfect, truth)
    assert found.scores["auc"].value == pytest.approx(0.255, abs=1e-12)
    assert found.curves["average_recall"] == [0.0] * 49 + [0.5] * 50 + [1.0]
    assert score_proposals(ordered(100), truths(("v", "a", 0, 1))).scores["auc"].value == pytest.approx(0.99)
    assert score_proposals(ordered(100), truths(("v", "a", 900, 901))).scores["auc"].value == 0
    assert score_proposals(results(), truth).scores["auc"].value == 0
    scores = score_proposals(ordered(100), truths(("v", "a", 3, 4))).scores
    assert [scores[f"ar@{n}"].value for n in (1, 5, 10, 100)] == [0, 1, 1, 1]


def test_recall_at_kx_takes_k_proposals_for_each_truth_of_a_class() -> None:
    truth = truths(("v", "a", 0, 10), ("v", "b", 20, 30))
    given = results(
        ("v", "a", 50, 60, 0.9), ("v", "a", 0, 10, 0.8), ("v", "b", 20, 30, 0.7), ("x", "b", 0, 1, 0.1)
    )  # fmt: skip
    found = score_proposals(given, truth, thresholds=[0.5], per_video=4)
    assert (found.scores["recall@1x@0.5"].value, found.scores["recall@5x@0.5"].value) == (0.5, 1)
    assert found.unknown_videos == ("x",)
    assert found.counts["proposals_in_unknown_videos"] == 1
    with pytest.raises(InvalidSetting, match=r"number of proposals \(--an\) is above 0, up to 1e6; got 0"):
        score_proposals(given, truth, per_video=0)
    with pytest.raises(InvalidAnnotation, match="Nothing is annotated in the 1 videos"):
        score_proposals(given, TimedLabels((), ("v",)))


def test_segments_by_hand() -> None:
    truth = truths(("v", "a", 0, 10), ("v", "b", 12, 15), ("v", "b", 16, 20), ("v", "a", 22, 30))
    given = results(("v", "a", 0, 4, 1), ("v", "a", 4.5, 10, 1), ("v", "b", 12, 20, 1), ("v", "c", 1, 2, 1))
    found = score_segments(given, truth)
    scores = {name: score.value for name, score in found.scores.items()}
    # a: 0-4 overlaps 0-10 by 0.4, 4.5-10 by 0.55; b: 12-20 overlaps 16-20 by 0.5. A second one is wrong.
    assert [scores[f"f1@{t}"] for t in (0.1, 0.25, 0.5)] == [0.5, 0.5, 0.5]
    assert scores["edit"] == 0.25
    assert scores["frame_accuracy"] == pytest.approx((30 - 1 - 0.5 - 1 - 8) / 30)
    fractions = (1 / 4, 1 / 4, 2 / 4, 1 / 4, 2 / 4, 1 / 4)
    assert [scores[kind] for kind in EVENTS] == pytest.approx(fractions)
    assert [found.counts[f"events_{kind}"] for kind in EVENTS] == [1, 1, 2, 1, 2, 1]
    assert (found.unknown_classes, found.per_class["a"]["deletions"]) == (["c"], 1)
    assert lower_is_better("insertions")
    assert not lower_is_better("edit")


def test_events_edits_and_touching_segments() -> None:
    assert events([(0, 10)], [(0, 4), (5, 9), (20, 21)]).tolist() == [1, 0, 2, 0, 0, 1]
    assert events([(0, 4), (5, 9), (20, 21)], [(0, 10)]).tolist() == [0, 1, 0, 1, 2, 0]
    assert events([(4, 5)], [(0, 4), (5, 9)]).tolist() == [2, 0, 0, 1, 0, 0]  # they touch, and do not overlap
    assert events([], [(0, 1)]).tolist() == [1, 0, 0, 0, 0, 0]
    assert edit_score([], []) == 1
    assert edit_score(list("kitten"), list("sitting")) == pytest.approx(1 - 3 / 7)
    joined = score_segments(results(("v", "a", 0, 4, 1), ("v", "a", 4, 9, 1)), truths(("v", "a", 0, 9)))
    assert (joined.scores["f1@0.5"].value, joined.counts["segments_joined"]) == (1, 1)


def test_background_and_unknown_videos_of_segments() -> None:
    truth = truths(("v", "a", 0, 4), ("v", "none", 4, 9))
    given = results(("v", "a", 0, 4, 1), ("v", "none", 4, 8, 1), ("x", "a", 0, 1, 1))
    found = score_segments(given, truth, background=["none"], unknown="drop")
    assert found.scores["f1@0.5"].value == 1
    assert (found.counts["segments_of_background"], found.unknown_videos) == (1, ("x",))
    assert score_segments(given, truth, background=["none"]).scores["f1@0.5"].value == pytest.approx(2 / 3)
    with pytest.raises(InvalidAnnotation, match="'a' of 'v' ends at 1 s, before it starts at 2 s"):
        score_segments(results(("v", "a", 2, 1, 1)), truth)


rows = st.tuples(st.sampled_from("vw"), st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 9))


@settings(max_examples=25)
@given(st.lists(rows, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_segments_equal_themselves_in_any_order(spans: list[tuple[Any, ...]], shuffle: Any) -> None:
    labels = [(video, label, float(start), float(start + length)) for video, label, start, length in spans]
    turned = list(labels)
    shuffle.shuffle(turned)
    found = score_segments(results(*((*each, 0.5) for each in turned)), truths(*labels))
    for name, score in found.scores.items():
        # Of overlapping segments of one label there is one.
        assert score.value == (0 if name in EVENTS else 1), name


def track(identity: int, frames: list[int], left: float, scores: float = 1) -> Track:
    boxes = np.tile([left, 0.0, left + 10, 20.0], (len(frames), 1))
    return Track(identity, np.array(frames), boxes, np.full(len(frames), scores))


def test_tracks_by_hand() -> None:
    truth = [track(1, [1, 2, 3, 4], 0), track(2, [1, 2, 3, 4], 100), track(3, [1, 2], 500, scores=0)]
    given = [track(5, [1, 2], 0), track(6, [3, 4], 0), track(7, [1, 2, 4], 100), track(8, [2], 300)]
    found = score_tracks({"a": given}, {"b": truth})
    # 7 of 8 boxes, one wrong one, one switch; identities: 2 of the first and 3 of the second.
    assert found.scores["mota"].value == pytest.approx((7 - 1 - 1) / 8)
    assert found.scores["mota"].low is None
    assert found.scores["idf1"].value == pytest.approx(2 * 5 / (8 + 8))
    assert found.scores["deta"].value == pytest.approx(7 / 9)
    assert found.scores["assa"].value == pytest.approx((4 * 0.5 + 3 * 0.75) / 7)
    assert found.scores["hota"].value == pytest.approx(np.sqrt(7 / 9 * (4 * 0.5 + 3 * 0.75) / 7))
    counts = found.counts
    assert (counts["switches"], counts["fragmentations"], counts["false_positives"]) == (1, 1, 1)
    assert counts["boxes_annotated_that_do_not_count"] == 2
    same = score_tracks({"a": truth[:2]}, {"a": truth, "c": [track(1, [1], 0)]})
    assert same.counts["videos_without_results"] == 1
    assert score_tracks({"a": truth[:2], "d": given}, {"a": truth}).unknown_videos == ["d"]
    assert score_tracks({"a": truth[:2]}, {"a": truth}).scores["hota"].value == pytest.approx(1)
    assert score_tracks({"a": ()}, {"a": truth}).scores["mota"].value == 0
    with pytest.raises(InvalidAnnotation, match="No box of the 1 annotated videos counts"):
        score_tracks({"a": given}, {"a": [truth[2]]})


def test_boxes_of_distractors_are_neither_right_nor_wrong() -> None:
    statue = replace(track(3, [1, 2, 3], 500, scores=0), label="static person")
    truth = [track(1, [1, 2, 3], 0), statue]
    given = [track(5, [1, 2, 3], 0), track(6, [1, 2, 3], 501), track(7, [3, 4], 500)]
    found = score_tracks({"a": given}, {"a": truth})
    # Of the two boxes upon the statue in frame 3 one is left; in frame 4 there is no statue.
    assert found.counts["boxes_of_people_who_do_not_count"] == 3
    assert found.counts["false_positives"] == 2
    assert score_tracks({"a": given[:2]}, {"a": truth}).scores["mota"].value == 1
    assert score_tracks({"a": given[:2]}, {"a": [truth[0]]}).scores["mota"].value == 0


def test_results_of_other_frames_or_pixels_are_doubted(tmp_path: Path) -> None:
    truth = {"a": [track(1, [1, 2], 0), track(2, [1, 2], 100)]}

    def doubts(given: list[Track]) -> str:
        return " ".join(score_tracks({"a": given}, truth).rules[4:])

    assert doubts([track(1, [1, 2], 0), track(2, [2], 100)]) == ""
    assert "frame 0, the annotations with 1; number both from 1" in doubts([track(1, [0, 1], 100)])
    fractions = Track(1, np.array([1]), np.array([[0.1, 0.0, 0.2, 1.0]]), np.ones(1))
    assert "reach to (0.2, 1), the annotated ones to (110, 20)" in doubts([fractions])
    assert "reach to (210, 20)" in doubts([track(2, [1], 200)])
    (tmp_path / "a.txt").write_text("\n")
    assert score_tracks(read_tracks(tmp_path), truth).scores["mota"].value == 0
    (tmp_path / "a.txt").write_text("1,-1,0,0,9,9\n1,-1,4,0,9,9\n")
    with pytest.raises(
        InvalidAnnotation, match="line 2: boxes of identity -1 are detections that no tracker"
    ):
        read_tracks(tmp_path)


def test_segments_in_frames_are_doubted() -> None:
    truth = truths(("a", "run", 0.0, 10.0), ("a", "jump", 10.0, 20.0), ("a", "run", 20.0, 30.0))
    seconds = results(("a", "run", 1.0, 9.0, 0.5), ("a", "run", 31.0, 32.0, 0.5))
    frames = results(("a", "run", 12, 255, 0.5), ("a", "jump", 255, 503, 0.5), ("a", "run", 503, 750, 0.5))
    assert score_segments(seconds, truth).counts["segments_behind_the_video"] == 1
    assert not any("not frames" in rule for rule in score_segments(seconds, truth).rules)
    found = score_segments(frames, truth)
    assert found.counts["segments_behind_the_video"] == 2
    assert "2 of 3 segments begin after their video has ended: times are seconds, not frames" in found.rules


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,0,0,9", "line 2: lines are frame, id"),
        ("1.5,1,0,0,9,9", "line 2: lines are frame, id"),
        ("2,1,0,0,-9,9", "line 2: lines are frame, id"),
        ("2,1,0,nan,9,9", "line 2: lines are frame, id"),
        ("2,1e300,0,0,9,9", "line 2: lines are frame, id"),
        ("1,1,0,0,9,9", "line 2: 1 has a box in frame 1 already"),
    ],
)
def test_wrong_lines_of_tracks_are_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"1,1,0,0,9,9,1,-1,-1,-1\n{line}\n")
    with pytest.raises(InvalidAnnotation, match=message):
        read_mot(path)


def test_tracks_of_folders(tmp_path: Path) -> None:
    (tmp_path / "b" / "gt").mkdir(parents=True)
    for path in (tmp_path / "a.txt", tmp_path / "b" / "gt" / "gt.txt"):
        path.write_text("1 1 0 0 9 9 1\n")
    assert {name: len(tracks) for name, tracks in read_tracks(tmp_path).items()} == {"a": 1, "b": 1}
    with pytest.raises(InvalidAnnotation, match=r"holds no tracks: neither NAME.txt nor NAME/gt/gt.txt"):
        read_tracks(tmp_path / "b")


def test_commands_print_the_promised_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, given, boxes = tmp_path / "truth.csv", tmp_path / "given.csv", tmp_path / "a.txt"
    truth.write_text("label,start,end\nrun,0,4\n")
    given.write_text("label,start_s,end_s,probability\nrun,0,4,0.9\n")
    boxes.write_text("1,1,0,0,9,9\n")
    words = {
        "proposals": [str(given), "--truth", str(truth), "--an", "1"],
        "segments": [str(given), "--truth", str(truth), "--background", "none"],
        "tracks": [str(boxes), "--truth", str(boxes), "--protocol", "mot"],
    }
    shown = {"proposals": "ar@1", "segments": "f1@0.25", "tracks": "hota"}
    for what, name in shown.items():
        main.app(["score", what, *words[what], "--json"], standalone_mode=False)
        answer = json.loads(capsys.readouterr().out)
        assert answer.keys() >= {"protocol", "scores", "per_class"}
        assert 0.9 <= answer["scores"][name] <= 1
        main.app(["score", what, *words[what]], standalone_mode=False)
        assert "rule" in capsys.readouterr().out
