"""Frames with their number drawn as bits, answers about them, and whoever listens."""

from __future__ import annotations

import time

import numpy as np

from kinesphere.core.labels import LabelSet
from kinesphere.live.alarms import Alarm
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import LiveResult
from kinesphere.predict.prediction import Prediction

LABELS = LabelSet(("fall", "walk", "wave"))
BITS = 10
SIZE = (32, 16 * BITS)


def live_frame(number: int, time_s: float, size: tuple[int, int] = SIZE) -> LiveFrame:
    """Its number stands in the upper half, a white or black square a bit."""
    pixels = np.full((*size, 3), 90, np.uint8)
    for bit in range(BITS):
        pixels[:16, 16 * bit : 16 * bit + 16] = 255 * (number >> bit & 1)
    return LiveFrame(number, time_s, time.monotonic(), pixels)


def number_in(pixels: np.ndarray) -> int:
    """The number that is drawn in a frame `(H, W, 3)`."""
    return sum(int(pixels[4:12, 16 * bit + 4 : 16 * bit + 12].mean() > 128) << bit for bit in range(BITS))


def live_result(
    number: int, time_s: float, fall: float = 0.9, person: int | None = None, size: tuple[int, int] = SIZE
) -> LiveResult:
    """An answer about frame `number`, with this probability of a fall."""
    probabilities = np.array([fall, 0.6 * (1 - fall), 0.4 * (1 - fall)])
    prediction = Prediction(probabilities, LABELS, "camera", (max(0.0, time_s - 1), time_s))
    return LiveResult(live_frame(number, time_s, size), prediction, 0.05, person)


def an_alarm(number: int, time_s: float, name: str = "fall") -> Alarm:
    return Alarm(name, time_s, number, 0.9, live_result(number, time_s).prediction)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.closed = 0

    def alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)

    def close(self) -> None:
        self.closed += 1


def until(condition, most_s: float = 10.0) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come about in time"
        time.sleep(0.01)
