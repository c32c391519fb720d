"""Detections in files of anybody: the official rules, what is left out and counted, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.annotations.formats.ava import AvaBoxes
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.apps.cli import main
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.evaluate.files.boxes import score_boxes
from kinesphere.evaluate.files.detections import Counted, score_detections
from kinesphere.evaluate.metrics.detections import match_best, match_in_order, span_overlaps

Row = tuple[str, str, float, float]


def truths(*rows: Row, videos: Sequence[str] = (), durations: dict[str, float] | None = None) -> TimedLabels:
    labels = tuple(TimedLabel(*row) for row in rows)
    named = tuple(dict.fromkeys((*(each.video for each in labels), *videos)))
    return TimedLabels(labels, named, durations or {})


def results(*rows: tuple[str, str, float, float, float]) -> TimedLabels:
    return TimedLabels.of(Detection(*row[:4], score=row[4]) for row in rows)


def values(*args: Any, **options: Any) -> dict[str, float]:
    found = score_detections(*args, **options)
    return {name: score.value for name, score in found.scores.items()}


def test_activitynet_takes_the_next_best_truth_and_ava_does_not() -> None:
    overlaps = span_overlaps(np.array([[0, 10], [0, 10.5]]), np.array([[0, 10], [0, 12]]))
    assert match_in_order(overlaps, [0.5])[:, 0].tolist() == [True, True]
    assert match_best(overlaps, [0.5])[:, 0].tolist() == [True, False]
    truth = truths(("v", "a", 0, 10), ("v", "a", 0, 12))
    found = values(
        results(("v", "a", 0, 10, 0.9), ("v", "a", 0, 10.5, 0.8)), truth, "activitynet", thresholds=[0.5]
    )
    assert found == {"map": 1, "map@0.5": 1}
    boxes = [Detection("v", "1", 900, 900, box=(0, 0, w, 1)) for w in (0.5, 0.6)]
    given = [Detection("v", "1", 900, 900, score=s, box=(0, 0, w, 1)) for s, w in ((0.9, 0.5), (0.8, 0.525))]
    frames = (("v", 900),)
    assert (
        score_boxes(AvaBoxes(tuple(given), frames), AvaBoxes(tuple(boxes), frames)).scores["map"].value == 0.5
    )


def test_average_precision_by_hand() -> None:
    truth = truths(("v", "a", 0, 10), ("w", "a", 0, 10), ("v", "b", 0, 1), ("v", "c", 5, 6))
    given = results(
        ("v", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.8), ("w", "a", 0, 7, 0.7),
        ("v", "b", 3, 4, 1), ("v", "z", 0, 1, 1),
    )  # fmt: skip
    scored = score_detections(given, truth, "thumos14", thresholds=[0.5, 0.75])
    # a: right, wrong (a duplicate), right at 0.5 alone: (1 + 2/3) / 2 and 1/2; b is wrong, c is not found.
    rows = scored.per_class
    assert rows["a"]["ap@0.5"] == pytest.approx(5 / 6)
    assert rows["a"]["ap@0.75"] == pytest.approx(0.5)
    assert (rows["b"]["ap"], rows["c"]["ap"], rows["c"]["detections"]) == (0, 0, 0)
    assert scored.scores["map@0.5"].value == pytest.approx(5 / 18)
    assert scored.scores["map"].value == pytest.approx((5 / 6 + 1 / 2) / 6)
    assert scored.unknown_classes == ["z"]
    assert scored.counts["detections_of_unknown_classes"] == 1
    low, high = scored.scores["map"].low, scored.scores["map"].high
    assert low is not None
    assert high is not None
    assert 0 <= low <= scored.scores["map"].value <= high <= 1


def test_unknown_videos_are_named_and_count_or_not() -> None:
    truth = truths(("v", "a", 0, 10))
    given = results(("x", "a", 0, 10, 0.9), ("v", "a", 0, 10, 0.5), ("y", "a", 0, 1, 0.1))
    counted = score_detections(given, truth, "activitynet")
    assert (counted.scores["map"].value, counted.unknown_videos) == (0.5, ("x", "y"))
    assert counted.counts["detections_in_unknown_videos"] == 2
    assert values(given, truth, "activitynet", counted=Counted(unknown="drop"))["map"] == 1
    assert values(results(), truth, "activitynet")["map"] == 0


def test_names_that_differ_by_a_suffix_and_times_in_frames_are_told() -> None:
    truth = truths(("v1", "a", 0, 10), ("v2", "a", 0, 10), durations={"v1": 20.0, "v2": 20.0})
    given = results(("v_v1", "a", 0, 10, 0.9), ("f/v2.mp4", "a", 0, 10, 0.8), ("v2", "a", 30, 300, 0.7))
    found = score_detections(given, truth, "activitynet")
    assert found.rules[-1] == (
        "2 unknown videos are annotated under another name, as 'f/v2.mp4' as 'v2'; rename them"
    )
    assert found.counts["detections_behind_the_video"] == 1


def test_equal_scores_stay_in_the_order_of_the_file() -> None:
    truth = truths(("v", "a", 0, 10))
    right, wrong = ("v", "a", 0.0, 10.0, 0.5), ("v", "a", 50.0, 60.0, 0.5)
    assert values(results(right, wrong), truth, "activitynet")["map"] == 1
    assert values(results(wrong, right), truth, "activitynet")["map"] == 0.5


def test_truths_without_length_beyond_the_video_and_repeated_are_counted() -> None:
    truth = truths(
        ("v", "a", 3, 3), ("v", "a", 5, 20), ("v", "a", 5.0005, 20), ("w", "a", 0, 1), durations={"v": 15.0}
    )  # fmt: skip
    given = results(
        ("v", "a", 3, 3, 0.9), ("v", "a", 4, 4, 0.8), ("v", "a", 9, 5, 0.7), ("w", "a", 0, 1, 0.6)
    )
    with np.errstate(all="raise"):
        scored = score_detections(given, truth, "activitynet")
    assert scored.scores["map"].value == pytest.approx((1 + 2 / 4) / 4)
    counts = scored.counts
    assert counts["zero_length_instances"] == 1
    assert counts["instances_beyond_the_video"] == 2
    assert counts["near_duplicate_instances"] == 1
    assert counts["detections_that_end_before_they_start"] == 1
    dropped = score_detections(given, truth, "activitynet", counted=Counted(duplicates="drop"))
    assert dropped.counts["instances"] == 3
    assert dropped.scores["map"].value == pytest.approx((1 + 2 / 4) / 3)


def test_ambiguous_segments_are_dropped_or_their_detections_ignored() -> None:
    truth = truths(("v", "a", 0, 10), ("v", "Ambiguous", 20, 30))
    given = results(("v", "a", 22, 24, 0.9), ("v", "a", 0, 10, 0.5), ("v", "a", 40, 50, 0.4))
    dropped = score_detections(given, truth, "thumos14")
    assert (dropped.scores["map"].value, dropped.counts["ambiguous_instances"]) == (0.5, 1)
    ignored = score_detections(given, truth, "thumos14", counted=Counted(ambiguous="ignore"))
    assert ignored.scores["map"].value == 1
    assert ignored.counts["detections_ignored_as_ambiguous"] == 1
    assert any("THUMOS14's own code" in rule for rule in ignored.rules)


def test_lists_of_videos_leave_out_and_say_so(tmp_path: Path) -> None:
    names = ["video_test_0000001", "video_test_0000270", "video_test_0001292", "video_test_0001496"]
    truth = truths(*((name, "a", 0, 1) for name in names))
    given = results(*((name, "a", 0, 1, 0.5) for name in names), ("other", "a", 0, 1, 0.1))
    for name, videos in (("213", 4), ("212", 3), ("211", 2), ("210", 1)):
        scored = score_detections(given, truth, "thumos14", counted=Counted(videos=name))
        assert scored.counts["videos"] == videos
        assert scored.counts["detections_in_excluded_videos"] == 4 - videos
        assert scored.rules[0] == f"videos: {name} (THUMOS14 test)"
    listed = tmp_path / "some.txt"
    listed.write_text(f"{names[0]}.mp4\n{names[1]}\n")
    assert (
        score_detections(given, truth, "thumos14", counted=Counted(videos=str(listed))).counts["videos"] == 2
    )
    table = tmp_path / "some.csv"
    table.write_text(f"video,subset\n{names[0]},validation\n{names[1]},training\n")
    found = score_detections(
        given, truth, "thumos14", counted=Counted(videos=str(table), subset="validation")
    )
    assert (found.counts["videos"], found.counts["detections_in_unknown_videos"]) == (1, 1)
    with pytest.raises(InvalidSetting, match=r"names one of THUMOS14's lists .* got '214'"):
        score_detections(given, truth, "thumos14", counted=Counted(videos="214"))
    with pytest.raises(InvalidSetting, match="name no subsets, so there is no 'validation'"):
        score_detections(given, truth, "thumos14", counted=Counted(subset="validation"))


def test_subsets_are_asked_for() -> None:
    labels = (TimedLabel("v", "a", 0, 1), TimedLabel("w", "a", 0, 1))
    truth = TimedLabels(labels, ("v", "w"), subsets={"v": "training", "w": "validation"})
    given = results(("w", "a", 0, 1, 0.5), ("v", "a", 0, 1, 0.9))
    with pytest.raises(InvalidSetting, match="subsets training, validation; say which"):
        score_detections(given, truth, "activitynet")
    with pytest.raises(InvalidSetting, match="no subset 'test'"):
        score_detections(given, truth, "activitynet", counted=Counted(subset="test"))
    assert values(given, truth, "activitynet", counted=Counted(subset="validation"))["map"] == 0.5


def test_what_cannot_be_scored_is_refused() -> None:
    given = results(("v", "a", 0, 1, 0.5))
    with pytest.raises(InvalidAnnotation, match="Nothing is annotated in the 1 videos"):
        score_detections(given, truths(videos=["v"]), "activitynet")
    with pytest.raises(InvalidAnnotation, match="labels without scores"):
        score_detections(truths(("v", "a", 0, 1)), truths(("v", "a", 0, 1)), "activitynet")
    with pytest.raises(InvalidSetting, match=r"fractions above 0, up to 1; got \[0.5, 1.5\]"):
        score_detections(given, truths(("v", "a", 0, 1)), "activitynet", thresholds=[0.5, 1.5])


spans = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 12), st.integers(0, 6))


@settings(max_examples=25)
@given(
    st.lists(spans, min_size=1, max_size=8), st.lists(spans, max_size=12), st.randoms(use_true_random=False)
)
def test_order_and_scale_change_nothing_but_for_equal_scores(
    annotated: list[tuple[int, ...]], found: list[tuple[int, ...]], shuffle: Any
) -> None:
    def scored(scale: float, order: Sequence[int], turned: bool) -> dict[str, float]:
        rows: list[Row] = [(f"v{v}", "abc"[k], scale * s, scale * (s + n)) for v, k, s, n in annotated]
        given = [
            (f"v{v}", "abc"[k], scale * s, scale * (s + n), 1 - i / 20)
            for i, (v, k, s, n) in enumerate(found)
        ]
        truth = truths(*(rows[::-1] if turned else rows))
        return values(results(*(given[i] for i in order)), truth, "activitynet", thresholds=[0.3, 0.7])

    order = list(range(len(found)))
    plain = scored(1, order, turned=False)
    shuffle.shuffle(order)
    # Of ground truths that are overlapped alike the first is taken, so those stay in their order.
    assert scored(1, order, turned=False) == pytest.approx(plain)
    assert scored(8, order, turned=False) == pytest.approx(plain)
    assert all(0 <= value <= 1 for value in plain.values())


def test_the_command_scores_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, given = tmp_path / "Diving_test.txt", tmp_path / "found.txt"
    truth.write_text("video_test_0000001  1.0 4.0\nvideo_test_0000001  7.0 9.0\n")
    given.write_text("video_test_0000001 1.0 4.1 26 0.9\nvideo_test_0000002 7 9 Diving 0.5\n")
    words = ["score", "detections", str(given), "--truth", str(truth), "--protocol", "thumos14"]
    code = (
        "import importlib, sys\nfrom kinesphere.apps.cli import main\n"
        "for kind in ('boxes', 'proposals', 'segments', 'tracks', 'poses'):\n"
        "    importlib.import_module(f'kinesphere.evaluate.files.{kind}')\n"
        f"sys.argv = ['kinesphere', *{[*words, '--json', '--tiou', '0.3:0.2:0.7', '--videos', '213']!r}]\n"
        "try: main.run()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'av', 'cv2', 'lightning'} & sys.modules.keys()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["protocol"] == "thumos14"
    assert answer["scores"] == dict.fromkeys(("map", "map@0.3", "map@0.5", "map@0.7"), 0.5)
    assert answer["per_class"]["Diving"]["instances"] == 2
    assert answer["unknown_videos"] == ["video_test_0000002"]
    with pytest.raises(SystemExit) as left:
        main.app(words)
    assert not left.value.code
    shown = capsys.readouterr().out
    assert "mAP@0.3" in shown
    assert "50.0 %" in shown
    assert "1 videos: video_test_0000002" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tiou", "0.5,x"], "--tiou takes numbers between commas, or first:step:last"),
        (["--tiou", "0.5:0:0.9"], "--tiou takes numbers between commas, or first:step:last"),
        (["--classes", "map.pbtxt"], "--classes and --excluded belong to --protocol ava"),
        (["--protocol", "ava", "--videos", "213"], "AVA's annotations say by themselves which frames count"),
    ],
)
def test_options_that_cannot_work_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label,start,end,score\na,0,1,1\n")
    with pytest.raises(InvalidSetting, match=message):
        main.app(["score", "detections", str(path), "--truth", str(path), *options], standalone_mode=False)
