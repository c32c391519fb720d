"""When tracks are there: labels over time from boxes over frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kinesphere.annotations.recordings import FrameClock
from kinesphere.annotations.timed import TimedLabel, Track, track_tier
from kinesphere.core.errors import InvalidAnnotation

_MOST = 2_000_000


def track_labels(
    video: str, tracks: Sequence[Track], clock: FrameClock, *, step: int = 1
) -> Iterator[TimedLabel]:
    """A label for each stretch of frames in which a track has boxes.

    Args:
        video: Name of the video.
        tracks: Its tracks; frames count from 1.
        clock: When frames are shown.
        step: How many frames lie from one to the next, where not each is annotated.
    """
    for track in tracks:
        for first, last in runs(track.frames - 1, step):
            yield TimedLabel(
                video, track.label, clock.time_s(first), clock.time_s(last + step), track_tier(track.identity)
            )


def runs(frames: np.ndarray, step: int = 1) -> list[tuple[int, int]]:
    """First and last of the stretches of increasing numbers without gaps of more than `step`."""
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > step)
    firsts, lasts = frames[np.append(0, breaks + 1)], frames[np.append(breaks, len(frames) - 1)]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


class Interpolation:
    """Boxes between key frames; a file has no more of them altogether than videos of some hours."""

    def __init__(self) -> None:
        self._left = _MOST

    def between(self, frames: np.ndarray, boxes: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
        """All frames from the first to the last, with boxes that move evenly between those that are given.

        Args:
            frames: `(N,)` increasing.
            boxes: `(N, 4)`.
            where: What they are of, for the message.

        Raises:
            InvalidAnnotation: If the file has more than it may.
        """
        self._left -= int(frames[-1] - frames[0]) + 1
        if self._left < 0:
            raise InvalidAnnotation(
                f"{where}: with frame {int(frames[-1])} the tracks have more than {_MOST} boxes; cut it."
            )
        every = np.arange(frames[0], frames[-1] + 1)
        return every, np.stack([np.interp(every, frames, column) for column in boxes.T], axis=1)
