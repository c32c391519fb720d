from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate.metrics import score_name
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import Report, report_from_predictions

PROTOCOL = Protocol("toy", "abc123", "test", "2x3", ("16x4x1",))
PROVENANCE = Environment("r3d_18", "0.1.0", "2.13.0", "cpu", "fp32", "2030-01-01")


def predictions(n: int = 60, k: int = 4, *, multi: bool = False, prefix: str = "clip") -> Predictions:
    generator = np.random.default_rng(n + k)
    targets = (generator.random((n, k)) < 0.4).astype(np.int64) if multi else generator.integers(k, size=n)
    logits = generator.normal(size=(n, k)) + 2 * (targets if multi else np.eye(k)[targets])
    p = 1 / (1 + np.exp(-logits)) if multi else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(
        LabelSet(tuple(f"move {i}" for i in range(k)), multi=multi),
        tuple(f"{prefix}{i}" for i in range(n)),
        tuple(f"{prefix}{i}.mp4" for i in range(n)),
        tuple((0.5, 2.0) if i % 2 else None for i in range(n)),
        tuple(f"performer {i % 6}" for i in range(n)),
        targets,
        p,
        (None,) * n,
        (Skipped("bad.mp4", "no frame"),),
        (Skipped("clip3.mp4", "2 packets damaged", is_failure=False),),
    )


@pytest.mark.parametrize("multi", [False, True])
def test_predictions_survive_the_disk(tmp_path: Path, multi: bool) -> None:
    table = predictions(multi=multi)
    table.write(tmp_path / "predictions.parquet")
    again = Predictions.read(tmp_path)  # of the folder
    assert again.labels == table.labels
    assert (again.ids, again.spans, again.groups) == (table.ids, table.spans, table.groups)
    assert (again.skipped, again.damaged) == (table.skipped, table.damaged)
    np.testing.assert_array_equal(again.targets, table.targets)
    np.testing.assert_array_equal(again.probabilities, table.probabilities)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_predictions_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"Cannot read predictions from .*gone\.parquet"):
        Predictions.read(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(InvalidSetting, match=r"Give the predictions\.parquet of a run"):
        Predictions.read(tmp_path / "text.parquet")


def test_table_with_uneven_columns_or_repeated_clips_is_refused() -> None:
    table = predictions()
    with pytest.raises(InvalidSetting, match="Every column of a table of 60 clips needs that length"):
        replace(table, groups=("a",))
    with pytest.raises(InvalidSetting, match=r"Each clip counts once.*\['clip0'\]"):
        replace(table, ids=("clip0", "clip0", *table.ids[2:]))


def test_pooled_folds_give_one_report_with_fold_scores() -> None:
    a, b = predictions(60).in_fold("a"), predictions(61, prefix="other").in_fold("b")
    pooled = Predictions.pooled([a, b])
    report = report_from_predictions(pooled, PROTOCOL, PROVENANCE)
    assert report.clips == 121
    assert len(report.skipped) == 2
    assert [(fold.name, fold.clips) for fold in report.folds] == [("a", 60), ("b", 61)]
    mean = sum(fold.value * fold.clips for fold in report.folds) / 121
    assert report.scores["top1"].value == pytest.approx(mean)


def test_pooling_refuses_repeats_strangers_and_nothing() -> None:
    with pytest.raises(InvalidSetting, match="Each clip counts once"):
        Predictions.pooled([predictions(), predictions()])
    with pytest.raises(LabelMismatch, match="different label sets cannot be pooled"):
        Predictions.pooled([predictions(k=4), predictions(k=5)])
    with pytest.raises(InvalidSetting, match="no predictions to pool"):
        Predictions.pooled([])


@pytest.mark.parametrize("multi", [False, True])
def test_report_survives_json(tmp_path: Path, multi: bool) -> None:
    report = report_from_predictions(predictions(multi=multi), PROTOCOL, PROVENANCE)
    report.write(tmp_path / "report.json")
    again = Report.read(tmp_path / "report.json")
    assert again.to_json() == report.to_json()
    assert again.scores == report.scores
    assert again.labels == report.labels
    assert again.line() == report.line()


def test_json_has_the_promised_shape() -> None:
    plain = json.loads(json.dumps(report_from_predictions(predictions(), PROTOCOL, PROVENANCE).to_json()))
    assert set(plain["scores"]["top1"]) == {"value", "low", "high"}
    assert plain["clips"] == 60
    assert plain["skipped"] == [{"path": "bad.mp4", "reason": "no frame"}]
    assert plain["damaged"] == [{"path": "clip3.mp4", "reason": "2 packets damaged"}]
    assert plain["intervals"]["kind"] == "group"
    assert plain["intervals"]["units"] == 6


def test_one_group_has_no_interval_and_a_few_groups_say_so() -> None:
    table = predictions()
    one = report_from_predictions(replace(table, groups=("a",) * 60), PROTOCOL, PROVENANCE)
    assert "of a single group (no interval)" in one.line()
    assert "[" not in one.line()
    assert one.intervals.sentence().startswith("All clips are of a single group")
    groups = tuple("abc"[i % 3] for i in range(60))
    few = report_from_predictions(replace(table, groups=groups), PROTOCOL, PROVENANCE)
    assert few.intervals.sentence().endswith("So few groups say little, which makes them wide.")


def test_reports_whose_intervals_were_resampled_are_still_read() -> None:
    plain = report_from_predictions(predictions(), PROTOCOL, PROVENANCE).to_json()
    plain["intervals"] = {"kind": "group", "units": 6, "resamples": 2000, "level": 0.95, "seed": 0}
    for row in plain["classes"]:
        del row["recall_low"], row["recall_high"]
    report = Report.from_json(json.loads(json.dumps(plain)))
    assert report.intervals.method == "percentile bootstrap"


def test_score_line_counts_what_was_skipped() -> None:
    report = report_from_predictions(predictions(), PROTOCOL, PROVENANCE)
    score = report.scores["top1"]
    assert report.line() == f"top-1 {score} on 60 / 61 clips, 1 unreadable"
    whole = report_from_predictions(replace(predictions(), skipped=()), PROTOCOL, PROVENANCE)
    assert whole.line() == f"top-1 {score} on 60 / 60 clips"
    many = replace(report, clips=3781, skipped=report.skipped * 2)
    assert many.line().endswith("on 3 781 / 3 783 clips, 2 unreadable")


def test_multi_label_report_leads_with_map_and_has_no_confusion() -> None:
    report = report_from_predictions(predictions(multi=True), PROTOCOL, PROVENANCE)
    assert report.line().startswith("mAP ")
    assert report.confusion is None
    assert report.confused_pairs() == []


def test_confused_pairs_are_ordered_and_exclude_right_answers() -> None:
    report = report_from_predictions(predictions(), PROTOCOL, PROVENANCE)
    assert report.confusion is not None
    pairs = report.confused_pairs(100)
    assert sum(count for *_, count in pairs) == report.clips - np.trace(report.confusion)
    assert [count for *_, count in pairs] == sorted((count for *_, count in pairs), reverse=True)
    assert all(true != given for true, given, _ in pairs)
    assert len(report.confused_pairs(2)) == 2


def test_single_clips_are_named_where_there_are_no_groups() -> None:
    table = replace(predictions(), groups=(None,) * 60)
    report = report_from_predictions(table, PROTOCOL, PROVENANCE, level=0.9)
    assert report.intervals.kind == "clip"
    assert report.intervals.sentence() == (
        "Brackets are 90 % intervals over 60 clips (jackknife over units, Wilson interval of the effective "
        "sample size). No clip names its group, so each is taken for independent of the others."
    )


def test_majority_is_what_one_answer_would_score() -> None:
    table = predictions()
    assert report_from_predictions(table, PROTOCOL, PROVENANCE).majority == pytest.approx(
        np.bincount(table.targets).max() / 60
    )


def test_damaged_report_is_refused(tmp_path: Path) -> None:
    plain = report_from_predictions(predictions(), PROTOCOL, PROVENANCE).to_json()
    del plain["scores"]
    with pytest.raises(InvalidSetting, match=r"This is not a report: KeyError\('scores'\)"):
        Report.from_json(plain)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(InvalidSetting, match=r"Cannot read a report from .*report\.json"):
        Report.read(tmp_path / "report.json")


def test_score_names_are_written_as_people_do() -> None:
    assert score_name("mean_class_accuracy") == "mean class accuracy"
    assert score_name("something_else") == "something_else"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("clips", "0x10"),
        ("notes", 3),
        ("confusion", [[10**30, 0], [0, 1]]),
        ("scores", {"top1": {"value": "much"}}),
        ("intervals", {"kind": "group", "units": None, "level": 0.95}),
        ("protocol", {"dataset": ["a"]}),
        ("folds", [{"name": "a", "clips": 1, "value": {}}]),
    ],
)
def test_values_of_another_type_are_no_report(tmp_path, part, value):
    path = tmp_path / "report.json"
    made = {
        "scores": {"top1": {"value": 1.0}}, "classes": [], "confusion": None,
        "calibration": {"counts": [], "confidence": [], "accuracy": []}, "clips": 1, "skipped": [],
        "damaged": [], "folds": [], "labels": {"names": ["a", "b"], "mirror": [], "multi": False},
        "protocol": {"dataset": "a", "sampling": ["8x1x1"]},
        "intervals": {"kind": "clip", "units": 1, "level": 0.95}, "provenance": asdict(PROVENANCE),
    }  # fmt: skip
    path.write_text(json.dumps(made))
    assert Report.read(path).line().startswith("top-1 100.0 %")
    path.write_text(json.dumps({**made, part: value}))
    with pytest.raises(InvalidSetting, match="This is not a report"):
        Report.read(path)
