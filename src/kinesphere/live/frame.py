"""`LiveFrame`: one decoded frame of a source that goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame as it was decoded.

    Attributes:
        number: Counts every decoded frame from 0 on, over all connections.
        time_s: The stream's own clock in seconds, 0 at the first frame, continued over reconnections: it
            goes on by as much as passed here meanwhile, and never backwards.
        captured_s: `time.monotonic()` when it was captured: when it arrived, or earlier where the source's
            stamps tell that it was on its way for longer than others.
        pixels: uint8 RGB `(H, W, 3)`; nobody writes into it.
    """

    number: int
    time_s: float
    captured_s: float
    pixels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise InvalidSetting(
                f"A live frame is uint8 RGB (H, W, 3); got {self.pixels.dtype} {self.pixels.shape}."
            )

    @property
    def size(self) -> tuple[int, int]:
        """`(H, W)` in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]
