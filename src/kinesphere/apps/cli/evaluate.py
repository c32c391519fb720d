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
    WrongRows,
    check_folder,
    console,
    end,
    print_json,
    progress,
    say,
)
from kinesphere.core.files import check_place

if TYPE_CHECKING:
    from kinesphere.apps.cli.console import Advance
    from kinesphere.clips import Views
    from kinesphere.clips.augment.background import Background
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.data import Manifest
    from kinesphere.evaluate import Predictions, Report
    from kinesphere.predict.video_predictor import VideoPredictor


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, model file, registered name or hub id.")],
    data: Annotated[Path, typer.Argument(help="Manifest (CSV, Parquet) or folder of class folders.")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Score this split of the data, or of the run (train, val, test); all scores everything. "
            "Default: of a run's own data its test split, of others all."
        ),
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Test views, clips x crops. Default: those of the run's own test.")
    ] = None,
    label_column: Annotated[str, typer.Option(help="Column that holds the labels.")] = "label",
    group_column: Annotated[str, typer.Option(help="Column that holds the groups.")] = "group",
    split_column: Annotated[str, typer.Option(help="Column that holds the splits.")] = "split",
    unlabelled: Unlabelled = "refuse",
    wrong_rows: WrongRows = "refuse",
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
    """Score a model on labelled videos, with intervals.

    Of a run's own data its test clips are scored; clips that the model learnt from and that are scored all
    the same are counted beside the score. A cross-validation answers for each clip with the fold that had
    not met it.
    """
    from kinesphere.clips import Views
    from kinesphere.clips.augment.background import check_background
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.data import Manifest
    from kinesphere.train.fold_evaluation import fold_models

    check_folder("--out", out)
    if out is not None:
        check_place(out)
    compute = Compute.choose(device, precision)
    chosen, changed = None if views is None else Views.parse(views), check_background(background)
    folds = fold_models(Path(model))
    predictor = None if folds else _load(model, compute)
    manifest = Manifest.read(
        data,
        label_column=label_column,
        group_column=group_column,
        split_column=split_column,
        unlabelled=unlabelled,
        wrong_rows=wrong_rows,
    )
    place = Extracts(extracts, manifest.root)
    today = datetime.date.today().isoformat()
    with progress("Evaluating", "clips", hidden=as_json) as advance:
        if predictor is None:
            predictions, report = _by_folds(
                Path(model), manifest, split, compute, chosen, place, changed, advance, today
            )
        else:
            predictions, report = _by_one(predictor, manifest, split, chosen, place, changed, advance, today)
    if out is not None:
        from kinesphere.apps.html import pose_finder, write_report_html

        predictions.write(out / "predictions.parquet")
        report.write(out / "report.json")
        sees_poses = predictor is not None and any(spec.modality == "pose" for spec in predictor.specs)
        write_report_html(out, poses=pose_finder(place) if sees_poses else None)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
        if out is not None:
            console().print(f"report  {out / 'report.html'}", soft_wrap=True)
    end(len(report.skipped))


def _load(model: str, compute: Compute) -> VideoPredictor:
    from kinesphere.predict import load

    return load(model, compute=compute)


def _by_one(
    predictor: VideoPredictor, manifest: Manifest, split: str | None, views: Views | None, extracts: Extracts,
    background: Background, advance: Advance, date: str,
) -> tuple[Predictions, Report]:  # fmt: skip
    """What one model, or several fused, say of the clips that may test them."""
    from kinesphere.evaluate import (
        choose,
        collect,
        protocol_of,
        provenance_of,
        report_from_predictions,
        seen_by,
    )

    seen, unknown = seen_by(predictor.provenances)
    scored = choose(manifest, seen, split)
    predictions = collect(
        predictor, scored.manifest, views=views, extracts=extracts, background=background, progress=advance
    )
    taken = views or predictor.test_views
    protocol = protocol_of(predictor, scored.manifest, taken, split=scored.split, background=background)
    notes = (*scored.notes, *unknown, *_left_out(manifest))
    return predictions, report_from_predictions(
        predictions, protocol, provenance_of(predictor, date), notes=notes
    )


def _by_folds(
    folder: Path, manifest: Manifest, split: str | None, compute: Compute, views: Views | None,
    extracts: Extracts, background: Background, advance: Advance, date: str,
) -> tuple[Predictions, Report]:  # fmt: skip
    """What the folds of a cross-validation say of the clips that they had not met."""
    from dataclasses import replace

    from kinesphere.evaluate import report_from_predictions
    from kinesphere.train.fold_evaluation import collect_folds

    if split not in (None, "all"):
        manifest = manifest.where(split=split)
    found = collect_folds(
        folder, manifest, compute=compute, views=views, extracts=extracts, background=background,
        progress=advance,
    )  # fmt: skip
    notes = (*found.notes, *_left_out(manifest))
    return found.predictions, report_from_predictions(
        found.predictions, found.protocol, replace(found.provenance, date=date), notes=notes
    )


def _left_out(manifest: Manifest) -> tuple[str, ...]:
    """What of the data is not scored because it could not be listed."""
    return tuple(
        f"{len(rows)} {what}, among them {rows[0].name}: {rows[0].reason}."
        for rows, what in (
            (manifest.wrong, "rows of the table are wrong and left out"),
            (manifest.unused, "files and folders of the data are not used"),
        )
        if rows
    )


def print_report(report: Report, shown: int = 30) -> None:
    """The score line, all scores, and the classes from worst to best."""
    from rich.table import Table
    from rich.text import Text

    from kinesphere.evaluate.metrics import Score
    from kinesphere.evaluate.report import score_name

    screen = console()
    for warning in report.notes:
        screen.print(Text(warning, style="bold red"), soft_wrap=True)
    screen.print(Text(report.line(), style="bold"))
    table = Table("score", "value with interval")
    for name, score in report.scores.items():
        table.add_row(score_name(name), str(score))
    screen.print(table)
    screen.print(report.intervals.sentence(), style="dim")
    table = Table("class", "precision", "recall with interval", "F1", "clips")
    rows = list(report.classes)
    if not report.labels.ordered:
        rows.sort(key=lambda row: row.f1 if row.f1 is not None else -1.0)
    for row in rows[:shown]:
        recall = "–" if row.recall is None else str(Score(row.recall, row.recall_low, row.recall_high))
        precision, f1 = ("–" if v is None else f"{100 * v:.1f} %" for v in (row.precision, row.f1))
        table.add_row(Text(row.label), precision, recall, f1, str(row.support))
    screen.print(table)
    if len(report.classes) > shown:
        screen.print(f"… and {len(report.classes) - shown} more classes (see --json or --out)")
    for note in report.skipped:
        say("skipped", "yellow", f"{note.path}: {note.reason}")
