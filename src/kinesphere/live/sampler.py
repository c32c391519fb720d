"""`Sampler`: which frames are wanted, by their time."""

from __future__ import annotations

import math


class Sampler:
    """Picks frames at a constant rate, whatever the rate and regularity at which they come.

    A frame is picked once it is nearer to the next moment of an even grid than those that may follow it.
    """

    def __init__(self) -> None:
        self._due_s: float | None = None

    def begin(self) -> None:
        """The next frame is picked, and the grid begins with it."""
        self._due_s = None

    def picks(self, time_s: float, period_s: float, frame_s: float) -> bool:
        """Whether a frame is picked.

        Args:
            time_s: Its time; later than that of the frame before.
            period_s: Distance of the moments.
            frame_s: How far apart frames usually are.
        """
        if self._due_s is None:
            self._due_s = time_s + period_s
            return True
        early_s = min(frame_s, period_s) / 2
        if time_s < self._due_s - early_s:
            return False
        behind = math.floor((time_s + early_s - self._due_s) / period_s)
        self._due_s += (behind + 1) * period_s
        return True
