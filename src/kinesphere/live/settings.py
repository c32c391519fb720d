"""`LiveSettings`: how a source is watched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from kinesphere.core.errors import InvalidSetting

Rate = Literal["contract", "source"]


@dataclass(frozen=True)
class LiveSettings:
    """How a source is watched. Times are in seconds.

    Attributes:
        rate: Which frames a network that streams is shown: `contract`: as many per second as it learnt from;
            `source`: every one. Other networks sample their window as they always do.
        renew_clips: A network that streams begins anew after so many lengths of the clip that it learnt from;
            0 for never.
        stride_s: Between the answers of a network that looks at windows; None for a quarter of its window.
        window_s: Length of the window of a network that spreads its frames over whatever it is given; others
            know their own.
        people: Answer about each of at most so many people by themselves; 0 for the whole picture.
        seconds: Ends the watching after so many seconds of the stream's clock; None for when the source ends.
        as_fast_as_possible: Show a model every frame that it would see, and wait for it: for files alone.
        frozen_s: A source that gives no new picture for so long is connected anew.
        key_frame_s: Longest wait of a connection that sends something for its first picture: for the next key
            frame, which cameras send every 1 to 10 s.
        open_timeout_s: Longest wait for a source to open.
        gap_s: A source that leaves out more than this makes the model begin anew.
        backoff_s: Wait before the first attempt to connect anew; it doubles from one to the next.
        longest_backoff_s: Longest wait between attempts.
        warm_up: Answers at the beginning that do not count for the latency.
    """

    rate: Rate = "contract"
    renew_clips: int = 2
    stride_s: float | None = None
    window_s: float = 2.0
    people: int = 0
    seconds: float | None = None
    as_fast_as_possible: bool = False
    frozen_s: float = 2.0
    key_frame_s: float = 20.0
    open_timeout_s: float = 10.0
    gap_s: float = 0.4
    backoff_s: float = 0.1
    longest_backoff_s: float = 1.0
    warm_up: int = 10

    def __post_init__(self) -> None:
        if self.rate not in ("contract", "source"):
            raise InvalidSetting(f"A live rate is contract or source; got {self.rate!r}.")
        for name in ("stride_s", "seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidSetting(f"{name} is a positive number of seconds; got {value}.")
        waits = ("frozen_s", "key_frame_s", "open_timeout_s", "gap_s", "backoff_s", "longest_backoff_s")
        for name in ("window_s", *waits):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidSetting(f"{name} is a positive number of seconds; got {getattr(self, name)}.")
        if self.warm_up < 0:
            raise InvalidSetting(f"warm_up counts answers, from 0 on; got {self.warm_up}.")
        if self.people < 0:
            raise InvalidSetting(f"people counts people, 0 for the whole picture; got {self.people}.")
        if self.renew_clips < 0:
            raise InvalidSetting(f"renew_clips counts clips, 0 for never; got {self.renew_clips}.")
