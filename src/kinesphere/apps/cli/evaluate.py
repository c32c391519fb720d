"""`kinesphere evaluate`: score a model on labelled videos."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_results, console, end, print_json, progress, say
from kinesphere.apps.cli.detector_kinds import ACTIONS, PEOPLE, refuse_of_detectors
from kinesphere.apps.cli.evaluate_detector import evaluate_detector
from kinesphere.apps.cli.options import (
    Data,
    Device,
    ExtractsFolder,
    GroupColumn,
    ImagesFps,
    Json,
    LabelColumn,
    PrecisionChoice,
    SplitColumn,
    TestViews,
    Unlabelled,
    WrongRows,
)
from kinesphere.apps.cli.people_detectors import (
    Truth,
    evaluate_people_detector,
)
from kinesphere.apps.cli.score_options import (
    Classifier,
    ClassifierTop,
    ClassifierWeight,
    fusing_of,
    video_scores_of,
)
from kinesphere.core.errors import InvalidSetting, LabelMismatch

if TYPE_CHECKING:
    from kinesphere.apps.html.explained import Explain
    from kinesphere.clips import Views
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.data import Manifest
    from kinesphere.evaluate import Predictions, Reading, Report
    from kinesphere.predict import VideoPredictor

Split = Annotated[
    str | None,
    typer.Option(
        help="Score this split of the data, or of the run (train, val, test); all scores everything. "
        "Default: of a run's own data its test split, of others all."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for report.json, report.html and predictions.parquet (or detections.json)."),
]
Explained = Annotated[
    list[str] | None,
    typer.Option(help="Show in the report what answers rest on, by this method; auto takes one that suits "
                 "the model. Repeatable: of several the report says how far they agree."),
]  # fmt: skip
Protocol = Annotated[
    Literal["thumos14", "activitynet"] | None,
    typer.Option(help="Of a detector of actions: whose overlaps count; default: thumos14."),
]
Proposals = Annotated[
    Path | None,
    typer.Option(
        help="Of a detector that proposes first (ssn): write every proposal with what became of it and why, "
        "as .csv or .json."
    ),
]
KeyframeVideos = Annotated[
    Path | None, typer.Option(help="Of a detector of people's actions: folder of the videos.")
]
KeyframeMap = Annotated[
    Path | None, typer.Option(help="Of a detector of people's actions: label map of DATA's class numbers.")
]
KeyframeTracks = Annotated[
    Path | None, typer.Option(help="Of a detector of people's actions: folder of the tracks of a table.")
]
ChangedBackground = Annotated[
    str,
    typer.Option(
        help="Test with a changed background: grey, blur, freeze, median, replace, no_people, "
        "grey_people, grey_elsewhere. Needs masks."
    ),
]


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, model file, registered name or hub id.")],
    data: Data,
    split: Split = None,
    views: TestViews = None,
    label_column: LabelColumn = "label",
    group_column: GroupColumn = "group",
    split_column: SplitColumn = "split",
    unlabelled: Unlabelled = "refuse",
    wrong_rows: WrongRows = "refuse",
    fps: ImagesFps = None,
    out: Out = None,
    background: ChangedBackground = "keep",
    explain: Explained = None,
    extracts: ExtractsFolder = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    protocol: Protocol = None,
    classifier: Classifier = None,
    classifier_top: ClassifierTop = 2,
    classifier_weight: ClassifierWeight = 0.5,
    proposals: Proposals = None,
    videos: KeyframeVideos = None,
    label_map: KeyframeMap = None,
    tracks: KeyframeTracks = None,
    as_json: Json = False,
) -> None:
    """Score a model on labelled videos, with intervals.

    A detector of actions is scored on recordings: DATA is a file or folder of timed labels, beside or above
    the videos, and --split a subset that it states; one of people's actions on keyframes (AVA, CVAT).

    Of a run's own data its test clips are scored; clips that the model learnt from are counted beside the
    score. A cross-validation answers for each clip with the fold that had not met it.
    """
    from kinesphere.clips.augment.background import check_background
    from kinesphere.clips.sidecar import Extracts
    from kinesphere.core.device import Compute
    from kinesphere.evaluate import Reading
    from kinesphere.predict import load
    from kinesphere.train.fold_evaluation import fold_models

    compute = Compute.choose(device, precision)
    truth = Truth(data, videos, label_map, tracks, split)
    asked = DetectorOptions(protocol, classifier, classifier_top, classifier_weight, proposals)
    unfit = _of_windows(views, explain, background, fps)
    if _by_detector(model, asked, truth, unfit, extracts, compute, out, as_json=as_json):
        return
    check_results("--out", out)
    chosen, changed = _parsed(views), check_background(background)
    predictor = None if fold_models(Path(model)) else load(model, compute=compute)
    explained = _explainer(predictor, explain, out)
    manifest = _manifest(data, label_column, group_column, split_column, unlabelled, wrong_rows, fps)
    place = Extracts(extracts, manifest.root)
    with progress("Evaluating", "clips", hidden=as_json) as advance, naming_column(Path(model), label_column):
        reading = Reading(chosen, place, changed, advance)
        predictions, report = _scored(predictor or Path(model), manifest, split, reading, compute)
    page = None if out is None else _write(out, predictions, report, predictor, place, explained)
    _tell(report, page, as_json=as_json)


@contextmanager
def naming_column(model: Path, given: str) -> Iterator[None]:
    """Within the block, labels that a run does not know are told with the column that it learnt from.

    Raises:
        LabelMismatch: As the block does.
    """
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.run_folder import RunFiles

    try:
        yield
    except LabelMismatch as error:
        if not RunFiles(model).recipe.is_file():
            raise
        learnt = Recipe.load(model).data.label_column
        if learnt == given:
            raise
        raise LabelMismatch(
            f"{error} {model} learnt the labels of the column {learnt!r}, and the data's are read from "
            f"{given!r}; give --label-column {shlex.quote(learnt)}."
        ) from None


def _scored(
    model: VideoPredictor | Path, manifest: Manifest, split: str | None, reading: Reading, compute: Compute
) -> tuple[Predictions, Report]:
    """The answers of a model, or of the folds of a cross-validation's folder, and their scores."""
    from kinesphere.evaluate import score
    from kinesphere.train.fold_evaluation import score_folds

    date = datetime.date.today().isoformat()
    if isinstance(model, Path):
        return score_folds(model, manifest, compute=compute, split=split, reading=reading, date=date)
    return score(model, manifest, split=split, reading=reading, date=date)


@dataclass(frozen=True)
class DetectorOptions:
    """What is asked of detectors of actions alone."""

    protocol: Literal["thumos14", "activitynet"] | None
    classifier: Path | None
    classifier_top: int
    classifier_weight: float
    proposals: Path | None

    @property
    def given(self) -> dict[str, object]:
        """By name; None for those that are not given."""
        named = {"--protocol": self.protocol, "--classifier": self.classifier}
        return {**named, "--proposals": self.proposals}


def _by_detector(
    model: str,
    asked: DetectorOptions,
    truth: Truth,
    unfit: Mapping[str, object],
    extracts: Path | None,
    compute: Compute,
    out: Path | None,
    *,
    as_json: bool,
) -> bool:
    """Score a detector, of people's actions or of actions in recordings; whether the model is one."""
    if PEOPLE.among([model]) is not None:
        PEOPLE.refuse({**unfit, **asked.given})
        evaluate_people_detector(model, truth, compute, out, as_json=as_json)
        return True
    truth.refuse()
    if ACTIONS.among([model]) is None:
        refuse_of_detectors(asked.given)
        return False
    ACTIONS.refuse(unfit)
    fusing = fusing_of(asked.classifier_top, asked.classifier_weight)
    evaluate_detector(
        model, truth.labels, asked.protocol, truth.split, extracts, compute, out,
        classifier=video_scores_of(asked.classifier), fusing=fusing, proposals=asked.proposals,
        as_json=as_json,
    )  # fmt: skip
    return True


def _tell(report: Report, page: Path | None, *, as_json: bool) -> None:
    """Print a report, and leave with exit code 1 if clips are missing."""
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
        if page is not None:
            console().print(f"report  {page}", soft_wrap=True)
    end(len(report.skipped))


def _parsed(views: str | None) -> Views | None:
    from kinesphere.clips import Views

    return None if views is None else Views.parse(views)


def _of_windows(
    views: str | None, explain: list[str] | None, background: str, fps: float | None
) -> dict[str, object]:
    """Options that only recognisers of clips have."""
    changed = None if background == "keep" else background
    return {"--views": views, "--explain": explain, "--background": changed, "--fps": fps}


def _manifest(
    data: Path,
    label: str,
    group: str,
    split: str,
    unlabelled: Literal["refuse", "skip"],
    wrong_rows: Literal["refuse", "skip"],
    fps: float | None,
) -> Manifest:
    from kinesphere.data import Manifest

    found = Manifest.read(
        data, label_column=label, group_column=group, split_column=split, unlabelled=unlabelled,
        wrong_rows=wrong_rows,
    )  # fmt: skip
    return found if fps is None else found.with_fps(fps)


def _explainer(
    predictor: VideoPredictor | None, methods: list[str] | None, out: Path | None
) -> Explain | None:
    """What explains the examples; an explanation that cannot be had is refused before the work is done.

    Raises:
        InvalidSetting: If there is no page that could show it, or no one model that could be explained.
    """
    from kinesphere.apps.html import explainer

    if not methods:
        return None
    if out is None:
        raise InvalidSetting("--explain shows in the report what answers rest on; give --out as well.")
    if predictor is None:
        raise InvalidSetting(
            "The folds of a cross-validation are several models; give one fold's folder to explain it."
        )
    return explainer(predictor, [None if method == "auto" else method for method in methods])


def _write(
    out: Path,
    predictions: Predictions,
    report: Report,
    predictor: VideoPredictor | None,
    place: Extracts,
    explained: Explain | None,
) -> Path:
    """Write a folder of results; the page in it."""
    from kinesphere.apps.html import pose_finder, write_report_html
    from kinesphere.evaluate.predictions import FILE_NAME as PREDICTIONS

    predictions.write(out / PREDICTIONS)
    report.write(out / "report.json")
    poses = pose_finder(predictor.specs if predictor else (), place)
    write_report_html(out, poses=poses, explained=explained)
    return out / "report.html"


def _print_groups(report: Report) -> None:
    """Scores of families of classes, and of frequent and rare classes, where there are some."""
    from rich.table import Table
    from rich.text import Text

    from kinesphere.evaluate.metrics import Score

    screen = console()
    if report.families:
        table = Table("family", "classes", "right", "within the family", "outside", "clips")
        for row in report.families:
            counts = map(str, (len(row.classes), row.right, row.within, row.outside, row.support))
            table.add_row(Text(row.family), *counts)
        screen.print(table)
    found = report.frequency
    if found is not None and len(found.rows) > 1:
        name = "mAP" if report.labels.multi else "mean class accuracy"
        table = Table("shots", "classes", "training clips", name, "clips")
        for each in found.rows:
            value = "–" if each.value is None else str(Score(each.value, each.low, each.high))
            table.add_row(each.name, str(each.classes), str(each.training_clips), value, str(each.clips))
        screen.print(table)
        screen.print(found.sentence(), style="dim")


def print_report(report: Report, shown: int = 30) -> None:
    """The score line, all scores, and the classes from worst to best."""
    from rich.table import Table
    from rich.text import Text

    from kinesphere.evaluate.metrics import Score, score_name

    screen = console()
    for warning in report.notes:
        screen.print(Text(warning, style="bold red"), soft_wrap=True)
    screen.print(Text(report.line(), style="bold"))
    table = Table("score", "value with interval")
    for name, score in report.scores.items():
        table.add_row(score_name(name), str(score))
    screen.print(table)
    screen.print(report.intervals.sentence(), style="dim")
    _print_groups(report)
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
