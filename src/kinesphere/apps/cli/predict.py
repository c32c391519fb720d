"""`kinesphere predict`: labels of files, folders, globs, URLs and long videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinesphere.apps.cli.answers import introduce
from kinesphere.apps.cli.console import GOES_ON, check_file, progress, say
from kinesphere.apps.cli.detector_kinds import ACTIONS, PEOPLE
from kinesphere.apps.cli.detectors import find, finder_of
from kinesphere.apps.cli.event_options import EventRules, say_doubts, with_events
from kinesphere.apps.cli.options import Device, ExtractsFolder, PrecisionChoice, TestViews
from kinesphere.apps.cli.people_detectors import find_people, settings_of
from kinesphere.apps.cli.people_options import People, Tracks, TracksFps
from kinesphere.apps.cli.predict_checks import check_drawn, check_no_timeline, model_names
from kinesphere.apps.cli.predict_screen import Screen
from kinesphere.apps.cli.segment_options import (
    Hysteresis,
    MinGap,
    MinLength,
    NoAction,
    Page,
    Picture,
    RuleFile,
    Smooth,
    Threshold,
    Truth,
    Viterbi,
    read_truth,
    segment_rule,
)
from kinesphere.apps.cli.targets import several_targets, targets
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.signals import advise

if TYPE_CHECKING:
    from kinesphere.clips import Views
    from kinesphere.core.device import Compute
    from kinesphere.predict import (
        Opening,
        PredictionLog,
        SegmentRule,
        VideoPredictor,
    )
    from kinesphere.predict.bulk import Answer, Progress, SideBySide, SideFiles
    from kinesphere.predict.people import PeopleSettings
    from kinesphere.predict.windowed import Windows

BEFORE = "what comes before the first answer (decoding, people and their poses)"
BOX = "the recogniser in the box"
SEGMENT_FILES = (".csv", ".json", ".parquet", ".eaf", ".vtt", ".xml")
PICTURES, PAGES = (".svg", ".png"), (".html",)
COPIES = (".mp4", ".m4v", ".mov", ".mkv")

Models = Annotated[
    list[str] | None,
    typer.Option(
        help="Run folder, fusion, model file, registered name or hub id; given more than once, the answers "
        "of these models stand side by side. Without it the recogniser in the box answers, which comes with "
        "the package and knows basic movements.",
        show_default=False,
    ),
]
Window = Annotated[float | None, typer.Option(help="Give a timeline: windows of this many seconds.")]
Stride = Annotated[float | None, typer.Option(help="Seconds between windows; half a window by default.")]
Streaming = Annotated[
    bool,
    typer.Option(
        "--streaming",
        help="With --window: carry the state of a streaming network (movinet_a0_stream, tsm_resnet50_online) "
        "from frame to frame through the whole video. Windows that overlap cost nothing more; the answer to "
        "a window knows what came before it, so that it is not that to the window alone.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Resumable output: .jsonl, or .csv without timelines.")]
Segments = Annotated[
    list[Path] | None,
    typer.Option(
        help="One file for the timeline's segments: .csv, .json, .parquet, .vtt; of a tool to correct them "
        "in: .eaf (ELAN), .xml (CVAT), .via.json, .label_studio.json. Of several videos a folder, which "
        "gets .csv files, or those of the kind that FOLDER/*.eaf names. May be repeated, for several kinds.",
        show_default=False,
    ),
]
Annotate = Annotated[
    Path | None, typer.Option(help="Folder for copies with the labels drawn in, or one .mp4 file.")
]
Drawn = Annotated[
    Literal["auto", "none", "flow", "pose"],
    typer.Option(
        help="What else to draw into the annotated copies: motion or skeletons; by default the "
        "skeletons that a model of poses sees."
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep what is extracted on the way, for the next time.")]
PoseModel = Annotated[
    str | None,
    typer.Option(
        help="What finds poses on the way: lite, full, heavy, or a .task file; by default what found "
        "those that the model learnt from, else full."
    ),
]
Lines = Annotated[bool, typer.Option("--json", help="Print one JSON object a video, one a line.")]


def predict(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders, globs or URLs.")],
    model: Models = None,
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show.")] = 5,
    views: TestViews = None,
    window: Window = None,
    stride: Stride = None,
    streaming: Streaming = False,
    people: People = False,
    tracks: Tracks = None,
    tracks_fps: TracksFps = None,
    threshold: Threshold = None,
    rule: RuleFile = None,
    hysteresis: Hysteresis = None,
    smooth: Smooth = None,
    viterbi: Viterbi = None,
    no_action: NoAction = None,
    min_length: MinLength = None,
    min_gap: MinGap = None,
    out: Out = None,
    segments: Segments = None,
    picture: Picture = None,
    page: Page = None,
    truth: Truth = None,
    events: EventRules = None,
    annotate: Annotate = None,
    draw: Drawn = "auto",
    extracts: ExtractsFolder = None,
    keep: Keep = False,
    pose_model: PoseModel = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    as_json: Lines = False,
) -> None:
    """Label videos, or find timed segments in long ones."""
    from kinesphere.core.device import Compute
    from kinesphere.predict import find_sources
    from kinesphere.predict.bulk import SideOutputs

    detector = ACTIONS.among(model or [])
    crowd, several = PEOPLE.among(model or []), len(model or []) > 1
    whole = {"--views": views, "--picture": picture, "--page": page, "--truth": truth}
    everybody = settings_of(crowd, people, tracks, tracks_fps, window, stride, whole, several=several)
    to_segments = segment_rule(rule, threshold, hysteresis, smooth, viterbi, no_action, min_length, min_gap)
    asked = Asked(window, stride, streaming, everybody, tracks)
    shown = {"--segments": segments, "--picture": picture, "--page": page}
    _check_asked(detector, asked, views, to_segments, {**shown, "--truth": truth, "--events": events})
    wanted = find_sources(sources)
    named = model_names(model or [], beside=any((*shown.values(), events, annotate)))
    on = Compute.choose(device, precision), _opening(sources, extracts, keep, pose_model)
    check_file("--out", out, (".jsonl",) if detector or asked.timed else (".jsonl", ".csv"))
    files = _side_files(wanted, segments, picture, page, annotate, draw, people=everybody is not None)
    finder, files = with_events(events, to_segments, files)
    outputs = SideOutputs(None, files, to_segments, draw, read_truth(truth), everybody)
    screen = Screen(as_json, top, outputs, finder)
    screen.finish(*_ask_all((crowd, detector), named, on, views, asked, wanted, out, screen), out)


def _ask_all(
    by: tuple[str | None, str | None],
    named: list[str],
    on: tuple[Compute, Opening],
    views: str | None,
    asked: Asked,
    wanted: list[str],
    out: Path | None,
    screen: Screen,
) -> tuple[int, int]:
    """Ask a detector of people's actions, one of actions, or recognisers about all videos; see `_run`."""
    crowd, detector = by
    if crowd is not None:
        return find_people(_run, (crowd, *on), asked, wanted, out, screen)
    if detector is not None:
        return find(_run, finder_of(detector, *on), wanted, out, screen)
    return _recognise(_predictors(named, *on), views, asked, wanted, out, screen)


@dataclass(frozen=True)
class Asked:
    """What is asked of each video: its whole, windows of it, or windows of each person."""

    window: float | None
    stride: float | None
    streaming: bool
    people: PeopleSettings | None
    tracks: Path | None

    def __post_init__(self) -> None:
        if self.streaming and self.people is not None:
            raise InvalidSetting("--streaming follows the whole video, not each person; leave out --people.")

    @property
    def timed(self) -> bool:
        """Whether answers are timelines."""
        return self.window is not None or self.people is not None

    @property
    def windows(self) -> Windows | None:
        """How videos are cut; None where each has one answer."""
        from kinesphere.predict.windowed import Windows

        if self.window is None:
            return None
        return Windows(self.window, self.stride, mode="streaming" if self.streaming else "windows")

    def settings(self) -> dict[str, Any]:
        """What the records of a resumable output depend on."""
        plain: dict[str, Any] = {"window": self.window, "stride": self.stride}
        plain |= {"mode": "streaming"} if self.streaming else {}
        if self.people is None:
            return plain
        tracks = None if self.tracks is None else str(self.tracks)
        return plain | {"people": repr(self.people), "tracks": tracks}


def _check_asked(
    detector: str | None,
    asked: Asked,
    views: str | None,
    rule: SegmentRule,
    files: Mapping[str, object],
) -> None:
    """Refuse what neither a detector nor, without windows, a recogniser could do."""
    if detector is not None:
        given: dict[str, object] = {"--window": asked.window, "--stride": asked.stride, "--views": views}
        given |= {"--people": asked.people, "--streaming": asked.streaming or None}
        ACTIONS.refuse(given)
    elif not asked.timed:
        check_no_timeline(rule, files, asked.stride, streaming=asked.streaming)


def _recognise(
    predictors: Mapping[str, VideoPredictor],
    stated: str | None,
    asked: Asked,
    wanted: list[str],
    out: Path | None,
    screen: Screen,
) -> tuple[int, int]:
    """Ask recognisers about all videos, and say what was extracted for it; see `_run`."""
    models = list(predictors.values())
    screen.outputs = replace(screen.outputs, predictor=models[0])
    answered = _answer(predictors, stated, asked, wanted, out, screen)
    _tell_of_extraction(models)
    return answered


def _answer(
    predictors: Mapping[str, VideoPredictor],
    stated: str | None,
    asked: Asked,
    wanted: list[str],
    out: Path | None,
    screen: Screen,
) -> tuple[int, int]:
    """Ask about all videos and show each answer; see `_run`."""
    from kinesphere.predict import PredictionLog

    views = _views(predictors, stated, streaming=asked.streaming)
    say_doubts(
        screen.finder,
        next(iter(predictors.values())).labels,
        people=asked.people is not None,
        tracks=asked.tracks is not None,
    )
    settings = _depends_on(predictors, views) | asked.settings() | screen.settings()
    models = list(predictors) if len(predictors) > 1 else []
    log = PredictionLog(out, settings, top=screen.top, models=models) if out else None
    introduce(screen.outputs.predictor, to_stderr=screen.as_json)
    with log or nullcontext():
        return _run(partial(_ask, predictors, views, asked), wanted, log, screen)


def _opening(sources: list[str], extracts: Path | None, keep: bool, pose_model: str | None) -> Opening:
    """Where files of poses and the like lie: below the folder that is asked about, too."""
    from kinesphere.predict import Extracts, Opening

    root = Path(sources[0]) if len(sources) == 1 and Path(sources[0]).is_dir() else None
    return Opening(Extracts(extracts, root), keep, pose_model)


def _views(
    predictors: Mapping[str, VideoPredictor], views: str | None, *, streaming: bool
) -> dict[str, Views]:
    """The views of each model: as stated, else those of its own test, of which a stream has one clip."""
    from kinesphere.clips import Views

    stated = None if views is None else Views.parse(views)
    tested = {name: each.test_views for name, each in predictors.items()}
    return {name: stated or (Views(1, own.crops) if streaming else own) for name, own in tested.items()}


def _side_files(
    wanted: list[str],
    segments: list[Path] | None,
    picture: Path | None,
    page: Path | None,
    annotate: Path | None,
    draw: str,
    *,
    people: bool,
) -> SideFiles:
    """Which files are written beside the answers; those of tools have no place for single people."""
    from kinesphere.annotations.kept_labels import refuse_to_lose
    from kinesphere.predict.bulk import SideFiles
    from kinesphere.predict.timeline_files import TOOLS

    check_drawn(draw, annotate)
    of_tools = [place for place in segments or () if place.name.lower().endswith(tuple(TOOLS))]
    if people and of_tools:
        raise InvalidSetting(
            f"--segments {of_tools[0]} holds the labels of a video, not of each person; with --people write "
            ".eaf, .csv, .json, .parquet or .vtt."
        )
    to_segments = several_targets("--segments", segments or (), wanted, SEGMENT_FILES)
    if len(to_segments) == 1:  # of several, each is asked about when it is written
        for path in next(iter(to_segments.values())):
            refuse_to_lose(path)
    return SideFiles(
        to_segments,
        targets("--picture", picture, wanted, PICTURES),
        targets("--page", page, wanted, PAGES),
        targets("--annotate", annotate, wanted, COPIES),
    )


def _run(
    ask: Callable[[list[str], Progress], Iterator[Answer | SideBySide]],
    wanted: list[str],
    log: PredictionLog | None,
    screen: Screen,
) -> tuple[int, int]:
    """Ask about all videos; how many had an answer before, and how many of those are asked again."""
    from kinesphere.predict.bulk import Progress, source_of

    if log is not None:
        advise(GOES_ON)
    done, doing = 0, ""

    def inside(windows: int, of: int) -> None:
        """Tell how far the video is that is being asked about."""
        nonlocal doing
        doing = ""
        advance(done + windows / of, len(wanted))

    with progress("Predicting", "videos", hidden=screen.as_json, detail=lambda: doing) as advance:
        missing = log.missing(wanted) if log is not None else wanted
        fresh = set(missing)
        # A record does not hold what segments and copies are made of: such videos are predicted again.
        again = [source for source in wanted if source not in fresh and screen.outputs.files.lacks(source)]
        kept = done = len(wanted) - len(missing) - len(again)
        advance(kept, len(wanted))
        heard = Progress(inside, None if log is None else log.path)
        doing = BEFORE
        for done, answer in enumerate(ask([*missing, *again], heard), start=kept + 1):
            doing = "the files beside the answer"
            record = screen.take(answer)
            doing = BEFORE
            if log is not None and source_of(answer) in fresh:
                log.write(record)
            advance(done, len(wanted))
    return kept, len(again)


def _ask(
    predictors: Mapping[str, VideoPredictor],
    views: Mapping[str, Views],
    asked: Asked,
    sources: list[str],
    heard: Progress,
) -> Iterator[Answer | SideBySide]:
    """The answers to all videos: those of several models side by side."""
    from kinesphere.predict.bulk import predict_all, predict_people, predict_side_by_side

    if len(predictors) > 1:
        return predict_side_by_side(predictors, sources, windows=asked.windows, views=views, progress=heard)
    [(name, only)] = predictors.items()
    if asked.people is not None:
        return predict_people(
            only, sources, tracks=asked.tracks, settings=asked.people, views=views[name], progress=heard
        )
    return predict_all(only, sources, windows=asked.windows, views=views[name], progress=heard)


def _predictors(named: list[str], compute: Compute, opening: Opening) -> dict[str, VideoPredictor]:
    """The models that answer by their names: those that were named, or the recogniser in the box."""
    from kinesphere.predict import load

    if not named:
        return {BOX: load(compute=compute, opening=opening)}
    return {name: load(name, compute=compute, opening=opening) for name in named}


def _depends_on(predictors: Mapping[str, VideoPredictor], views: Mapping[str, Views]) -> dict[str, Any]:
    """What the records of a resumable output depend on, of one model or of each of several."""
    digests, each_views = [each.digest() for each in predictors.values()], [str(v) for v in views.values()]
    several = len(predictors) > 1
    return {
        "model": digests if several else digests[0],
        "views": each_views if several else each_views[0],
    }


def _tell_of_extraction(predictors: list[VideoPredictor]) -> None:
    """Say that poses were found for these answers only."""
    if forgotten := max(each.opening.forgotten for each in predictors):
        extracts = predictors[0].opening.extracts.folder
        folder = " (in --extracts, or beside the videos)" if extracts is None else f" in {extracts}"
        say(
            "note",
            "yellow",
            f"the poses of {forgotten} videos were extracted for these answers only, and will be again the "
            f"next time; --keep keeps them{folder}",
            to_stderr=True,
        )
