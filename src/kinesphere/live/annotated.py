"""`AnnotatedCopy`: a video of the frames that were answered at, each with its own answer drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kinesphere.core.files import sweep
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident, LiveResult
from kinesphere.predict.annotate import draw_prediction
from kinesphere.predict.people.drawn import Doing, draw_people
from kinesphere.video import VideoWriter

_LEAST_FPS, _MOST_FPS = 1, 30
# A frame is shown for no longer than this, however long nothing follows it.
_LONGEST_S = 1.0


class AnnotatedCopy:
    """Writes what was inferred, at the pace at which it was; the file appears when it is closed.

    A frame stays until the next one that was answered at. Frames of another size than the first are scaled
    to it; what nothing was known of, such as an hour without the camera, takes a second.

    Args:
        target: `.mp4` or another suffix that `VideoWriter` takes for H.264.
        top: Number of labels.
    """

    def __init__(self, target: Path, *, top: int = 3) -> None:
        sweep(target.parent)  # whoever watches day and night is killed now and then
        self.target, self._top = target, top
        self._writer: VideoWriter | None = None
        self._held: list[LiveResult] = []
        self._fps = _MOST_FPS
        self._owed_s = 0.0

    def frame(self, frame: LiveFrame) -> None:
        """See `FrameObserver`; frames without an answer are not in the copy."""

    def incident(self, incident: Incident) -> None:
        """See `FrameObserver`."""

    def result(self, result: LiveResult) -> None:
        """See `FrameObserver`; what is said of several people in one frame is drawn together."""
        if self._held and self._held[0].frame.number != result.frame.number:
            self._show(result.frame.time_s - self._held[0].frame.time_s)
            self._held = []
        self._held.append(result)

    def close(self) -> None:
        """See `FrameObserver`; without an answer there is no file."""
        if self._held:
            self._show(1 / self._fps)
            self._held = []
        if self._writer is not None:
            self._writer.close()

    def _show(self, seconds: float) -> None:
        """Write the frame that waits as often as its time is long."""
        image = drawn(self._held, self._top)
        if self._writer is None:
            self._fps = min(max(round(1 / max(seconds, 1e-3)), _LEAST_FPS), _MOST_FPS)
            self._writer = VideoWriter(self.target, (image.shape[0], image.shape[1]), self._fps)
        height, width = self._writer.size
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        self._owed_s += min(seconds, _LONGEST_S)
        times = round(self._owed_s * self._fps)
        self._owed_s -= times / self._fps
        for _ in range(times):
            self._writer.write(image)


def drawn(results: Sequence[LiveResult], top: int) -> np.ndarray:
    """A copy of a frame with what is said of it: of the picture, or of each person in it.

    Args:
        results: All of one frame, at least one.
        top: Number of labels.

    Returns:
        uint8 RGB, enlarged if it is small.
    """
    people, pixels = people_of(results), results[0].frame.pixels
    if people:
        return draw_people(pixels, people, top=top)
    return draw_prediction(pixels, results[0].prediction, top=top)


def people_of(results: Sequence[LiveResult]) -> list[Doing]:
    """Those who are answered about by themselves in a frame."""
    return [
        Doing(each.person, each.box, each.prediction)
        for each in results
        if each.person is not None and each.box is not None
    ]
