"""`Shown`: a numbered frame on its way to a model; `Inbox`: where the newest one waits for it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import cached_property

from kinesphere.live.feed import Picture
from kinesphere.live.frame import LiveFrame
from kinesphere.live.result import Incident

# Incidents that wait while a model computes; of more, the oldest are forgotten, and counted nonetheless.
_MOST_INCIDENTS = 256


@dataclass(frozen=True)
class Shown:
    """A frame that a model is shown.

    Attributes:
        number: See `LiveFrame`.
        time_s: See `LiveFrame`.
        captured_s: See `LiveFrame`.
        picture: What it shows.
        segment: Grows with every gap; what was before one has nothing to do with what comes after.
        frame_s: Seconds between frames as they come.
        is_damaged: Whether parts of it are patched from other frames.
    """

    number: int
    time_s: float
    captured_s: float
    picture: Picture
    segment: int
    frame_s: float
    is_damaged: bool = False

    @cached_property
    def frame(self) -> LiveFrame:
        """With its pixels as displayed."""
        return LiveFrame(self.number, self.time_s, self.captured_s, self.picture.rgb())


class Inbox:
    """The newest frame for a model, and what happened to the source; one thread puts, another takes.

    A frame that is put replaces the one that waits: what is dropped was decoded, and is counted.

    Args:
        patient: Whether a frame waits until the one before was taken, so that none is dropped.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._changed = threading.Condition()
        self._newest: Shown | None = None
        self._incidents: deque[Incident] = deque(maxlen=_MOST_INCIDENTS)
        self._ended = False
        self._error: BaseException | None = None
        self.sent = 0
        """Frames that were put."""
        self.seen = 0
        """Frames that were taken."""

    @property
    def dropped(self) -> int:
        """Frames that were put and not taken."""
        return self.sent - self.seen

    def put(self, shown: Shown) -> None:
        """Show a frame."""
        with self._changed:
            if self._patient:
                self._changed.wait_for(lambda: self._newest is None or self._ended)
            self._newest = shown
            self.sent += 1
            self._changed.notify_all()

    def tell(self, incident: Incident) -> None:
        """Tell of an incident; frames that are put later come later."""
        with self._changed:
            self._incidents.append(incident)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes, perhaps because of an error."""
        with self._changed:
            self._error = self._error or error
            self._ended = True
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Shown | Incident | None:
        """What comes next, within the time; None where nothing did.

        Raises:
            BaseException: What ended the reading, after what was read.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._incidents or self._ended, timeout_s)
            before = self._newest is not None and (
                not self._incidents or self._newest.number < self._incidents[0].number
            )
            if before:
                shown, self._newest = self._newest, None
                self.seen += 1
                self._changed.notify_all()
                return shown
            if self._incidents:
                return self._incidents.popleft()
            if self._error is not None:
                raise self._error
            return None

    @property
    def is_over(self) -> bool:
        """Whether everything was taken and nothing more comes."""
        with self._changed:
            return self._ended and self._newest is None and not self._incidents and self._error is None
