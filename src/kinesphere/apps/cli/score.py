"""`kinesphere score`: files of results by anybody, scored by the official protocols without a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import console, print_json, say, tinted
from kinesphere.apps.cli.options import Json
from kinesphere.apps.cli.score_errors import Errors, ErrorsCommand, picture_of, print_errors
from kinesphere.apps.cli.score_options import (
    Classifier,
    ClassifierTop,
    ClassifierWeight,
    fusing_of,
    refuse_of_segments,
    video_scores_of,
)
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.evaluate.files.result import FileScores

score = typer.Typer(
    help="Score files of results by the official protocols, without a model.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="File of results.")]
Truth = Annotated[Path, typer.Option(help="File (or folder) of annotations.")]
Tiou = Annotated[
    str | None, typer.Option(help="Overlaps: 0.3,0.5 or first:step:last, such as 0.5:0.05:0.95.")
]
Videos = Annotated[
    str | None,
    typer.Option(help="Which videos: 213, 212, 211 or 210 (THUMOS14's test lists), or a file of names."),
]
Subset = Annotated[str | None, typer.Option(help="Subset of the annotations, such as validation.")]
UnknownVideos = Annotated[
    Literal["drop", "count"],
    typer.Option(help="Whether results in videos without annotations are left out or count as wrong."),
]
# More would be no list of overlaps.
_MOST = 1000
_SHOWN_CLASSES, _SHOWN_COLUMNS, _SHOWN_NAMES = 30, 9, 10


@score.command("detections", cls=ErrorsCommand)
def score_detections_(
    file: File,
    truth: Truth,
    protocol: Annotated[
        Literal["thumos14", "activitynet", "ava"], typer.Option(help="Whose rules are followed.")
    ] = "activitynet",
    tiou: Tiou = None,
    videos: Videos = None,
    subset: Subset = None,
    unknown: UnknownVideos = "count",
    ambiguous: Annotated[
        Literal["drop", "ignore"],
        typer.Option(help="Ambiguous annotations: as if not there, or what overlaps them is ignored."),
    ] = "drop",
    duplicates: Annotated[
        Literal["keep", "drop"], typer.Option(help="Annotations that repeat another one within 1 ms.")
    ] = "keep",
    classes: Annotated[Path | None, typer.Option(help="AVA: label map of the classes that count.")] = None,
    excluded: Annotated[Path | None, typer.Option(help="AVA: frames that do not count.")] = None,
    errors: Errors = None,
    classifier: Classifier = None,
    classifier_top: ClassifierTop = 2,
    classifier_weight: ClassifierWeight = 0.5,
    as_json: Json = False,
) -> None:
    """Mean average precision of timed segments, or of boxes by AVA's rule."""
    if protocol == "ava":
        refuse_of_segments({"--videos": videos, "--subset": subset}, errors, classifier)
        show(_boxes(file, truth, classes, excluded, numbers("--tiou", tiou)), as_json)
        return
    from kinesphere.annotations.timed_files import read_timed
    from kinesphere.evaluate.files.detection_errors import errors_of
    from kinesphere.evaluate.files.detections import Counted, hold, score_held
    from kinesphere.evaluate.files.error_picture import draw_errors
    from kinesphere.evaluate.files.video_classifier import score_with_classifier

    if classes is not None or excluded is not None:
        raise InvalidSetting("--classes and --excluded belong to --protocol ava.")
    thresholds, picture, by = numbers("--tiou", tiou), picture_of(errors), video_scores_of(classifier)
    annotated = read_timed(truth)
    counted = partial(hold, truth=annotated, counted=Counted(videos, subset, unknown, ambiguous, duplicates))
    held = counted(read_timed(file))
    found = score_held(held, protocol, thresholds)
    if by is not None:
        how = fusing_of(classifier_top, classifier_weight)
        held, found = score_with_classifier(found, read_timed(file), by, how, counted, protocol, thresholds)
    wrong = None if errors is None else errors_of(held, protocol, thresholds)
    if wrong is not None and picture is not None:
        draw_errors(wrong, picture, f"{file.name}: {found.rules[0]}")
    if as_json:
        print_json(found.to_json() | ({} if wrong is None else {"errors": wrong.to_json()}))
        return
    show(found, as_json)
    if wrong is not None:
        print_errors(wrong, picture)


def _boxes(
    file: Path, truth: Path, classes: Path | None, excluded: Path | None, thresholds: list[float] | None
) -> FileScores:
    from kinesphere.annotations.formats.ava import read_ava, read_frames, read_label_map
    from kinesphere.evaluate.files.boxes import score_boxes

    return score_boxes(
        read_ava(file),
        read_ava(truth),
        names=None if classes is None else read_label_map(classes),
        excluded=frozenset() if excluded is None else read_frames(excluded),
        thresholds=thresholds,
    )


Protocol = Annotated[Literal["thumos14", "activitynet"], typer.Option(help="Whose rules are followed.")]


@score.command("proposals")
def score_proposals_(
    file: File,
    truth: Truth,
    protocol: Protocol = "activitynet",
    tiou: Tiou = None,
    an: Annotated[
        float | None,
        typer.Option(help="Proposals of a video, on average, at the end of the curve; default: up to 100."),
    ] = None,
    videos: Videos = None,
    subset: Subset = None,
    unknown: UnknownVideos = "count",
    as_json: Json = False,
) -> None:
    """Average recall against the number of proposals (AR@AN, AUC), and Recall@kx."""
    from kinesphere.annotations.timed_files import read_timed
    from kinesphere.evaluate.files.proposals import score_proposals

    found = score_proposals(
        read_timed(file), read_timed(truth), protocol, thresholds=numbers("--tiou", tiou), per_video=an,
        videos=videos, subset=subset, unknown=unknown,
    )  # fmt: skip
    show(found, as_json)


@score.command("segments")
def score_segments_(
    file: File,
    truth: Truth,
    protocol: Annotated[
        Literal["thumos14", "activitynet"] | None, typer.Option(help="Name of the annotations' protocol.")
    ] = None,
    tiou: Tiou = None,
    videos: Videos = None,
    subset: Subset = None,
    unknown: UnknownVideos = "count",
    background: Annotated[
        list[str] | None, typer.Option(help="A label that means that nothing happens; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Segment F1, edit score, frame accuracy, and events that are lost, split or joined."""
    from kinesphere.annotations.timed_files import read_timed
    from kinesphere.evaluate.files.segments import score_segments

    found = score_segments(
        read_timed(file), read_timed(truth), protocol, thresholds=numbers("--tiou", tiou), videos=videos,
        subset=subset, unknown=unknown, background=background or (),
    )  # fmt: skip
    show(found, as_json)


@score.command("tracks")
def score_tracks_(
    file: File,
    truth: Truth,
    protocol: Annotated[Literal["mot"], typer.Option(help="Whose rules are followed.")] = "mot",
    as_json: Json = False,
) -> None:
    """HOTA, IDF1 and MOTA of tracks in MOTChallenge's text: a file, or a folder with one a video."""
    from kinesphere.evaluate.files.tracks import read_tracks, score_tracks

    show(score_tracks(read_tracks(file), read_tracks(truth)), as_json)


@score.command("poses")
def score_poses_(
    file: File,
    truth: Truth,
    pck: Annotated[
        str | None, typer.Option(help="Radii of PCK, as fractions of the larger side of a person's box.")
    ] = None,
    as_json: Json = False,
) -> None:
    """PCK, and average precision by object keypoint similarity, of poses in COCO's keypoint JSON."""
    from kinesphere.annotations.people import read_people
    from kinesphere.evaluate.files.poses import score_poses

    show(score_poses(read_people(file), read_people(truth), radii=numbers("--pck", pck)), as_json)


def numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers between commas, or first:step:last, both ends included.

    Raises:
        InvalidSetting: If something there is no number, or the range is none.
    """
    if text is None:
        return None
    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        first, step, last = (float(part) for part in text.split(":"))
        count = round((last - first) / step)
        if not 0 <= count < _MOST or step <= 0:
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise InvalidSetting(
            f"{option} takes numbers between commas, or first:step:last such as 0.5:0.05:0.95; got {text!r}."
        ) from None
    return [round(first + i * step, 9) for i in range(count + 1)]


def show(found: FileScores, as_json: bool) -> None:
    """Scores for machines or for people."""
    if as_json:
        print_json(found.to_json())
        return
    from rich.table import Table

    screen = console()
    beside = [] if found.external is None else ["without the classifier"]
    table = Table("score", "value", *beside, title=found.protocol)
    for name, value in found.scores.items():
        before = [] if found.external is None else [str(found.external.without.scores[name])]
        table.add_row(found.titles[name], str(value), *before)
    screen.print(table)
    if found.external is not None:
        say("external", "yellow", found.external.note)
    _print_classes(found)
    for name, count in found.counts.items():
        if count:
            shown = f"{count:9d}" if isinstance(count, int) else f"{count:9.3f}"
            screen.print(f"{shown}  {name.replace('_', ' ')}", soft_wrap=True)
    for what, names in (("videos", found.unknown_videos), ("classes", found.unknown_classes)):
        if names:
            say("unknown", "yellow", f"{len(names)} {what}: {_first(names)}")
    for rule in found.rules[: None if found.external is None else -1]:  # the last one was said
        screen.print(tinted(("rule", "cyan"), f"  {rule}"), soft_wrap=True)


def _print_classes(found: FileScores) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found.per_class:
        return
    columns = list(next(iter(found.per_class.values())))
    if len(columns) > _SHOWN_COLUMNS:  # the mean over thresholds says it as well
        columns = [name for name in columns if "@" not in name]
    table = Table("class", *columns, caption="fractions in %")
    for name, row in list(found.per_class.items())[:_SHOWN_CLASSES]:
        table.add_row(Text(name), *(_cell(row[column]) for column in columns))
    console().print(table)
    if len(found.per_class) > _SHOWN_CLASSES:
        console().print(f"    … and {len(found.per_class) - _SHOWN_CLASSES} more classes (see --json)")


def _cell(value: float | int | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{100 * value:.1f}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more (see --json)" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
