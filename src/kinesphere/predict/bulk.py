"""Many videos: answers one by one, their records, and the files that are written beside each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from kinesphere.annotations.timed import TimedLabels, video_name
from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.modality import see
from kinesphere.clips.spec import Views
from kinesphere.core.errors import (
    InvalidAnnotation,
    InvalidSetting,
    UnusableName,
    UnwritableFile,
    VideoError,
)
from kinesphere.core.files import make_folder
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import SPELLED
from kinesphere.predict.annotate import annotate
from kinesphere.predict.events import Event, event_segments, event_tiers, write_events
from kinesphere.predict.files.registry import TimelineRow, annotation_row
from kinesphere.predict.long_video import REFUSALS
from kinesphere.predict.overlay import FlowOverlay, Overlay, PoseOverlay
from kinesphere.predict.people import (
    PeopleSettings,
    PeopleTimelines,
    annotate_people,
    people_timelines,
    person_rows,
    write_people,
)
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import below, segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.timeline_files import write_segments
from kinesphere.predict.together import predict_together
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.predict.windowed import Advance, Windows, quietly, timelines

Answer = Prediction | Timeline | PeopleTimelines | Skipped
"""What a model says of one video: a prediction, a timeline, one a person, or why there is none."""
_VIDEOS = 8
"""Videos that are read and answered together."""
Draw = Literal["auto", "none", "flow", "pose"]


@dataclass(frozen=True)
class SideBySide:
    """What several models say of one video.

    Attributes:
        source: The video, as the user named it.
        answers: Each model's, by its name; models may know different labels.
    """

    source: str
    answers: Mapping[str, Answer]

    @property
    def failures(self) -> list[Skipped]:
        """Why models have no answer, with their names."""
        return [
            Skipped(self.source, f"{name}: {answer.reason}")
            for name, answer in self.answers.items()
            if isinstance(answer, Skipped)
        ]

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: a record for each model, and an error where one has no answer."""
        models = []
        for name, answer in self.answers.items():
            record = record_of(answer, k)
            models.append({"model": name} | {key: value for key, value in record.items() if key != "source"})
        plain: dict[str, Any] = {"source": self.source, "models": models}
        failed = "; ".join(each.reason for each in self.failures)
        return plain | {"error": failed} if failed else plain


@dataclass(frozen=True)
class Progress:
    """Who hears how far the windows of a video are, and where those that are done are kept.

    Attributes:
        advance: Called with the number of windows of the current video that are done, and of all of it.
        out: The file that the answers go into, beside which the windows of the current video are kept until
            all are done; None keeps none.
    """

    advance: Advance = quietly
    out: Path | None = None

    def keep(self, source: str) -> Path | None:
        """The file beside which the windows of a video are kept."""
        if self.out is None:
            return None
        return self.out.with_name(
            f"{self.out.name}.{sha256(source.encode('utf-8', SPELLED)).hexdigest()[:12]}"
        )


def predict_side_by_side(
    predictors: Mapping[str, VideoPredictor],
    sources: Sequence[str],
    *,
    windows: Windows | None = None,
    views: Mapping[str, Views] | None = None,
    progress: Progress = Progress(),
) -> Iterator[SideBySide]:
    """What each of several models says of each of many videos, in their order; see `predict_all`.

    Each video is decoded once for all models.

    Args:
        predictors: The models by their names.
        sources: Paths and URLs.
        windows: As of `predict_all`.
        views: Clips and crops of each model by its name; None for those of the models' own tests.
        progress: As of `predict_all`.

    Raises:
        InvalidSetting: If window or stride make no sense.
    """
    names, models = list(predictors), list(predictors.values())
    chosen = [(views or {}).get(name) for name in names]
    for source, answers in zip(sources, _answers(models, sources, windows, chosen, progress), strict=True):
        yield SideBySide(source, dict(zip(names, answers, strict=True)))


def predict_all(
    predictor: VideoPredictor,
    sources: Sequence[str],
    *,
    windows: Windows | None = None,
    views: Views | None = None,
    progress: Progress = Progress(),
) -> Iterator[Answer]:
    """What a model says of each of many videos, in their order; the others go on where one fails.

    Args:
        predictor: The model.
        sources: Paths and URLs.
        windows: Give a timeline of these; None for one prediction of each video.
        views: Clips and crops whose probabilities are averaged; None for those of the model's own test.
        progress: Who hears how far the windows are, and where they are kept.

    Raises:
        InvalidSetting: If window or stride make no sense.
    """
    for (answer,) in _answers([predictor], sources, windows, [views], progress):
        yield answer


def _answers(
    models: Sequence[VideoPredictor],
    sources: Sequence[str],
    windows: Windows | None,
    views: Sequence[Views | None],
    progress: Progress,
) -> Iterator[Sequence[Answer]]:
    """For each video what each model says of it."""
    if windows is None:
        chosen = [own or model.test_views for own, model in zip(views, models, strict=True)]
        for model, each in zip(models, chosen, strict=True):
            check_views(each, model.labels)
        yield from predict_together(models, iter(sources), chosen, max(1, _VIDEOS // len(models)))
        return
    for source in sources:
        try:
            found = timelines(models, source, windows, views, progress.advance, progress.keep(source))
        except REFUSALS as error:
            yield [Skipped(source, str(error))] * len(models)
            continue
        yield [each if isinstance(each, Timeline) else Skipped(source, str(each)) for each in found]


def predict_people(
    predictor: VideoPredictor,
    sources: Iterable[str],
    *,
    tracks: Path | None = None,
    settings: PeopleSettings = PeopleSettings(),  # noqa: B008 (frozen)
    views: Views | None = None,
    progress: Progress = Progress(),
) -> Iterator[PeopleTimelines | Skipped]:
    """What each person of each of many videos does; the others go on where one fails.

    Args:
        predictor: The model.
        sources: Paths and URLs.
        tracks: File of the tracks of an only video; or a folder that has `NAME.txt`, `NAME.json` or
            `NAME/gt/gt.txt` for each. None finds people by their poses.
        settings: Windows, crops and breaks.
        views: Clips and crops whose probabilities are averaged; None for those of the model's own test.
        progress: Who hears how far the windows are.

    Raises:
        InvalidSetting: If window or stride make no sense, or several videos have one file.
    """

    def ask(source: str, own: Path | None) -> PeopleTimelines:
        return people_timelines(
            predictor, source, own, settings=settings, views=views, advance=progress.advance
        )

    yield from each_with_tracks(ask, list(sources), tracks)


def each_with_tracks(
    ask: Callable[[str, Path | None], PeopleTimelines], wanted: Sequence[str], tracks: Path | None
) -> Iterator[PeopleTimelines | Skipped]:
    """What is answered about the people of each video and its tracks; see `predict_people`.

    Raises:
        InvalidSetting: If several videos have one file.
    """
    if tracks is not None and len(wanted) > 1 and not tracks.is_dir():
        raise InvalidSetting(
            f"{tracks} has the tracks of one video, and there are {len(wanted)}; name a folder."
        )
    for source in wanted:
        try:
            own = None if tracks is None else tracks_for(source, tracks, alone=len(wanted) == 1)
            yield ask(source, own)
        except REFUSALS as error:
            yield Skipped(source, str(error))


def tracks_for(source: str, place: Path, *, alone: bool) -> Path:
    """The file of the tracks of a video, or the folder that is one."""
    stem = Path(source).stem
    known = [place / f"{stem}.txt", place / f"{stem}.json", place / stem]
    found = next((path for path in known if path.exists()), None)
    if found is None and not alone and place.is_dir():
        names = ", ".join(path.name for path in known)
        raise InvalidAnnotation(f"There are no tracks of {source} in {place}: none of {names}.")
    return found or place


def source_of(answer: Answer | SideBySide) -> str:
    """The video that an answer is about, as the user named it."""
    return answer.path if isinstance(answer, Skipped) else answer.source


def record_of(answer: Answer | SideBySide, top: int = 5) -> dict[str, Any]:
    """The shape that scripts and `PredictionLog` rely on: `to_json` of an answer, or source and error."""
    if isinstance(answer, Skipped):
        return {"source": answer.path, "error": answer.reason}
    return answer.to_json(top)


def overlay_of(predictor: VideoPredictor, source: str, draw: Draw = "auto") -> Overlay | None:
    """What is drawn into the annotated copy of a video, beneath the labels.

    Args:
        predictor: The model that answers.
        source: The video.
        draw: Motion, skeletons or nothing; `"auto"` draws the skeletons that a model of poses sees.

    Raises:
        VideoError: If poses are to be extracted and the video cannot be decoded.
        InvalidAnnotation: If its pose file cannot be read, or holds joints in space.
    """
    predictor = predictor.for_source(source)
    if draw == "auto":
        draw = "pose" if see(predictor.specs, "skeleton") else "none"
    if draw == "pose":
        return PoseOverlay(predictor.opening.beside(source, "pose"))
    methods = [spec.flow for spec in predictor.specs if see([spec], "flow")]
    return FlowOverlay(methods[0] if methods else "dis") if draw == "flow" else None


@dataclass(frozen=True)
class SideFiles:
    """Which files are written beside the answers: of each source that gets one, its path.

    Attributes:
        segments: The timeline's segments (see `write_segments`), in a file of each kind that is asked for.
        pictures: Picture of the timeline (see `Timeline.write`).
        pages: Page with the video and its timeline.
        copies: Annotated copy of the video.
        events: Events with their evidence (see `write_events`).
    """

    segments: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    pictures: Mapping[str, Path] = field(default_factory=dict)
    pages: Mapping[str, Path] = field(default_factory=dict)
    copies: Mapping[str, Path] = field(default_factory=dict)
    events: Mapping[str, Path] = field(default_factory=dict)

    def lacks(self, source: str) -> bool:
        """Whether a file of this video is not there yet."""
        kinds = (self.pictures, self.pages, self.copies, self.events)
        paths = [*self.segments.get(source, ()), *(each[source] for each in kinds if source in each)]
        return any(not path.exists() for path in paths)


@dataclass(frozen=True)
class SideOutputs:
    """Writes what belongs beside the answer to each video.

    Attributes:
        predictor: The model that answers; None for a detector of actions, which is told nothing of what else
            could be drawn.
        files: Which files are written.
        rule: How timelines become segments.
        draw: What else is drawn into the copies (see `overlay_of`).
        truth: Annotations that pictures and pages show above what the model says.
        people: How people are asked about, if they are; pictures and pages show the whole of the frames
            beneath, by the same windows.
    """

    predictor: VideoPredictor | None
    files: SideFiles = SideFiles()
    rule: SegmentRule = SegmentRule()  # noqa: RUF009 (frozen)
    draw: Draw = "auto"
    truth: TimedLabels | None = None
    people: PeopleSettings | None = None

    def annotations(self, source: str) -> tuple[TimelineRow, ...]:
        """What the file of annotations says of a video, as a row; none where it does not know it."""
        row = None if self.truth is None else annotation_row(self.truth, source)
        return () if row is None else (row,)

    def write(
        self, answer: Prediction | Timeline | PeopleTimelines, events: Sequence[Event] | None = None
    ) -> Skipped | None:
        """Write the files of one video; why there is no annotated copy, or None.

        Args:
            answer: What the model says.
            events: What rules found in it, which ELAN, pictures and pages show as well; None where that is
                not known, and no file of events is written.

        Raises:
            UnwritableFile: If the place or the disk refuses, so that the next would fail alike.
        """
        try:
            if events is not None and (target := self.files.events.get(answer.source)):
                write_events({video_name(answer.source): events}, target)
            if isinstance(answer, PeopleTimelines):
                self._write_people(answer, events or ())
            else:
                self._write(answer, events or ())
        except (VideoError, InvalidAnnotation, UnusableName) as error:
            if isinstance(error, UnwritableFile) and not isinstance(error, UnusableName):
                raise
            return Skipped(answer.source, f"no annotated copy: {error}")
        return None

    def _write(self, answer: Prediction | Timeline, events: Sequence[Event]) -> None:
        source, files = answer.source, self.files
        if isinstance(answer, Timeline):
            if kinds := files.segments.get(source):
                found, silent = segments(answer, self.rule), below(answer, self.rule)
                for target in kinds:
                    write_segments(found, target, source=source, coverage=silent, more=event_tiers(events))
            for target in filter(None, (files.pictures.get(source), files.pages.get(source))):
                answer.write(target, self.rule, (*self.annotations(source), *_event_row(events)))
        if copy := files.copies.get(source):
            make_folder(copy.parent)
            overlay = None if self.predictor is None else overlay_of(self.predictor, source, self.draw)
            annotate(source, copy, answer, rule=self.rule, overlay=overlay)

    def _write_people(self, answer: PeopleTimelines, events: Sequence[Event]) -> None:
        source, files = answer.source, self.files
        for target in files.segments.get(source, ()):
            write_people(answer, target, rule=self.rule, more=event_tiers(events))
        shown = [target for target in (files.pictures.get(source), files.pages.get(source)) if target]
        if shown:
            # Rows of people stand above what is said of the whole picture.
            asked = self.people or PeopleSettings()
            assert self.predictor is not None  # who asked about people
            whole = self.predictor.timeline(source, window_s=asked.window_s, stride_s=asked.stride_s)
            rows = (*self.annotations(source), *_event_row(events), *person_rows(answer, self.rule))
            for target in shown:
                whole.write(target, self.rule, rows)
        if copy := files.copies.get(source):
            make_folder(copy.parent)
            annotate_people(source, copy, answer, rule=self.rule)


def _event_row(events: Sequence[Event]) -> tuple[TimelineRow, ...]:
    return (TimelineRow("events", tuple(event_segments(events))),) if events else ()
