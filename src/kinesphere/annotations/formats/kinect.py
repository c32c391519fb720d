"""Kinect v1 text files: UTKinect-Action3D and MSR-Action3D."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.lines import Lines
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation

_JOINTS = 20
UTKINECT_FPS = 30.0
MSR_FPS = 15.0
UTKINECT_ACTIONS = (
    "walk", "sitDown", "standUp", "pickUp", "carry", "throw", "push", "pull", "waveHands", "clapHands",
)  # fmt: skip
# Numbers of frames with more digits are mistakes.
_DIGITS = 7
# Where MSR-Action3D keeps each joint of `kinect20`.
_MSR_ORDER = np.array([6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18])


@dataclass(frozen=True)
class Passage:
    """One action within a sequence, from its first to its last frame, both included."""

    sequence: str
    label: str
    first: int
    last: int


@dataclass(frozen=True)
class PassageList:
    """What `actionLabel.txt` holds.

    Attributes:
        found: Actions with their frames.
        missing: Actions whose frames are given as NaN.
        wrong: What is wrong with each of the other lines.
    """

    found: tuple[Passage, ...]
    missing: tuple[Passage, ...]
    wrong: tuple[str, ...]


def read_utkinect(path: Path) -> tuple[Poses, int]:
    """One sequence of UTKinect-Action3D (Xia, Chen, Aggarwal 2012), and the number of its first frame.

    A line is a frame number and x, y, z of 20 joints in metres. Frames count at 30 a second; those
    without a tracked skeleton are left out, so that about every other one is there. Where a number comes
    twice, the first line counts.

    Raises:
        InvalidAnnotation: If a line is wrong; it is named.
    """
    lines = Lines(path)
    frames: list[int] = []
    joints = array("d")
    while lines.more():
        number, *values = lines.numbers((1 + 3 * _JOINTS,), "a frame number and 20 joints")
        if not 0 <= number < 10**_DIGITS or number != int(number) or (frames and number < frames[-1]):
            raise lines.error(f"frame numbers are whole and ascend; got {number:g} after {frames[-1:]}.")
        if not frames or number > frames[-1]:
            frames.append(int(number))
            joints.extend(values)
    if not any(joints):
        raise EmptySkeleton(f"{path} shows nobody: all joints are at the origin. Leave it out.")
    points = np.array(joints, np.float32).reshape(len(frames), 1, _JOINTS, 3)
    times: np.ndarray = (np.array(frames) - frames[0]) / UTKINECT_FPS
    scores = np.where((points != 0).any(-1), 1, 0).astype(np.float32)
    return _in_space(times, points, scores, UTKINECT_FPS, "UTKinect"), frames[0]


def read_utkinect_labels(path: Path) -> PassageList:
    """`actionLabel.txt`: names of sequences, each followed by lines of `action: first last`.

    Raises:
        InvalidAnnotation: If the file cannot be read.
    """
    lines = Lines(path)
    found: list[Passage] = []
    missing: list[Passage] = []
    wrong: list[str] = []
    sequence = ""
    while lines.more():
        words = lines.words()
        if len(words) == 1 and not words[0].endswith(":"):
            sequence = words[0]
            continue
        try:
            passage = _passage(lines, sequence, words)
        except InvalidAnnotation as error:
            wrong.append(str(error))
            continue
        (found if passage.last else missing).append(passage)
    return PassageList(tuple(found), tuple(missing), tuple(wrong))


def _passage(lines: Lines, sequence: str, words: list[str]) -> Passage:
    """One line; frames are 0 where they are given as NaN."""
    label = words[0].rstrip(":")
    if len(words) != 3 or not sequence or not words[0].endswith(":"):
        raise lines.error(
            f"expected a sequence, then lines such as 'walk: 252 390'; got {' '.join(words)[:80]!r}."
        )
    if label not in UTKINECT_ACTIONS:
        raise lines.error(f"{label[:80]!r} is none of the set's actions: {', '.join(UTKINECT_ACTIONS)}.")
    if "nan" in (words[1].lower(), words[2].lower()):
        return Passage(sequence, label, 0, 0)
    if not all(word.isdecimal() and len(word) <= _DIGITS for word in words[1:]):
        raise lines.error(f"{label} runs from a frame to a later one; got {' '.join(words[1:])[:80]}.")
    first, last = int(words[1]), int(words[2])
    if not 0 < last >= first:
        raise lines.error(f"{label} runs from a frame to a later one; got {first} {last}.")
    return Passage(sequence, label, first, last)


def read_msr(path: Path) -> Poses:
    """One clip of MSR-Action3D (Li, Zhang, Liu 2010) in metres: 20 lines of x, y, z, confidence a frame.

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
    joints = np.array(rows, np.float32).reshape(-1, 1, _JOINTS, 4)[:, :, _MSR_ORDER]
    points, seen = joints[..., :3], joints[..., :3].any(-1)
    if not seen.any():
        raise EmptySkeleton(f"{path} shows nobody: all joints are at the origin. Leave it out.")
    scores = np.where(seen, (1 + joints[..., 3].clip(0, 1)) / 2, 0).astype(np.float32)
    return _in_space(np.arange(len(points)) / MSR_FPS, points, scores, MSR_FPS, "MSR-Action3D")


def _in_space(times: np.ndarray, points: np.ndarray, scores: np.ndarray, fps: float, origin: str) -> Poses:
    return Poses(
        times, points, scores, np.array([1]), "kinect20", None, fps=fps, origin=f"{origin}, Kinect v1"
    )
