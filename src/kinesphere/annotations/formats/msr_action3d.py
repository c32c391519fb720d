"""MSR-Action3D's text files: clips of Kinect v1 joints.

Li, Zhang, Liu: "Action recognition based on a bag of 3D points", CVPRW 2010.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import Lines
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import EmptySkeleton

FPS = 15.0
_JOINTS = 20
# Where the set keeps each joint of `kinect20`.
_ORDER = np.array([6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18])


def read_msr(path: Path) -> Poses:
    """One clip in metres: 20 lines of x, y, z, confidence a frame.

    The set's own order of joints becomes that of `kinect20`. The confidence c is kept as the score
    (1 + c) / 2, because the set gives whole spines, seen at every frame, no confidence at all; joints at
    the origin were not seen.

    Raises:
        InvalidAnnotation: If a line is wrong (it is named), frames are not whole, or no joint was seen.
    """
    lines = Lines(path)
    rows = array("d")
    while lines.more():
        rows.extend(lines.numbers((4,), "a joint"))
    if (count := len(rows) // 4) % _JOINTS:
        raise lines.error(f"frames have {_JOINTS} joints; {count} lines are no whole number of frames.")
    joints = np.array(rows, np.float32).reshape(-1, 1, _JOINTS, 4)[:, :, _ORDER]
    points, seen = joints[..., :3], joints[..., :3].any(-1)
    if not seen.any():
        raise EmptySkeleton(f"{path} shows nobody: all joints are at the origin. Leave it out.")
    scores = np.where(seen, (1 + joints[..., 3].clip(0, 1)) / 2, 0).astype(np.float32)
    return Poses(
        np.arange(len(points)) / FPS,
        points,
        scores,
        np.array([1]),
        "kinect20",
        None,
        fps=FPS,
        origin="MSR-Action3D, Kinect v1",
    )


def write_example(path: Path) -> None:
    """A clip of four frames."""
    rows = (f"{0.1 * joint + t} 1 2 0.5" for t in range(4) for joint in range(_JOINTS))
    path.write_text("\n".join(rows), encoding="utf-8")


FORMATS.add(
    "msr_action3d",
    Format("MSR-Action3D clip", ("_skeleton3D.txt",), "joints in space", read_msr, write_example),
)
