"""Confidence intervals that respect groups (clips of one performer are not independent) and small samples.

Where few groups were tested, a percentile bootstrap is too narrow, and where all answers are right it is a
point. Instead (`interval`):

1. The variance of a score over groups, from its values with each group left out: the delete-one-group
   jackknife (Wolter: "Introduction to Variance Estimation", 2nd edition 2007, section 4.2).
2. The design effect: that variance over the one of as many independent clips, never less than 1 (Kish:
   "Survey Sampling", 1965, section 8.2). A few groups, most of them without a mistake, tell little of it and
   make it look small. So it is averaged with what clips of a group that agree moderately would give
   (`_AGREEMENT`), which weighs as much as two groups (`_WORTH`) beside those that make up the variance.
3. Wilson's interval for the effective sample size, clips over design effect, with the quantile of
   Student's t for the groups' degrees of freedom in the place of the normal one (Dean, Pagano: "Evaluating
   confidence interval methods for binomial proportions in clustered surveys", Journal of Survey Statistics
   and Methodology 3, 2015, section 2). It stays within 0 and 1, and is no point where all answers are right.
   Scores that are no fractions of clips (F1, average precision) lie in [0, 1] as well and are treated alike.

Groups of unequal size count as fewer (Kish's effective number). `benchmarks/coverage.py` measures how often
such intervals contain the true value, for clips of a group that correlate up to 0.3; where they agree
more, and a group has many, intervals of this kind contain it less often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kinesphere.core.errors import InvalidSetting

LEVEL = 0.95
"""Fraction of such intervals that shall contain the true value."""
# Sums without one unit are made in blocks of about this many numbers, so memory stays bounded.
_BLOCK = 4_000_000
# Correlation between clips of one group that stands beside the measured one, and the groups that it is worth.
_AGREEMENT = 0.3
_WORTH = 2.0


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: The number.
        low: Lower end of the interval, or None where none is estimated.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


# Squares of deviations up to this are rounding.
_NOTHING = 1e-24


@dataclass(frozen=True, eq=False)
class Units:
    """What counts as independent.

    Attributes:
        kind: `"group"` if clips of one group count together, `"clip"` if each stands alone.
        index: `(N,)` int64, the unit of each clip (or of what is counted in its place: a true segment).
        count: Number of units.
        clips: Clips of a unit, on average over clips; what `merged` puts together counts apart.
    """

    kind: Literal["group", "clip"]
    index: np.ndarray
    count: int
    clips: float = 1.0

    @classmethod
    def of(cls, groups: Sequence[str | None]) -> Units:
        """Units of N clips: their groups; a clip without a group is a unit of its own.

        Where no clip has a group, `kind` says that single clips are taken for independent.
        """
        names = [
            ("group", group) if group is not None else ("clip", str(i)) for i, group in enumerate(groups)
        ]
        known = {name: i for i, name in enumerate(dict.fromkeys(names))}
        grouped = any(group is not None for group in groups)
        index = np.array([known[name] for name in names], dtype=np.int64)
        sizes = np.bincount(index)
        clips = float(np.square(sizes).sum() / max(1, sizes.sum()))
        return cls("group" if grouped else "clip", index, len(known), clips)

    def total(self, columns: np.ndarray) -> np.ndarray:
        """Sum per-clip columns `(N, S)` within units: `(U, S)` float64."""
        totals = np.zeros((self.count, columns.shape[1]))
        np.add.at(totals, self.index, columns)
        return totals

    def merging(self, most: int) -> np.ndarray:
        """Which of at most so many units each one becomes part of `(U,)`, at random, always the same ones."""
        if self.count <= most:
            return np.arange(self.count)
        return np.random.default_rng(0).permutation(self.count) % most

    def merged(self, most: int) -> Units:
        """At most so many units: of more, several are put together (`merging`)."""
        if self.count <= most:
            return self
        return Units(self.kind, self.merging(most)[self.index], most, self.clips)

    @property
    def effective(self) -> float:
        """Number of units of equal size that would tell as much (Kish 1965, section 8.2)."""
        sizes = np.bincount(self.index, minlength=self.count).astype(np.float64)
        return float(sizes.sum() ** 2 / np.square(sizes).sum())


def without_each(sums: np.ndarray, statistics: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """M statistics with each unit left out in turn, `(U, M)`.

    Args:
        sums: `(U, S)` per unit.
        statistics: Maps total sums `(R, S)` to statistics `(R, M)`.
    """
    total, rows = sums.sum(0), max(1, _BLOCK // sums.shape[1])
    return np.concatenate([statistics(total - sums[i : i + rows]) for i in range(0, len(sums), rows)])


def interval(
    value: float, without: np.ndarray, units: Units, size: float, level: float = LEVEL
) -> tuple[float, float] | None:
    """Ends of the interval of one score.

    Args:
        value: The score, in [0, 1].
        without: `(U,)` its values with each unit left out; NaN where the unit holds all that the score
            rests on.
        units: What counts as independent.
        size: Independent clips that the score rests on at most.
        level: Fraction of such intervals that shall contain the true value.

    Returns:
        Lower and upper end, or None where there is a single unit, which gives no spread.

    Raises:
        InvalidSetting: If the level is no fraction.
    """
    if not 0 < level < 1:
        raise InvalidSetting(f"The interval's level is a fraction between 0 and 1; got {level}.")
    if units.count < 2:
        return None
    if not np.isfinite(without).all():
        return 0.0, 1.0
    value = min(max(value, 0.0), 1.0)
    effective = size / _design_effect(value, without - without.mean(), units, size)
    low, high = _wilson(value, effective, t_quantile((1 + level) / 2, units.effective - 1 + _WORTH))
    return min(low, value), max(high, value)


def _design_effect(value: float, deviations: np.ndarray, units: Units, size: float) -> float:
    """How many clips are worth one independent one, from the jackknife's deviations `(U,)`."""
    supposed = 1 + _AGREEMENT * (units.clips - 1)
    squares, spread = np.square(deviations), value * (1 - value)
    if spread <= 0 or squares.max() <= _NOTHING:
        return max(1.0, supposed)
    variance = (units.count - 1) / units.count * float(squares.sum())
    measured = variance * size / spread
    # Groups that share alike in the variance: 1 if a single one makes it up.
    worth = float(squares.sum() ** 2 / np.square(squares).sum())
    return max(1.0, measured, (worth * measured + _WORTH * supposed) / (worth + _WORTH))


def _wilson(value: float, size: float, t: float) -> tuple[float, float]:
    """Wilson's interval of a fraction of `size` clips, `t` standard deviations to either side."""
    if size <= 0:
        return 0.0, 1.0
    width = t * t / size
    middle = (value + width / 2) / (1 + width)
    half = t / (1 + width) * math.sqrt(value * (1 - value) / size + width / (4 * size))
    return max(0.0, middle - half), min(1.0, middle + half)


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
