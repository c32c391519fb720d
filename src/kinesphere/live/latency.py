"""`Latencies`: percentiles of how long answers take, in constant memory however many there are."""

from __future__ import annotations

import math

import numpy as np

# Bins a hundredth apart, from a tenth of a millisecond to an hour.
_LEAST_S, _RATIO, _BINS = 1e-4, 1.01, 1760


class Latencies:
    """Seconds from capture to answer, counted in bins that are 1 % wide.

    Args:
        warm_up: Answers at the beginning that do not count.
    """

    def __init__(self, warm_up: int = 0) -> None:
        self._left = warm_up
        self._counts = np.zeros(_BINS, np.int64)
        self.last_s = math.nan
        """Of the last answer."""

    def add(self, seconds: float) -> None:
        """Count one."""
        self.last_s = seconds
        if self._left > 0:
            self._left -= 1
            return
        place = math.ceil(math.log(max(seconds, _LEAST_S) / _LEAST_S) / math.log(_RATIO))
        self._counts[min(place, _BINS - 1)] += 1

    @property
    def count(self) -> int:
        """Answers that count."""
        return int(self._counts.sum())

    def percentile(self, percent: float) -> float:
        """Seconds that so many per cent of the answers took at most, up to 1 % more; NaN of none."""
        count = self.count
        if not count:
            return math.nan
        place = int(np.searchsorted(self._counts.cumsum(), math.ceil(count * percent / 100)))
        return _LEAST_S * _RATIO**place
