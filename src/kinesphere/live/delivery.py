"""`Delivery`: alarms on their way to somebody who may be away for a while."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from kinesphere.core.errors import InvalidSetting
from kinesphere.live.alarms import Alarm

log = logging.getLogger("kinesphere")

_JOIN_S = 15.0


@dataclass(frozen=True)
class Attempt:
    """How one attempt to deliver a message ended.

    Attributes:
        outcome: `delivered`: somebody answered for it; `later`: nobody did, so it is tried again; `refused`:
            it will never be taken.
        reason: Why not, in words; never with a password, a token or the path of a URL.
    """

    outcome: Literal["delivered", "later", "refused"]
    reason: str = ""


def is_host(name: str) -> bool:
    """Whether a host can have this name; looking up another raises what no network raises."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


class Channel(Protocol):
    """One way out: a broker or a web address. It is used by one thread alone."""

    @property
    def name(self) -> str:
        """What to call it in messages; holds no secret."""
        ...

    def send(self, message: bytes) -> Attempt:
        """Deliver a message, in bounded time; after `later` the same message comes again."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of the messages of one channel so far.

    Attributes:
        delivered: Somebody answered for so many.
        waiting: So many are on their way; at the end, were never delivered.
        lost: So many were given up because too many waited.
        refused: So many would never have been taken.
        problem: Why the newest attempt failed; empty if it did not.
    """

    delivered: int = 0
    waiting: int = 0
    lost: int = 0
    refused: int = 0
    problem: str = ""


class Delivery:
    """Hands alarms to a channel, in order, from a thread of its own; whoever raises them never waits.

    While the channel fails, messages wait in a queue of at most `bound`; beyond it the oldest is given up for
    the newest, and counted. Each is sent until somebody answers for it, so one may arrive twice: `key` tells.

    Args:
        channel: The way out; closed with the delivery.
        bound: Most messages that wait, the one under way among them.
        first_pause_s: Pause after a first failure; it doubles from one to the next.
        longest_pause_s: Longest pause.
        linger_s: How long `close` goes on trying.

    Raises:
        InvalidSetting: If a value cannot work.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        bound: int = 1000,
        first_pause_s: float = 0.5,
        longest_pause_s: float = 10.0,
        linger_s: float = 5.0,
    ) -> None:
        if bound < 1 or not 0 < first_pause_s <= longest_pause_s or linger_s < 0:
            raise InvalidSetting(
                "A delivery needs a bound of 1 or more, a first pause above 0 s that is no longer than the "
                f"longest, and 0 s or more to linger; got {bound}, {first_pause_s}, {longest_pause_s} and "
                f"{linger_s}."
            )
        self.channel = channel
        self._bound = bound
        self._pauses = first_pause_s, longest_pause_s
        self._linger_s = linger_s
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._current: bytes | None = None
        self._delivered = self._lost = self._refused = 0
        self._problem = ""
        self._ends_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"alarms to {channel.name}", daemon=True)
        self._thread.start()

    def alarm(self, alarm: Alarm) -> None:
        """See `AlarmReceiver.alarm`."""
        message = json.dumps(alarm.to_json(), ensure_ascii=False).encode()
        with self._changed:
            if len(self._waiting) + (self._current is not None) >= self._bound:
                self._lost += 1
                if not self._waiting:  # the one under way fills the bound: it is the older, and may arrive
                    return
                self._waiting.popleft()
            self._waiting.append(message)
            self._changed.notify()

    @property
    def counts(self) -> DeliveryCounts:
        """What became of the messages so far."""
        with self._changed:
            waiting = len(self._waiting) + (self._current is not None)
            return DeliveryCounts(self._delivered, waiting, self._lost, self._refused, self._problem)

    def close(self) -> None:
        """Go on delivering for `linger_s` at most, then give up what waits; may be called again."""
        with self._changed:
            if self._ends_s is None:
                self._ends_s = time.monotonic() + self._linger_s
            self._changed.notify()
        self._thread.join(self._linger_s + _JOIN_S)

    def _run(self) -> None:
        try:
            while (message := self._next()) is not None:
                if not self._deliver(message):
                    return
        finally:
            self.channel.close()

    def _next(self) -> bytes | None:
        """The oldest message, once there is one; None at the end."""
        with self._changed:
            while not self._waiting:
                if self._ends_s is not None:
                    return None
                self._changed.wait()
            self._current = self._waiting.popleft()
            return self._current

    def _deliver(self, message: bytes) -> bool:
        """Try until it is delivered or refused; False if the time was up before."""
        pause_s, longest_s = self._pauses
        while True:
            attempt = self.channel.send(message)
            with self._changed:
                if attempt.outcome != "later":
                    self._finish(attempt)
                    return True
                if not self._problem:
                    log.warning("Alarms to %s wait: %s.", self.channel.name, attempt.reason)
                self._problem = attempt.reason
                if not self._pause(pause_s):
                    return False
            pause_s = min(2 * pause_s, longest_s)

    def _finish(self, attempt: Attempt) -> None:
        self._current = None
        if attempt.outcome == "delivered":
            if self._problem:
                log.warning("Alarms to %s arrive again.", self.channel.name)
            self._delivered += 1
            self._problem = ""
        else:
            log.warning("%s refuses an alarm: %s.", self.channel.name, attempt.reason)
            self._refused += 1
            self._problem = attempt.reason

    def _pause(self, pause_s: float) -> bool:
        """Wait before the next attempt; whether there is time for one."""
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0:
            if self._ends_s is not None:
                left_s = min(left_s, self._ends_s - time.monotonic())
                if left_s <= 0:
                    return False
            self._changed.wait(left_s)
        return True
