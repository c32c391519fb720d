"""`kinesphere train`: a recipe or a folder of videos in, a run folder with a report out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from kinesphere.apps.cli.console import check_folder, console, end, print_json
from kinesphere.apps.cli.options import Json
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from rich.console import Console

    from kinesphere.localise.people.run import PeopleRun
    from kinesphere.localise.run import LocaliserRun
    from kinesphere.train.cross_validation import Folds
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.run import Run


class SettingsCommand(TyperCommand):
    """A verb whose settings are words, `section.key=value`; options of a setting's name are explained."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words as typer understands them.

        Raises:
            InvalidSetting: If an option is none of the verb's, but like a setting.
        """
        known = {*ctx.help_option_names, *(name for each in self.params for name in each.opts)}
        known |= {name for each in self.params for name in each.secondary_opts}
        for word in args:
            name, _, value = word.partition("=")
            if name == "--":
                break
            if name.startswith("--") and name not in known and not get_close_matches(name, known, 1, 0.75):
                from kinesphere.train.recipe import suggest

                wanted = name.removeprefix("--")
                if close := suggest(wanted):
                    written = " or ".join(f"{key}={value or 'VALUE'}" for key in close)
                    raise InvalidSetting(
                        f"There is no option {name}; settings are written without dashes. "
                        f"Did you mean {written}?"
                    )
        return super().parse_args(ctx, args)


def train(
    source: Annotated[str, typer.Argument(help="Recipe (YAML), run folder, manifest or folder of classes.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Settings to change.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a stopped run in the same folder.")] = False,
    folds: Annotated[
        str | None,
        typer.Option(help="Cross-validate: a number of folds, or `group` to leave one group out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a recogniser and score it; --resume goes on."""
    from kinesphere.train import Recipe, cross_validate
    from kinesphere.train import train as run_recipe
    from kinesphere.train.cross_validation import stored_folds

    _say_what_rooms_log(quiet=as_json)
    if (own := _DETECTORS.get(_task_of(source) or "")) is not None:
        own(source, overrides or (), resume=resume, folds=folds, as_json=as_json)
        return
    recipe = Recipe.load(source, overrides or ())
    check_folder("out", Path(recipe.out) if recipe.out is not None else None)
    screen = console(to_stderr=as_json)
    parts = _folds(folds) if folds is not None else stored_folds(source) if resume else None
    if parts is None:
        run = run_recipe(recipe, resume=resume, console=screen)
        folder, report = run.folder, run.report
        runs: tuple[Run, ...] = (run,)
    else:
        validation = cross_validate(recipe, parts, resume=resume, console=screen)
        folder, report, runs = validation.folder, validation.report, validation.runs
    lost = {path for each in runs for path in each.unreadable}
    page = None
    if report is not None:
        from kinesphere.apps.html import pose_finder, write_report_html
        from kinesphere.models import card
        from kinesphere.train.resolve import extracts

        followed = runs[0].recipe
        finder = pose_finder(card(followed.model.name).inputs, extracts(followed.data))
        page = write_report_html(folder, poses=finder)
    if as_json:
        scored = report.to_json() if report is not None else {}
        print_json({"run": str(folder), "html": str(page) if page else None, "report": scored})
    else:
        screen.print(report.line() if report is not None else _without_score(runs[0].recipe, folder))
        screen.print(f"run     {folder}", soft_wrap=True)
        if page is not None:
            screen.print(f"report  {page}", soft_wrap=True)
        for each in runs:
            if each.unreadable:
                screen.print(
                    f"{len(each.unreadable)} files could not be read in training; {each.files.unreadable} "
                    "lists them",
                    soft_wrap=True,
                )
    end(len(lost) + (len(report.skipped) if report is not None else 0))


def _task_of(source: str) -> str | None:
    """The task that a recipe states; None of those of recognisers."""
    from kinesphere.train.recipe import RECIPE_FILE, read_settings

    path = Path(source)
    path = path / RECIPE_FILE if (path / RECIPE_FILE).is_file() else path
    if not path.is_file() or path.suffix.lower() not in (".yaml", ".yml"):
        return None
    task = read_settings(path).get("task")
    return task if isinstance(task, str) else None


def _train_localiser(
    source: str, overrides: Sequence[str], *, resume: bool, folds: str | None, as_json: bool
) -> None:
    """Train a detector and say its score.

    Raises:
        InvalidSetting: If folds are asked for.
    """
    from kinesphere.apps.html.localiser import write_localiser_html
    from kinesphere.localise.run import train_localiser
    from kinesphere.localise.settings import LocaliseRecipe

    if folds is not None:
        raise InvalidSetting("--folds are of recognisers; state the subsets of recordings in their labels.")
    recipe = LocaliseRecipe.load(source, overrides)
    check_folder("out", Path(recipe.out) if recipe.out is not None else None)
    screen = console(to_stderr=as_json)
    run = train_localiser(recipe, resume=resume, console=screen)
    page = write_localiser_html(run.folder)
    _end_of_detector(run, page, screen, as_json=as_json)


def _without_score(recipe: Recipe, folder: Path) -> str:
    """Why a finished run has no score."""
    if recipe.pretrain.method is not None:
        return f"Pre-training has no score; runs start from it with model.pretrained={folder}."
    return "Nothing was held out, so nothing was scored."


def _train_people(
    source: str, overrides: Sequence[str], *, resume: bool, folds: str | None, as_json: bool
) -> None:
    """Train a detector of people's actions and say its score.

    Raises:
        InvalidSetting: If folds are asked for.
    """
    from kinesphere.apps.html.people_detector import write_people_html
    from kinesphere.localise.people.run import train_people
    from kinesphere.localise.people.settings import PeopleRecipe

    if folds is not None:
        raise InvalidSetting("--folds are of recognisers; state the subsets of videos in their labels.")
    recipe = PeopleRecipe.load(source, overrides)
    check_folder("out", Path(recipe.out) if recipe.out is not None else None)
    screen = console(to_stderr=as_json)
    run = train_people(recipe, resume=resume, console=screen)
    _end_of_detector(run, write_people_html(run.folder), screen, as_json=as_json)


def _end_of_detector(run: LocaliserRun | PeopleRun, page: Path, screen: Console, *, as_json: bool) -> None:
    """Say what became of a detector's training, and leave."""
    if as_json:
        print_json({"run": str(run.folder), "html": str(page), "report": run.scores.to_json()})
    else:
        screen.print(run.line())
        screen.print(f"run     {run.folder}", soft_wrap=True)
        if page is not None:
            screen.print(f"report  {page}", soft_wrap=True)
        for each in run.skipped:
            screen.print(f"left out {each.path}: {each.reason}", soft_wrap=True)
    end(sum(each.is_failure for each in run.skipped))


_DETECTORS = {"localise": _train_localiser, "localise_people": _train_people}
"""What trains recipes that state a task."""


def _folds(text: str) -> Folds:
    if text == "group":
        return "leave_one_group_out"
    if text.isdecimal() and int(text) >= 2:
        return int(text)
    raise InvalidSetting(f"--folds takes `group` or a number of at least 2; got {text!r}.")


def _say_what_rooms_log(quiet: bool) -> None:
    """Show what the package logs (fresh heads, resumed steps) on standard error."""
    from rich.logging import RichHandler

    handler = RichHandler(
        console=console(to_stderr=True), show_time=False, show_path=False, show_level=False, markup=False
    )
    logger = logging.getLogger("kinesphere")
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
