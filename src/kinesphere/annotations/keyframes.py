"""Keyframes: who does what at single times of videos, the truth of spatio-temporal detection (AVA).

Boxes are left, top, right, bottom as fractions of the frame; times are seconds from the start of the video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kinesphere.annotations.boxes import PEOPLE
from kinesphere.annotations.recordings import FrameClock
from kinesphere.annotations.timed import TimedLabel, Track, track_tier
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.short_repr import short_repr

BoxOfFrame = tuple[float, float, float, float]
_OUTSIDE = 0.05
"""Corners may lie so far outside of the frame; those further away are of something else."""
LEAST_SIDE = 1e-4
"""Boxes less wide or high are none."""


@dataclass(frozen=True, slots=True)
class KeyPerson:
    """Somebody at one time.

    Attributes:
        box: Inside of the frame.
        actions: What is done, by name; none of a box without an action.
        person: Number of the person in its video, where it is known.
    """

    box: BoxOfFrame
    actions: tuple[str, ...] = ()
    person: int | None = None


@dataclass(frozen=True, slots=True)
class Keyframe:
    """One time of a video that somebody has looked at, with everybody in it.

    Attributes:
        video: Its name.
        time_s: Seconds.
        people: Nobody, where nothing is annotated.
    """

    video: str
    time_s: float
    people: tuple[KeyPerson, ...] = ()


@dataclass(frozen=True, eq=False)
class FramesOfClasses:
    """Keyframes and what their classes are numbered.

    Attributes:
        frames: Ordered by video and time.
        numbers: The number of each class in files of AVA's form, by name.
    """

    frames: tuple[Keyframe, ...]
    numbers: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def videos(self) -> tuple[str, ...]:
        """Names of the videos, in order."""
        return tuple(dict.fromkeys(each.video for each in self.frames))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers."""
        return tuple(sorted(self.numbers, key=lambda name: self.numbers[name]))


@dataclass(frozen=True, eq=False, repr=False)
class Keyframes(FramesOfClasses):
    """The keyframes of one or more files.

    Attributes:
        subsets: Subsets of videos, where the files tell.
        notes: What was left out, and why.
    """

    subsets: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    __repr__ = short_repr

    def of(self, videos: Sequence[str]) -> Keyframes:
        """Those of some videos."""
        kept = set(videos)
        return replace(self, frames=tuple(each for each in self.frames if each.video in kept))

    def without(self, excluded: frozenset[tuple[str, int]]) -> Keyframes:
        """Without the frames of a list, each a video and its whole second."""
        kept = tuple(each for each in self.frames if (each.video, int(each.time_s)) not in excluded)
        return replace(self, frames=kept)


def inside(box: Sequence[float], where: str) -> BoxOfFrame | None:
    """A box cut at the border of its frame; None where it has no area.

    Args:
        box: As it is written.
        where: Where it stands, for the message.

    Raises:
        InvalidAnnotation: If it lies outside, or is no box.
    """
    left, top, right, bottom = box
    if not all(-_OUTSIDE <= each <= 1 + _OUTSIDE for each in box):
        raise InvalidAnnotation(
            f"{where}: corners are fractions of the frame's width and height, from 0 to 1; got "
            f"{brief(list(box))}. Divide pixels by the size of the frame."
        )
    if right < left or bottom < top:
        raise InvalidAnnotation(
            f"{where}: a box is left, top, right, bottom; got {brief(list(box))}, which has a negative side."
        )
    left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in box)
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return None
    return left, top, right, bottom


def keyframes_of_tracks(
    video: str,
    tracks: Sequence[Track],
    labels: Sequence[TimedLabel],
    clock: FrameClock,
    *,
    every_s: int = 1,
    classes: Sequence[str] = (),
) -> tuple[list[Keyframe], Counter[str]]:
    """What the people of a video do at every whole second, from their tracks.

    What a person does are the labels on its track's tier at that time; a track whose own label is no word for
    people does what it is called. People who do nothing of note are boxes without actions.

    Args:
        video: Its name.
        tracks: Frames count from 1, boxes are in pixels.
        labels: Of this video.
        clock: When its frames are shown, and how large they are.
        every_s: Seconds from one keyframe to the next; files of AVA's form name whole seconds.
        classes: Actions that count; none for all. With some, a track that does none of them and is called by
            no word for people is a thing.

    Returns:
        The keyframes, and how many boxes were left out, by why.

    Raises:
        InvalidAnnotation: If the size of the frames is not known.
    """
    if clock.size is None:
        raise InvalidAnnotation(
            f"{brief(video)}: boxes are in pixels, and nothing says how large its frames are; name the "
            "folder of the videos."
        )
    count = clock.count or max((int(each.frames[-1]) for each in tracks if len(each)), default=0)
    height, width = clock.size
    doing: dict[str, list[TimedLabel]] = {}
    for each in labels:
        doing.setdefault(each.tier, []).append(each)
    left_out: Counter[str] = Counter()
    frames = []
    for time_s in _seconds(clock, count, every_s):
        people = []
        for track in tracks:
            box = _box_at(track, _frame_at(clock, time_s) + 1)
            actions = _actions_at(doing.get(track_tier(track.identity), ()), time_s, classes)
            if box is None or not (actions or track.label.lower() in PEOPLE):
                continue
            cut = np.clip(box / (width, height, width, height), 0, 1).tolist()
            if cut[2] - cut[0] < LEAST_SIDE or cut[3] - cut[1] < LEAST_SIDE:
                left_out["lie outside of the frame or have no area"] += 1
                continue
            people.append(KeyPerson((cut[0], cut[1], cut[2], cut[3]), actions, track.identity))
        frames.append(Keyframe(video, float(time_s), tuple(people)))
    return frames, left_out


def _seconds(clock: FrameClock, count: int, every_s: int) -> Iterator[int]:
    """The whole seconds at which so many frames are shown."""
    first_s, end_s = clock.time_s(0), clock.time_s(count)
    start = int(np.ceil(first_s / every_s - 1e-6)) * every_s
    yield from range(start, int(np.ceil(end_s - 1e-6)), every_s)


def _frame_at(clock: FrameClock, time_s: float) -> int:
    """The frame that is shown at a time."""
    frame = clock.frame(time_s)
    return frame - 1 if frame > 0 and clock.time_s(frame) > time_s + 1e-3 else frame


def _box_at(track: Track, frame: int) -> np.ndarray | None:
    """The box in a frame, of tracks of a low rate the nearest one; None where the track is away."""
    if not len(track):
        return None
    usual = float(np.median(np.diff(track.frames))) if len(track) > 1 else 1.0
    row = int(np.abs(track.frames - frame).argmin())
    near = abs(int(track.frames[row]) - frame) <= usual / 2
    box: np.ndarray = track.boxes[row]
    return box if near and track.scores[row] != 0 else None


def _actions_at(labels: Sequence[TimedLabel], time_s: float, classes: Sequence[str]) -> tuple[str, ...]:
    now = [each.label for each in labels if each.start_s <= time_s < each.end_s]
    return tuple(
        name for name in dict.fromkeys(now) if (name in classes if classes else name.lower() not in PEOPLE)
    )


def numbered(frames: Sequence[Keyframe]) -> dict[str, int]:
    """The classes that occur, numbered from 1 in alphabetical order."""
    names = {name for frame in frames for each in frame.people for name in each.actions}
    return {name: number for number, name in enumerate(sorted(names), 1)}
