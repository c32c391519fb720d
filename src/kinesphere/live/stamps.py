"""`StreamClock`: one clock for the frames of all connections, and when each frame was captured."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import fmean, median

# A source whose time leaps by so much more than passed here has set its clock anew.
_LEAP_S = 10.0
# Frames that come again, or late, lie back by no more than this; what lies further back is a clock set anew.
_LATE_S = 1.0
# So many in a row that lie back and go on as they arrive are a clock set anew, too.
_SET_BACK = 3
# Distances of frames that tell how far apart they usually are, and from how many on.
_RECENT, _ENOUGH = 25, 3
# So many usual distances are a gap.
_USUAL = 3.0
# For so many seconds the quickest arrival is remembered; longer, and the drift of clocks would count.
_REMEMBERED_S = 4


@dataclass(frozen=True)
class Stamp:
    """When a frame is.

    Attributes:
        time_s: On the stream's clock, later than that of any frame before.
        captured_s: On the clock of this machine.
        gap_s: How long nothing came before it, where that is a gap; else 0.
    """

    time_s: float
    captured_s: float
    gap_s: float = 0.0


class StreamClock:
    """Turns the stamps of connection after connection into one time that never leaps.

    A frame's stamp counts from anywhere and may wrap around, be set back or leap: then the clock goes on by
    as much as passed on this machine. Of frames that take longer to arrive than others, the stamps tell that
    they were captured earlier.

    Args:
        gap_s: What is missing for longer is a gap, unless frames usually are as far apart.
    """

    def __init__(self, gap_s: float) -> None:
        self.gap_s = gap_s
        self.trusted = False
        """Whether stamps are right however far apart they are, as a file's."""
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._quickest: dict[int, float] = {}
        self._last: tuple[float | None, float, float] | None = None  # stamp, time, arrival
        self._anew = False
        self._late: list[tuple[float, float]] = []  # stamps and arrivals of those that came last, lying back

    def begin(self) -> None:
        """The next frame is the first of another connection."""
        self._anew = True
        self._quickest.clear()

    def stamp(self, stamp_s: float | None, arrived_s: float) -> Stamp | None:
        """When a frame is, by its own stamp and its arrival; None for one that comes again or too late."""
        gap_s = 0.0
        if self._last is None:
            time_s = 0.0
        else:
            last_stamp_s, last_s, last_arrived_s = self._last
            passed_s = max(arrived_s - last_arrived_s, 1e-3)
            step_s = passed_s if stamp_s is None or last_stamp_s is None else stamp_s - last_stamp_s
            if not self._anew:
                if -_LATE_S < step_s <= 0 and not self._is_set_back(stamp_s, arrived_s):
                    return None
                if step_s <= 0 or (step_s > passed_s + _LEAP_S and not self.trusted):
                    self._quickest.clear()
                    step_s = passed_s
                gap_s = step_s if self._is_gap(step_s) else 0.0
                self._steps.append(step_s)
            else:
                step_s = passed_s
            time_s = last_s + step_s
        self._anew = False
        self._late.clear()
        self._last = stamp_s, time_s, arrived_s
        return Stamp(time_s, self._captured(time_s, arrived_s), gap_s)

    @property
    def frame_s(self) -> float | None:
        """How far apart frames usually are, in the mean, gaps left out; None while unknown."""
        if len(self._steps) < _ENOUGH:
            return None
        usual_s = median(self._steps)
        return fmean(step for step in self._steps if step <= _USUAL * usual_s)

    def _is_set_back(self, stamp_s: float | None, arrived_s: float) -> bool:
        """Whether a frame that lies back is one of a row that goes on, as no frames do that come again."""
        assert stamp_s is not None
        if self._late:
            before_s, came_s = self._late[-1]
            step_s, passed_s = stamp_s - before_s, max(arrived_s - came_s, 1e-3)
            if not passed_s / 2 < step_s < 2 * passed_s:
                self._late.clear()
        self._late.append((stamp_s, arrived_s))
        return len(self._late) >= _SET_BACK

    def _is_gap(self, step_s: float) -> bool:
        usual_s = self.frame_s
        return usual_s is not None and step_s > max(self.gap_s, _USUAL * usual_s)

    def _captured(self, time_s: float, arrived_s: float) -> float:
        now = int(arrived_s)
        lag_s = arrived_s - time_s
        self._quickest = {at: s for at, s in self._quickest.items() if now - at < _REMEMBERED_S}
        self._quickest[now] = min(lag_s, self._quickest.get(now, lag_s))
        return min(arrived_s, time_s + min(self._quickest.values()))
