"""`list_runs`: which run folders lie under a folder, how far they came, and what they scored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.paths import is_folder
from kinesphere.core.skipped import Skipped
from kinesphere.evaluate.report import Report
from kinesphere.train.history import Row, read_history
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles

_DEEPEST = 6


@dataclass(frozen=True, eq=False)
class ListedRun:
    """A run folder as a list shows it.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        pretrained: What it started from; None for from scratch.
        data: What it learnt from.
        epochs: Epochs of which metrics.csv tells; of a cross-validation those of its last fold.
        folds: Folds begun of a cross-validation; 0 where it is none.
        report: Scores of the held-out clips; None for a run that is not finished, or is `unscored`.
        unscored: Whether it is finished and has no score: it held nothing out, or learnt without labels.
        pretrains: Whether it learns without labels, for others to start from.
        changed: When the report, or else the recipe, was written.
    """

    folder: Path
    model: str
    pretrained: str | None
    data: tuple[str, ...]
    epochs: int
    folds: int
    report: Report | None
    unscored: bool
    pretrains: bool
    changed: datetime

    def to_json(self) -> dict[str, Any]:
        """Plain values; `scores` as in report.json, empty where there is no report."""
        report = None if self.report is None else self.report.to_json()
        return {
            "run": str(self.folder),
            "model": self.model,
            "pretrained": self.pretrained,
            "data": list(self.data),
            "epochs": self.epochs,
            "folds": self.folds,
            "finished": report is not None or self.unscored,
            "scores": {} if report is None else report["scores"],
            "clips": None if report is None else report["clips"],
            "skipped": None if report is None else len(report["skipped"]),
            "changed": self.changed.isoformat(timespec="seconds"),
        }


def list_runs(folder: str | Path) -> tuple[list[ListedRun], list[Skipped]]:
    """The runs in a folder and below, the newest first, and those that cannot be read.

    Folds of a cross-validation belong to its run and are not listed on their own. Links to folders are not
    followed, and folders lie at most six deep.

    Args:
        folder: Where to look.

    Raises:
        InvalidSetting: If it is no folder.
    """
    root = Path(folder)
    if not is_folder(root):
        raise InvalidSetting(f"There is no folder {str(folder)!r} to look for runs in; check the path.")
    runs, unreadable = [], []
    for found in _run_folders(root):
        try:
            runs.append(_listed(RunFiles(found)))
        except KinesphereError as error:
            unreadable.append(Skipped.because(str(found), error))
    return sorted(runs, key=lambda run: run.changed, reverse=True), unreadable


def _run_folders(root: Path) -> Iterator[Path]:
    for place, inner, files in os.walk(root):
        here = Path(place)
        if RunFiles(here).recipe.name in files:
            inner.clear()
            yield here
        elif len(here.relative_to(root).parts) >= _DEEPEST:
            inner.clear()
        inner.sort()


def _listed(files: RunFiles) -> ListedRun:
    recipe = Recipe.load(files.folder)
    folds = sorted(each for each in files.folder.glob("fold-*") if RunFiles(each).holds_a_run)
    metrics = RunFiles(folds[-1]).metrics if folds else files.metrics
    history = read_history(metrics) if metrics.is_file() else []
    finished = files.report.is_file()
    pretrained = recipe.model.pretrained
    return ListedRun(
        folder=files.folder,
        model=recipe.model.name,
        pretrained=str(pretrained) if pretrained else None,
        data=tuple(recipe.data.source),
        epochs=len(history),
        folds=len(folds),
        report=Report.read(files.report) if finished else None,
        unscored=not finished and not folds and _is_whole(recipe, history),
        pretrains=recipe.pretrain.method is not None,
        changed=datetime.fromtimestamp(
            (files.report if finished else files.recipe).stat().st_mtime, tz=UTC
        ).astimezone(),
    )


def _is_whole(recipe: Recipe, history: list[Row]) -> bool:
    """Whether a training that scores nothing came to its end, which no report says."""
    is_scored = recipe.pretrain.method is None and (recipe.data.val != 0 or recipe.data.test != 0)
    if is_scored or not history:
        return False
    if recipe.train.steps is not None:
        return (history[-1].get("step") or 0) >= recipe.train.steps
    return recipe.train.epochs is not None and len(history) >= recipe.train.epochs
