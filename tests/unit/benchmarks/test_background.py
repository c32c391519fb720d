"""Goals about backgrounds are held against studies, misses included."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.background import (
    CORRELATIONS,
    LEARNERS,
    goals_of,
    learners_of,
    notes_of,
    recipe_of,
    rows_of,
    settings_of,
)

from kinesphere.evaluate.metrics import Score
from kinesphere.studies.background import BackgroundStudy, Cell, ModelStudy
from kinesphere.studies.comparison import Answered, compare
from kinesphere.studies.conditions import CONDITIONS


def study(correlation: float, *taken: float) -> BackgroundStudy:
    """Models of which so many answer with the background's class."""
    cells = [
        tuple(Cell(each, Score(0.8), Score(share) if each.is_swapped else None, {}) for each in CONDITIONS)
        for share in taken
    ]
    said = Answered(
        {each.name: np.zeros(4, int) for each in CONDITIONS}, np.zeros(4, int), np.ones(4, int), (None,) * 4
    )
    models = [ModelStudy("m", own, Score(0.1), "Both count: so it is.") for own in cells]
    return BackgroundStudy(
        tuple(models), 4, 2, (), (), (0, 0, 0), tuple(compare(("a", "b"), said, said) for _ in models[1:])
    )


@pytest.mark.parametrize(
    ("rgb", "poses", "cured", "says"),
    [
        ((0.1, 0.3, 0.7), 0.05, 0.2, ["met"] * 4),
        ((0.3, 0.1, 0.4), 0.2, 0.5, ["missed"] * 4),
    ],
)
def test_goals_are_met_or_missed(rgb: tuple[float, ...], poses: float, cured: float, says: list[str]) -> None:
    studies = {
        correlation: study(correlation, share, poses, *([cured] * 3 if correlation == 0.95 else []))
        for correlation, share in zip(CORRELATIONS, rgb, strict=True)
    }
    assert [line.rpartition(": ")[2] for line in goals_of(studies)] == says
    assert len(rows_of(studies)) == 2 + 2 + 5
    assert rows_of(studies)[-1]["verdict"] == "Both count"
    assert notes_of(studies)[0].startswith("poses against RGB at 0.95: +0.0 points")


def test_every_learner_has_a_recipe_and_every_set_its_settings(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for learner in LEARNERS:
        recipe = recipe_of(learner, tmp_path / "manifest.csv", tmp_path / "run")
        assert recipe.model.name == learner.model
    assert len(learners_of(0.5)) == 2
    assert [settings_of(each).background_correlation for each in CORRELATIONS] == list(CORRELATIONS)
    assert settings_of(0.95).test_background_correlation == 0
