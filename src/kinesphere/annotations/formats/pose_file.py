"""Kinesphere's own pose files, as extraction writes them beside videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.clips.modalities.pose.file import SUFFIX, open_poses, write_poses
from kinesphere.clips.modalities.pose.poses import Poses


def write_example(path: Path) -> None:
    """Four frames with one person."""
    keypoints = np.arange(4 * 17 * 2, dtype=np.float32).reshape(4, 1, 17, 2)
    scores = np.ones((4, 1, 17), np.float32)
    poses = Poses(np.arange(4) / 30, keypoints, scores, np.array([1]), "coco17", (240, 320), fps=30.0)
    write_poses(poses, path)


FORMATS.add(
    "pose_file",
    Format(
        "Kinesphere pose file",
        (SUFFIX,),
        "people in pixels or in space",
        open_poses,
        write_example,
        write_poses,
    ),
)
