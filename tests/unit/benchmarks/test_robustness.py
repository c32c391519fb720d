"""The benchmark of robustness says what conditions change and what was answered to footage without labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.laboratory import make, planned
from benchmarks.robustness import NAMES, followed, notes_of, rows_of, take_finished

from kinesphere.evaluate.metrics import Score
from kinesphere.evaluate.paired import Difference
from kinesphere.studies.evaluations import Evaluated
from kinesphere.studies.expectations import Rule, Shown
from kinesphere.studies.factor_effects import FactorEffect
from kinesphere.studies.results import StudyReport
from kinesphere.synthetic import LABORATORY


def test_notes_say_what_was_expected_shown_and_without_effect() -> None:
    met, not_shown = (0.5, 0.125, 0.0002, 12, 10), (0.2, 0.2, 0.6, 12, 4)
    rules = (Rule("fire", ("jump",), *met), Rule("air", ("walk",), *not_shown))
    factor = FactorEffect("kinesphere", {"narrow": {}, "wide": {}}, 0.1, 0.4, True, 11, 11)
    footage = Evaluated(
        "net", "the elements", clips=528, recordings=48, rules=rules,
        counts={"fire": {"jump": 66, "wave": 66}},
        measured={"fire": {"jumps": Shown(12, 12), "falls": Shown(1, 12)}},
        factor=factor,
    )  # fmt: skip
    noisy = Evaluated("net", "noise", Score(0.5, 0.4, 0.6), Difference(-0.25, -0.3, -0.2), 40)
    notes = notes_of("robustness", [noisy, footage, Evaluated("net", "gone", problem="No such file.")])
    assert notes[0] == "robustness, recordings whose joints meet a rule: fire: jumps 12, falls 1 of 12."
    said = "\n".join(notes)
    assert "528 windows of 48 recordings: fire jump 50 %, wave 50 %." in said
    assert "fire: 50.0 % there, 12.5 % elsewhere, p below 0.001, in 10 of 12 recordings: met." in said
    assert "air: 20.0 % there, 20.0 % elsewhere, p 0.600, in 4 of 12 recordings: not shown." in said
    assert (
        "no effect shown, Cramér's V 0.10, p 0.400; 11 of 11 performers show several of its values." in said
    )
    assert "net, gone: not evaluated. No such file." in said
    report = StudyReport.__new__(StudyReport)
    object.__setattr__(report, "cells", ())
    (row,) = rows_of("robustness", report, [noisy, footage])
    assert row["top-1, %"] == "50.0 [40.0, 60.0]"
    assert row["change, points"] == "-25.0 [-30.0, -20.0]"


@pytest.mark.slow
def test_the_study_goes_from_the_set_to_its_answers(tmp_path: Path) -> None:
    few = replace(LABORATORY, classes=("jump", "wave"), performers=6, fps=8, duration_s=(1.0, 1.2))
    make(tmp_path, few, 1e-3, joints_only=True)
    changes = ["compute.workers=0", "compute.threads=1", "train.batch_size=4"]
    study = planned(NAMES[0], tmp_path, changes, twin=True, captured=True)
    sections = [
        each.model_copy(update={"expect": {"water": ("wave",), "fire": ("jump",)}} if each.unlabelled else {})
        for each in study.recipe.evaluate
    ]
    study = replace(study, recipe=study.recipe.model_copy(update={"evaluate": tuple(sections)}))
    report, evaluated = followed(study)
    assert not report.failed
    by_name = {(each.cell, each.condition): each for each in evaluated}
    assert by_name["dd_net", "by performers of training"].change is not None
    assert by_name["dd_net", "cameras from the side and behind"].change is not None
    plain = json.loads((study.folder / "report.json").read_text())
    assert len(plain["evaluations"]) == len(evaluated) == 2 * len(sections)
    assert by_name["stgcn", "the elements"].counts is not None
    assert by_name["stgcn", "the elements"].clips > by_name["stgcn", "the elements"].recordings == 4
    # A study elsewhere that asks for the same trainings takes them.
    other = planned(NAMES[0], tmp_path, changes, twin=True, captured=True)
    other = replace(other, folder=tmp_path / "other")
    assert take_finished(other, tmp_path / "studies") == ["robustness/dd_net", "robustness/stgcn"]
    assert take_finished(other, tmp_path / "studies") == []
