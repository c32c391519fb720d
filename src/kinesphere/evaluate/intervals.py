"""Confidence intervals by resampling whole groups: clips of one performer are not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinesphere.core.errors import InvalidSetting

# Resamples are drawn in blocks of about this many integers, so memory stays bounded.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are estimated (percentile bootstrap, Efron and Tibshirani 1993, chapter 13).

    Attributes:
        resamples: Number of resampled data sets.
        level: Share of the resampled scores inside the interval.
        seed: Of the resampling.
    """

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise InvalidSetting(f"A bootstrap needs at least 100 resamples; got {self.resamples}.")
        if not 0 < self.level < 1:
            raise InvalidSetting(f"The interval's level is a fraction between 0 and 1; got {self.level}.")


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn with replacement.

    Attributes:
        kind: `"group"` if clips of one group are drawn together, `"clip"` if each stands alone.
        index: `(N,)` int64, the unit of each clip.
        count: Number of units.
    """

    kind: Literal["group", "clip"]
    index: np.ndarray
    count: int

    @classmethod
    def of(cls, groups: Sequence[str | None]) -> Units:
        """Units of N clips: their groups; a clip without a group is a unit of its own.

        Where no clip has a group, or all share a single one, there is no more than one group to draw
        from, and clips are drawn instead: `kind` says so.
        """
        names = [
            ("group", group) if group is not None else ("clip", str(i)) for i, group in enumerate(groups)
        ]
        known = {name: i for i, name in enumerate(dict.fromkeys(names))}
        grouped = any(group is not None for group in groups)
        if grouped and len(known) > 1:
            return cls("group", np.array([known[name] for name in names], dtype=np.int64), len(known))
        return cls("clip", np.arange(len(groups), dtype=np.int64), len(groups))

    def total(self, columns: np.ndarray) -> np.ndarray:
        """Sum per-clip columns `(N, S)` within units: `(U, S)` float64."""
        totals = np.zeros((self.count, columns.shape[1]))
        np.add.at(totals, self.index, columns)
        return totals


def draws(units: Units, bootstrap: Bootstrap) -> Iterator[np.ndarray]:
    """Blocks `(R, U)` of how often each unit occurs in each resample; `bootstrap.resamples` rows in all."""
    generator = np.random.default_rng(bootstrap.seed)
    rows = max(1, _BLOCK // units.count)
    for start in range(0, bootstrap.resamples, rows):
        block = min(rows, bootstrap.resamples - start)
        picks = generator.integers(units.count, size=(block, units.count))
        picks += np.arange(block)[:, None] * units.count
        yield np.bincount(picks.ravel(), minlength=block * units.count).reshape(block, units.count)


def interval(
    units: Units, bootstrap: Bootstrap, statistics: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals of M statistics.

    Args:
        units: What is drawn.
        bootstrap: How often, and how wide the interval is.
        statistics: Maps counts `(R, U)` to the statistics of each resample `(R, M)`; NaN where a
            resample does not define one (it is left out).

    Returns:
        Lower and upper ends, each `(M,)`.
    """
    values = np.concatenate([statistics(counts) for counts in draws(units, bootstrap)])
    tail = (1 - bootstrap.level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return low, high
