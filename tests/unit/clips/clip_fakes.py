"""A stand-in for `Video` whose frames tell their own number, and clips made without one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from kinesphere.clips import Clip
from kinesphere.clips.clip import from_frames


@dataclass
class FakeFrames:
    data: np.ndarray
    times: np.ndarray


class FakeVideo:
    """Frame n is shown from n / fps on, and all its pixels have the value n."""

    tolerance_s = 0.0
    source = "a fake video"

    def __init__(
        self,
        frames: int = 100,
        fps: Fraction | None = Fraction(25),
        size: tuple[int, int] = (240, 320),
        duration_s: float | None = -1.0,
    ) -> None:
        self.size, self.fps, self.frame_count = size, fps, frames
        self._rate = float(fps or 25)
        self.duration_s = frames / self._rate if duration_s == -1.0 else duration_s
        self.calls: list[tuple[np.ndarray, tuple[int, int] | None]] = []

    def frame_times(self) -> np.ndarray:
        return np.arange(self.frame_count) / self._rate

    def numbers(self, times_s: np.ndarray) -> np.ndarray:
        """Which frame is shown at each time: the last one that starts at or before it."""
        return np.searchsorted(self.frame_times(), times_s, side="right") - 1

    def frames_at(self, times_s: np.ndarray, size: tuple[int, int] | None = None) -> FakeFrames:
        self.calls.append((np.asarray(times_s), size))
        height, width = size or self.size
        numbers = self.numbers(np.asarray(times_s))
        frames = np.empty((len(numbers), height, width, 3), np.uint8)
        frames[:] = numbers[:, None, None, None]
        return FakeFrames(frames.transpose(0, 3, 1, 2), self.frame_times()[numbers])


def noise_clip(size: tuple[int, int] = (24, 32), length: int = 4, seed: int = 0) -> Clip:
    """A clip of random pixels whose frames are all alike."""
    frame = np.random.default_rng(seed).integers(0, 256, (1, *size, 3), np.uint8)
    return Clip(from_frames(frame.repeat(length, axis=0)), np.arange(length) / 25, size)
