"""`kinesphere runs`: the run folders of a folder, with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import console, end, print_json, print_left_out
from kinesphere.apps.cli.options import Json

if TYPE_CHECKING:
    from kinesphere.train.run_list import ListedRun

Folder = Annotated[Path, typer.Argument(help="Where the runs lie, folders below it included.")]
Best = Annotated[bool, typer.Option("--best", help="The best score first; else the newest run.")]


def runs(folder: Folder = Path("runs"), best: Best = False, as_json: Json = False) -> None:
    """List runs with their scores.

    Scores of runs on other data or another split are listed side by side all the same: the difference of
    two runs on the same clips, with its interval, is what `kinesphere compare RUN RUN` tells.
    """
    from kinesphere.train.run_list import list_runs

    found, unreadable = list_runs(folder)
    if best:
        found.sort(key=_score, reverse=True)
    if as_json:
        print_json(
            {"runs": [run.to_json() for run in found], "unreadable": [each.to_json() for each in unreadable]}
        )
    else:
        _print(found, folder)
        print_left_out(unreadable)
    end(len(unreadable))


def _score(run: ListedRun) -> float:
    """The primary score; runs without one come last."""
    return -1.0 if run.report is None else run.report.primary[1].value


def _print(found: list[ListedRun], folder: Path) -> None:
    from rich.table import Table

    screen = console()
    if not found:
        screen.print(f"no runs in {folder}", soft_wrap=True)
        return
    table = Table("run", "model", "from", "data", "score", "changed", title=f"{len(found)} runs")
    for run in found:
        name = run.folder.relative_to(folder) if run.folder != folder else run.folder
        data = ", ".join(map(_shown, run.data))
        row = (
            str(name),
            run.model,
            _shown(run.pretrained) if run.pretrained else "scratch",
            data,
            _told(run),
            f"{run.changed:%Y-%m-%d %H:%M}",
        )
        table.add_row(*row)
    screen.print(table)


def _shown(path: str) -> str:
    """The end of a path, by which people know it; a name stays as it is."""
    return "/".join(Path(path).parts[-2:])


def _told(run: ListedRun) -> str:
    """The score, or how far the run came."""
    if run.report is not None:
        return run.report.line()
    if run.unscored:
        why = "pre-training has no score" if run.pretrains else "nothing was held out, so nothing is scored"
        return f"finished, {run.epochs} epochs; {why}"
    if run.folds:
        return f"not finished, {run.folds} folds begun"
    return f"not finished, {run.epochs} epochs" if run.epochs else "no epoch yet"
