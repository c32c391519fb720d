"""Boxes that a detector found, and the tracks that they make: by their identities, or by a tracker."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kinesphere.annotations.timed import Track
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, MissingExtra

TrackerName = Literal["bytetrack", "ocsort", "sort"]
_CLASSES: dict[str, str] = {"bytetrack": "ByteTrackTracker", "ocsort": "OCSORTTracker", "sort": "SORTTracker"}
PEOPLE = frozenset({"person", "pedestrian", "people", "human", "man", "woman", "child"})
"""Classes of detectors that are people; everything else is an object."""
# For so long trackers keep who is lost, in the unit of the package: frames of a video of 30 a second.
_LOST_FRAMES = 30
_LOST_S = _LOST_FRAMES / 30
# Trackers are quicker to believe in their first few frames.
_BEGINNING = 5


@dataclass(frozen=True)
class FoundBox:
    """A box in one frame.

    Attributes:
        frame: Number of the frame, from 1.
        box: Left, top, right, bottom px.
        score: Its confidence.
        label: Class name.
        identity: What it belongs to; None where nothing tells.
    """

    frame: int
    box: tuple[float, float, float, float]
    score: float
    label: str
    identity: int | None = None

    def later(self, by: int) -> FoundBox:
        """The same box so many frames later."""
        return replace(self, frame=self.frame + by)


def tracks_by_identity(found: Iterable[FoundBox], name: str) -> tuple[Track, ...]:
    """The tracks of boxes that know what they belong to; a track is of the class of most of its boxes.

    Args:
        found: Boxes of one video.
        name: What they are called in messages.

    Raises:
        InvalidAnnotation: If one has no identity, or an identity has two boxes in a frame.
    """
    members: dict[int, dict[int, FoundBox]] = {}
    for each in found:
        if each.identity is None:
            raise InvalidAnnotation(
                f"{name} has a box without an identity in frame {each.frame}; give all boxes one or none, so "
                "that a tracker follows them."
            )
        boxes = members.setdefault(each.identity, {})
        if each.frame in boxes:
            raise InvalidAnnotation(f"{name}: {each.identity} has two boxes in frame {each.frame}; keep one.")
        boxes[each.frame] = each
    return tuple(_track(identity, list(members[identity].values())) for identity in sorted(members))


def _track(identity: int, boxes: Sequence[FoundBox]) -> Track:
    boxes = sorted(boxes, key=lambda each: each.frame)
    return Track(
        identity,
        np.array([each.frame for each in boxes], np.int64),
        np.array([each.box for each in boxes], np.float64).reshape(-1, 4),
        np.array([each.score for each in boxes], np.float64),
        Counter(each.label for each in boxes).most_common(1)[0][0],
    )


def followed(
    found: Sequence[FoundBox], fps: float, *, tracker: TrackerName = "bytetrack"
) -> tuple[Track, ...]:
    """The tracks of boxes without identities, by a tracker of the package `trackers`, class by class.

    Args:
        found: Boxes of one video.
        fps: Frames per second of its frame numbers, by which lost tracks are kept for a second.
        tracker: ByteTrack (Zhang et al. 2022), OC-SORT (Cao et al. 2023) or SORT (Bewley et al. 2016).

    Raises:
        MissingExtra: If the package is not installed.
        InvalidSetting: If there is no tracker of that name, or the rate is not positive.
    """
    if not 0 < fps < math.inf:
        raise InvalidSetting(f"Boxes are found in a positive number of frames a second; got {fps}.")
    if tracker not in _CLASSES:
        raise InvalidSetting(f"There is no tracker {tracker!r}; use {', '.join(map(repr, _CLASSES))}.")
    try:
        import supervision
        import trackers
    except ImportError as error:
        raise MissingExtra(
            "These boxes have no identities, and following them needs the package trackers: "
            "pip install 'kinesphere[people]'; or have the detector's own tracker number them."
        ) from error
    members: dict[tuple[str, int], list[FoundBox]] = {}
    for label in dict.fromkeys(each.label for each in found):
        by_frame: dict[int, list[FoundBox]] = {}
        for each in found:
            if each.label == label:
                by_frame.setdefault(each.frame, []).append(each)
        follow = getattr(trackers, _CLASSES[tracker])(lost_track_buffer=_LOST_FRAMES, frame_rate=fps)
        for frame in _shown(by_frame, fps):
            here = by_frame.get(frame, [])
            answer = follow.update(
                supervision.Detections(
                    xyxy=np.array([each.box for each in here], np.float32).reshape(-1, 4),
                    confidence=np.array([each.score for each in here], np.float32),
                    class_id=np.zeros(len(here), int),
                )
            )
            for box, score, identity in zip(answer.xyxy, answer.confidence, answer.tracker_id, strict=True):
                if identity >= 0:
                    left, top, right, bottom = map(float, box)
                    member = FoundBox(frame, (left, top, right, bottom), float(score), label)
                    members.setdefault((label, int(identity)), []).append(member)
    return tuple(_track(number, boxes) for number, boxes in enumerate(members.values(), start=1))


def _shown(with_boxes: Iterable[int], fps: float) -> Iterator[int]:
    """The frames that a tracker is shown: those with boxes, and of those between, until all are lost."""
    most = math.ceil(_LOST_S * fps) + _BEGINNING
    last = 0
    for frame in sorted(with_boxes):
        yield from range(last + 1, min(frame, last + 1 + most))
        yield frame
        last = frame
