"""Cross-validation: one run per fold, one report over all predictions out of fold."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinesphere.core.errors import InvalidSetting
from kinesphere.train.files import RunFiles
from kinesphere.train.recipe import Recipe
from kinesphere.train.run import Run, open_run, train

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.data.manifest import Manifest
    from kinesphere.data.split import Fold
    from kinesphere.evaluate import Report

log = logging.getLogger("kinesphere.train")

Folds = int | Literal["leave_one_group_out"]


@dataclass(frozen=True)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        folder: Holds a run per fold, `report.json` and `predictions.parquet`.
        runs: One per fold.
        report: Scores over the pooled predictions: every sample once, by the model that never saw it.
    """

    folder: Path
    runs: tuple[Run, ...]
    report: Report


def cross_validate(
    recipe: Recipe,
    folds: Folds = "leave_one_group_out",
    *,
    resume: bool = False,
    console: Console | None = None,
) -> CrossValidation:
    """Train and score once per fold, and score all folds together.

    Nothing about a fold's test part steers its training: `data.val`, where it is `auto`, becomes 0, so
    that training runs its full length; a share given is taken from the fold's training part.

    Args:
        recipe: What to do in each fold; `data.test` is not used. `out` names the folder.
        folds: Number of folds (stratified, groups kept whole), or one per group.
        resume: Keep finished folds, continue the one that was stopped.
        console: Where progress goes; None is standard error.

    Raises:
        InvalidSetting: If the data cannot be folded so, the folder holds something and `resume` is not
            set, or `out` is missing.
    """
    from kinesphere.data.content import contents_of
    from kinesphere.data.faults import copies_together, same_content
    from kinesphere.data.split import kfold, leave_one_group_out
    from kinesphere.train.resolve import read_data

    if recipe.out is None:
        raise InvalidSetting("Cross-validation needs a folder for its runs; give it as `out`.")
    folder = Path(recipe.out).resolve()
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise InvalidSetting(f"{folder} is not empty; resume it, choose another `out`, or delete it.")
    manifest = read_data(recipe.data)
    copies = same_content(contents_of(sample.path for sample in manifest))
    manifest = copies_together(manifest, copies)
    if folds == "leave_one_group_out":
        rounds, protocol = leave_one_group_out(manifest), "leave one group out"
    else:
        rounds = kfold(manifest, folds, recipe.train.seed)
        protocol = f"{folds}-fold" + (" by group" if manifest.groups else "")
    runs = []
    for number, fold in enumerate(rounds, start=1):
        log.info("Fold %d of %d: %s", number, len(rounds), fold.name)
        run = _run_fold(recipe, manifest, fold, folder / f"fold-{number}", resume, console)
        runs.append(run)
        if run.report is not None:
            log.info("Fold %s: %s", fold.name, run.report.line())
    return CrossValidation(folder, tuple(runs), _pooled(folder, rounds, runs, manifest, protocol))


def _run_fold(
    recipe: Recipe, manifest: Manifest, fold: Fold, folder: Path, resume: bool, console: Console | None
) -> Run:
    """The run of one fold. Its split lies beside it as a table, so the fold's recipe stands alone."""
    files = RunFiles(folder)
    if resume and files.report.is_file():
        return open_run(folder)
    table = folder / "samples.csv"
    tested = {sample.id for sample in fold.test}
    splits = {sample.id: "test" if sample.id in tested else "train" for sample in manifest}
    manifest.with_splits(splits).write(table, label_column=recipe.data.label_column)
    val = 0.0 if recipe.data.val == "auto" else recipe.data.val
    own = {"source": (str(table),), "split_column": "split", "val": val, "test": "test"}
    data = recipe.data.model_copy(update=own)
    fold_recipe = recipe.model_copy(update={"data": data, "out": str(folder)})
    return train(fold_recipe, resume=resume and files.recipe.is_file(), console=console)


def _pooled(folder: Path, folds: list[Fold], runs: list[Run], manifest: Manifest, protocol: str) -> Report:
    from kinesphere.evaluate import Predictions, report_from_predictions

    parts = [
        Predictions.read(run.files.predictions).in_fold(fold.name)
        for fold, run in zip(folds, runs, strict=True)
    ]
    pooled = Predictions.pooled(parts)
    first = runs[0].report
    assert first is not None  # every fold has a test part
    report = report_from_predictions(
        pooled,
        replace(first.protocol, fingerprint=manifest.fingerprint(), split=protocol),
        first.provenance,
        notes=tuple(dict.fromkeys(note for run in runs if run.report for note in run.report.notes)),
    )
    files = RunFiles(folder)
    pooled.write(files.predictions)
    report.write(files.report)
    return report
