"""Whether poses are those of a video, and its clock."""

from __future__ import annotations

import numpy as np

from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.sidecar import CLOCK, check_orientation
from kinesphere.clips.source import VideoSource
from kinesphere.core.errors import InvalidAnnotation

# Poses that do not tell their video may end so many frames before or after it: decoders disagree about the
# last ones. More means that they do not belong together.
_FRAMES_OFF = 3


def attached(poses: StoredPoses, video: VideoSource) -> StoredPoses:
    """The poses of a file on the clock of the video that it lies beside.

    Raises:
        InvalidAnnotation: If they are of another video, or were found when it was shown another way up.
    """
    poses = on_clock(poses, video)
    check_poses(poses, video.frame_times())
    return poses


def on_clock(poses: StoredPoses, video: VideoSource) -> StoredPoses:
    """The poses of a file on the clock of their video; files made before that clock began elsewhere.

    Raises:
        InvalidAnnotation: If they were found when the video was shown another way up.
    """
    check_orientation(f"The poses ({poses.origin or poses.skeleton}) are", poses.clock, video)
    return poses if poses.clock >= CLOCK else poses.later(float(video.frame_times()[0]))


def check_poses(poses: StoredPoses, frame_times: np.ndarray) -> None:
    """Refuse poses of another video than the one whose frames begin at `(N,)` seconds.

    Where the poses tell their video, it has as many frames and ends within one of them. Elsewhere they end
    a few frames around its end, or before that by the time between two poses.

    Raises:
        InvalidAnnotation: If they are of another video.
    """
    count, last_s, of = len(frame_times), float(frame_times[-1]), poses.video
    if of is not None and (of.frames, of.last_s) == (count, last_s):
        return  # as most are: nothing is to be found out of all the frames
    frame_s = float(np.median(np.diff(frame_times))) if count > 1 else 0.0
    name = f"The poses ({poses.origin or poses.skeleton})"
    if of is not None:
        if of.frames != count or abs(of.last_s - last_s) > frame_s:
            raise InvalidAnnotation(
                f"{name} are of a video of {of.frames} frames to {of.last_s:.2f} s, but this one has {count} "
                f"to {last_s:.2f} s; they belong to another video or another version of it. Extract "
                "them again."
            )
        return
    ends_s = float(poses.times[-1])
    step_s = poses.interval_s
    few_s = (_FRAMES_OFF + 0.5) * frame_s
    if not last_s - step_s - few_s <= ends_s <= last_s + few_s:
        raise InvalidAnnotation(
            f"{name} end at {ends_s:.2f} s, but the video at {last_s:.2f} s; they belong to another video or "
            "were cut short. Extract them again."
        )
