"""`train`: a recipe in, a run folder out."""

from __future__ import annotations

import csv
import gc
import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.core.companions import check_torchvision
from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.signals import advising, stoppable
from kinesphere.train.recipe import Recipe
from kinesphere.train.resume import check_data, check_samples, prepare, with_threads_of
from kinesphere.train.run_folder import RunFiles
from kinesphere.train.splits_csv import SplitTable

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.evaluate import Report
    from kinesphere.train.splits import Parts

log = logging.getLogger("kinesphere.train")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Where everything lies.
        recipe: What was followed, every `auto` decided.
        report: Scores of the test samples; of the validation samples where none are held out for
            testing; None where neither exists.
    """

    folder: Path
    recipe: Recipe
    report: Report | None

    @property
    def files(self) -> RunFiles:
        """Paths in the folder."""
        return RunFiles(self.folder)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Files that training or validation could not read; they are listed in `files.unreadable`.

        Raises:
            InvalidSetting: If that table is damaged.
        """
        if not self.files.unreadable.is_file():
            return ()
        try:
            with self.files.unreadable.open(newline="", encoding="utf-8") as file:
                return tuple(row["path"] for row in csv.DictReader(file))
        except (ValueError, LookupError, csv.Error) as error:
            raise InvalidSetting(
                f"{self.files.unreadable} is not the table that training writes ({error!r:.200}); delete it."
            ) from error


def train(
    recipe: Recipe,
    *,
    resume: bool = False,
    console: Console | None = None,
    advice: Callable[[], str] | None = None,
) -> Run:
    """Train and score a recogniser.

    Args:
        recipe: What to do. `out` names the run folder.
        resume: Continue the run in that folder from where it was stopped, as if it had not been; its
            weights come out the same, bit for bit, on the same CPU with the same number of threads. More
            `train.epochs` are followed.
        console: Where progress goes; None is standard error.
        advice: What to tell a user who stops the run; None says how to go on with it.

    Returns:
        The finished run.

    Raises:
        InvalidSetting: If settings contradict each other or the data; if the folder holds a run and
            `resume` is not set; or if a run is to be resumed with other settings or data.
        UnknownName: If there is no such loss or model.
        InUse: If another training is at work in the folder.
        UnwritableFile: If the folder or the disk refuses.
        InvalidManifest: If the data cannot be read.
        TooManyFailures: If too many samples are unreadable.
        TrainingDiverged: If the loss stops being a number.
    """
    from kinesphere.train.losses import check_loss
    from kinesphere.train.resolve import read_samples, resolve

    check_torchvision()
    check_loss(recipe.loss.name)
    with stoppable():
        manifest = read_samples(recipe)
        try:
            resolved, parts = resolve(recipe, manifest)
        except KinesphereError:
            if resume and recipe.out is not None:  # the reason may be that the data are others
                check_samples(RunFiles(Path(recipe.out)), manifest)
            raise
        files = RunFiles(Path(str(resolved.out)))
        with advising(advice or partial(how_to_go_on, files)), files.claimed():
            files.sweep()
            if resume and recipe.compute.threads == "auto":
                resolved = with_threads_of(files, resolved)
            if not prepare(files, resolved, parts, recipe.out, resume):
                return open_run(files.folder)
            try:
                resolved.dump(files.recipe)
                parts = _fit(resolved, parts, files, console)
            finally:
                if not files.holds_a_run:
                    files.clear_start()
            return Run(files.folder, resolved, _scored(resolved, parts, files))


def _fit(recipe: Recipe, parts: Parts, files: RunFiles, console: Console | None) -> Parts:
    """Train; the parts, with what a reader of the score must know of that."""
    if not files.splits.is_file():
        SplitTable.of(parts.whole, parts.uses(), parts.contents).write(files.splits)
    log.info("%s", _opening(recipe, parts))
    if recipe.probe.kinds:
        from kinesphere.train.probing import fit_probes

        return replace(parts, notes=(*parts.notes, fit_probes(recipe, parts, console)))
    if recipe.rebalance.method is not None:
        from kinesphere.train.rebalancing import rebalance

        return replace(parts, notes=(*parts.notes, rebalance(recipe, parts, console)))
    if recipe.compute.processes > 1:
        from kinesphere.train.launch import fit_in_processes

        fit_in_processes(files.folder, recipe.compute.processes)
    else:
        from kinesphere.train.trainer import fit

        fit(recipe, parts, console)
        # The trainer's parts refer to each other: until collected, they keep the optimiser's state.
        gc.collect()
    if recipe.unlabelled.method is not None:
        from kinesphere.train.history import read_history
        from kinesphere.train.semi_supervised import told

        note = told(read_history(files.metrics))
        log.info("%s", note)
        return replace(parts, notes=(*parts.notes, note))
    return parts


def how_to_go_on(files: RunFiles) -> str:
    """What to tell a user whose training was stopped."""
    if not (files.holds_a_run or files.holds_a_cross_validation):
        return "No state had been saved yet, so nothing is kept; the same command starts again."
    return f"Go on with: kinesphere train {shlex.quote(str(files.folder))} --resume"


def open_run(folder: str | Path) -> Run:
    """A finished run from its folder.

    Raises:
        InvalidSetting: If the folder holds no run, or its report is not readable.
    """
    from kinesphere.evaluate import Report

    files = RunFiles(Path(folder))
    if not files.recipe.is_file():
        raise InvalidSetting(f"{folder} is no run folder: it holds no {files.recipe.name}.")
    report = Report.read(files.report) if files.report.is_file() else None
    return Run(files.folder, Recipe.load(files.recipe), report)


def open_test(folder: str | Path) -> Run:
    """Score the test samples of a finished run that has left them alone (`test.open: false`).

    The scores of its validation samples are replaced. A run whose test is open stays as it is.

    Raises:
        InvalidSetting: If the folder holds no finished run, or the data are not those that it was begun with.
        InUse: If a training is at work in the folder.
    """
    from kinesphere.train.resolve import read_samples, resolve

    run = open_run(folder)
    if run.report is None:
        raise InvalidSetting(f"The run in {folder} is not finished, so its test cannot be opened; resume it.")
    if run.recipe.test.open and run.report.protocol.split == "test":
        return run
    with stoppable(), run.files.claimed():
        opened = run.recipe.model_copy(update={"test": run.recipe.test.model_copy(update={"open": True})})
        resolved, parts = resolve(opened, read_samples(opened))
        check_data(run.files, parts)
        resolved.dump(run.files.recipe)
        return Run(run.folder, resolved, _scored(resolved, parts, run.files))


def _opening(recipe: Recipe, parts: Parts) -> str:
    where = f"{recipe.compute.device}, {recipe.compute.precision}{_threads(recipe)}; {recipe.out}"
    if recipe.pretrain.method is not None:
        kept = sum(len(part) for part in (parts.val, parts.test) if part is not None)
        return (
            f"{recipe.model.name}, pre-training ({recipe.pretrain.method}): {len(parts.train)} clips to "
            f"learn from, {kept} kept away for the test of runs that start from it; {where}"
        )
    counts = [f"{len(parts.train)} to train on"]
    counts += [
        f"{len(part)} to {use}"
        for part, use in ((parts.val, "validate on"), (parts.test, "test on"))
        if part is not None
    ]
    return f"{recipe.model.name} on {len(parts.train.labels)} classes: {', '.join(counts)}; {where}"


def _threads(recipe: Recipe) -> str:
    number = recipe.compute.threads
    return "" if number == "auto" else f", {number} thread{'s' * (number > 1)}"


def _scored(recipe: Recipe, parts: Parts, files: RunFiles) -> Report | None:
    """Evaluate the kept weights; those of a joint training on each of its data sets."""
    from kinesphere.train.start import start_notes

    parts = replace(parts, notes=(*parts.notes, *start_notes(files.start)))
    if not recipe.joint.sets:
        return _score(recipe, parts, files)
    from kinesphere.train.joint_scores import score_sets, write_models

    write_models(recipe, parts, files)
    return score_sets(recipe, parts, files, _score)


def _score(recipe: Recipe, parts: Parts, files: RunFiles) -> Report | None:
    """Evaluate the kept weights on what was held out, and write report and predictions."""
    from kinesphere.clips.spec import Views
    from kinesphere.evaluate import collect, report_on
    from kinesphere.predict import load
    from kinesphere.train.resolve import extracts, frame_cache

    if recipe.pretrain.method is not None:  # what it answers means nothing
        return None
    is_open = parts.test is not None and recipe.test.open
    held_out, split = (parts.test, "test") if is_open else (parts.val, "val")
    if held_out is None:
        return None
    predictor = load(files.model, compute=recipe.compute.choose())
    views = Views.parse(recipe.test.views)
    predictions = collect(
        predictor,
        held_out,
        views=views,
        batch_size=recipe.train.batch_size,
        workers=recipe.compute.workers,
        cache=frame_cache(recipe.data),
        extracts=extracts(recipe.data),
        background=recipe.test.background,
    )
    report = report_on(
        predictor, held_out, predictions, views, dataset=Path(recipe.data.source[0]).stem, split=split,
        background=recipe.test.background, date=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=parts.notes, shots=recipe.test.shots,
    )  # fmt: skip
    predictions.write(files.predictions)
    report.write(files.report)
    return report
