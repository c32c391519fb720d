"""What happens when: labels over spans of videos, with or without scores, and boxes of people over frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.short_repr import short_repr

# Times, scores and pixels further from zero are none; four months of video are within.
FURTHEST_S, FURTHEST = 1e7, 1e9
LONGEST_NAME = 1000


PROPOSAL = "proposal"
"""The label of what says where something happens, and not what."""


@dataclass(frozen=True, slots=True)
class TimedLabel:
    """A label over a span.

    Attributes:
        video: Name of the video.
        label: Class name.
        start_s: Start in seconds from the start of the video.
        end_s: End; a span may have no length.
        tier: Annotator or layer, where a file has several.

    Raises:
        InvalidAnnotation: If it ends before it starts, a time is no number, or a name is longer than 1000
            characters.
    """

    video: str
    label: str
    start_s: float
    end_s: float
    tier: str = ""

    def __post_init__(self) -> None:
        if not -FURTHEST_S <= self.start_s <= FURTHEST_S or not -FURTHEST_S <= self.end_s <= FURTHEST_S:
            raise InvalidAnnotation(
                f"times of {brief(self.label)} in {brief(self.video)} should be finite seconds up to "
                f"{FURTHEST_S:g}; got {brief(self.start_s)} and {brief(self.end_s)}."
            )
        if self.end_s < self.start_s and not isinstance(self, Detection):
            raise InvalidAnnotation(
                f"{brief(self.label)} in {brief(self.video)} ends at {self.end_s:g} s, before it starts at "
                f"{self.start_s:g} s; exchange or correct them."
            )
        if len(self.video) > LONGEST_NAME or len(self.label) > LONGEST_NAME:
            raise InvalidAnnotation(f"names have up to {LONGEST_NAME} characters; got {brief(self.video)}.")


@dataclass(frozen=True, slots=True)
class Detection(TimedLabel):
    """A scored span, or a scored box at one time (its span has no length).

    Networks that regress boundaries give spans that end before they start, too. Those are detections all the
    same, wrong ones: they overlap nothing.

    Attributes:
        score: Its confidence, any finite number.
        box: Left, top, right, bottom, in the unit of its file; None for a span of whole frames.

    Raises:
        InvalidAnnotation: As `TimedLabel`; also if a score or a corner is no finite number.
    """

    score: float = 1.0
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        TimedLabel.__post_init__(self)
        if not math.isfinite(self.score):
            raise InvalidAnnotation(
                f"the score of {brief(self.label)} in {brief(self.video)} should be a finite number; got "
                f"{self.score}."
            )
        if self.box is not None and not all(-FURTHEST <= corner <= FURTHEST for corner in self.box):
            raise InvalidAnnotation(
                f"the box of {brief(self.label)} in {brief(self.video)} should be four finite numbers; got "
                f"{brief(self.box)}."
            )


@dataclass(frozen=True, eq=False, repr=False)
class TimedLabels:
    """The timed labels of a file.

    Attributes:
        labels: In the order of the file; all of them are `Detection`s where the file has scores.
        videos: All videos that the file names, also those without a label, in its order.
        durations_s: Lengths of videos, where the file tells.
        subsets: Subsets of videos, where the file tells.
        groups: Group of a video (its performer), where a table has the column `group`.
        splits: Split of a video, where a table has the column `split`.
        notes: What of the file was not read, and why.
        tracks: Boxes over frames by video, where the file has some; frames count from 1. When they are there
            is told by labels, too, on tiers that `track_tier` names.
    """

    labels: tuple[TimedLabel, ...]
    videos: tuple[str, ...]
    durations_s: Mapping[str, float] = field(default_factory=dict)
    subsets: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tracks: Mapping[str, tuple[Track, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, labels: Iterable[TimedLabel], notes: tuple[str, ...] = ()) -> TimedLabels:
        """Labels of a file that names no other videos than theirs."""
        kept = tuple(labels)
        return cls(kept, tuple(dict.fromkeys(each.video for each in kept)), notes=notes)

    def detections(self, name: str) -> tuple[Detection, ...]:
        """The labels with their scores.

        Args:
            name: Name of the file, for the message.

        Raises:
            InvalidAnnotation: If the file has no scores.
        """
        scored = tuple(each for each in self.labels if isinstance(each, Detection))
        if len(scored) < len(self.labels):
            raise InvalidAnnotation(
                f"{name} holds labels without scores, so it is an annotation and no result; name the file of "
                "results first and annotations with --truth."
            )
        return scored


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """Boxes of one person (or thing) over frames of a video.

    Attributes:
        identity: Number of the person in its file.
        frames: `(N,)` int64, increasing, as the file numbers them.
        boxes: `(N, 4)` float64: left, top, right, bottom px.
        scores: `(N,)` float64: confidences, or whether an annotation counts (0: it does not).
        label: Class name of what is tracked.

    Raises:
        InvalidAnnotation: If a frame occurs twice, or a box is no box.
    """

    identity: int
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    label: str = "person"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        count = len(self.frames)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,):
            raise InvalidAnnotation(
                f"track {self.identity} of {count} frames needs boxes ({count}, 4), scores ({count},); got "
                f"{self.boxes.shape} and {self.scores.shape}."
            )
        if (np.diff(self.frames) <= 0).any():
            again = int(self.frames[1:][np.diff(self.frames) <= 0][0])
            raise InvalidAnnotation(f"track {self.identity} has more than one box in frame {again}.")
        if not (np.abs(self.boxes) <= FURTHEST).all() or (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise InvalidAnnotation(
                f"track {self.identity} has boxes that are none: they have negative sides."
            )

    def __len__(self) -> int:
        return len(self.frames)


def track_tier(identity: int) -> str:
    """The tier of the labels that tell when a track is there."""
    return f"track {identity}"


def with_scores(labels: Sequence[TimedLabel], scores: Sequence[float | None]) -> tuple[TimedLabel, ...]:
    """The labels as `Detection`s if each has a score; where some have none, people have added those, and all
    are annotations."""
    known = [score for score in scores if score is not None]
    if not labels or len(known) < len(labels):
        return tuple(labels)
    return tuple(
        Detection(each.video, each.label, each.start_s, each.end_s, each.tier, score=score)
        for each, score in zip(labels, known, strict=True)
    )


def video_name(text: str) -> str:
    """A video as files of results name it: a path without its folders and the suffix of a video."""
    name = PurePath(text.replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.lower() in VIDEO_SUFFIXES else name


VIDEO_SUFFIXES = frozenset(
    {"mp4", "avi", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "wmv", "flv", "ts", "mts"}
)
