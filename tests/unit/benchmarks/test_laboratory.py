"""The laboratory's benchmark holds starts against each other by scarcity, and runs its recipes end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.laboratory import (
    NAMES,
    RECIPES,
    answer,
    cell_row,
    followed,
    lift,
    lift_notes,
    make,
    planned,
    scarcities,
)

from kinesphere.core.labels import LabelSet
from kinesphere.data.sample import Sample
from kinesphere.evaluate.predictions import Predictions
from kinesphere.studies.matrix import Study
from kinesphere.studies.study_recipe import StudyRecipe
from kinesphere.synthetic import LABORATORY
from kinesphere.synthetic.laboratory.scale import DIMENSIONS

LABELS = LabelSet(("walk straight", "walk winding"))


def answers(truth: list[int], said: list[int]) -> Predictions:
    samples = [
        Sample(str(i), Path(f"{i}.npz"), (LABELS.names[k],), group=f"performer{i % 4}")
        for i, k in enumerate(truth)
    ]
    return Predictions.of(samples, LABELS, np.array(truth), np.eye(2)[said])


def test_classes_are_grouped_by_how_often_their_most_frequent_sibling_occurs() -> None:
    found = scarcities()
    assert sum(len(each.labels) for each in found) == sum(len(each.levels) for each in DIMENSIONS)
    assert len(found[0].labels) >= len(DIMENSIONS)
    assert "walk winding" in found[-1].labels
    assert "walk curved" in found[1].labels


def test_a_lift_is_that_of_the_clips_of_its_classes() -> None:
    truth = [0, 0, 0, 0, 1, 1, 1, 1]
    first = [answers(truth, [0] * 8), answers(truth, [0] * 8)]
    second = [answers(truth, [1, 0, 0, 0, 1, 1, 1, 1]), answers(truth, [0, 0, 0, 0, 1, 1, 0, 0])]
    found = lift(first, second, frozenset({"walk winding"}))
    assert found is not None
    assert (found.clips, found.first, found.second) == (4, 0.0, 0.75)
    assert found.difference.value == pytest.approx(0.75)
    assert lift(first, second, frozenset({"jump long"})) is None


@pytest.mark.parametrize("name", [*NAMES, "robustness", "robustness_rgb"])
def test_the_recipes_are_studies_of_the_laboratory(name: str) -> None:
    study = Study.plan(StudyRecipe.load(RECIPES / f"{name}.yaml"))
    assert all(name in study.names for pair in study.pairs for name in pair)
    sources = {source for cell in study.cells for source in cell.recipe.data.source}
    assert {Path(source).parts[1] for source in sources} <= {"laboratory", "styles"}
    if name == "transfer":
        left = planned(name, Path("work"), twin=True, captured=False)
        assert {cell.name for cell in left.cells} == {
            f"{start}-dd_net" for start in ("scratch", "base", "movements")
        }
        assert {cell.recipe.train.epochs for cell in left.cells} == {2}
        assert ("benchmark-dd_net", "base-dd_net") not in left.pairs


@pytest.mark.slow
def test_the_twin_goes_from_nothing_to_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINESPHERE_TEST_DATA", raising=False)
    few = replace(LABORATORY, classes=("jump", "walk"), performers=6, fps=8, duration_s=(1.0, 1.2))
    assert not make(tmp_path, few, 1e-3, joints_only=True)
    changes = ["compute.workers=0", "compute.threads=1", "train.batch_size=4"]
    study = planned("transfer", tmp_path, changes, twin=True, captured=False)
    report = followed(study)
    assert not report.failed
    assert (study.folder / "report.html").is_file()
    assert cell_row("transfer", report.cells[0])["seeds"] == 1
    assert any("classes above, up to 8:1" in note for note in lift_notes(report))
    question = "Does base pre-training lift the scarce evaluations (laboratory_transfer)?"
    assert answer(report).startswith(question)
