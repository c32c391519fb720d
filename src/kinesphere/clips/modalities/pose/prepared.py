"""How pose files were made, and in what that differs from those that a model learnt from."""

from __future__ import annotations

from collections.abc import Sequence

from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.source import VideoSource

# A rate this much below the video's is one of fewer poses than frames.
_LESS = 0.999
# Rates of poses that differ by no larger ratio are one.
_SAME_RATE = 0.01


def finder_of(origin: str) -> str:
    """What found the people, from the origin of their poses; of MediaPipe the model, whatever the version."""
    return origin.split()[-1] if origin.startswith("MediaPipe ") else origin


def prepared(files: Sequence[StoredPoses]) -> list[Preparation]:
    """How each of some files was made."""
    return [
        Preparation(
            poses=finder_of(poses.origin) or None,
            max_people=poses.max_people,
            poses_fps=poses.fps
            if poses.fps is not None and poses.video is not None and poses.fps < _LESS * poses.video.fps
            else None,
        )
        for poses in files
    ]


def differences(poses: StoredPoses, video: VideoSource, learnt: Preparation) -> list[str]:
    """In what poses were made otherwise than those that a model learnt from."""
    differences = []
    if learnt.poses is not None and (finder := finder_of(poses.origin)) != learnt.poses:
        differences.append(
            f"its poses come from {finder or 'an unknown source'}, "
            f"the model learnt from those of {learnt.poses}"
        )
    if None not in (most := (poses.max_people, learnt.max_people)) and most[0] != most[1]:
        differences.append(
            f"at most {most[0]} people were looked for in it, {most[1]} in what was learnt from"
        )
    if learnt.poses_fps is not None and poses.fps is not None and poses.video is not None:
        wanted = min(learnt.poses_fps, poses.video.fps)
        if abs(poses.fps - wanted) > _SAME_RATE * wanted:
            differences.append(f"it has {poses.fps:g} poses a second, what was learnt from had {wanted:g}")
    return differences
