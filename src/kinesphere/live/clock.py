"""`Clock`: what time it is and how to wait, so that tests need not."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only grow, and waiting for them to pass."""

    def now(self) -> float:
        """Seconds, as `time.monotonic()` counts them."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait so long, or until `stop` is set; whether it is."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """See `Clock.wait`."""
        return stop.wait(max(seconds, 0.0))
