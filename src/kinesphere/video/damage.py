"""Counting what went wrong while a video was read, and saying it once."""

from __future__ import annotations

import time
import warnings
from collections import Counter

from kinesphere.core.errors import DamagedVideo, SourceTimeout


class Damage:
    """What could not be read of one video, by reason; warned about once.

    Args:
        source: Name of the video, for the message.
        counts: What is known already.
    """

    def __init__(self, source: str, counts: Counter[str] | None = None) -> None:
        self.source = source
        self._counts: Counter[str] = Counter(counts)
        self._warned = False

    def note(self, reason: str) -> None:
        """Count one occurrence of `reason`."""
        self._counts[reason] += 1

    def counts(self) -> Counter[str]:
        """How often each reason was noted."""
        return Counter(self._counts)

    def messages(self) -> list[str]:
        """One line per reason, with its count where it happened more than once."""
        return [reason if n == 1 else f"{reason} ({n} times)" for reason, n in self._counts.items()]

    def warn(self) -> None:
        """Give the `DamagedVideo` warning, if there is damage and it was not given yet."""
        if self._counts and not self._warned:
            self._warned = True
            text = "; ".join(self.messages())
            warnings.warn(
                DamagedVideo(
                    f"{self.source} is damaged: {text}. What was decodable was used; "
                    "re-encode or replace the file if the rest matters."
                ),
                stacklevel=3,
            )


class Patience:
    """A wall-clock bound on waiting, renewed by progress.

    Args:
        source: Name of the video, for the message.
        timeout_s: Longest time without progress, in seconds.
    """

    def __init__(self, source: str, timeout_s: float) -> None:
        self.source = source
        self.timeout_s = timeout_s
        self._until_s = 0.0
        self.renew()

    def renew(self) -> None:
        """Start the wait anew."""
        self._until_s = time.monotonic() + self.timeout_s

    def extend(self, extra_s: float) -> None:
        """Allow `extra_s` more."""
        self._until_s += extra_s

    def check(self) -> None:
        """Raise `SourceTimeout` if the wait is over."""
        if time.monotonic() > self._until_s:
            raise self.expired()

    def expired(self) -> SourceTimeout:
        """The error to raise when a source keeps us waiting."""
        return SourceTimeout(
            f"{self.source} gave no frame within {self.timeout_s:g} s; check the source, "
            "or allow more with timeout_s."
        )
