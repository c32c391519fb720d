"""The joints of each person alone, whatever found where the people are, and cut to the part they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kinesphere.clips.boxes import assign, overlap
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.person_path import Cut, PersonPath

# Joints belong to a box that their own overlaps this much at least. It lies within a detector's, which goes
# around hair and shoes.
_SAME = 0.2


def of_people(poses: StoredPoses, paths: Sequence[PersonPath], size: Size) -> list[Poses]:
    """For each path the joints of that person, while it lasts, in pixels of frames of `(H, W)`.

    In every frame the people of the poses and of the paths are assigned so that their boxes overlap most.

    Raises:
        InvalidAnnotation: If they are joints in space.
    """
    poses[:1].in_pixels()  # refuses joints in space
    found = [_during(poses, path).resized(size) for path in paths]
    chosen = [np.full(len(part), -1) for part in found]
    begins = [int(np.searchsorted(poses.times, part.times[0])) for part in found]
    for row in range(len(poses.times)):
        alive = [i for i, first in enumerate(begins) if first <= row < first + len(found[i])]
        if not alive:
            continue
        own = np.stack([_box_at(paths[i], float(poses.times[row])) for i in alive])
        here = found[alive[0]]
        seen = here.boxes[row - begins[alive[0]]]
        there = np.flatnonzero(np.isfinite(seen).all(-1))
        shared = overlap(own, seen[there])
        for one, other in assign(shared):
            if shared[one, other] >= _SAME:
                i = alive[one]
                number = here.tracks[there[other]]
                chosen[i][row - begins[i]] = int(np.flatnonzero(found[i].tracks == number)[0])
    return [_picked(part, rows, path) for part, rows, path in zip(found, chosen, paths, strict=True)]


def _during(poses: StoredPoses, path: PersonPath) -> Poses:
    return poses.during((float(path.times[0]), float(np.nextafter(path.times[-1], np.inf))))


def _box_at(path: PersonPath, time_s: float) -> np.ndarray:
    row = int(np.searchsorted(path.times, time_s + 1e-6, side="right")) - 1
    box: np.ndarray = path.boxes[min(max(row, 0), len(path) - 1)]
    return box


def _picked(part: Poses, rows: np.ndarray, path: PersonPath) -> Poses:
    """One person of the poses in each frame, nobody where the number is negative."""
    frames, away = np.arange(len(part)), rows < 0
    if not part.people:
        return part.of(np.array([path.identity]))
    world = (
        None if part.world is None else np.where(away[:, None, None], 0, part.world[frames, rows])[:, None]
    )
    return replace(
        part,
        keypoints=part.keypoints[frames, rows][:, None],
        scores=np.where(away[:, None], np.float32(0), part.scores[frames, rows])[:, None],
        boxes=np.where(away[:, None], np.float32(np.nan), part.boxes[frames, rows])[:, None],
        tracks=np.array([path.identity]),
        world=world,
    )


def cut(poses: Poses, to: Cut) -> Poses:
    """The same joints in pixels of a part of the frames; joints in metres stay as they are."""
    corners = poses.boxes.reshape(*poses.boxes.shape[:-1], 2, 2)
    return replace(
        poses,
        keypoints=to.points(poses.keypoints),
        boxes=to.points(corners).reshape(poses.boxes.shape),
        frame_size=to.size,
    )
