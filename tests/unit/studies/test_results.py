"""The report of a study: means over seeds, pairs on the same clips, classes, mistakes, and what it is not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.studies.fake_cells import FakeTraining, Quiet, answers

from kinesphere.apps.html.study import render_study
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.metrics import PlainScore, Score
from kinesphere.evaluate.paired import Difference, holm, sign_flip_test
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report
from kinesphere.studies import choosing
from kinesphere.studies.cell_classes import class_rows
from kinesphere.studies.cell_confusions import confusions_of
from kinesphere.studies.matrix import Study
from kinesphere.studies.results import StudyReport, mean_score, report_on_study
from kinesphere.studies.running import run_study
from kinesphere.studies.study_recipe import StudyRecipe
from kinesphere.studies.tested import Pair, ScoredRun, check_alike, compare_pairs


def planned(folder: Path, **changes: Any) -> Study:
    base = {"data": {"source": "clips.csv"}, "model": {"name": "fc_tiny"}, "compute": {"device": "cpu"}}
    content = {
        "name": "s", "out": str(folder), "seeds": [0, 1, 2], "base": base,
        "matrix": {"model": [{"name": "good"}, {"name": "poor"}]},
        "include": [{"name": "other", "data.source": "base.csv"}],
    }  # fmt: skip
    return Study.plan(StudyRecipe.build({**content, **changes}))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    study = planned(tmp_path_factory.mktemp("study") / "s")
    return report_on_study(run_study(study, Quiet(), train=FakeTraining({"good": 0.9, "poor": 0.4})))


def test_a_cell_has_the_mean_over_its_seeds_and_their_spread(report: StudyReport) -> None:
    cell = report.by_name["good"]
    values = [Report.read(each.run.folder / "report.json").scores["top1"].value for each in cell.seeds]
    assert cell.score.value == pytest.approx(np.mean(values))
    assert cell.spread["top1"] == pytest.approx(np.std(values, ddof=1))
    assert cell.score.low < cell.score.value < cell.score.high  # type: ignore[operator]
    assert (cell.cost.parameters, cell.cost.multiply_adds) == (1200, 34_000)  # type: ignore[union-attr]
    assert cell.taught == {"rise": 2, "sink": 2, "turn": 8}
    assert 0 < cell.validation < 1  # type: ignore[operator]


def test_a_mean_of_scores_that_are_no_fractions_is_none_either() -> None:
    mean = mean_score([PlainScore(1.5, 1.0, 2.0), PlainScore(2.5, 2.0, 3.0)])
    assert str(mean) == "2.00 [1.50, 2.50]"
    assert mean_score([Score(0.5), Score(0.7, 0.6, 0.8)]).low is None


def test_pairs_are_of_the_same_clips_and_corrected(report: StudyReport) -> None:
    (pair,) = report.pairs
    assert (pair.first, pair.second, pair.clips, pair.groups) == ("good", "poor", 60, 10)
    right = [np.mean([c.value for c in _top1(report, name)]) for name in ("good", "poor")]
    assert pair.difference.value == pytest.approx(right[1] - right[0])
    assert pair.difference.is_less
    assert pair.corrected < 0.05
    assert pair.verdict() == "good is better than poor."
    assert report.apart == ()


def _top1(report: StudyReport, name: str) -> list[Any]:
    return [each.run.report.scores["top1"] for each in report.by_name[name].seeds]


def test_pairs_that_were_asked_for_and_have_other_clips_are_named(tmp_path: Path) -> None:
    study = planned(tmp_path / "s", seeds=[0], compare=[["good", "other"], ["good", "poor"]])
    report = report_on_study(run_study(study, Quiet(), train=FakeTraining()))
    assert [(pair.first, pair.second) for pair in report.pairs] == [("good", "poor")]
    (apart,) = report.apart
    assert apart.startswith("good and other: 60 clips of movements, split test")


def test_the_page_shows_every_part(report: StudyReport) -> None:
    text = render_study(report)
    for words in ("Paired", "paired 95 % interval", "Holm", "Always or never right", "Scarce classes",
                  "Validation and test", "taken for", "Learning curves", "multiply-adds", "34 k", "1.2 k",
                  "good is better than poor"):  # fmt: skip
        assert words.lower() in text.lower(), words
    assert text.count("<svg") > 15
    assert not re.search(r'(src|href)="http', text)


def test_classes_by_rank_and_mistakes_within_families() -> None:
    labels = LabelSet(("a", "b", "c"), parents=(("a", "x"), ("b", "x"), ("c", "y")))
    p = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.4, 0.5, 0.1]])
    table = _table(labels, np.array([0, 1, 2, 1]), p)
    rows = class_rows([table, table])
    assert [(row.label, row.clips, row.top) for row in rows.rows] == [
        ("a", 1, (1, 1, 1)), ("b", 2, (0.5, 1, 1)), ("c", 1, (0, 0, 1)),
    ]  # fmt: skip
    assert (rows.always, rows.never) == (("a",), ("c",))
    found = confusions_of([table, table])
    assert [(each.true, each.predicted, each.count, each.of) for each in found.ranked] == [
        ("b", "a", 2, 4), ("c", "a", 2, 2),
    ]  # fmt: skip
    assert (found.never_predicted, found.outside, found.clips) == (("c",), 2, 8)
    multi = _table(LabelSet(("a", "b", "c"), multi=True), np.eye(3, dtype=np.int64)[[0, 1, 2, 1]], p)
    assert confusions_of([multi]).never_predicted == ("a", "b", "c")
    assert class_rows([multi]).never == ("a", "b", "c")


def _table(labels: LabelSet, targets: np.ndarray, p: np.ndarray) -> Predictions:
    ids = tuple(map(str, range(len(p))))
    none = (None,) * len(p)
    return Predictions(labels, ids, ids, none, none, targets, p, none)


def test_signs_of_groups_are_flipped_together() -> None:
    first, second = np.zeros(12), np.ones(12)
    alone = sign_flip_test(first, second, [None] * 12)
    assert alone == pytest.approx(2 / 2**12)
    assert sign_flip_test(first, second, [f"p{i // 4}" for i in range(12)]) == pytest.approx(2 / 2**3)
    assert sign_flip_test(first, first, [None] * 12) == 1
    rng = np.random.default_rng(0)
    x, y = rng.random(40), rng.random(40)
    assert 0.01 < sign_flip_test(x, y, [None] * 40) <= 1
    with pytest.raises(InvalidSetting, match="compared on the same clips"):
        sign_flip_test(x, y[:5], [None] * 40)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_runs_of_different_tests_are_refused_by_name(report: StudyReport, tmp_path: Path) -> None:
    good, other = (report.by_name[name].first for name in ("good", "other"))
    check_alike([good, report.by_name["poor"].first])
    with pytest.raises(InvalidSetting, match="other, seed 0 and good, seed 0 were tested on different sets"):
        check_alike([good, other])
    with pytest.raises(InvalidSetting, match="holds no finished run"):
        ScoredRun.of(tmp_path)
    same = compare_pairs([("a", [good], "b", [good])])[0]
    assert (same.difference.value, same.p, same.verdict()) == (0, 1, "These clips do not tell a and b apart.")


def test_cells_between_which_the_data_changed_are_not_compared(tmp_path: Path) -> None:
    study = planned(tmp_path / "s", seeds=[0])
    finished = run_study(study, Quiet(), train=FakeTraining())
    assert len(report_on_study(finished).pairs) == 1
    splits = study.folder / "cells" / "poor" / "seed-0" / "splits.csv"
    lines = splits.read_text().splitlines()
    cells = lines[5].split(",")
    splits.write_text("\n".join([*lines[:5], ",".join([*cells[:-1], "0123456789abcdef"]), *lines[6:]]) + "\n")

    found = report_on_study(finished)
    assert found.pairs == ()
    (apart,) = found.apart
    assert apart.startswith("good and poor: the data have changed between them: 1 samples have other files")
    good, poor = (found.by_name[name].first for name in ("good", "poor"))
    with pytest.raises(InvalidSetting, match=r"seed 0: the data have changed .*Train the older one anew"):
        check_alike([good, poor])


def test_cells_of_other_tables_may_teach_other_labels(report: StudyReport) -> None:
    good, poor = (report.by_name[name].first for name in ("good", "poor"))
    key = ("lesson", Path("/nowhere/lesson.mp4"))
    clean = replace(good, samples={**good.samples, key: ("0123", ("rise",), None)})
    noisy = replace(poor, samples={**poor.samples, key: ("0123", ("sink",), None)})
    assert noisy.changed_since(clean) == ["lesson"]
    assert replace(noisy, source=(("noisy.csv",), "label")).changed_since(clean) == []
    tested = next(iter(good.samples))
    other = replace(good, source=None, samples={**good.samples, tested: ("0123", ("turn",), (0.0, 1.0))})
    assert other.changed_since(good) == [tested[0]]


def test_drawn_settings_are_chosen_on_validation_and_open_one_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = {"draw": "grid", "settings": {"optimizer.lr": [0.1, 0.01, 0.001]}}
    study = planned(tmp_path / "s", search=search, seeds=[0, 1], include=[])
    opened: list[str] = []

    def open_test(folder: Path) -> None:
        opened.append(f"{folder.parent.name}/{folder.name}")
        answers(0.5, 0).write(folder / "predictions.parquet")

    monkeypatch.setattr(choosing, "open_test", open_test)
    training = FakeTraining({"good-draw02": 1.0, "poor-draw03": 1.0})
    done = run_study(study, Quiet(), train=training)
    assert opened == ["good-draw02/seed-0", "good-draw02/seed-1", "poor-draw03/seed-0", "poor-draw03/seed-1"]
    assert [choice.draw for choice in done.choices] == ["good-draw02", "poor-draw03"]
    closed = [each for each in study.folder.rglob("report.json") if "draw01" in str(each)]
    assert {Report.read(each).protocol.split for each in closed} == {"val"}
    report = report_on_study(done)
    assert report.by_name["good"].draw == "optimizer.lr 0.01"
    assert "The test was scored once" in render_study(report)
    assert done.choices[0].before == ()
    left = study.folder / "cells" / "good-draw03" / "seed-0" / "report.json"
    left.write_text(left.read_text().replace('"split": "val"', '"split": "test"'))
    again = run_study(study, Quiet(), train=FakeTraining())
    assert again.choices[0].before == ("good-draw03",)
    assert "The test had been opened before, for good-draw03." in render_study(report_on_study(again))


@pytest.mark.parametrize(
    ("low", "p", "says"),
    [
        (0.01, 0.04, "b is better than a."),
        (-0.01, 0.04, "do not tell a and b"),
        (0.01, 0.06, "do not tell a"),
    ],
)
def test_a_difference_is_one_to_both_the_test_and_the_interval(low: float, p: float, says: str) -> None:
    pair = Pair("a", "b", Difference(0.05, low, 0.1), p, p, 100, 10, 5.0, 10.0)
    assert says in pair.verdict()
