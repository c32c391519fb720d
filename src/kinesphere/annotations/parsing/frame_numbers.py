"""Which frame of its video a numbered file or entry belongs to.

Estimators number frames from 0 or from 1, and many leave out the frames in which they found nobody. One file
proves its numbering where it names frame 0, or as many frames as the video has; the others of a set follow
those that do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kinesphere.core.errors import Assumed, InvalidAnnotation, LeftOut

# Decoders disagree about the last frames of a video by so many, or by that fraction.
_FRAMES_OFF, _FRACTION_OFF = 2, 0.02

First = Literal[0, 1]
"""Number of a video's first frame."""


@dataclass(frozen=True)
class Numbering:
    """How a set counts frames.

    Attributes:
        first: Number of a video's first frame.
        is_known: Whether a file proves it, or somebody said so; else it is assumed where a file is open.
    """

    first: First = 0
    is_known: bool = False


def proven(numbers: Iterable[int], frames: int) -> int | None:
    """The number of a video's first frame, where the numbers of some of its frames leave no doubt."""
    lowest, highest = min(numbers), max(numbers)
    if lowest == 0:
        return 0
    if highest - lowest + 1 == frames:  # all are there, whatever the count begins with
        return lowest
    return 1 if highest == frames else None


def frames_of(where: str, numbers: Sequence[int], frames: int, numbering: Numbering) -> list[int | None]:
    """The frame, from 0, that each number stands for; None for the last ones that a video has not got.

    Args:
        where: File or folder, for messages.
        numbers: Numbers of some of the frames, each once, in any order.
        frames: Frames of the video.
        numbering: Numbering of the set, for files that leave it open.

    Raises:
        InvalidAnnotation: If the numbers reach further than the video.

    Warns:
        Assumed: If nothing tells whether they count from 0 or 1.
        LeftOut: If there are a few frames more than the video has.
    """
    first = proven(numbers, frames)
    is_open = first is None and not numbering.is_known
    if first is None:
        first = numbering.first
    found = [number - first for number in numbers]
    beyond = max(found) + 1 - frames
    if beyond > allowance(frames) or min(found) < 0:
        raise InvalidAnnotation(
            f"{where} numbers its images up to {max(numbers)}, but the video has {frames} frames; it belongs "
            "to another video."
        )
    if is_open:
        warnings.warn(
            Assumed(
                f"{where} may count frames from 0 or from 1, and no file tells; they are taken to count "
                f"from {first}. Say so with --first-frame."
            ),
            stacklevel=3,
        )
    if beyond > 0:
        lost = sum(frame >= frames for frame in found)
        warnings.warn(
            LeftOut(f"{where}: {lost} frames lie behind the video's last of {frames}; they are left out."),
            stacklevel=3,
        )
    return [frame if frame < frames else None for frame in found]


def allowance(frames: int) -> float:
    """By how many frames a file and a video of so many may differ."""
    return max(_FRAMES_OFF, _FRACTION_OFF * frames)
