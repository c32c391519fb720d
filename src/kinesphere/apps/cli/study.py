"""`kinesphere study`: experiments of several evaluations that answer one question."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import GOES_ON, check_folder, console, end, print_json, progress, say
from kinesphere.apps.cli.options import Data, Device, ExtractsFolder, Json, LabelColumn, PrecisionChoice
from kinesphere.apps.cli.study_compare import compare
from kinesphere.apps.cli.study_run import StudyGroup, run
from kinesphere.core.files import write_text
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.studies.background import BackgroundStudy

study = typer.Typer(
    cls=StudyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Experiments that answer one question about models; `study RECIPE.yaml` runs one.",
)

Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--beside", help="Another model, held against the first, such as its cured twin; repeatable."
    ),
]
Attribution = Annotated[
    str | None,
    typer.Option(
        help="Explain each answer by this method (auto: one that suits the model), and say how much of it is "
        "on people."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for report.html, study.json and the answers.")]
Split = Annotated[str | None, typer.Option(help="Split of the data; default: what the model was tested on.")]


study.command()(run)
study.command()(compare)


@study.callback()
def _room() -> None:
    """Experiments that answer one question about models; `study RECIPE.yaml` runs one."""


@study.command()
def background(
    model: Annotated[str, typer.Argument(help="Run folder, fusion, model file or registered name.")],
    data: Data,
    beside: Beside = None,
    split: Split = None,
    label_column: LabelColumn = "label",
    out: Out = Path("background"),
    attribution: Attribution = None,
    extracts: ExtractsFolder = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs of people and backgrounds.")] = 0,
    as_json: Json = False,
) -> None:
    """Do the people decide, or the background? Needs masks (`kinesphere extract mask`)."""
    from kinesphere.apps.html.background import render_background
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.data import Manifest
    from kinesphere.evaluate.seen import choose, seen_by
    from kinesphere.explain.explaining import Question
    from kinesphere.predict import Opening, load
    from kinesphere.studies.background import study_background
    from kinesphere.studies.pictures import condition_strips

    check_folder("--out", out)
    compute = Compute.choose(device, precision)
    manifest = Manifest.read(data, label_column=label_column)
    place = Extracts(extracts, manifest.root)
    models = [load(each, compute=compute, opening=Opening(place)) for each in (model, *(beside or ()))]
    # What any of them learnt from tests none of them.
    seen, silent = seen_by([each for one in models for each in one.provenances])
    scored = choose(manifest, seen, split)
    asked = None if attribution is None else Question(None if attribution == "auto" else attribution)
    for note in (*scored.notes, *silent):
        say("note", "yellow", note, to_stderr=True)
    advise(GOES_ON)
    with progress("Studying", "clips", hidden=as_json) as advance:
        found = study_background(
            models, scored.manifest, out, extracts=place, attribution=asked, seed=seed,
            progress=lambda name, done, total: advance(done, total),
        )  # fmt: skip
    strips = condition_strips(scored.manifest, found, place)
    page = out / "report.html"
    write_text(page, render_background(found, strips, data=manifest.root.resolve().name))
    if as_json:
        print_json({**found.to_json(), "report": str(page)})
    else:
        _print(found)
        console().print(f"report  {page}", soft_wrap=True)
    end(len(found.skipped))


def _print(found: BackgroundStudy) -> None:
    """A table for each model, and its verdict."""
    from rich.table import Table

    screen = console()
    for model in found.models:
        table = Table("what is left to see", "right", "taken for the background's class", title=model.model)
        for cell in model.cells:
            taken = "" if cell.as_background is None else str(cell.as_background)
            table.add_row(cell.condition.says, str(cell.accuracy), taken)
        screen.print(table)
        screen.print(model.verdict, soft_wrap=True)
        if model.on_people is not None:
            screen.print(model.on_people.line(), soft_wrap=True)
    for each in found.comparisons:
        screen.print(each.verdict, soft_wrap=True, style="bold")
    for left in found.skipped[:10]:
        say("left out", "yellow", f"{left.path}: {left.reason}")
