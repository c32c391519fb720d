"""`Poses`: where the joints of the people of one video are, over its whole length."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.timing import (
    MOST_S,
    Around,
    check_times,
    holds_s,
    interval_of,
    poses_around,
    rows_during,
)
from kinesphere.clips.sidecar import CLOCK
from kinesphere.clips.skeleton import SKELETONS, map_between
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.short_repr import short_repr

# Frame sizes of one video agree in shape up to this share (rounded sizes of small copies differ a little).
_SHAPE = 0.02
# What no video exceeds: rates between one frame a day and this many a second, pixels or metres from the
# origin, pixels of a side, people and frames.
_LEAST_FPS, _MOST_FPS = 1e-5, 1e5
_FARTHEST, _MOST_SIDE_PX, _MOST_PEOPLE, _MOST_FRAMES = 1e7, 10**6, 10**6, 10**10

# What a body that does not move at all counts beside one that does; the motion, as a fraction of the body's
# size, that is halfway between; and how far apart frames may be for jitter to show between them.
_STILL, _MOVING, _NEXT_S = 0.1, 0.03, 0.1


@dataclass(frozen=True)
class Extent:
    """What tells a video from others.

    Attributes:
        frames: Number of its frames.
        last_s: When the last of them begins, in seconds.
        fps: Mean frames per second.
    """

    frames: int
    last_s: float
    fps: float

    def __post_init__(self) -> None:
        is_plausible = _LEAST_FPS <= self.fps <= _MOST_FPS and 0 <= self.last_s <= MOST_S
        if not is_plausible or not 1 <= self.frames <= _MOST_FRAMES:
            raise InvalidAnnotation(f"A video has frames, a length and a rate; got {self}.")

    @classmethod
    def of(cls, frame_times: np.ndarray, fps: float) -> Self:
        """The extent of a video whose frames begin at `(N,)` seconds."""
        return cls(len(frame_times), float(frame_times[-1]), fps)


@dataclass(frozen=True, eq=False, repr=False)
class Poses:
    """The people of one video and their joints, time first.

    A joint whose score is 0 was not seen and its coordinates mean nothing. A person is there in a frame
    when any of its joints is. Pixel coordinates count from the centre of the upper left pixel.

    Attributes:
        times: `(T,)` float64 seconds on the video's clock, ascending.
        keypoints: float32 `(T, P, J, 2)` as x px, y px, or `(T, P, J, 3)` as x, y, z in metres.
        scores: float32 `(T, P, J)` in [0, 1].
        tracks: `(P,)` int64 numbers of the people; one number stays with one person.
        skeleton: Registered name of the skeleton.
        frame_size: `(H, W)` of the frames that pixels refer to; None for joints in space.
        boxes: float32 `(T, P, 4)` as left, top, right, bottom px, NaN where the person is away; left out,
            they are drawn around the seen joints.
        world: float32 `(T, P, J, 3)` metres about the pelvis or the camera, beside pixels; or None.
        fps: Rate at which the poses were taken, or None if unknown.
        origin: Name and version of what made them.
        video: The video that they were taken from, if known.
        max_people: Maximum number of people looked for at a time, if known.
        clock: How their video was read (see `clips.archive.CLOCK`).
    """

    times: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    tracks: np.ndarray
    skeleton: str
    frame_size: Size | None
    boxes: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    world: np.ndarray | None = None
    fps: float | None = None
    origin: str = ""
    video: Extent | None = None
    max_people: int | None = None
    clock: int = CLOCK

    __repr__ = short_repr

    def __post_init__(self) -> None:
        joints = len(SKELETONS.get(self.skeleton))
        if self.keypoints.ndim != 4 or self.keypoints.shape[2] != joints:
            raise InvalidAnnotation(
                f"Poses of {self.skeleton} are (T, P, {joints}, 2 or 3); got {self.keypoints.shape}."
            )
        count, people = self.keypoints.shape[:2]
        dimensions = 3 if self.frame_size is None else 2
        wanted = {
            "keypoints": (count, people, joints, dimensions),
            "scores": (count, people, joints),
            "times": (count,),
            "tracks": (people,),
        }
        if not self.boxes.shape[1:]:
            object.__setattr__(self, "boxes", boxes_around(self.keypoints, self.scores))
        wanted["boxes"] = (count, people, 4)
        if self.world is not None:
            wanted["world"] = (count, people, joints, 3)
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InvalidAnnotation(
                    f"{name} of poses {'in space' if dimensions == 3 else 'in pixels'} must be {shape}; "
                    f"got {getattr(self, name).shape}."
                )
        if count == 0:
            raise InvalidAnnotation("The poses cover no frame at all; extract or convert them again.")
        check_times(self.times)
        seen = self.scores > 0
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise InvalidAnnotation("The scores of joints must lie in [0, 1]; some do not.")
        for points in (self.keypoints, self.world):
            if points is not None and not (np.abs(points[seen]) <= _FARTHEST).all():
                raise InvalidAnnotation(
                    "A joint with a score above 0 has coordinates that are no numbers, or far outside of any "
                    "frame."
                )
        if (np.abs(self.boxes) > _FARTHEST).any():
            raise InvalidAnnotation("The box of a person has sides far outside of any frame.")
        if self.fps is not None and not _LEAST_FPS <= self.fps <= _MOST_FPS:
            raise InvalidAnnotation(
                f"Poses are taken between {_LEAST_FPS:g} and {_MOST_FPS:g} times a second; got {self.fps}."
            )
        if self.max_people is not None and not 1 <= self.max_people <= _MOST_PEOPLE:
            raise InvalidAnnotation(f"At least one person is looked for; got {self.max_people}.")
        if len(set(self.tracks.tolist())) != people:
            raise InvalidAnnotation(f"People must have different track numbers; got {self.tracks.tolist()}.")
        if (
            self.frame_size is not None
            and not 0 < min(self.frame_size) <= max(self.frame_size) <= _MOST_SIDE_PX
        ):
            raise InvalidAnnotation(f"The frame size of poses is a positive (H, W); got {self.frame_size}.")

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, frames: slice | np.ndarray) -> Self:
        """The poses of some frames."""
        return replace(
            self,
            times=self.times[frames],
            keypoints=self.keypoints[frames],
            scores=self.scores[frames],
            boxes=self.boxes[frames],
            world=None if self.world is None else self.world[frames],
        )

    @property
    def people(self) -> int:
        """Number of people (P) over the whole video."""
        return len(self.tracks)

    @property
    def present(self) -> np.ndarray:
        """bool `(T, P)`: whether any joint of a person was seen."""
        there: np.ndarray = np.any(self.scores > 0, axis=-1)
        return there

    def people_seen(self) -> np.ndarray:
        """int64 `(T,)` number of people who are seen in each frame."""
        seen: np.ndarray = self.present.sum(1)
        return seen

    def detections(self) -> Self:
        """Everybody who is seen, whenever that is."""
        return self

    @cached_property
    def interval_s(self) -> float:
        """Seconds from pose to pose; 0 for a single one whose rate is not known."""
        return interval_of(self.times, self.fps)

    @property
    def holds_s(self) -> float:
        """How long before and after its time a pose tells where people are, if no other is nearer."""
        return holds_s(self.interval_s)

    def in_space(self) -> Self:
        """Joints in metres: these poses themselves, or what `world` holds.

        Raises:
            InvalidAnnotation: If the poses know pixels only.
        """
        if self.frame_size is None:
            return self
        if self.world is None:
            raise InvalidAnnotation(
                f"These poses ({self.origin or self.skeleton}) hold pixels only, but joints in space are "
                "asked for; use a model of 2D poses."
            )
        boxes = boxes_around(self.world, self.scores)
        return replace(self, keypoints=self.world, boxes=boxes, frame_size=None, world=None)

    def in_pixels(self) -> Self:
        """These poses.

        Raises:
            InvalidAnnotation: If they are joints in space.
        """
        if self.frame_size is None:
            raise InvalidAnnotation(
                f"These poses ({self.origin or self.skeleton}) are joints in space, but pixels are asked "
                "for; project them with a camera, or use a model of 3D skeletons."
            )
        return self

    def to(self, skeleton: str) -> Self:
        """The same people with the joints of another skeleton (see `skeleton.joint_map`).

        Raises:
            UnknownName: If there is no skeleton of this name.
        """
        if skeleton == self.skeleton:
            return self
        joints = map_between(self.skeleton, skeleton)
        return replace(
            self,
            keypoints=joints.points(self.keypoints),
            scores=joints.scores(self.scores),
            world=None if self.world is None else joints.points(self.world),
            skeleton=skeleton,
        )

    def resized(self, frame_size: Size) -> Self:
        """The same poses in frames of another size.

        Raises:
            InvalidAnnotation: If the frames have another shape, so that this is another video or crop.
        """
        if self.frame_size is None or frame_size == self.frame_size:
            return self
        scale = np.array(frame_size, np.float64)[::-1] / np.array(self.frame_size)[::-1]
        # A size rounded to whole pixels may be half a pixel off on either side.
        slack = _SHAPE + 0.5 / min(*frame_size, *self.frame_size)
        if abs(scale[0] / scale[1] - 1) > slack:
            (height, width), (old_height, old_width) = frame_size, self.frame_size
            raise InvalidAnnotation(
                f"The poses were taken from frames of {old_width}x{old_height} px, but these are "
                f"{width}x{height} px, of another shape; take the poses from this very video."
            )
        points = scale_points(self.keypoints, scale)
        return replace(
            self,
            keypoints=points,
            boxes=scale_points(self.boxes.reshape(*self.boxes.shape[:2], 2, 2), scale).reshape(
                self.boxes.shape
            ),
            frame_size=frame_size,
        )

    def select(self, people: np.ndarray) -> Self:
        """The people at these positions, in this order."""
        return replace(
            self,
            keypoints=self.keypoints[:, people],
            scores=self.scores[:, people],
            tracks=self.tracks[people],
            boxes=self.boxes[:, people],
            world=None if self.world is None else self.world[:, people],
        )

    def of(self, tracks: np.ndarray) -> Self:
        """The people of these numbers, in this order; who is not among them is never seen."""
        place = {number: i for i, number in enumerate(self.tracks.tolist())}
        found = np.array([place.get(number, -1) for number in tracks.tolist()], np.int64)
        there = found >= 0

        def spread(values: np.ndarray, fill: float) -> np.ndarray:
            result = np.full((len(self), len(found), *values.shape[2:]), fill, values.dtype)
            result[:, there] = values[:, found[there]]
            return result

        return replace(
            self,
            keypoints=spread(self.keypoints, 0),
            scores=spread(self.scores, 0),
            tracks=tracks,
            boxes=spread(self.boxes, np.nan),
            world=None if self.world is None else spread(self.world, 0),
        )

    def taken(self, times: np.ndarray, video: Extent | None, max_people: int | None) -> Self:
        """The same poses at `(T,)` seconds of a video, if that is known, and so many people looked for."""
        return replace(self, times=times, video=video, max_people=max_people)

    def later(self, by_s: float) -> Self:
        """The poses on a clock that started so much earlier."""
        extent = self.video
        # Nothing else changes, so nothing else is checked again: a clip of a recording asks for this.
        moved = copy(self)
        moved.__dict__.pop("interval_s", None)
        object.__setattr__(moved, "times", self.times + by_s)
        object.__setattr__(
            moved, "video", None if extent is None else replace(extent, last_s=extent.last_s + by_s)
        )
        object.__setattr__(moved, "clock", CLOCK)
        return moved

    def during(self, span: tuple[float, float]) -> Self:
        """The poses from `start_s` up to `end_s`; the nearest one if there is none between."""
        return self[rows_during(self.times, span)]

    def leading(self, count: int) -> np.ndarray:
        """Positions of at most `count` people, ascending: those seen for longest and most surely who move.

        Whoever moves is worth several who do not: furniture that was taken for a body is often seen longer
        than the performer. Of two alike the larger one leads, which is the one nearer to the camera. People
        who are never seen are left out.
        """
        sizes = np.nan_to_num(self.boxes[..., 3] - self.boxes[..., 1], nan=0.0)
        weight = (self.scores.mean(-1) * np.sqrt(np.maximum(sizes, 1e-6))).sum(0)
        motion = self._motion()
        weight = weight * (_STILL + motion / (motion + _MOVING))
        best = np.argsort(-weight, kind="stable")[:count]
        return np.sort(best[weight[best] > 0])

    def _motion(self) -> np.ndarray:
        """`(P,)` how far a person's joints stray from their mean places, as a fraction of its size.

        What jitters from frame to frame is taken off: the variance that neighbouring frames have already
        (von Neumann 1941).
        """
        seen = self.scores > 0
        points = np.where(seen[..., None], self.keypoints, 0.0).astype(np.float64)
        count = np.maximum(seen.sum(0), 1)
        mean = points.sum(0) / count[..., None]
        astray = np.where(seen, ((points - mean) ** 2).sum(-1), 0.0).sum(0) / count
        near = (np.diff(self.times) <= _NEXT_S)[:, None, None] & seen[1:] & seen[:-1]
        steps = np.where(near, (np.diff(points, axis=0) ** 2).sum(-1), 0.0).sum(0)
        jitter = steps / np.maximum(near.sum(0), 1) / 2
        spread = np.sqrt(np.maximum(astray - jitter, 0)).sum(-1) / np.maximum(seen.any(0).sum(-1), 1)
        sides = self.boxes[..., 2:] - self.boxes[..., :2]
        tall = np.nan_to_num(np.hypot(sides[..., 0], sides[..., 1]), nan=0.0)
        size = tall.sum(0) / np.maximum((tall > 0).sum(0), 1)
        motion: np.ndarray = np.where(size > 0, spread / np.maximum(size, 1e-6), 0.0)
        return motion

    def joints_at(self, times_s: np.ndarray) -> np.ndarray:
        """Where the joints are at any timestamps, whatever rate the poses were taken at.

        Between two poses at most `BRIDGE_S` apart a joint that is seen in both moves in a straight line;
        otherwise it is where the nearer pose has it. Before the first pose, after the last one and in
        longer gaps a pose holds for half of `BRIDGE_S`, or of `interval_s` where that is longer; beyond
        that nobody is there.

        Args:
            times_s: `(N,)` seconds in any order, repeats allowed.

        Returns:
            float32 `(N, P, J, 3 or 4)` as x, y[, z], score; 0 where a joint was not seen.
        """
        around = self.around(times_s)
        near = self[around.rows]
        return around.joints(near.keypoints, near.scores)

    def around(self, times_s: np.ndarray) -> Around:
        """Which of the poses tell where joints are at `(N,)` seconds, and how (see `joints_at`)."""
        return poses_around(self.times, self.interval_s, times_s)


def scale_points(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Pixel coordinates `(..., 2)` in a frame scaled by `scale` (x, y) as a whole."""
    # Pixels are areas: the frame's corner is half a pixel away from the centre that coordinates count from.
    scaled: np.ndarray = (points + 0.5) * scale - 0.5
    return scaled.astype(points.dtype)


def boxes_around(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """float32 `(T, P, 4)` left, top, right, bottom around the seen joints; NaN where there is none."""
    seen = (scores > 0)[..., None]
    flat = keypoints[..., :2]
    low = np.where(seen, flat, np.inf).min(2)
    high = np.where(seen, flat, -np.inf).max(2)
    boxes = np.concatenate([low, high], -1).astype(np.float32)
    boxes[~np.isfinite(boxes).all(-1)] = np.nan
    return boxes
