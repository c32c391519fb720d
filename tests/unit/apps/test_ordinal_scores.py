"""Where runs are held against each other, graded labels have their ordinal scores beside top-1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.studies import fake_cells
from tests.unit.studies.fake_cells import FakeTraining, Quiet

from kinesphere.apps.cli import study_run
from kinesphere.apps.cli.compare import compare
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.metrics import ordinal_scores
from kinesphere.studies.matrix import Study
from kinesphere.studies.results import report_on_study
from kinesphere.studies.running import run_study
from kinesphere.studies.study_recipe import StudyRecipe


def studied(folder: Path) -> tuple[Study, FakeTraining]:
    content = {
        "name": "s", "out": str(folder), "seeds": [0],
        "base": {"data": {"source": "clips.csv"}, "model": {"name": "fc_tiny"}, "compute": {"device": "cpu"}},
        "matrix": {"model": [{"name": "good"}, {"name": "poor"}]},
    }  # fmt: skip
    return Study.plan(StudyRecipe.build(content)), FakeTraining({"good": 0.9, "poor": 0.4})


@pytest.mark.parametrize("graded", [True, False])
def test_studies_and_comparisons_of_grades_show_their_errors(
    graded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = LabelSet(("little", "medium", "max"), ordered=True, graded=graded)
    monkeypatch.setattr(fake_cells, "LABELS", labels)
    study, training = studied(tmp_path / "s")
    report = report_on_study(run_study(study, Quiet(), train=training))
    study_run._print(report)
    table = capsys.readouterr().out
    runs = [run.folder for run in study.runs(study.cells)]
    compare(runs)
    compared = capsys.readouterr().out
    for name, title in (("grade_mae", "mean error in grades"), ("quadratic_kappa", "quadratic kappa")):
        for cell in report.cells if graded else ():
            assert f"{title} {cell.scores[name]}" in compared
            assert f" {cell.scores[name].value:.2f} " in table
        assert (title.split()[0] in table) == (title in compared) == graded
    compare(runs, as_json=True)
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert all(("grade_mae" in run["scores"]) == graded for run in listed)
    assert listed[0]["score"] == listed[0]["scores"]["top1"]


def test_ordinal_scores_are_those_of_grades_in_the_order_of_reports() -> None:
    assert ordinal_scores({"quadratic_kappa", "top1", "grade_mae"}) == ("grade_mae", "quadratic_kappa")
    assert ordinal_scores({"top1", "map"}) == ()
