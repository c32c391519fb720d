"""`kinesphere study RECIPE`: a matrix of runs, gone on with where it stopped, and one report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from kinesphere.apps.cli.console import check_results, console, end, print_json, say
from kinesphere.apps.cli.options import Json
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.apps.html.examples import FindPoses
    from kinesphere.studies.matrix import CellRun, Study
    from kinesphere.studies.results import StudyReport
    from kinesphere.studies.running import Finished, Outcome, Train

_RECIPES = (".yaml", ".yml")
_GOES_ON = "What is finished is kept; the same command goes on from there, within the run that was at work."

Out = Annotated[Path | None, typer.Option(help="Folder of the study; default: runs/<name>.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Runs at a time; default: one for every four cores.")
]


class StudyGroup(TyperGroup):
    """Studies by name, and a recipe in the place of a name: `study FILE.yaml` is `study run FILE.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words with the name that was left out."""
        words = [word for word in args if not word.startswith("-")]
        named = bool(words) and words[0] in self.commands
        if not named and any(word.lower().endswith(_RECIPES) for word in words):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def run(
    recipe: Annotated[Path, typer.Argument(help="The study (YAML): base, matrix, seeds.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Changes: seeds, root, jobs or name of the study, section.key of its base.",
        ),
    ] = None,
    out: Out = None,
    jobs: Jobs = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and how far each is; train nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a matrix of runs and report on all of them; the same command goes on.

    `kinesphere study RECIPE.yaml` is short for it.
    """
    from kinesphere.apps.html.study import render_study
    from kinesphere.core.files import write_text
    from kinesphere.studies.evaluations import evaluate_cells
    from kinesphere.studies.matrix import Study
    from kinesphere.studies.results import FILE_NAME, PAGE_NAME, report_on_study
    from kinesphere.studies.running import jobs_of, run_study
    from kinesphere.studies.study_recipe import StudyRecipe

    settings = StudyRecipe.load(recipe, overrides or ())
    if out is not None:
        settings = settings.model_copy(update={"out": str(out)})
    study = Study.plan(settings)
    if dry_run:
        _print_plan(study, as_json)
        return
    check_results("--out", study.folder)
    advise(_GOES_ON)
    telling = _Told(quiet=as_json)
    finished = run_study(study, telling, jobs=jobs_of(study, jobs), train=_shown(quiet=as_json))
    _write_pages(finished)
    report = report_on_study(finished)
    evaluated = evaluate_cells(report.cells, settings.evaluate, settings.root, telling.says)
    page = study.folder / PAGE_NAME
    plain = {**report.to_json(), "evaluations": [each.to_json() for each in evaluated]}
    write_text(study.folder / FILE_NAME, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    write_text(page, render_study(report, evaluated, _poses_of(report)))
    if as_json:
        print_json({**plain, "report": str(page)})
    else:
        _print(report)
        console().print(f"report  {page}", soft_wrap=True)
    end(len(report.failed) + sum(each.problem is not None for each in evaluated))


def _poses_of(report: StudyReport) -> FindPoses | None:
    """Finds the skeletons that the best cell saw."""
    from kinesphere.apps.html import pose_finder
    from kinesphere.models import card
    from kinesphere.train.recipe import RECIPE_FILE, Recipe
    from kinesphere.train.resolve import extracts

    if not report.cells:
        return None
    best = max(report.cells, key=lambda cell: cell.score.value)
    folder = best.first.folder
    is_run = (folder / RECIPE_FILE).is_file()  # else it is a data set of a joint training: RUN/sets/NAME
    followed = Recipe.load(folder if is_run else folder.parents[1])
    return pose_finder(card(followed.model.name).inputs, extracts(followed.data))


def _write_pages(finished: Finished) -> None:
    """The report of each run as a page, where it is missing or older than its scores."""
    from kinesphere.apps.html import pose_finder, write_report_html
    from kinesphere.models import card
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import extracts
    from kinesphere.train.run_folder import RunFiles

    for outcome in finished.outcomes:
        files = RunFiles(outcome.run.folder)
        if outcome.problem is not None or not files.report.is_file():
            continue
        if files.page.is_file() and files.page.stat().st_mtime_ns >= files.report.stat().st_mtime_ns:
            continue
        followed = Recipe.load(files.folder)
        poses = pose_finder(card(followed.model.name).inputs, extracts(followed.data))
        write_report_html(files.folder, poses=poses)


def _shown(*, quiet: bool) -> Train:
    """Trains one run after the other so that a terminal shows how far each is; elsewhere they are silent."""
    from functools import partial

    from kinesphere.studies.cell_run import train_cell

    screen = console(to_stderr=True)
    return partial(train_cell, console=screen) if screen.is_terminal and not quiet else train_cell


class _Told:
    """Says a line when a run begins and when it ends."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._began: dict[Path, float] = {}

    def begins(self, run: CellRun, number: int, total: int) -> None:
        self._began[run.folder] = time.monotonic()
        if not self._quiet:
            text = f"{run.cell.name}, seed {run.seed}"
            console(to_stderr=True).print(f"[{number} of {total}] {text}", soft_wrap=True)

    def says(self, text: str) -> None:
        """A line of what is done after training."""
        if not self._quiet:
            console(to_stderr=True).print(text, soft_wrap=True)

    def ended(self, outcome: Outcome) -> None:
        name = f"{outcome.run.cell.name}, seed {outcome.run.seed}"
        if outcome.problem is not None:
            say("failed", "red", f"{name}: {outcome.problem}", to_stderr=True)
        elif not outcome.kept and not self._quiet:
            seconds = time.monotonic() - self._began.get(outcome.run.folder, time.monotonic())
            say("done", "green", f"{name}, {seconds:.0f} s", to_stderr=True)


def _print_plan(study: Study, as_json: bool) -> None:
    from rich.table import Table

    from kinesphere.studies.running import states

    found = states(study)
    if as_json:
        rows = [
            {
                "cell": run.cell.name, "seed": run.seed, "axes": dict(run.cell.axes),
                "start": run.cell.start, "run": str(run.folder), "state": state,
            }
            for run, state in found
        ]  # fmt: skip
        print_json({"study": study.recipe.name, "cells": rows, "report": None})
        return
    screen = console()
    table = Table("cell", "seed", "starts from", "state", title=f"{study.recipe.name}: {len(found)} runs")
    for run, state in found:
        table.add_row(run.cell.name, str(run.seed), run.cell.start or "", state)
    screen.print(table)
    done = sum(state == "done" for _, state in found)
    screen.print(f"{done} of {len(found)} done, in {study.folder}", soft_wrap=True)


def _print(report: StudyReport) -> None:
    """A row for each cell, what its pairs tell, and what failed."""
    from rich.table import Table

    from kinesphere.evaluate.metrics import ordinal_scores, score_name

    screen = console()
    name = report.cells[0].primary if report.cells else "top1"
    # Cells may differ in their data, and so in whether these have grades.
    ordinal = ordinal_scores({score for cell in report.cells for score in cell.scores})
    heads = (score_name(name), *map(score_name, ordinal))
    table = Table("cell", "runs", *heads, "over seeds", "validation", "minutes", title=report.name)
    for cell in report.cells:
        spread, validation, cost = cell.spread[cell.primary], cell.validation, cell.cost
        table.add_row(
            cell.name, str(len(cell.seeds)), f"{cell.score}{'' if cell.is_tested else ' (validation)'}",
            *(f"{cell.scores[each].value:.2f}" if each in cell.scores else "–" for each in ordinal),
            "–" if spread is None else f"± {100 * spread:.1f}",
            "–" if validation is None else f"{100 * validation:.1f} %",
            "–" if cost is None else f"{cost.seconds / 60:.1f}",
        )  # fmt: skip
    screen.print(table)
    for pair in report.pairs:
        screen.print(f"{pair.verdict()} {pair.difference}, p {pair.corrected:.3g} corrected", soft_wrap=True)
    for text in report.apart:
        say("not compared", "yellow", text)
    if report.failed:
        say("failed", "red", f"{len(report.failed)} runs; run the same command to try them again")
