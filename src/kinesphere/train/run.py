"""`train`: a recipe in, a run folder out."""

from __future__ import annotations

import csv
import gc
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.core.companions import check_torchvision
from kinesphere.core.errors import InvalidSetting
from kinesphere.train.files import RunFiles
from kinesphere.train.recipe import Recipe
from kinesphere.train.splits import SplitTable

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.evaluate import Report
    from kinesphere.train.parts import Parts

log = logging.getLogger("kinesphere.train")

RESUMABLE_CHANGES = ("out", "log.", "test.", "compute.workers", "train.checkpoint_")
"""Settings that may differ when a run is resumed, because they leave its weights as they are."""


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
        """Files that training or validation could not read; they are listed in `files.unreadable`."""
        if not self.files.unreadable.is_file():
            return ()
        with self.files.unreadable.open(newline="", encoding="utf-8") as file:
            return tuple(row["path"] for row in csv.DictReader(file))


def train(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> Run:
    """Train and score a recogniser.

    Args:
        recipe: What to do. `out` names the run folder.
        resume: Continue the run in that folder from where it was stopped, as if it had not been; its
            weights come out the same, bit for bit, on the same CPU with the same number of threads.
        console: Where progress goes; None is standard error.

    Returns:
        The finished run.

    Raises:
        InvalidSetting: If settings contradict each other or the data; if the folder holds a run and
            `resume` is not set; or if a run is to be resumed with other settings.
        InvalidManifest: If the data cannot be read.
        TooManyFailures: If too many samples are unreadable.
        TrainingDiverged: If the loss stops being a number.
    """
    from kinesphere.train.resolve import read_data, resolve

    check_torchvision()
    manifest = read_data(recipe.data)
    resolved, parts = resolve(recipe, manifest)
    files = RunFiles(Path(str(resolved.out)))
    _claim(files, resolved, recipe.out, resume)
    if resume and files.report.is_file():
        return open_run(files.folder)
    files.sweep()
    resolved.dump(files.recipe)
    if not files.splits.is_file():
        SplitTable.of(parts.whole, parts.uses(), parts.contents).write(files.splits)
    log.info("%s", _opening(resolved, parts))
    if resolved.compute.processes > 1:
        from kinesphere.train.launch import fit_in_processes

        fit_in_processes(files.folder, resolved.compute.processes)
    else:
        from kinesphere.train.fitting import fit

        fit(resolved, parts, console)
        # The trainer's parts refer to each other: until collected, they keep the loaders' processes.
        gc.collect()
    return Run(files.folder, resolved, _score(resolved, parts, files))


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


def _claim(files: RunFiles, resolved: Recipe, out: str | None, resume: bool) -> None:
    """Refuse to mix two runs in one folder."""
    exists = files.recipe.is_file()
    if not resume:
        if exists:
            raise InvalidSetting(
                f"{files.folder} already holds a run; resume it, choose another `out`, or delete it."
            )
        return
    if out is None:
        raise InvalidSetting("Resuming needs the run's folder; give it as `out`.")
    if not exists:
        log.warning("%s holds no run yet; starting it.", files.folder)
        return
    before = Recipe.load(files.recipe)
    changed = [line for line in resolved.differences(before) if not line.startswith(RESUMABLE_CHANGES)]
    if changed:
        raise InvalidSetting(
            f"The run in {files.folder} was begun with other settings (now / then): {'; '.join(changed)}. "
            "Resume it with its own recipe.yaml, or choose another `out`."
        )


def _opening(recipe: Recipe, parts: Parts) -> str:
    counts = [f"{len(parts.train)} to train on"]
    counts += [
        f"{len(part)} to {use}"
        for part, use in ((parts.val, "validate on"), (parts.test, "test on"))
        if part is not None
    ]
    return (
        f"{recipe.model.name} on {len(parts.train.labels)} classes: {', '.join(counts)}; "
        f"{recipe.compute.device}, {recipe.compute.precision}; {recipe.out}"
    )


def _score(recipe: Recipe, parts: Parts, files: RunFiles) -> Report | None:
    """Evaluate the kept weights on what was held out, and write report and predictions."""
    from kinesphere.clips.spec import Views
    from kinesphere.evaluate import collect, protocol_of, provenance_of, report_from_predictions
    from kinesphere.predict import load
    from kinesphere.train.resolve import extracts, frame_cache

    held_out, split = (parts.test, "test") if parts.test is not None else (parts.val, "val")
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
    dataset = Path(recipe.data.source[0]).stem
    protocol = protocol_of(
        predictor, held_out, views, dataset=dataset, split=split, background=recipe.test.background
    )
    date = datetime.now(UTC).isoformat(timespec="seconds")
    report = report_from_predictions(predictions, protocol, provenance_of(predictor, date), notes=parts.notes)
    predictions.write(files.predictions)
    report.write(files.report)
    return report
