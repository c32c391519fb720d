"""UTKinect-Action3D's text files: sequences of Kinect v1 joints, and the actions within them.

Xia, Chen, Aggarwal: "View invariant human action recognition using histograms of 3D joints", CVPRW 2012.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import Lines
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation

_JOINTS = 20
FPS = 30.0
ACTIONS = (
    "walk", "sitDown", "standUp", "pickUp", "carry", "throw", "push", "pull", "waveHands", "clapHands",
)  # fmt: skip
# Numbers of frames with more digits are mistakes.
_DIGITS = 7


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
    """One sequence, and the number of its first frame.

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
    times: np.ndarray = (np.array(frames) - frames[0]) / FPS
    scores = np.where((points != 0).any(-1), 1, 0).astype(np.float32)
    poses = Poses(
        times, points, scores, np.array([1]), "kinect20", None, fps=FPS, origin="UTKinect, Kinect v1"
    )
    return poses, frames[0]


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
    if label not in ACTIONS:
        raise lines.error(f"{label[:80]!r} is none of the set's actions: {', '.join(ACTIONS)}.")
    if "nan" in (words[1].lower(), words[2].lower()):
        return Passage(sequence, label, 0, 0)
    if not all(word.isdecimal() and len(word) <= _DIGITS for word in words[1:]):
        raise lines.error(f"{label} runs from a frame to a later one; got {' '.join(words[1:])[:80]}.")
    first, last = int(words[1]), int(words[2])
    if not 0 < last >= first:
        raise lines.error(f"{label} runs from a frame to a later one; got {first} {last}.")
    return Passage(sequence, label, first, last)


def write_example(path: Path, first: int = 100) -> None:
    """A sequence of eight frames, every other one."""
    rows = (" ".join(map(str, [first + 2 * t, *range(1 + t, 61 + t)])) for t in range(8))
    path.write_text("\n".join(rows), encoding="utf-8")


def write_example_labels(path: Path, sequences: Sequence[str] = ("s01_e01",), first: int = 100) -> None:
    """Two actions in every sequence of such a length."""
    parts = f"walk: {first} {first + 6}\npush: {first + 8} {first + 14}\n"
    path.write_text("".join(f"{name}\n{parts}" for name in sequences), encoding="utf-8")


FORMATS.add(
    "utkinect",
    Format("UTKinect-Action3D sequence", (".txt",), "joints in space", read_utkinect, write_example),
)
FORMATS.add(
    "utkinect_labels",
    Format(
        "UTKinect-Action3D actions",
        ("actionLabel.txt",),
        "labelled passages",
        read_utkinect_labels,
        write_example_labels,
    ),
)
