"""A study goes on where it stopped, whatever stopped it, and one cell's failure is no other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.studies.fake_cells import FakeTraining, Quiet

import kinesphere.core.files as core_files
from kinesphere.apps.html.study import render_study
from kinesphere.core.errors import InUse, InvalidSetting, TrainingDiverged
from kinesphere.core.files import claiming
from kinesphere.studies.cell_run import Record, state_of
from kinesphere.studies.matrix import Study
from kinesphere.studies.results import report_on_study
from kinesphere.studies.running import jobs_of, order_of, run_study, states
from kinesphere.studies.study_recipe import StudyRecipe


def planned(folder: Path, **changes: Any) -> Study:
    content = {
        "name": "s", "out": str(folder), "seeds": [0, 1],
        "base": {"data": {"source": "clips.csv"}, "model": {"name": "fc_tiny"}, "compute": {"device": "cpu"}},
        "matrix": {"start": [{"name": "scratch"}, {"name": "base", "model.pretrained": "cell:origin"}]},
        "include": [{"name": "origin", "data.source": "base.csv"}],
    }  # fmt: skip
    return Study.plan(StudyRecipe.build({**content, **changes}))


def test_cells_are_trained_in_the_order_of_their_chain_and_kept(tmp_path: Path) -> None:
    study, training = planned(tmp_path / "s"), FakeTraining()
    assert {state for _, state in states(study)} == {"to do"}
    done = run_study(study, Quiet(), train=training)
    assert not done.failed
    cells = [cell for cell, _, _ in training.trained]
    assert cells == ["scratch", "scratch", "origin", "origin", "base", "base"]
    assert training.trained[-1][1:] == (1, str(study.folder / "cells" / "origin" / "seed-1"))
    again = FakeTraining()
    told = Quiet()
    assert all(outcome.kept for outcome in run_study(study, told, train=again).outcomes)
    assert (again.trained, told.begun) == ([], [])


def test_a_cell_that_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    study, told = planned(tmp_path / "s"), Quiet()
    failing = FakeTraining(failing={"origin": TrainingDiverged("the loss is no number")})
    done = run_study(study, told, train=failing)
    assert [outcome.run.cell.name for outcome in done.failed] == ["base", "base", "origin", "origin"]
    assert "TrainingDiverged: the loss is no number" in told.problems
    assert "it starts from the cell origin, which failed" in told.problems
    report = report_on_study(done)
    assert [cell.name for cell in report.cells] == ["scratch"]
    assert "the loss is no number" in render_study(report)
    again = FakeTraining()
    assert not run_study(study, Quiet(), train=again).failed
    assert sorted({cell for cell, _, _ in again.trained}) == ["base", "origin"]


def test_other_settings_or_other_weights_are_not_taken_for_the_same(tmp_path: Path) -> None:
    study = planned(tmp_path / "s")
    run_study(study, Quiet(), train=FakeTraining())
    run = next(iter(study.runs(study.of("base"))))
    origin = next(iter(study.runs(study.of("origin"))))
    record = Record.read(run.folder)
    assert record is not None
    Record(record.cell, record.settings, "0123", record.cost).write(run.folder)
    done = run_study(study, Quiet(), train=FakeTraining())
    assert ["started from weights of the cell origin that are others now" in str(each.problem)
            for each in done.failed].count(True) == len(done.failed) > 0  # fmt: skip
    changed = planned(tmp_path / "s", base={"data": {"source": "clips.csv"}, "model": {"name": "kine_tiny"}})
    assert state_of(order_of(changed, origin)) == "done"
    told = Quiet()
    run_study(changed, told, train=FakeTraining())
    assert (
        "was trained with other settings (now / then): model.name: 'kine_tiny' / 'fc_tiny'"
        in told.problems[0]
    )
    faster = planned(tmp_path / "s", base={"data": {"source": "clips.csv"}, "model": {"name": "fc_tiny"},
                                           "compute": {"device": "cpu", "threads": 1}})  # fmt: skip
    assert state_of(order_of(faster, next(iter(faster.runs(faster.of("scratch")))))) == "done"
    (run.folder / "cell.json").write_text("{}")
    with pytest.raises(InvalidSetting, match="does not say what was trained there"):
        Record.read(run.folder)


def test_a_start_that_failed_does_not_hold_to_its_settings(tmp_path: Path) -> None:
    study = planned(tmp_path / "s")
    run = next(iter(study.runs(study.of("origin"))))
    order = order_of(study, run)
    Record("origin", order.settings(), None, None).write(run.folder)
    changed = planned(tmp_path / "s", base={"data": {"source": "clips.csv"}, "model": {"name": "kine_tiny"}})
    assert state_of(order_of(changed, run)) == "to do"
    assert not run_study(changed, Quiet(), train=FakeTraining()).failed


def test_a_study_is_run_once_at_a_time(tmp_path: Path) -> None:
    study = planned(tmp_path / "s")
    study.folder.mkdir()
    with (
        claiming(study.folder / ".lock", "The study"),
        pytest.raises(InUse, match=r"The study in .* is in use"),
    ):
        run_study(study, Quiet(), train=FakeTraining())


class Killed(BaseException):
    """What no handler of errors holds back."""


def test_killed_at_any_write_a_study_does_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = planned(tmp_path / "whole")
    theirs = report_on_study(run_study(whole, Quiet(), train=FakeTraining())).to_json()
    commit, left = core_files.Scratch.commit, [0]

    def counted(self: core_files.Scratch) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        commit(self)

    monkeypatch.setattr(core_files.Scratch, "commit", counted)
    study, kills, finished = planned(tmp_path / "s"), 0, list[str]()
    while True:
        training = FakeTraining()
        left[0] = 2 + kills % 5
        try:
            ours = report_on_study(run_study(study, Quiet(), train=training)).to_json()
            break
        except Killed:
            kills += 1
        begun = {f"{cell} {seed}" for cell, seed, _ in training.trained}
        assert not begun & set(finished)
        finished = [f"{run.cell.name} {run.seed}" for run, state in states(study) if state == "done"]
        assert kills < 60
    assert kills >= 6
    for cell in (*ours["cells"], *theirs["cells"]):
        for run in cell["runs"]:
            del run["run"]
    assert ours == theirs


def test_how_many_cells_run_at_a_time(tmp_path: Path) -> None:
    assert jobs_of(planned(tmp_path, jobs=3)) == 3
    assert jobs_of(planned(tmp_path, jobs=3), 2) == 2
    assert jobs_of(planned(tmp_path)) >= 1
