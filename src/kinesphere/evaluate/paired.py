"""Differences between what two models say of the same clips, with intervals that respect groups.

The interval of a difference of shares is made of the ends of both shares' own intervals and their correlation
(Newcombe: "Improved confidence intervals for the difference between binomial proportions based on paired
data", Statistics in Medicine 17, 1998, method 10). So it respects groups as those intervals do
(`intervals`), and is no point where both models say the same of all clips. The correlation is that of the
shares with each group left out, drawn towards none where groups are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.intervals import LEVEL, Estimate, Units, interval, t_quantile, without_each
from kinesphere.evaluate.metrics import Score

# Groups that stand beside the measured ones and show no correlation.
_WORTH = 2.0


@dataclass(frozen=True)
class Difference(Estimate):
    """How much more one model has of something than another, a difference of fractions in [-1, 1]."""

    def __str__(self) -> str:
        text = f"{100 * self.value:+.1f} points"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    @property
    def is_more(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low is not None and self.low > 0

    @property
    def is_less(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high is not None and self.high < 0


def share_difference(
    first: np.ndarray, second: np.ndarray, groups: Sequence[str | None], level: float = LEVEL
) -> Difference:
    """The share of clips for which something holds with a second model, less that with a first one.

    Args:
        first: bool `(N,)`, for each clip.
        second: bool `(N,)`, of the same clips.
        groups: Group of each clip.
        level: Level of the interval.

    Raises:
        InvalidSetting: If there are no clips, or not the same ones.
    """
    without, units = _without(first, second, groups)
    p, q = float(np.mean(first)), float(np.mean(second))
    ends = [interval(share, without[:, k], units, len(first), level) for k, share in enumerate((p, q))]
    if ends[0] is None or ends[1] is None:
        return Difference(q - p)
    (low_p, high_p), (low_q, high_q) = ends[0], ends[1]
    r = _correlation(without, units)
    return Difference(
        q - p,
        max(-1.0, q - p - _joined(q - low_q, high_p - p, r)),
        min(1.0, q - p + _joined(high_q - q, p - low_p, r)),
    )


def mean_difference(
    first: np.ndarray, second: np.ndarray, groups: Sequence[str | None], level: float = LEVEL
) -> Difference:
    """The mean over clips of fractions with a second model, less that with a first one.

    Args, Raises:
        See `share_difference`; here `(N,)` are numbers in [0, 1].
    """
    without, units = _without(first, second, groups)
    value = float(np.mean(second) - np.mean(first))
    half = _half(without[:, 1] - without[:, 0], units, level)
    return Difference(value) if half is None else Difference(value, value - half, value + half)


def mean_share(values: np.ndarray, groups: Sequence[str | None], level: float = LEVEL) -> Score:
    """The mean over clips of numbers in [0, 1], `(N,)`, with its interval.

    Raises:
        InvalidSetting: If there are no clips.
    """
    without, units = _without(values, values, groups)
    value, half = float(np.mean(values)), _half(without[:, 0], units, level)
    return Score(value) if half is None else Score(value, max(0.0, value - half), min(1.0, value + half))


def _without(first: np.ndarray, second: np.ndarray, groups: Sequence[str | None]) -> tuple[np.ndarray, Units]:
    """Both means with each unit left out, `(U, 2)`; NaN where nothing is left."""
    if not len(first) == len(second) == len(groups) or not len(first):
        raise InvalidSetting(
            f"Two models are compared on the same clips; got {len(first)} and {len(second)} of {len(groups)}."
        )
    units = Units.of(groups)
    sums = units.total(np.stack([first, second, np.ones(len(first))], 1).astype(np.float64))
    counts = np.where(sums[:, 2] < len(first), 1.0, np.nan)
    return without_each(sums, lambda total: total[:, :2] / total[:, 2:].clip(min=1)) * counts[:, None], units


def _correlation(without: np.ndarray, units: Units) -> float:
    """Correlation of two means, from their values with each unit left out."""
    deviations = without - without.mean(0)
    squares = np.square(deviations).sum(0)
    if not np.isfinite(squares).all() or squares.min() < 1e-24:
        return 0.0
    r = float((deviations[:, 0] * deviations[:, 1]).sum() / math.sqrt(squares[0] * squares[1]))
    return r * units.effective / (units.effective + _WORTH) if r > 0 else r


def _joined(one: float, other: float, r: float) -> float:
    """Length of two distances whose errors are so correlated."""
    return math.sqrt(max(0.0, one * one - 2 * r * one * other + other * other))


def _half(without: np.ndarray, units: Units, level: float) -> float | None:
    """Half the jackknife's interval of a mean, with Student's quantile; None without a spread."""
    if units.count < 2 or not np.isfinite(without).all():
        return None
    variance = (units.count - 1) / units.count * float(np.square(without - without.mean()).sum())
    return t_quantile((1 + level) / 2, max(units.effective - 1, 1.0)) * math.sqrt(variance)


# So many units are flipped in every way; of more, so many ways are drawn.
_ALL_WAYS, _WAYS = 14, 20_000


def sign_flip_test(first: np.ndarray, second: np.ndarray, groups: Sequence[str | None]) -> float:
    """How probable a difference of means as large as this one is where two models are as good as each other.

    The paired permutation test over groups (Good: "Permutation, Parametric and Bootstrap Tests of
    Hypotheses", 3rd edition 2005, section 3.5): where there is no difference, each group's sum of differences
    is as likely with the other sign. Two-sided; all ways of signs for up to 14 groups, else 20 000 of them.

    Args:
        first: `(N,)` numbers, for each clip.
        second: Those of a second model, of the same clips.
        groups: Group of each clip; a clip without one stands alone.

    Raises:
        InvalidSetting: If there are no clips, or not the same ones.
    """
    if not len(first) == len(second) == len(groups) or not len(first):
        raise InvalidSetting(
            f"Two models are compared on the same clips; got {len(first)} and {len(second)} of {len(groups)}."
        )
    units = Units.of(groups)
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    sums = units.total(differences[:, None])[:, 0]
    sums = sums[sums != 0]  # the sign of none is of no matter
    found, count = abs(float(sums.sum())) - 1e-9, len(sums)
    if count <= _ALL_WAYS:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ sums) >= found))
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (_WAYS, count))
    return float((1 + np.count_nonzero(np.abs(signs @ sums) >= found)) / (1 + _WAYS))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities of several tests, corrected for their number (Holm 1979): the chance of one false find
    among all of them stays what is asked of one.
    """
    order = sorted(range(len(probabilities)), key=lambda i: probabilities[i])
    corrected, highest = [0.0] * len(probabilities), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, probabilities[i] * (len(probabilities) - rank)))
        corrected[i] = highest
    return corrected
