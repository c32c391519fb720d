"""Differences of two models on the same clips."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.paired import Difference, mean_difference, mean_share, share_difference

ALONE = [None] * 60


def test_pairing_makes_the_interval_of_a_difference_narrow() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(60) < 0.5
    second = first.copy()
    second[np.flatnonzero(first)[:3]] = False
    paired = share_difference(first, second, ALONE)
    apart = share_difference(first, rng.permutation(second), ALONE)
    assert paired.value == apart.value == pytest.approx(-3 / 60)
    assert (paired.low, paired.high) != (paired.value, paired.value)
    assert np.ptp([paired.low, paired.high]) < 0.6 * np.ptp([apart.low, apart.high])  # type: ignore[list-item]


def test_no_difference_is_no_certainty_and_a_large_one_is_shown() -> None:
    right = np.ones(60, bool)
    same = share_difference(right, right, ALONE)
    assert same.value == 0
    assert -0.15 < same.low < 0 < same.high < 0.15  # type: ignore[operator]
    assert not same.is_less
    assert not same.is_more
    assert share_difference(right, ~right, ALONE).is_less
    assert share_difference(~right, right, ALONE).is_more
    # Clips of two performers tell less than sixty of their own.
    few = share_difference(right, ~right, ["a"] * 30 + ["b"] * 30)
    assert few.high > share_difference(right, ~right, ALONE).high  # type: ignore[operator]
    assert share_difference(right, ~right, ["a"] * 60) == Difference(-1.0)


def test_intervals_hold_the_true_difference() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(150):
        shared = rng.random(40)
        noise = rng.random((2, 40)) < 0.3
        first, second = (
            np.where(own, rng.random(40), shared) < p for own, p in zip(noise, (0.6, 0.3), strict=True)
        )
        found = share_difference(first, second, [None] * 40)
        held.append(found.low <= -0.3 <= found.high)  # type: ignore[operator]
    assert np.mean(held) > 0.92


def test_means_of_fractions() -> None:
    rng = np.random.default_rng(2)
    first = rng.random(60) / 2
    gained = mean_difference(first, first + 0.1 + 0.01 * rng.random(60), ALONE)
    assert gained.is_more
    assert gained.high - gained.low < 0.01  # type: ignore[operator]
    score = mean_share(first, ALONE)
    assert score.low < first.mean() < score.high  # type: ignore[operator]
    assert mean_share(first, ["a"] * 60).low is None
    with pytest.raises(InvalidSetting, match="compared on the same clips; got 60 and 59 of 60"):
        mean_difference(first, first[1:], ALONE)


def test_a_difference_reads_in_points() -> None:
    assert str(Difference(-0.421, -0.53, -0.3)) == "-42.1 points [-53.0, -30.0]"
    assert str(Difference(0.1)) == "+10.0 points"
