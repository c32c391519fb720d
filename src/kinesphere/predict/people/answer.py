"""`people_timelines`: what each person of a video does, window by window along its track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinesphere.annotations.timed import Track
from kinesphere.annotations.track_files import read_track_file
from kinesphere.clips.augment.settings import check_views
from kinesphere.clips.clip import Clip, stack
from kinesphere.clips.modalities.pose.reader import known_poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.person_path import PersonPath
from kinesphere.clips.sampling import windows
from kinesphere.clips.source import WrappedSource, beside
from kinesphere.clips.spec import Views
from kinesphere.core.device import SpareMemory
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.short_repr import short_repr
from kinesphere.data.sources import Source, shown
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.long_video import damage_of, remarks_on
from kinesphere.predict.people.crops import CropRules, PeopleClips, PersonWindow
from kinesphere.predict.people.objects import ObjectRules, object_facts
from kinesphere.predict.people.paths import (
    Break,
    BreakRules,
    Broken,
    on_video,
    paths_of,
    people_and_objects,
    tracks_of_poses,
    usual_distance_s,
)
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.predict.windowed import Advance, quietly

WINDOW_S, STRIDE_S = 2.0, 0.5
_USUAL_FPS = 25.0
NO_PEOPLE = "nobody is seen in it"


@dataclass(frozen=True, eq=False, repr=False)
class PersonTimeline:
    """What one person does.

    Attributes:
        track: Where the person is; frames count those of the video, from 1.
        timeline: Windows of its paths in order of time; neither they nor what is made of them reach over a
            break.
        breaks: Where clips begin anew, since the identity may have changed.
    """

    track: Track
    timeline: Timeline
    breaks: tuple[Break, ...] = ()

    __repr__ = short_repr

    @property
    def person(self) -> int:
        """Number of the person."""
        return self.track.identity


@dataclass(frozen=True, eq=False, repr=False)
class PeopleTimelines:
    """What everybody in a video does.

    Attributes:
        source: The video, as the user named it.
        people: In the order in which they appear.
        objects: Tracks of everything that is not a person.
        frame_times: `(N,)` when the frames of the video begin, in seconds.
        frame_size: `(H, W)` of the video.
        poses: Joints of the people, where they are known.
        facts: What people do with objects, in order of time.
        notes: What makes it doubtful, and what was left out.
        numbers: The number of each label in files of AVA's form; by their order from 1 on where it has none.
    """

    source: str
    people: tuple[PersonTimeline, ...]
    objects: tuple[Track, ...]
    frame_times: np.ndarray
    frame_size: tuple[int, int]
    poses: StoredPoses | None = None
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.people)

    def __iter__(self) -> Iterator[PersonTimeline]:
        return iter(self.people)

    def __getitem__(self, person: int) -> PersonTimeline:
        """The person of a number.

        Raises:
            InvalidSetting: If there is none.
        """
        for each in self.people:
            if each.person == person:
                return each
        known = ", ".join(str(each.person) for each in self.people) or "nobody"
        raise InvalidSetting(f"There is no person {person} in {self.source}; there are: {known}.")

    @property
    def breaks(self) -> tuple[Break, ...]:
        """All people's breaks, in order of time."""
        return tuple(
            sorted((each for one in self.people for each in one.breaks), key=lambda each: each.time_s)
        )

    def to_json(self, k: int = 5) -> dict[str, Any]:
        """The shape that scripts rely on: of each person the top-k of all its time, and of each window."""
        people = []
        for each in self.people:
            plain = each.timeline.to_json(k)
            plain["timeline"] = [{"person": each.person, **window} for window in plain["timeline"]]
            breaks = [{"time_s": at.time_s, "kind": at.kind, "amount": at.amount} for at in each.breaks]
            head = {"person": each.person, "label": each.track.label, "breaks": breaks}
            said = {key: value for key, value in plain.items() if key not in ("source", "breaks_s")}
            people.append(head | said)
        objects = [{"object": each.identity, "label": each.label} for each in self.objects]
        return {
            "source": self.source,
            "people": people,
            "objects": objects,
            "facts": [asdict(fact) for fact in self.facts],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class PeopleSettings:
    """How people are asked about.

    Attributes:
        window_s: Length of a window in seconds.
        stride_s: Seconds between the starts of a person's windows; the last one ends with its path.
        crop: Which part of the frames is a person's.
        breaks: Where a person's clips begin anew.
        objects: When people are near objects, hold and carry them.
        tracks_fps: Frames per second of the tracks' frame numbers, where that is not the video's.
        batch_size: Windows at a time.

    Raises:
        InvalidSetting: If the batch size is not positive.
    """

    window_s: float = WINDOW_S
    stride_s: float = STRIDE_S
    crop: CropRules = CropRules()  # noqa: RUF009 (frozen)
    breaks: BreakRules = BreakRules()  # noqa: RUF009 (frozen)
    objects: ObjectRules = ObjectRules()  # noqa: RUF009 (frozen)
    tracks_fps: float | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InvalidSetting(f"A batch holds at least one window; got batch_size={self.batch_size}.")


def people_timelines(
    predictor: VideoPredictor,
    source: Source,
    tracks: Sequence[Track] | Path | None = None,
    *,
    settings: PeopleSettings = PeopleSettings(),
    views: Views | None = None,
    advance: Advance = quietly,
) -> PeopleTimelines:
    """What each person of a video does, window by window along its track.

    Each person is cut out of the frames, which are decoded once for all; models of poses see the joints of
    that person alone. A path shorter than a window is one window.

    Args:
        predictor: The model.
        source: A path, or the file's bytes.
        tracks: People and objects, or their file (see `read_track_file`); None finds people by their poses,
            from the pose file of the video or extracted from it.
        settings: Windows, crops and breaks.
        views: Clips and crops per window; None for those of the model's own test.
        advance: Called with the number of windows done, and of all people's.

    Raises:
        VideoError: If the video cannot be decoded.
        InvalidAnnotation: If the tracks are of another video, or there are no poses where they are needed.
        NotFinite: If the model's answer to a window is not a number.
        InvalidSetting: If window and stride make no sense.
    """
    predictor = predictor.for_source(source)
    views = views or predictor.test_views
    check_views(views, predictor.labels)
    also = ["pose"] if tracks is None else []
    with predictor.opening.open(source, predictor.specs, also=also) as video:
        placed = on_video(given_tracks(tracks, video, settings), video, settings.tracks_fps)
        people, objects = people_and_objects(placed.tracks)
        usual_s = usual_distance_s(people, video.frame_times())
        broken = {
            each.identity: paths_of(each, video.frame_times(), settings.breaks, usual_s) for each in people
        }
        paths = [path for each in broken.values() for path in each.paths]
        order = _windows_of(paths, settings, video)
        clips = PeopleClips(video, predictor.specs, paths, order, views, settings.crop)
        batches = _batches(clips, settings.batch_size, lambda done: advance(done, len(order)))
        answers = _answers(predictor, batches, views, shown(source), paths)
        told = (*placed.notes, *notes_on(list(broken.values()), settings.breaks))
        times, poses = video.frame_times(), beside(video, "pose")
        return PeopleTimelines(
            shown(source),
            tuple(_people(predictor, people, broken, paths, answers, shown(source))),
            objects,
            times,
            video.size,
            poses,
            tuple(object_facts(people, objects, times, video.size, poses, settings.objects)),
            tuple(dict.fromkeys((*remarks_on(video), *damage_of(video), *told))),
        )


def given_tracks(
    tracks: Sequence[Track] | Path | None, video: WrappedSource, settings: PeopleSettings
) -> Sequence[Track]:
    """The tracks that were given, or those of the people whose poses are known."""
    if tracks is None:
        return tracks_of_poses(known_poses(video), video)
    if isinstance(tracks, Path):
        return read_track_file(tracks, settings.tracks_fps or float(video.fps or _USUAL_FPS))
    return tracks


def _people(
    predictor: VideoPredictor,
    tracks: Sequence[Track],
    broken: Mapping[int, Broken],
    paths: Sequence[PersonPath],
    answers: Sequence[_Answered],
    source: str,
) -> Iterator[PersonTimeline]:
    """Everybody with an answer, in the order in which they appear."""
    for track in sorted(tracks, key=lambda each: int(each.frames[0])):
        own = [answers[i] for i, path in enumerate(paths) if path.identity == track.identity]
        if own:
            breaks = broken[track.identity].breaks
            yield PersonTimeline(track, _timeline(predictor, own, source, breaks), breaks)


def _windows_of(
    paths: Sequence[PersonPath], settings: PeopleSettings, video: WrappedSource
) -> list[PersonWindow]:
    """The windows of all paths, ordered by start."""
    ends = ends_of(paths, video.frame_times())
    found = [
        PersonWindow(number, span)
        for number, (path, end_s) in enumerate(zip(paths, ends, strict=True))
        for span in windows(end_s, settings.window_s, settings.stride_s, float(path.times[0]))
    ]
    return sorted(found, key=lambda window: (window.span[0], window.path))


def ends_of(paths: Sequence[PersonPath], times: np.ndarray) -> list[float]:
    """When paths are over, in seconds: as the next frame begins, which may be another path's of the same
    person.

    Args:
        paths: Of a video.
        times: `(N,)` when its frames begin.
    """
    frame_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    following = [*times.tolist()[1:], float(times[-1]) + frame_s]
    return [min(float(path.times[-1]) + frame_s, following[path.first + len(path) - 1]) for path in paths]


@dataclass(eq=False)
class _Answered:
    """The windows of one path with their answers."""

    spans: list[tuple[float, float]]
    rows: list[np.ndarray]
    nobody: list[bool]


def _batches(
    clips: PeopleClips, size: int, advance: Callable[[int], None]
) -> Iterator[list[tuple[PersonWindow, tuple[list[Clip], ...]]]]:
    """So many windows at a time with their clips; how many are done is told when the next are asked for."""
    coming, done, spare = iter(clips), 0, SpareMemory()
    while batch := list(islice(coming, size)):
        yield batch
        done += len(batch)
        advance(done)
        spare.give_back()


def _answers(
    predictor: VideoPredictor,
    batches: Iterable[list[tuple[PersonWindow, tuple[list[Clip], ...]]]],
    views: Views,
    name: str,
    paths: Sequence[PersonPath],
) -> list[_Answered]:
    """The answers of each path."""
    found = [_Answered([], [], []) for _ in paths]
    specs = predictor.specs
    for batch in batches:
        inputs = [torch.stack([stack(each[1][i]) for each in batch]) for i in range(len(specs))]
        named = [
            f"person {paths[window.path].identity} of {name} from {window.span[0]:.2f} to "
            f"{window.span[1]:.2f} s"
            for window, _ in batch
        ]
        rows = predictor.answers(inputs, views, named)
        unseen = predictor.sees_nobody(inputs)
        for (window, _), row, nobody in zip(batch, rows, unseen.tolist(), strict=True):
            own = found[window.path]
            own.spans.append(window.span)
            own.rows.append(row)
            own.nobody.append(nobody)
    return found


def _timeline(
    predictor: VideoPredictor, answered: Sequence[_Answered], source: str, breaks: Sequence[Break]
) -> Timeline:
    return Timeline(
        np.stack([row for each in answered for row in each.rows]),
        np.array([span for each in answered for span in each.spans]),
        predictor.labels,
        source,
        nobody=np.array([nobody for each in answered for nobody in each.nobody]),
        breaks_s=np.array([each.time_s for each in breaks]),
        rejection=predictor.rejection,
        model=predictor.name,
    )


def notes_on(broken: Sequence[Broken], rules: BreakRules) -> Iterator[str]:
    """What a user should know of the tracks."""
    if not any(each.paths for each in broken):
        yield NO_PEOPLE
    breaks = [at for each in broken for at in each.breaks]
    gaps, jumps = (sum(each.kind == kind for each in breaks) for kind in ("gap", "jump"))
    if gaps:
        yield f"{gaps} times somebody is away for longer than {rules.gap_s:g} s; the clips begin anew after"
    if jumps:
        yield (
            f"{jumps} times the box of a person jumps, as when identities are exchanged; the clips begin "
            "anew after"
        )
    if short := sum(each.short for each in broken):
        yield f"{short} parts of tracks are shorter than {rules.least_s:g} s and have no answer"
