"""A study keeps what was said of every clip; its scores follow from that again."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import studies
from benchmarks.study_predictions import read_table, without_folders, write_table

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate import Predictions, report_from_predictions
from kinesphere.evaluate.protocol import Environment, Protocol

LABELS = LabelSet(("a, quoted", "b", "c"))


def predictions(*, multi: bool = False, folder: str = "/home/someone/data") -> Predictions:
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.full(3, 0.3), 40)
    targets = generator.integers(3, size=40)
    # Truth and rival differ in the eighth digit.
    p[0], targets[0] = (0.4999999949, 0.4999999951, 1e-8), 0
    p[1], targets[1] = (0.00000004, 0.00000006, 0.9999999), 1
    return Predictions(
        labels=LabelSet(LABELS.names, multi=multi),
        ids=tuple(f"{folder}/{'ab'[i % 2]}/{i}.mp4" for i in range(40)),
        paths=tuple(f"{folder}/{i}.mp4" for i in range(40)),
        spans=(None,) * 40,
        groups=tuple(None if i == 3 else f"actor {i % 5}" for i in range(40)),
        targets=np.eye(3, dtype=np.int64)[targets] if multi else targets,
        probabilities=p,
        folds=tuple(str(i % 2) for i in range(40)),
        skipped=(Skipped(f"{folder}/broken.mp4", f"{folder}/broken.mp4 is empty"),),
    )


@pytest.mark.parametrize("multi", [False, True])
def test_a_table_holds_all_that_scores_need(tmp_path: Path, multi: bool) -> None:
    given = predictions(multi=multi)
    write_table(given, tmp_path / "study.csv")
    back = read_table(tmp_path / "study.csv", multi=multi, skipped=given.skipped)
    assert back.ids[:2] == ("a/0.mp4", "b/1.mp4")
    assert (back.groups, back.folds, back.skipped) == (given.groups, given.folds, given.skipped)
    assert (back.targets == given.targets).all()
    np.testing.assert_allclose(back.probabilities, given.probabilities, atol=5.1e-7)
    where = Protocol(dataset="x"), Environment("m", "", "", "", "")
    before, after = (report_from_predictions(each, *where) for each in (given, back))
    for name in before.scores:
        if name not in ("ece", "map"):  # which rest on the probabilities themselves
            assert before.scores[name] == after.scores[name]
    assert "someone" not in (tmp_path / "study.csv").read_text(encoding="utf-8")


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\na,b\n")
    with pytest.raises(InvalidSetting, match=r"x\.csv is no table of a study's predictions: its columns"):
        read_table(tmp_path / "x.csv")


def test_names_lose_the_folders_of_the_machine_only() -> None:
    assert without_folders(["s01/1.mp4", "s02/1.mp4@0-2"]) == ("s01/1.mp4", "s02/1.mp4@0-2")
    assert without_folders(["/d/x/s01/1.mp4", "", "/d/x/s02/2.mp4"]) == ("s01/1.mp4", "", "s02/2.mp4")
    assert without_folders(["../../d/1.mp4", "../../d/2.mp4"]) == ("1.mp4", "2.mp4")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of the demo's study, over made-up predictions."""
    monkeypatch.setattr(studies, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(studies, "RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(studies, "commit", lambda: "0123456789ab")
    run = tmp_path / "runs" / "demo" / "run"
    run.mkdir(parents=True)
    predictions().write(run / "predictions.parquet")
    report = report_from_predictions(predictions(), Protocol(dataset="x"), Environment("m", "", "", "", ""))
    return studies.keep("demo", {"report": json.loads(json.dumps(report.to_json()))}, 90.0)


def test_a_record_says_which_code_made_it_and_is_scored_again(kept: Path) -> None:
    record = json.loads(kept.read_text(encoding="utf-8"))
    assert record["commit"] == "0123456789ab"
    assert record["skipped"] == [["broken.mp4", "broken.mp4 is empty"]]
    assert "someone" not in kept.read_text(encoding="utf-8")
    assert studies.rescore("demo") == kept
    assert json.loads(kept.read_text(encoding="utf-8")) == record
    with kept.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    label = rows[0].index("label")
    for row in rows[1:]:
        row[label] = "b"
    with kept.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    studies.rescore("demo")
    again = json.loads(kept.read_text(encoding="utf-8"))
    assert again["scores"]["top1"] != record["scores"]["top1"]
    assert again["minutes"] == 1.5
    assert studies.rescore("msr") is None


def test_the_commit_is_the_one_checked_out() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}\+?", studies.commit())


def test_a_fusion_is_recorded_from_kept_tables(kept: Path) -> None:
    assert studies.fuse_tables("fight_fused") is None, "nothing is kept of its runs"
    for number, name in enumerate(("fight_transfer", "fight_flow")):
        run = Path(studies.RUNS) / name
        run.mkdir()
        part = predictions()
        rolled = replace(part, probabilities=np.roll(part.probabilities, number, axis=1))
        rolled.write(run / "predictions.parquet")
        report = report_from_predictions(rolled, Protocol(dataset="x"), Environment("m", "", "", "", ""))
        studies.keep(name, {"report": json.loads(json.dumps(report.to_json()))}, None)
    path = studies.fuse_tables("fight_fused")
    assert path is not None
    fused = read_table(path.with_suffix(".csv"))
    own = predictions().probabilities
    np.testing.assert_allclose(fused.probabilities, (own + np.roll(own, 1, axis=1)) / 2, atol=2e-6)
    assert json.loads(path.read_text(encoding="utf-8"))["skipped"] == [["broken.mp4", "broken.mp4 is empty"]]
    assert studies.fuse_tables("fight_transfer") is None, "a training is no fusion"
