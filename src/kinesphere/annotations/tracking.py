"""Keeping people apart: detections of single frames become tracks, so that person 1 stays person 1.

A track predicts where its person is from the last joints and their velocity, and knows what it wears.
Detections are assigned so that the summed similarity is largest. Similarity is the object keypoint
similarity of COCO, taken loosely enough for motion between frames, with the overlap of the boxes, times the
similarity of the clothes where those are known. Tracks outlive gaps: who comes out of an embrace is told by
the clothes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import cv2
import numpy as np

from kinesphere.clips.boxes import assign, overlap
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.sparse import SparsePoses, StoredPoses, are_sparse
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.short_repr import short_repr

# Standard deviations of COCO's joints as a fraction of the person's size (cocodataset.org, keypoints-eval),
# for the parts of a body that all skeletons name alike; others take the value of the hips.
_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089,
}  # fmt: skip
# Bhattacharyya coefficients of the appearance of different people and of one person in two frames: what lies
# below and above tells nothing more.
_STRANGER, _SELF = 0.75, 0.9
# Nobody new appears where somebody is: a box that overlaps a known person's this much is that person, seen
# wrongly, or somebody who will be told apart later.
_TAKEN = 0.4
# How much an appearance learns from a new frame.
_LEARN = 0.1
_BINS = 8
# After so long, in seconds, nearness counts more than the joints; people walk so many sizes a second.
_LOST_S = 0.5
_PACE = 1.5
# People whose boxes overlap more than this may hide each other's clothes.
_CLEAR = 0.15
# A joint moves between frames, and estimates jump: the tolerance is this many times COCO's.
_LOOSE = 3.0
# Tracks that are followed at a time, people who are away for a moment among them.
_MAX_LIVING = 64


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The N people found in one frame.

    Attributes:
        keypoints: `(N, J, 2)` px.
        scores: `(N, J)`; 0 where a joint was not seen.
        boxes: `(N, 4)` left, top, right, bottom px.
        world: `(N, J, 3)` metres, or None.
        appearance: `(N, D)` square roots of histograms that sum to 1 (see `with_appearance`), or None.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    world: np.ndarray | None = None
    appearance: np.ndarray | None = None

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, people: slice | Sequence[int] | np.ndarray) -> Detections:
        """Some of the people."""
        values = [getattr(self, each.name) for each in fields(self)]
        chosen: list[Any] = [None if value is None else value[people] for value in values]
        return Detections(*chosen)

    def __add__(self, other: Detections) -> Detections:
        """The people of both, as far as both know them."""
        pairs = [(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)]
        joined: list[Any] = [
            None if one is None or two is None else np.concatenate([one, two]) for one, two in pairs
        ]
        return Detections(*joined)


@dataclass
class Track:
    """One person so far.

    Attributes:
        number: Stays with the person, from 1.
        keypoints: `(J, 2)` where the joints were last.
        scores: `(J,)` how surely each was seen then.
        box: `(4,)` px.
        velocity: `(J, 2)` px per second.
        time_s: When it was last seen.
        appearance: `(D,)` mean of what it looked like when nobody stood in front, or None.
    """

    number: int
    keypoints: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    velocity: np.ndarray
    time_s: float
    appearance: np.ndarray | None = None

    def predicted(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Joints and box at a time. Nobody keeps a velocity for long: it fades over `Tracker.fade_s`."""
        gap_s = time_s - self.time_s
        drift = self.velocity * Tracker.fade_s * (1 - np.exp(-gap_s / Tracker.fade_s))
        return self.keypoints + drift, self.box + np.tile(np.median(drift, axis=0), 2)


@dataclass
class Tracker:
    """Assigns the detections of frame after frame to people.

    Args:
        joints: Names of the skeleton's joints.
        min_similarity: Smallest similarity, in [0, 1], of a detection and the track it continues.
        memory_s: A track not seen for longer is over; whoever comes then is somebody new.
        max_people: Largest number of people at a time; the least sure detections beyond are dropped.
    """

    fade_s = 0.25

    joints: tuple[str, ...]
    min_similarity: float = 0.15
    memory_s: float = 5.0
    max_people: int = 8
    tracks: list[Track] = field(default_factory=list)
    _born: int = 0

    def __post_init__(self) -> None:
        self._tolerance = _LOOSE * _tolerances(self.joints)

    def living(self, time_s: float) -> list[Track]:
        """Tracks that may be continued at a time; in a crowd that changes all the time, the latest ones."""
        living = [track for track in self.tracks if time_s - track.time_s <= self.memory_s]
        if len(living) > _MAX_LIVING:
            latest = sorted(living, key=lambda track: track.time_s)[-_MAX_LIVING:]
            living = sorted(latest, key=lambda track: track.number)
        return living

    def step(self, found: Detections, time_s: float) -> np.ndarray:
        """The track number of every detection of a frame; 0 for those dropped.

        Args:
            found: N detections.
            time_s: Later than the frames before.
        """
        living = self.living(time_s)
        self.tracks = [*living]
        numbers = np.zeros(len(found), np.int64)
        similarity = np.zeros((len(living), len(found)))
        for i, track in enumerate(living):
            similarity[i] = self.similarity(track, found, time_s)
        alone = _alone(found.boxes)
        for i, j in assign(similarity):
            if similarity[i, j] >= self.min_similarity:
                self._follow(living[i], found, j, time_s, bool(alone[j]))
                numbers[j] = living[i].number
        sure = found.scores.mean(-1)
        slack = self.max_people - int((numbers > 0).sum())
        known = np.array([track.predicted(time_s)[1] for track in living]).reshape(-1, 4)
        is_free = overlap(found.boxes, known).max(1, initial=0) < _TAKEN
        new = np.flatnonzero((numbers == 0) & is_free).tolist()
        for j in sorted(new, key=lambda j: -float(sure[j]))[: max(slack, 0)]:
            self._born += 1
            numbers[j] = self._born
            velocity = np.zeros_like(found.keypoints[j])
            look = None if found.appearance is None else found.appearance[j]
            self.tracks.append(
                Track(self._born, found.keypoints[j], found.scores[j], found.boxes[j], velocity, time_s, look)
            )
        return numbers

    def similarity(self, track: Track, found: Detections, time_s: float) -> np.ndarray:
        """How much each of N detections is like what a track predicts, `(N,)` in [0, 1].

        Where it should be: the mean of the similarity of the joints and the overlap of the boxes, and the
        longer it was away, how near it is at all. All of that counts as much as the clothes are similar.
        """
        joints, box = track.predicted(time_s)
        size = np.sqrt(max(float(np.prod(box[2:] - box[:2])), 1.0))
        both = (track.scores > 0) & (found.scores > 0)
        distance = np.linalg.norm(found.keypoints - joints, axis=-1)
        # The longer a person was away, the further it may have gone.
        tolerance = size * self._tolerance * (1 + (time_s - track.time_s))
        near = np.exp(-(distance**2) / (2 * tolerance**2)) * both
        similarity = near.sum(-1) / np.maximum(both.sum(-1), 1)
        result: np.ndarray = (similarity + overlap(box[None], found.boxes)[0]) / 2
        away_s = time_s - track.time_s
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        steps = np.linalg.norm(centres - (box[:2] + box[2:]) / 2, axis=-1) / (size * (0.5 + _PACE * away_s))
        lost = 1 - np.exp(-away_s / _LOST_S)
        result = (1 - lost) * result + lost * np.exp(-(steps**2) / 2)
        if track.appearance is not None and found.appearance is not None:
            worn = found.appearance @ track.appearance
            result = result * np.clip((worn - _STRANGER) / (_SELF - _STRANGER), 0.05, 1)
        return result

    def _follow(self, track: Track, found: Detections, j: int, time_s: float, alone: bool) -> None:
        gap_s = max(time_s - track.time_s, 1e-3)
        seen = found.scores[j] > 0
        step = (
            np.where((seen & (track.scores > 0))[:, None], found.keypoints[j] - track.keypoints, 0.0) / gap_s
        )
        # Half old, half new: single estimates jitter.
        track.velocity = (track.velocity + step) / 2
        track.keypoints = np.where(seen[:, None], found.keypoints[j], track.keypoints)
        track.scores = np.where(seen, found.scores[j], track.scores / 2)
        track.box, track.time_s = found.boxes[j], time_s
        if found.appearance is not None and alone:
            old = found.appearance[j] if track.appearance is None else track.appearance
            mixed = old**2 * (1 - _LEARN) + found.appearance[j] ** 2 * _LEARN
            track.appearance = np.sqrt(mixed)


def with_appearance(image: np.ndarray, joints: tuple[str, ...], found: Detections) -> Detections:
    """The detections with what people wear: colours of trunk and thighs.

    Args:
        image: uint8 RGB `(H, W, 3)` that they were found in.
        joints: Names of the J joints, with shoulders, hips and knees.
        found: N people.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    index = {name: i for i, name in enumerate(joints)}
    rows = []
    for person in found.keypoints:
        parts = []
        for above, below in (("shoulder", "hip"), ("hip", "knee")):
            corners = [f"left_{above}", f"right_{above}", f"right_{below}", f"left_{below}"]
            parts.append(_colours(lab, person[[index[name] for name in corners]]))
        rows.append(np.concatenate(parts))
    stacked = np.sqrt(np.array(rows, np.float32).reshape(len(found), 2 * 3 * _BINS) / (2 * 3))
    return replace(found, appearance=stacked)


def _colours(lab: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Histograms of lightness and the two hues inside a four-sided part of an image, each of sum 1."""
    height, width = lab.shape[:2]
    # People seen from the side are narrow: the part is at least a third as wide as it is high.
    middle = corners.mean(0)
    extent = max(float(np.ptp(corners[:, 1])) / 6, 1.0)
    spread = np.where(np.array([1, 0, 0, 1], bool), -extent, extent)
    wide = corners.copy()
    if np.ptp(corners[:, 0]) < 2 * extent:
        wide[:, 0] = middle[0] + spread
    low = np.floor(wide.min(0)).clip(0, (width - 2, height - 2)).astype(int)
    high = np.ceil(wide.max(0)).astype(int).clip(low + 1, (width, height))
    part = lab[low[1] : high[1], low[0] : high[0]]
    inside = np.zeros(part.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(cv2.convexHull(wide.astype(np.float32))[:, 0] - low).astype(np.int32)], 1)
    pixels = part[inside > 0] if inside.any() else part.reshape(-1, 3)
    ranges = ((0, 256), (96, 160), (96, 160))
    histograms = [
        np.histogram(pixels[:, c].clip(least, most - 1), _BINS, (least, most))[0]
        for c, (least, most) in enumerate(ranges)
    ]
    return np.concatenate([histogram / max(histogram.sum(), 1) for histogram in histograms])


def _alone(boxes: np.ndarray) -> np.ndarray:
    """`(N,)` whether nobody's box overlaps a person's."""
    shared = overlap(boxes, boxes)
    np.fill_diagonal(shared, 0)
    return np.asarray(shared.max(1, initial=0) < _CLEAR)


def _tolerances(joints: tuple[str, ...]) -> np.ndarray:
    """Twice COCO's standard deviation of every joint, as a fraction of a person's size."""
    parts = [name.removeprefix("left_").removeprefix("right_") for name in joints]
    return 2 * np.array([_SIGMAS.get(part, _SIGMAS["hip"]) for part in parts])


def keypoint_similarity(joints: tuple[str, ...], found: Detections, one: int, other: int) -> float:
    """COCO's object keypoint similarity of two detections of a frame, in [0, 1]."""
    size = np.sqrt(max(float(np.prod(found.boxes[one, 2:] - found.boxes[one, :2])), 1.0))
    distance = np.linalg.norm(found.keypoints[one] - found.keypoints[other], axis=-1)
    weight = np.minimum(found.scores[one], found.scores[other])
    near = np.exp(-(distance**2) / (2 * (size * _tolerances(joints)) ** 2))
    return float((near * weight).sum() / max(float(weight.sum()), 1e-6))


def follow(frames: Sequence[Detections], times_s: Sequence[float], tracker: Tracker) -> list[np.ndarray]:
    """The track numbers of the detections of all frames, in order of time."""
    return [tracker.step(found, time_s) for found, time_s in zip(frames, times_s, strict=True)]


def assemble(
    frames: Sequence[Detections],
    numbers: Sequence[np.ndarray],
    times: np.ndarray,
    *,
    skeleton: str,
    frame_size: Size,
    fps: float | None,
    origin: str,
    least_frames: int = 1,
    renumbered: bool = True,
) -> StoredPoses:
    """The people of a video; those of a long one in which people come and go by detection.

    Args:
        frames: T frames of detections.
        numbers: For each frame the track number of every detection; 0 is nobody.
        times: `(T,)` seconds.
        skeleton: Skeleton of the joints.
        frame_size: `(H, W)` in pixels.
        fps: Rate of the frames, if known.
        origin: Name and version of what found the people.
        least_frames: Tracks seen in fewer frames are left out: they are mistakes more often than people.
        renumbered: Whether people are numbered from 1 in the order in which they appear; otherwise they keep
            the numbers of their tracks.

    Returns:
        The people in the order in which they appear.
    """
    counts = Counter(int(n) for each in numbers for n in each if n > 0)
    kept = [number for number in counts if counts[number] >= least_frames]
    index = {number: i for i, number in enumerate(kept)}
    # Of each detection of somebody who is kept: its frame, its person, and its position in the frame.
    found = sorted(
        (t, index[int(number)], j)
        for t, each in enumerate(numbers)
        for j, number in enumerate(each)
        if int(number) in index
    )
    has_world = bool(frames) and all(each.world is not None for each in frames)

    def poses(own_times: np.ndarray, tracks: np.ndarray, cells: Iterable[_Cell]) -> Poses:
        keypoints, scores, boxes, world = _spread(
            frames, cells, (len(own_times), len(tracks), len(SKELETONS.get(skeleton))), has_world
        )
        return Poses(
            own_times, keypoints, scores, tracks, skeleton, frame_size, boxes, world, fps=fps, origin=origin
        )

    seconds = np.asarray(times, np.float64)
    tracks = np.arange(1, len(kept) + 1) if renumbered else np.array(kept, np.int64)
    if not are_sparse(len(frames), len(kept), len(SKELETONS.get(skeleton)), len(found)):
        return poses(seconds, tracks, ((t, person, t, j) for t, person, j in found))
    numbered = np.arange(len(found), dtype=np.float64)
    each = poses(numbered, np.ones(1, np.int64), ((i, 0, t, j) for i, (t, _, j) in enumerate(found)))
    rows, people, _ = np.array(found, np.int64).T
    return SparsePoses(seconds, rows, people, tracks, each)


_Cell = tuple[int, int, int, int]
"""Row and column of a detection in the arrays of poses, its frame, and its position in that."""


def _spread(
    frames: Sequence[Detections], cells: Iterable[_Cell], shape: tuple[int, int, int], has_world: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Detections in the arrays of poses: keypoints, scores, boxes and what is known in space."""
    keypoints, scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    boxes = np.full((*shape[:2], 4), np.nan, np.float32)
    world = np.zeros((*shape, 3), np.float32) if has_world else None
    for row, person, t, j in cells:
        cell, found = (row, person), frames[t]
        keypoints[cell], scores[cell], boxes[cell] = found.keypoints[j], found.scores[j], found.boxes[j]
        if world is not None and found.world is not None:
            world[cell] = found.world[j]
    return keypoints, scores, boxes, world
