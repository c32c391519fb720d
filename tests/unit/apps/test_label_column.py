"""A run is scored on the column of labels that it learnt from, or says which one that was."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.apps.cli.evaluate import naming_column
from kinesphere.core.errors import LabelMismatch
from kinesphere.core.labels import LabelSet
from kinesphere.train.recipe import Recipe

GRADES = LabelSet(("little", "medium", "max"))


def run_on(folder: Path, column: str) -> Path:
    Recipe.build({"data": {"source": "windows.csv", "label_column": column}}).dump(folder / "recipe.yaml")
    return folder


def test_labels_of_another_column_are_told_with_the_one_that_was_learnt(tmp_path: Path) -> None:
    learnt = "learnt the labels of the column 'strength', and .* from 'label'; give --label-column strength"
    said = f"'walk' is not among the 3 labels .* {learnt}"
    with pytest.raises(LabelMismatch, match=said), naming_column(run_on(tmp_path, "strength"), "label"):
        GRADES.index("walk")


def test_nothing_is_added_where_the_column_is_right_or_nobody_knows(tmp_path: Path) -> None:
    plain = r"not among the 3 labels of this set\.$"
    for model, given in ((run_on(tmp_path, "strength"), "strength"), (tmp_path / "model.onnx", "label")):
        with pytest.raises(LabelMismatch, match=plain), naming_column(model, given):
            GRADES.index("walk")
