"""`kinesphere predict`: what a model says of files, folders, globs, addresses and long videos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinesphere.apps.cli.console import (
    GOES_ON,
    Device,
    PrecisionChoice,
    check_file,
    console,
    end,
    progress,
    say,
    tinted,
)
from kinesphere.apps.cli.targets import targets
from kinesphere.core.errors import (
    InvalidAnnotation,
    InvalidClip,
    InvalidSetting,
    UnusableName,
    UnwritableFile,
    VideoError,
)
from kinesphere.core.files import make_folder
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.clips import Views
    from kinesphere.predict import Overlay, Prediction, PredictionLog, Refused, Timeline, VideoPredictor

BAR = 32
SEGMENT_FILES = (".csv", ".json", ".eaf", ".vtt")
COPIES = (".mp4", ".m4v", ".mov", ".mkv")
Draw = Literal["auto", "none", "flow", "pose"]


def predict(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders, globs or addresses.")],
    model: Annotated[str, typer.Option(help="Run folder, fusion, model file, registered name or hub id.")],
    top: Annotated[int, typer.Option(min=1, help="Labels to show.")] = 5,
    views: Annotated[
        str | None, typer.Option(help="Test views, clips x crops. Default: those of the run's own test.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Give a timeline: windows of this many seconds.")
    ] = None,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between windows; half a window by default.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Lowest probability of a segment of the timeline; windows below it have none.",
        ),
    ] = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="Resumable output: .jsonl, or .csv without timelines.")
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(help="Folder for the timelines' segments, or one file: .csv, .json, .eaf, .vtt."),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Folder for copies with the labels drawn in, or one .mp4 file.")
    ] = None,
    draw: Annotated[
        Draw,
        typer.Option(
            help="What else to draw into the annotated copies: motion or skeletons; by default the "
            "skeletons that a model of poses sees."
        ),
    ] = "auto",
    extracts: Annotated[
        Path | None, typer.Option(help="Folder of extracted flow or poses; default: beside the videos.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what is extracted on the way, for the next time.")
    ] = False,
    pose_model: Annotated[
        str | None,
        typer.Option(
            help="What finds poses on the way: lite, full, heavy, or a .task file; by default what found "
            "those that the model learnt from, else full."
        ),
    ] = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a video, one a line.")
    ] = False,
) -> None:
    """Label videos, or find timed segments in long ones."""
    from kinesphere.clips import Views
    from kinesphere.core.device import Compute
    from kinesphere.predict import Extracts, Opening, find_sources, load

    if window is None and (segments is not None or stride is not None):
        raise InvalidSetting("--stride and --segments belong to a timeline; give --window as well.")
    if draw != "auto" and annotate is None:
        raise InvalidSetting("--draw belongs to annotated copies; give --annotate as well.")
    wanted = find_sources(sources)
    root = Path(sources[0]) if len(sources) == 1 and Path(sources[0]).is_dir() else None
    opening = Opening(Extracts(extracts, root), keep, pose_model)
    check_file("--out", out, (".jsonl",) if window is not None else (".jsonl", ".csv"))
    timelines = targets("--segments", segments, wanted, SEGMENT_FILES)
    copies = targets("--annotate", annotate, wanted, COPIES)
    predictor = load(model, compute=Compute.choose(device, precision), opening=opening)
    chosen = predictor.test_views if views is None else Views.parse(views)
    settings = {"model": predictor.digest(), "views": str(chosen), "window": window, "stride": stride}
    if out is not None:
        advise(GOES_ON)
    overlays = Overlays(predictor, draw)
    outcome = Outcome(as_json, top, threshold, timelines, copies, overlays)
    with _log(out, settings, top) as log, progress("Predicting", "videos", hidden=as_json) as advance:
        missing = log.missing(wanted) if log is not None else wanted
        fresh = set(missing)
        # A record does not hold what segments and copies are made of: such videos are predicted again.
        again = [source for source in wanted if source not in fresh and outcome.lacks(source)]
        kept = len(wanted) - len(missing) - len(again)
        advance(kept, len(wanted))
        for answer in _answers(predictor, [*missing, *again], chosen, window, stride):
            outcome.take(answer)
            if log is not None and answer.source in fresh:
                log.write(_record(answer, top))
            advance(kept + outcome.count, len(wanted))
    if forgotten := predictor.opening.forgotten:
        place = " (in --extracts, or beside the videos)" if extracts is None else f" in {extracts}"
        say(
            "note",
            "yellow",
            f"the poses of {forgotten} videos were extracted for these answers only, and will be again the "
            f"next time; --keep keeps them{place}",
            to_stderr=True,
        )
    outcome.finish(kept, len(again), out)


def _answers(
    predictor: VideoPredictor, sources: list[str], views: Views, window: float | None, stride: float | None
) -> Iterator[Prediction | Timeline | Refused]:
    if window is None:
        yield from predictor.predict_many(sources, views=views)
        return
    from kinesphere.predict import Refused

    for source in sources:
        try:
            yield predictor.timeline(
                source, window_s=window, stride_s=window / 2 if stride is None else stride, views=views
            )
        except (VideoError, InvalidAnnotation, InvalidClip) as error:
            yield Refused(source, str(error))


def _log(
    out: Path | None, settings: dict[str, Any], top: int
) -> AbstractContextManager[PredictionLog | None]:
    from kinesphere.predict import PredictionLog

    if out is None:
        return nullcontext()
    return PredictionLog(out, settings, top=top)


def _record(answer: Prediction | Timeline | Refused, top: int) -> dict[str, Any]:
    from kinesphere.predict import Refused

    if isinstance(answer, Refused):
        return {"source": answer.source, "error": answer.reason}
    return answer.to_json(top)


class Overlays:
    """What is drawn beneath the labels of each annotated copy."""

    def __init__(self, predictor: VideoPredictor, draw: Draw) -> None:
        self._opening = predictor.opening
        self._methods = [spec.flow for spec in predictor.specs if spec.modality == "flow"]
        sees_poses = any(spec.modality == "pose" for spec in predictor.specs)
        self._draw = ("pose" if sees_poses else "none") if draw == "auto" else draw

    def of(self, source: str) -> Overlay | None:
        """The overlay of a video, or None.

        Raises:
            VideoError: If poses are to be extracted and it cannot be decoded.
            InvalidAnnotation: If its pose file cannot be read, or holds joints in space.
        """
        from kinesphere.predict import FlowOverlay, PoseOverlay

        if self._draw == "none":
            return None
        if self._draw == "pose":
            return PoseOverlay(self._opening.poses(source))
        return FlowOverlay(self._methods[0] if self._methods else "dis")


class Outcome:
    """Shows each answer as it comes, and the failures at the end."""

    def __init__(
        self,
        as_json: bool,
        top: int,
        threshold: float,
        segments: dict[str, Path],
        annotated: dict[str, Path],
        overlays: Overlays,
    ) -> None:
        self.count = 0
        self._refused: list[Refused] = []
        self._as_json = as_json
        self._top = top
        self._threshold = threshold
        self._segments = segments
        self._annotated = annotated
        self._overlays = overlays

    def take(self, answer: Prediction | Timeline | Refused) -> None:
        """Show or keep one answer, and write what was asked for beside it."""
        from kinesphere.predict import Refused

        self.count += 1
        if self._as_json:
            typer.echo(json.dumps(_record(answer, self._top), ensure_ascii=False))
        if isinstance(answer, Refused):
            self._refused.append(answer)
            return
        if not self._as_json:
            self._show(answer)
        try:
            self._write(answer)
        except (VideoError, InvalidAnnotation, UnusableName) as error:
            if isinstance(error, UnwritableFile) and not isinstance(error, UnusableName):
                raise  # the next would fail alike
            self._refused.append(Refused(answer.source, f"no annotated copy: {error}"))

    def lacks(self, source: str) -> bool:
        """Whether a file that was asked for is not there yet."""
        wanted = (self._segments.get(source), self._annotated.get(source))
        return any(target is not None and not target.exists() for target in wanted)

    def _write(self, answer: Prediction | Timeline) -> None:
        from kinesphere.predict import Timeline, annotate, segments, write_segments

        if isinstance(answer, Timeline) and (target := self._segments.get(answer.source)):
            found = segments(answer, threshold=self._threshold)
            below = answer.below(self._threshold)
            write_segments(found, target, source=answer.source, coverage=below)
            if self._as_json and below.windows:
                say("note", "yellow", f"{answer.source}: {below}", to_stderr=True)
        if target := self._annotated.get(answer.source):
            make_folder(target.parent)
            overlay = self._overlays.of(answer.source)
            annotate(answer.source, target, answer, threshold=self._threshold, overlay=overlay)

    def finish(self, already: int, again: int, out: Path | None) -> None:
        """Print what is left to say and leave with the exit code."""
        if not self._as_json:
            if again:
                console().print(
                    f"{again} videos of {out} were predicted again, because files that were asked for were "
                    "missing",
                    soft_wrap=True,
                )
            if already:
                console().print(f"{already} videos were already in {out}", soft_wrap=True)
            for refused in self._refused:
                say("refused", "red", f"{refused.source}: {refused.reason}")
        end(len(self._refused))

    def _show(self, answer: Prediction | Timeline) -> None:
        from kinesphere.predict import Timeline, segments

        screen = console()
        said = answer.mean() if isinstance(answer, Timeline) else answer
        start_s, end_s = said.span
        screen.print(tinted((said.source, "bold"), f"  {start_s:.2f} – {end_s:.2f} s"), soft_wrap=True)
        if isinstance(answer, Timeline):
            for part in segments(answer, threshold=self._threshold):
                times = f"{part.start_s:9.2f} – {part.end_s:9.2f} s"
                rival = f"  ({part.runner_up} {part.runner_up_probability:.1%})" if part.runner_up else ""
                screen.print(f"  {times}  {part.probability:6.1%}  {part.label}{rival}", soft_wrap=True)
            if (below := answer.below(self._threshold)).windows:
                screen.print(tinted("  ", ("note", "yellow"), f" {below}"), soft_wrap=True)
        else:
            width = max(len(name) for name, _ in said.top(self._top))
            for name, share in said.top(self._top):
                bar = "█" * round(BAR * share)
                screen.print(tinted(f"  {name:<{width}}  {share:6.1%}  ", (bar, "cyan")))
        for note in said.notes:
            screen.print(tinted("  ", ("note", "yellow"), f" {note}"), soft_wrap=True)
