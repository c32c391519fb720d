"""`kinesphere evaluate`: score a model on labelled videos."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinesphere.apps.cli.console import (
    Device,
    Json,
    PrecisionChoice,
    Unlabelled,
    check_folder,
    console,
    end,
    print_json,
    progress,
    say,
)

if TYPE_CHECKING:
    from kinesphere.evaluate import Report


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, model file, registered name or hub id.")],
    data: Annotated[Path, typer.Argument(help="Manifest (CSV, Parquet) or folder of class folders.")],
    split: Annotated[str | None, typer.Option(help="Score this split of the data only.")] = None,
    views: Annotated[str, typer.Option(help="Test views, clips x crops.")] = "1x1",
    label_column: Annotated[str, typer.Option(help="Column that holds the labels.")] = "label",
    split_column: Annotated[str, typer.Option(help="Column that holds the splits.")] = "split",
    unlabelled: Unlabelled = "refuse",
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.json, predictions.parquet and report.html.")
    ] = None,
    background: Annotated[
        str,
        typer.Option(
            help="Test with changed surroundings: grey, blur, freeze, median, replace, no_people, "
            "grey_people. Needs masks."
        ),
    ] = "keep",
    extracts: Annotated[
        Path | None, typer.Option(help="Folder of extracted flow or poses; default: beside the videos.")
    ] = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Json = False,
) -> None:
    """Score a model on labelled videos, with intervals."""
    from kinesphere.clips import Views
    from kinesphere.clips.archive import Extracts
    from kinesphere.clips.background import check_background
    from kinesphere.core.device import Compute
    from kinesphere.data import Manifest
    from kinesphere.evaluate import report_from_predictions
    from kinesphere.evaluate.evaluator import collect, protocol_of, provenance_of
    from kinesphere.predict import load

    check_folder("--out", out)
    predictor = load(model, compute=Compute.choose(device, precision))
    manifest = Manifest.read(
        data, label_column=label_column, split_column=split_column, unlabelled=unlabelled
    )
    if split is not None:
        manifest = manifest.where(split=split)
    chosen, changed = Views.parse(views), check_background(background)
    with progress("Evaluating", "clips", hidden=as_json) as advance:
        predictions = collect(
            predictor,
            manifest,
            views=chosen,
            extracts=Extracts(extracts, manifest.root),
            background=changed,
            progress=advance,
        )
    protocol = protocol_of(predictor, manifest, chosen, split=split, background=changed)
    today = datetime.date.today().isoformat()
    report = report_from_predictions(predictions, protocol, provenance_of(predictor, today))
    if out is not None:
        from kinesphere.apps.html import write_report_html

        predictions.write(out / "predictions.parquet")
        report.write(out / "report.json")
        write_report_html(out)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
        if out is not None:
            console().print(f"report  {out / 'report.html'}", soft_wrap=True)
    end(len(report.skipped))


def print_report(report: Report, shown: int = 30) -> None:
    """The score line, all scores, and the classes from worst to best."""
    from rich.table import Table

    from kinesphere.evaluate.metrics import Score
    from kinesphere.evaluate.report import score_name

    screen = console()
    screen.print(report.line(), style="bold")
    table = Table("score", "value with interval")
    for name, score in report.scores.items():
        table.add_row(score_name(name), str(score))
    screen.print(table)
    screen.print(report.intervals.sentence(), style="dim")
    table = Table("class", "precision", "recall with interval", "F1", "clips")
    for row in sorted(report.classes, key=lambda row: row.f1 if row.f1 is not None else -1.0)[:shown]:
        recall = "–" if row.recall is None else str(Score(row.recall, row.recall_low, row.recall_high))
        precision, f1 = ("–" if v is None else f"{100 * v:.1f} %" for v in (row.precision, row.f1))
        table.add_row(row.label, precision, recall, f1, str(row.support))
    screen.print(table)
    if len(report.classes) > shown:
        screen.print(f"… and {len(report.classes) - shown} better classes (see --json or --out)")
    for note in report.skipped:
        say("skipped", "yellow", f"{note.path}: {note.reason}")
