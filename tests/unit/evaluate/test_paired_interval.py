"""The interval of how much oftener one of two models is right than the other."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.evaluate.intervals import paired_interval, t_quantile


def test_single_clips_have_the_interval_of_agresti_and_min() -> None:
    gains = np.array([1] * 12 + [-1] * 4 + [0] * 34)
    low, high = paired_interval(gains, [None] * 50) or (0, 0)
    better, worse = 12 * 49 / 50, 4 * 49 / 50  # the variance of a sample is divided by one less than its size
    middle = (better - worse) / 51
    error = np.sqrt(better + worse + 1 - (better - worse) ** 2 / 51) / 51
    half = t_quantile(0.975, 51) * error
    assert (low, high) == pytest.approx((middle - half, middle + half))


def test_models_that_never_differ_are_still_not_known_to_be_equal() -> None:
    low, high = paired_interval(np.zeros(20), [None] * 20) or (0, 0)
    assert low < 0 < high
    assert low == pytest.approx(-high)
    wider = paired_interval(np.zeros(20), [str(i // 5) for i in range(20)]) or (0, 0)
    assert wider[1] > high


def test_groups_that_go_together_count_as_few() -> None:
    gains = np.repeat([1, 1, 0, 0, -1, 1, 0, 1], 6)
    alone = paired_interval(gains, [None] * 48) or (0, 0)
    grouped = paired_interval(gains, [str(i // 6) for i in range(48)]) or (0, 0)
    assert grouped[1] - grouped[0] > 1.5 * (alone[1] - alone[0])
    assert -1 <= grouped[0] < gains.mean() < grouped[1] <= 1


def test_one_group_tells_no_spread_and_levels_are_fractions() -> None:
    assert paired_interval(np.array([1, 0]), ["a", "a"]) is None
    with pytest.raises(InvalidSetting, match="fraction between 0 and 1; got 95"):
        paired_interval(np.array([1, 0]), [None, None], 95)
