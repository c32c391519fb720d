"""`PeoplePredictor`: what each person of a video does at every second, from the video and its tracks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kinesphere.annotations.timed import Track
from kinesphere.clips.person_path import PersonPath
from kinesphere.clips.source import WrappedSource, beside, displayed_rows, duration_of
from kinesphere.core.content import content_key
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.skipped import Skipped
from kinesphere.data.sources import Opening, shown
from kinesphere.localise.people.clips import read_about
from kinesphere.localise.people.detector import FILE_NAME, PeopleDetector, people_detector_file
from kinesphere.predict.bulk import Progress, each_with_tracks
from kinesphere.predict.long_video import damage_of, remarks_on
from kinesphere.predict.people import PeopleSettings, PeopleTimelines, PersonTimeline, object_facts
from kinesphere.predict.people.answer import ends_of, given_tracks, notes_on
from kinesphere.predict.people.paths import Broken, on_video, paths_of, people_and_objects, usual_distance_s
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.windowed import Advance, quietly

STRIDE_S = 1.0
_TOGETHER = 8


@dataclass(frozen=True, eq=False)
class PeoplePredictor:
    """A detector of people's actions that takes videos.

    Attributes:
        name: As the user named it.
        detector: Says what people in boxes do.
        compute: Where and how it runs.
        opening: Where files of poses lie, by which people are found where no tracks are given.
    """

    name: str
    detector: PeopleDetector
    compute: Compute
    opening: Opening

    @classmethod
    def load(
        cls, source: str | Path, *, compute: Compute | None = None, opening: Opening | None = None
    ) -> PeoplePredictor:
        """The detector of a run folder or a model file.

        Raises:
            InvalidCheckpoint: If it is no such detector, or damaged.
        """
        path = people_detector_file(source)
        if path is None:
            raise InvalidCheckpoint(f"{source} holds no detector of people's actions; train one.")
        detector, compute = PeopleDetector.load(path), compute or Compute.choose()
        compute.place(detector.net)
        return cls(str(source), detector, compute, opening or Opening())

    def digest(self) -> str:
        """A short digest of the detector, equal for equal answers."""
        with tempfile.TemporaryDirectory(prefix="kinesphere-") as scratch:
            return content_key(self.detector.save(Path(scratch) / FILE_NAME))

    def timelines(
        self,
        source: str | Path,
        tracks: Sequence[Track] | Path | None = None,
        *,
        settings: PeopleSettings = PeopleSettings(stride_s=STRIDE_S),  # noqa: B008 (frozen)
        advance: Advance = quietly,
    ) -> PeopleTimelines:
        """What each person of a video does, in windows about the times that it is looked at.

        Args:
            source: The video.
            tracks: People and objects, or their file (see `read_track_file`); None finds people by their
                poses.
            settings: Seconds from one time to the next, breaks, rate of the tracks; windows and crops mean
                nothing here.
            advance: Called with the number of times done, and of all.

        Raises:
            VideoError: If the video cannot be decoded.
            InvalidAnnotation: If the tracks are of another video, or there are no poses where they are
                needed.
        """
        also = ["pose"] if tracks is None else []
        with self.opening.open(source, [self.detector.spec], also=also) as video:
            times, poses = video.frame_times(), beside(video, "pose")
            placed = on_video(given_tracks(tracks, video, settings), video, settings.tracks_fps)
            people, objects = people_and_objects(placed.tracks)
            usual_s = usual_distance_s(people, times)
            broken = {each.identity: paths_of(each, times, settings.breaks, usual_s) for each in people}
            answered = self._answers(
                video, [p for each in broken.values() for p in each.paths], settings, advance
            )
            told = (*placed.notes, *notes_on(list(broken.values()), settings.breaks))
            return PeopleTimelines(
                shown(source),
                tuple(self._people(people, broken, answered, shown(source))),
                objects,
                times,
                video.size,
                poses,
                tuple(object_facts(people, objects, times, video.size, poses, settings.objects)),
                tuple(dict.fromkeys((*remarks_on(video), *damage_of(video), *told))),
                self.detector.numbers,
            )

    def _answers(
        self, video: WrappedSource, paths: Sequence[PersonPath], settings: PeopleSettings, advance: Advance
    ) -> dict[int, _Answered]:
        """Of each path, by its identity in memory, the times and what is done at them."""
        times = video.frame_times()
        ends = [min(each, duration_of(video)) for each in ends_of(paths, times)]
        asked: dict[float, list[int]] = {}
        for number, (path, end_s) in enumerate(zip(paths, ends, strict=True)):
            for time_s in times_of(float(path.times[0]), end_s, settings.stride_s):
                asked.setdefault(time_s, []).append(number)
        found = [_Answered(float(path.times[0]), end_s) for path, end_s in zip(paths, ends, strict=True)]
        order = sorted(asked)
        for first in range(0, len(order), _TOGETHER):
            some = order[first : first + _TOGETHER]
            for time_s, rows in zip(some, self._rows(video, paths, asked, some), strict=True):
                for number, row in zip(asked[time_s], rows, strict=True):
                    found[number].times_s.append(time_s)
                    found[number].rows.append(row)
            advance(min(first + _TOGETHER, len(order)), len(order))
        return {id(path): each for path, each in zip(paths, found, strict=True)}

    def _rows(
        self,
        video: WrappedSource,
        paths: Sequence[PersonPath],
        asked: Mapping[float, Sequence[int]],
        some: Sequence[float],
    ) -> list[np.ndarray]:
        """Probabilities of the people at some times."""
        clips, boxes = [], []
        size = np.array(video.size[::-1] * 2, np.float64)
        for time_s in some:
            clip, placement = read_about(video, self.detector.spec, time_s)
            row = int(displayed_rows(video, np.array([time_s + 1e-3]))[0])
            own = [paths[number] for number in asked[time_s]]
            at = [min(max(row - path.first, 0), len(path) - 1) for path in own]
            fractions = np.stack([path.boxes[i] for path, i in zip(own, at, strict=True)]) / size
            clips.append(clip.data)
            boxes.append(placement.boxes(fractions))
        return self.detector.probabilities(torch.stack(clips), boxes, self.compute)

    def _people(
        self,
        people: Sequence[Track],
        broken: Mapping[int, Broken],
        answered: Mapping[int, _Answered],
        source: str,
    ) -> Iterator[PersonTimeline]:
        """Everybody with an answer, in the order in which they appear."""
        for track in sorted(people, key=lambda each: int(each.frames[0])):
            own = broken[track.identity]
            parts = [answered[id(path)] for path in own.paths]
            if parts:
                timeline = Timeline(
                    np.concatenate([np.stack(each.rows) for each in parts]),
                    np.concatenate([each.spans() for each in parts]),
                    self.detector.labels,
                    source,
                    breaks_s=np.array([each.time_s for each in own.breaks]),
                    model=self.name,
                )
                yield PersonTimeline(track, timeline, own.breaks)


class _Answered:
    """The times of one path with what is done at them."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self.start_s, self.end_s = start_s, end_s
        self.times_s: list[float] = []
        self.rows: list[np.ndarray] = []

    def spans(self) -> np.ndarray:
        """`(W, 2)`: the path, divided half way between its times."""
        times = np.array(self.times_s)
        edges = np.concatenate([[self.start_s], (times[1:] + times[:-1]) / 2, [self.end_s]])
        return np.stack([edges[:-1], edges[1:]], 1)


def times_of(start_s: float, end_s: float, stride_s: float) -> list[float]:
    """The times at which a path is looked at: whole multiples of the stride, or its middle where it holds
    none."""
    first = int(np.ceil(start_s / stride_s - 1e-6))
    found = [
        number * stride_s
        for number in range(first, int(np.ceil(end_s / stride_s - 1e-6)))
        if number * stride_s < end_s - 1e-3
    ]
    return found or [(start_s + end_s) / 2]


def predict_people_actions(
    predictor: PeoplePredictor,
    sources: Sequence[str],
    *,
    tracks: Path | None = None,
    settings: PeopleSettings = PeopleSettings(stride_s=STRIDE_S),  # noqa: B008 (frozen)
    progress: Progress = Progress(),  # noqa: B008 (frozen)
) -> Iterator[PeopleTimelines | Skipped]:
    """What each person of each of many videos does; the others go on where one fails.

    Args:
        predictor: Whom to ask.
        sources: Paths.
        tracks: File of the tracks of an only video, or a folder with one for each; None finds people by their
            poses.
        settings: See `PeoplePredictor.timelines`.
        progress: Who hears how far the videos are.

    Raises:
        InvalidSetting: If several videos have one file, or no stride is positive.
    """
    if not settings.stride_s > 0:
        raise InvalidSetting(f"People are looked at every so many seconds, above 0; got {settings.stride_s}.")

    def ask(source: str, own: Path | None) -> PeopleTimelines:
        return predictor.timelines(source, own, settings=settings, advance=progress.advance)

    yield from each_with_tracks(ask, list(sources), tracks)
