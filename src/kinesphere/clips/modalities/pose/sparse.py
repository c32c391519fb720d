"""`SparsePoses`: the people of a long video by detection, where most of them are away most of the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose import timing
from kinesphere.clips.modalities.pose.poses import Extent, Poses
from kinesphere.clips.modalities.pose.timing import Around, poses_around, rows_during
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.short_repr import short_repr

# Poses of all people at all times that would take more memory than this, and of whom more than so large a
# fraction are away, are kept by detection.
_LARGE_BYTES = 32 * 2**20
_AWAY = 0.75
# Of a joint: a score, and up to three coordinates in pixels and in metres.
_JOINT_BYTES = 24


@dataclass(frozen=True, eq=False, repr=False)
class SparsePoses:
    """The people of one video by detection: in proportion to who is seen, not to frames times all people.

    Any part of it is `Poses` of the people who are seen in that part.

    Attributes:
        times: `(T,)` float64 seconds on the video's clock, ascending.
        frames: `(N,)` int64 position of a detection's frame.
        who: `(N,)` int64 position of its person in `tracks`.
        tracks: `(P,)` int64 numbers of the people.
        each: The N detections, in order of frames and then of people, as if one person were seen N times; its
            times are their numbers, all else holds for the video.

    Raises:
        InvalidAnnotation: If the detections are in another order, or of frames or people that are not there.
    """

    times: np.ndarray
    frames: np.ndarray
    who: np.ndarray
    tracks: np.ndarray
    each: Poses

    __repr__ = short_repr

    def __post_init__(self) -> None:
        timing.check_times(self.times)
        count, people = len(self.each), len(self.tracks)
        if self.frames.shape != (count,) or self.who.shape != (count,) or self.each.people != 1:
            raise InvalidAnnotation(
                f"{count} detections have a frame and a person each; got {self.frames.shape} and "
                f"{self.who.shape}."
            )
        inside = (self.frames >= 0) & (self.frames < len(self.times)) & (self.who >= 0) & (self.who < people)
        if not inside.all() or (np.diff(self.frames * people + self.who) <= 0).any():
            raise InvalidAnnotation(
                "Detections are of the frames and people that there are, in order of frames and then of "
                "people; these are not."
            )
        if len(np.unique(self.tracks)) != people:
            raise InvalidAnnotation("People must have different track numbers; these have not.")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, frames: slice | np.ndarray) -> Poses:
        """The poses of some frames, with the people who are seen in them."""
        rows = np.arange(*frames.indices(len(self))) if isinstance(frames, slice) else frames
        begins = np.searchsorted(self.frames, rows)
        counts = np.searchsorted(self.frames, rows, side="right") - begins
        row = np.repeat(np.arange(len(rows)), counts)
        # The detections of a frame follow one another.
        chosen = np.arange(counts.sum()) + np.repeat(begins - np.cumsum(counts) + counts, counts)
        seen, person = np.unique(self.who[chosen], return_inverse=True)
        each = self.each

        def spread(values: np.ndarray, fill: float) -> np.ndarray:
            result = np.full((len(rows), len(seen), *values.shape[2:]), fill, values.dtype)
            result[row, person] = values[chosen, 0]
            return result

        return replace(
            each,
            times=self.times[rows],
            keypoints=spread(each.keypoints, 0),
            scores=spread(each.scores, 0),
            tracks=self.tracks[seen],
            boxes=spread(each.boxes, np.nan),
            world=None if each.world is None else spread(each.world, 0),
        )

    @property
    def people(self) -> int:
        """Number of people (P) over the whole video."""
        return len(self.tracks)

    @property
    def skeleton(self) -> str:
        """Registered name of the skeleton."""
        return self.each.skeleton

    @property
    def frame_size(self) -> Size | None:
        """`(H, W)` of the frames that pixels refer to; None for joints in space."""
        return self.each.frame_size

    @property
    def fps(self) -> float | None:
        """Rate at which the poses were taken, or None if unknown."""
        return self.each.fps

    @property
    def origin(self) -> str:
        """Name and version of what made them."""
        return self.each.origin

    @property
    def video(self) -> Extent | None:
        """The video that they were taken from, if known."""
        return self.each.video

    @property
    def max_people(self) -> int | None:
        """Maximum number of people looked for at a time, if known."""
        return self.each.max_people

    @property
    def clock(self) -> int:
        """How their video was read (see `clips.sidecar.CLOCK`)."""
        return self.each.clock

    @cached_property
    def interval_s(self) -> float:
        """See `Poses.interval_s`."""
        return timing.interval_of(self.times, self.fps)

    @property
    def holds_s(self) -> float:
        """See `Poses.holds_s`."""
        return timing.holds_s(self.interval_s)

    def detections(self) -> Poses:
        """Everybody who is seen, whenever that is."""
        return self.each

    def people_seen(self) -> np.ndarray:
        """int64 `(T,)` number of people who are seen in each frame."""
        return np.bincount(self.frames[self.each.present[:, 0]], minlength=len(self))

    def taken(self, times: np.ndarray, video: Extent | None, max_people: int | None) -> Self:
        """See `Poses.taken`."""
        return replace(self, times=times, each=replace(self.each, video=video, max_people=max_people))

    def later(self, by_s: float) -> Self:
        """See `Poses.later`."""
        return replace(self, times=self.times + by_s, each=self.each.later(by_s))

    def during(self, span: tuple[float, float]) -> Poses:
        """See `Poses.during`; people who are not seen in it are left out."""
        return self[rows_during(self.times, span)]

    def around(self, times_s: np.ndarray) -> Around:
        """See `Poses.around`."""
        return poses_around(self.times, self.interval_s, times_s)

    def dense(self) -> Poses:
        """All of the people at all of the times, in as much memory as that takes."""
        return self[:].of(self.tracks)


StoredPoses = Poses | SparsePoses
"""The poses of a video; any part of them is `Poses`."""


def are_sparse(frames: int, people: int, joints: int, detections: int) -> bool:
    """Whether so many detections are better kept one by one."""
    cells = frames * people
    return cells * joints * _JOINT_BYTES > _LARGE_BYTES and 0 < detections < (1 - _AWAY) * cells
