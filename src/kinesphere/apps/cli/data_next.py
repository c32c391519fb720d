"""`kinesphere data next`: which windows of one's recordings to annotate next."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinesphere.apps.cli.console import check_file, console, end, print_json, progress, say
from kinesphere.apps.cli.options import AnnotatedFps, Device, Json, PrecisionChoice
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinesphere.annotations.recordings import Recordings
    from kinesphere.annotations.timed import TimedLabels
    from kinesphere.core.device import Compute
    from kinesphere.predict import Timeline
    from kinesphere.predict.labelling import Candidate
    from kinesphere.predict.windowed import Windows

_TABLES = (".csv",)
Measure = Literal["entropy", "margin"]


Model = Annotated[str, typer.Argument(help="Run folder, model file, or registered model.tag.")]
Videos = Annotated[list[str], typer.Argument(help="Videos, folders, globs, or a manifest.")]
Annotated_ = Annotated[
    list[Path] | None, typer.Option("--annotations", help="What is annotated so far; may be repeated.")
]
Reviewed = Annotated[
    bool,
    typer.Option("--reviewed", help="Labels with scores in --annotations were looked at and count as well."),
]
Stride = Annotated[float | None, typer.Option(help="Seconds between their starts; half a window by default.")]
By = Annotated[
    Measure, typer.Option(help="How unsure an answer is: over all classes, or between the two best.")
]
Diversity = Annotated[
    float, typer.Option(help="How much less the next window of a video counts for each chosen: 0 to below 1.")
]
Tool = Annotated[
    Path | None, typer.Option(help="File (or folder) of the annotation tool to label the windows in.")
]


def next_(
    model: Model,
    videos: Videos,
    annotations: Annotated_ = None,
    reviewed: Reviewed = False,
    window: Annotated[float, typer.Option(help="Length of a window in seconds.")] = 10.0,
    stride: Stride = None,
    count: Annotated[int, typer.Option(min=1, help="How many windows at most.")] = 50,
    by: By = "entropy",
    diversity: Diversity = 0.2,
    out: Annotated[Path | None, typer.Option(help="Table of the windows, .csv.")] = None,
    to: Annotated[str, typer.Option(help="Format of --tool; see `data convert`.")] = "elan",
    tool: Tool = None,
    fps: AnnotatedFps = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Json = False,
) -> None:
    """Rank the windows that are not annotated yet by how unsure the model is, spread over videos."""
    from kinesphere.annotations.conversion import timed_target, write_timed
    from kinesphere.annotations.recordings import Recordings
    from kinesphere.core.device import Compute
    from kinesphere.predict.labelling import least_sure, to_correct
    from kinesphere.predict.windowed import Windows

    check_file("--out", out, _TABLES)
    target = timed_target(to)
    named = _named(videos)
    recordings = Recordings(fps=fps, files=named)
    annotated, notes = _annotated(annotations or [], recordings, reviewed=reviewed)
    compute = Compute.choose(device, precision)
    sources = [str(path) for path in named.values()]
    answers, failures = _answers(model, sources, Windows(window, stride), compute, as_json)
    chosen = least_sure(answers, annotated, count=count, measure=by, diversity=diversity)
    files: list[Path] = []
    if out is not None:
        _write_table(chosen, out)
        files.append(out)
    if tool is not None and chosen:
        written, more = write_timed(to_correct(chosen), target, tool, recordings)
        files, notes = files + written, notes + more
    if as_json:
        windows = [each.to_json() for each in chosen]
        paths = [str(path) for path in files]
        print_json({"windows": windows, "files": paths, "notes": notes, "failures": failures})
    else:
        _show(chosen, files, notes, failures)
    end(len(failures))


def _named(videos: list[str]) -> dict[str, Path]:
    """The videos by the names that annotations have for them."""
    from kinesphere.annotations.timed import video_name
    from kinesphere.predict.sources import find_videos

    sources, _ = find_videos(videos)
    named: dict[str, Path] = {}
    for source in sources:
        other = named.setdefault(video_name(source.name), source)
        if other != source:
            raise InvalidSetting(
                f"{other} and {source} have one name in annotations; ask about them one after the other."
            )
    return named


def _annotated(paths: list[Path], recordings: Recordings, *, reviewed: bool) -> tuple[TimedLabels, list[str]]:
    """What people have annotated, and notes; labels with scores are predictions that nobody has looked at."""
    from dataclasses import replace

    from kinesphere.annotations.timed import Detection, TimedLabels
    from kinesphere.annotations.timed_files import read_timed_files

    if not paths:
        return TimedLabels((), ()), []
    found = read_timed_files(paths, recordings)
    notes = list(found.notes)
    people = tuple(each for each in found.labels if reviewed or not isinstance(each, Detection))
    if left := len(found) - len(people):
        notes.append(
            f"{left} labels have scores, so nobody has looked at them, and they do not count; --reviewed "
            "says that somebody has"
        )
    return replace(found, labels=people), notes


def _answers(
    model: str,
    sources: Sequence[str],
    windows: Windows,
    compute: Compute,
    hidden: bool,
) -> tuple[list[Timeline], list[str]]:
    """What the model says of the windows of each video, and which videos failed."""
    from kinesphere.core.skipped import Skipped
    from kinesphere.predict import Timeline, load
    from kinesphere.predict.bulk import predict_all

    predictor = load(model, compute=compute)
    answers: list[Timeline] = []
    failures: list[str] = []
    with progress("Predicting", "videos", hidden=hidden) as advance:
        advance(0, len(sources))
        found = predict_all(predictor, list(sources), windows=windows)
        for done, answer in enumerate(found, 1):
            if isinstance(answer, Timeline):
                answers.append(answer)
            elif isinstance(answer, Skipped):
                failures.append(f"{answer.path}: {answer.reason}")
            advance(done, len(sources))
    return answers, failures


def _write_table(chosen: Sequence[Candidate], out: Path) -> None:
    from kinesphere.core.files import replacing
    from kinesphere.core.rows import write_csv
    from kinesphere.predict.labelling import Candidate

    names = [field.name for field in fields(Candidate)]
    header = ["rank", *("path" if name == "source" else name for name in names)]
    with replacing(out) as scratch:
        write_csv(
            scratch,
            header,
            ([rank, *(getattr(each, name) for name in names)] for rank, each in enumerate(chosen, 1)),
        )


def _show(chosen: Sequence[Candidate], files: list[Path], notes: list[str], failures: list[str]) -> None:
    screen = console()
    for rank, each in enumerate(chosen, 1):
        rival = f"  ({each.runner_up} {each.runner_up_probability:.1%})" if each.runner_up else ""
        screen.print(
            f"{rank:4d}  unsure {each.unsure:.3f}  {each.start_s:9.2f} – {each.end_s:9.2f} s  "
            f"{each.probability:6.1%}  {each.label}{rival}  {each.source}",
            soft_wrap=True,
        )
    if not chosen:
        screen.print("No window is left that is not annotated.")
    for path in files:
        say("written", "green", str(path))
    for note in notes:
        say("note", "yellow", note)
    for line in failures:
        say("failed", "red", line)
