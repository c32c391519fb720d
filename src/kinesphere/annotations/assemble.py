"""Detections with track numbers, frame by frame, put together as `Poses`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kinesphere.annotations.tracking import Detections
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.skeleton import SKELETONS


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
) -> Poses:
    """The people of a video.

    Args:
        frames: T frames of detections.
        numbers: For each frame the track number of every detection; 0 is nobody.
        times: `(T,)` seconds.
        skeleton: Of the joints.
        frame_size: `(H, W)` in pixels.
        fps: Rate of the frames, if known.
        origin: Name and version of what found the people.
        least_frames: Tracks seen in fewer frames are left out: they are mistakes more often than people.

    Returns:
        People numbered from 1 in the order in which they appear.
    """
    counts = Counter(int(n) for each in numbers for n in each if n > 0)
    kept = [number for number in counts if counts[number] >= least_frames]
    place = {number: i for i, number in enumerate(kept)}
    shape = (len(frames), len(kept), len(SKELETONS.get(skeleton)))
    keypoints, scores = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    boxes = np.full((*shape[:2], 4), np.nan, np.float32)
    has_world = bool(frames) and all(found.world is not None for found in frames)
    world = np.zeros((*shape, 3), np.float32) if has_world else None
    for t, (found, each) in enumerate(zip(frames, numbers, strict=True)):
        for j, number in enumerate(each):
            p = place.get(int(number))
            if p is None:
                continue
            keypoints[t, p], scores[t, p], boxes[t, p] = found.keypoints[j], found.scores[j], found.boxes[j]
            if world is not None and found.world is not None:
                world[t, p] = found.world[j]
    return Poses(
        times=np.asarray(times, np.float64),
        keypoints=keypoints,
        scores=scores,
        tracks=np.arange(1, len(kept) + 1),
        skeleton=skeleton,
        frame_size=frame_size,
        boxes=boxes,
        world=world,
        fps=fps,
        origin=origin,
    )
