"""Cross-validation: one run per fold, one report over all predictions out of fold."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.signals import advising, stoppable
from kinesphere.core.structured import read_json
from kinesphere.train.recipe import Recipe
from kinesphere.train.resume import check_settings, refuse_data
from kinesphere.train.run import Run, how_to_go_on, train
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import ELSEWHERE, Part, SplitTable

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.data.content import Content
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
    that training runs its full length; a fraction given is taken from the fold's training part.

    Args:
        recipe: What to do in each fold; `data.test` is not used. `out` names the folder.
        folds: Number of folds (stratified, groups kept whole), or one per group.
        resume: Keep finished folds, continue the one that was stopped.
        console: Where progress goes; None is standard error.

    Raises:
        InvalidSetting: If the data cannot be folded so, the folder holds a run and `resume` is not set, it
            is to be resumed with other settings, data or folds, or `out` is missing.
        InUse: If another training is at work in the folder.
    """
    if recipe.out is None:
        raise InvalidSetting("Cross-validation needs a folder for its runs; give it as `out`.")
    folder = Path(recipe.out).resolve()
    files = RunFiles(folder)
    recipe = recipe.model_copy(update={"out": str(folder)})
    with stoppable(), advising(partial(how_to_go_on, files)), files.claimed():
        files.sweep()
        _prepare(files, recipe, folds, resume)
        try:
            return _cross_validate(recipe, folds, files, resume, console)
        finally:
            if not files.holds_a_cross_validation:
                files.folds.unlink(missing_ok=True)
                files.recipe.unlink(missing_ok=True)


def stored_folds(folder: str | Path) -> Folds | None:
    """How the folds of a cross-validation that has begun in a folder are made; None if there is none.

    Raises:
        InvalidSetting: If the file that says so is damaged.
    """
    path = RunFiles(Path(folder)).folds
    if not path.is_file():
        return None
    try:
        folds = read_json(path, InvalidSetting)["folds"]
        if folds == "leave_one_group_out" or (isinstance(folds, int) and folds >= 2):
            return folds  # type: ignore[no-any-return]
        raise ValueError(f"it says {folds!r}")
    except (InvalidSetting, ValueError, KeyError, TypeError) as error:
        raise InvalidSetting(
            f"{path} does not say how the folds are made ({error}); delete the folder and start again."
        ) from error


def _prepare(files: RunFiles, recipe: Recipe, folds: Folds, resume: bool) -> None:
    """Make the folder that of this cross-validation, or see that it is already."""
    begun = files.holds_a_cross_validation
    if files.holds_a_run and not begun:
        raise InvalidSetting(f"{files.folder} already holds a run; choose another `out`, or delete it.")
    if begun and not resume:
        raise InvalidSetting(
            f"{files.folder} already holds a cross-validation; resume it, choose another `out`, or delete it."
        )
    if begun and files.recipe.is_file():
        if (then := stored_folds(files.folder)) != folds:
            raise InvalidSetting(
                f"The cross-validation in {files.folder} was begun with folds {then}, not {folds}; their "
                "tests do not belong together. Resume it with its own, or choose another `out`."
            )
        check_settings(files, recipe)
    recipe.dump(files.recipe)
    write_text(files.folds, json.dumps({"folds": folds}))


def _cross_validate(
    recipe: Recipe, folds: Folds, files: RunFiles, resume: bool, console: Console | None
) -> CrossValidation:
    from kinesphere.data.content import contents_of
    from kinesphere.data.faults import copies_together, same_content
    from kinesphere.data.split import kfold, leave_one_group_out
    from kinesphere.train.joint import refuse_joint
    from kinesphere.train.losses import check_loss
    from kinesphere.train.resolve import read_data

    refuse_joint(recipe, "A cross-validation")
    check_loss(recipe.loss.name)
    manifest = read_data(recipe.data)
    contents = contents_of(sample.path for sample in manifest)
    manifest = copies_together(manifest, same_content(contents))
    if folds == "leave_one_group_out":
        rounds, protocol = leave_one_group_out(manifest), "leave one group out"
    else:
        rounds = kfold(manifest, folds, recipe.train.seed)
        protocol = f"{folds}-fold" + (" by group" if manifest.groups else "")
    places = [RunFiles(files.folder / f"fold-{number}") for number in range(1, len(rounds) + 1)]
    if files.holds_a_cross_validation:
        for fold, place in zip(rounds, places, strict=True):
            _check_fold(manifest, fold, place, contents)
    files.clear_scores()
    runs = []
    for number, (fold, place) in enumerate(zip(rounds, places, strict=True), start=1):
        log.info("Fold %d of %d: %s", number, len(rounds), fold.name)
        run = _run_fold(recipe, manifest, fold, place, resume, console, partial(how_to_go_on, files))
        runs.append(run)
        if run.report is not None:
            log.info("Fold %s: %s", fold.name, run.report.line())
    report = _pooled(files.folder, rounds, runs, manifest, protocol)
    return CrossValidation(files.folder, tuple(runs), report)


def _parts(manifest: Manifest, fold: Fold) -> dict[str, Part]:
    tested = {sample.id for sample in fold.test}
    return {sample.id: "test" if sample.id in tested else "train" for sample in manifest}


def _check_fold(manifest: Manifest, fold: Fold, files: RunFiles, contents: dict[Path, Content]) -> None:
    """Refuse to go on with a fold of other data, or of data that were parted otherwise."""
    if not (files.holds_a_run and files.splits.is_file()):
        return
    now = SplitTable.of(manifest, _parts(manifest, fold), contents)
    then = SplitTable.read(files.splits)
    # What validates a fold or loses its label is taken from its training part by the run itself.
    own = (row for row in then if not row.id.startswith(ELSEWHERE))
    rows = tuple(row if row.part == "test" else replace(row, part="train") for row in own)
    if changed := now.differences(SplitTable(rows)):
        raise refuse_data(files, changed)


def _run_fold(
    recipe: Recipe,
    manifest: Manifest,
    fold: Fold,
    files: RunFiles,
    resume: bool,
    console: Console | None,
    advice: Callable[[], str],
) -> Run:
    """The run of one fold. Its split lies beside it as a table, so the fold's recipe stands alone."""
    table = files.folder / "samples.csv"
    manifest.with_splits(_parts(manifest, fold)).write(table, label_column=recipe.data.label_column)
    val = 0.0 if recipe.data.val == "auto" else recipe.data.val
    own = {"source": (str(table),), "split_column": "split", "val": val, "test": "test"}
    data = recipe.data.model_copy(update=own)
    probe = recipe.probe
    if probe.kinds and probe.cache is None:  # the features of a clip are those of all folds
        probe = probe.model_copy(update={"cache": str(RunFiles(files.folder.parent).features)})
    fold_recipe = recipe.model_copy(update={"data": data, "probe": probe, "out": str(files.folder)})
    try:
        return train(fold_recipe, resume=resume and files.holds_a_run, console=console, advice=advice)
    finally:
        if not files.holds_a_run:
            table.unlink(missing_ok=True)
            with suppress(OSError):  # other things may lie there
                files.folder.rmdir()


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
        first.environment,
        notes=tuple(dict.fromkeys(note for run in runs if run.report for note in run.report.notes)),
    )
    files = RunFiles(folder)
    pooled.write(files.predictions)
    report.write(files.report)
    return report
