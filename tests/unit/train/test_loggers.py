from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kinesphere.core.errors import MissingExtra
from kinesphere.train.loggers import make_loggers
from kinesphere.train.recipe import Recipe


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_missing_tracker_names_the_extra(
    tracker: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"log.{tracker} needs {tracker}.*kinesphere\[track\]"):
        make_loggers(recipe.override(f"log.{tracker}={tmp_path}"), tmp_path, 0)


def test_mlflow_continues_its_run(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    recipe = recipe.override(f"log.mlflow={tmp_path / 'mlruns'}")
    first, again = (make_loggers(recipe, tmp_path, 0)[0] for _ in range(2))
    assert first.version == again.version
    assert (tmp_path / "mlflow-run-id").read_text() == first.version
