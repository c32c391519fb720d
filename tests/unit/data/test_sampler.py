from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.data.sampler import Draw, EpochSampler

SKEWED = ((0,),) * 90 + ((1,),) * 9 + ((2,),) * 1


def test_order_is_a_function_of_seed_and_epoch() -> None:
    sampler = EpochSampler(SKEWED, 4, shuffle=True, seed=1)
    first = list(sampler)
    assert first == list(sampler) == list(EpochSampler(SKEWED, 4, shuffle=True, seed=1))
    assert sorted(draw.index for draw in first) == list(range(100))
    sampler.set_epoch(1)
    assert [d.index for d in sampler] != [d.index for d in first]
    assert {draw.epoch for draw in sampler} == {1}
    assert [d.index for d in EpochSampler(SKEWED, 4, shuffle=True, seed=2)] != [d.index for d in first]


def test_without_shuffle_the_manifest_order_holds() -> None:
    assert list(EpochSampler(SKEWED[:5], 2, shuffle=False)) == [Draw(i, 0, 0) for i in range(5)]


@given(st.integers(1, 50), st.integers(1, 8), st.integers(1, 4), st.booleans())
def test_ranks_together_make_the_global_order(count: int, batch: int, world: int, drop_last: bool) -> None:
    targets = ((0,),) * count
    if drop_last and count < batch * world:
        with pytest.raises(InvalidSetting, match="do not fill one batch"):
            EpochSampler(targets, batch, shuffle=True, drop_last=True, world=world)
        return
    samplers = [
        EpochSampler(targets, batch, shuffle=True, drop_last=drop_last, rank=rank, world=world)
        for rank in range(world)
    ]
    drawn = [list(sampler) for sampler in samplers]
    assert {len(part) for part in drawn} == {len(samplers[0])}
    order = [draw.index for draw in EpochSampler(targets, batch, shuffle=True)]
    joined = [draw.index for draw in chain.from_iterable(zip(*drawn, strict=True))]
    assert joined[:count] == order[: len(joined)]
    if drop_last:
        assert len(joined) == count // (batch * world) * batch * world
    else:
        assert joined == (order * world)[: -(-count // world) * world]
    assert len(set(chain.from_iterable(drawn))) == len(joined)


@given(st.integers(0, 30))
def test_resuming_yields_the_rest_of_the_epoch(batch: int) -> None:
    whole = EpochSampler(SKEWED, 4, shuffle=True, balance="equal", seed=5)
    whole.set_epoch(3)
    resumed = EpochSampler(SKEWED, 4, shuffle=True, balance="equal", seed=5)
    resumed.resume_at(3, batch)
    assert list(resumed) == list(whole)[4 * batch :]
    assert len(resumed) == len(whole)
    resumed.set_epoch(4)
    whole.set_epoch(4)
    assert list(resumed) == list(whole)


@pytest.mark.parametrize(
    ("balance", "shares"), [("equal", [1, 1, 1]), ("sqrt", [90**0.5, 3, 1]), ("none", [90, 9, 1])]
)
def test_classes_are_drawn_in_their_shares(balance: str, shares: list[float]) -> None:
    draws = list(EpochSampler(SKEWED, 4, shuffle=True, balance=balance))  # type: ignore[arg-type]
    counts = Counter(SKEWED[draw.index][0] for draw in draws)
    assert len(draws) == len(SKEWED)
    for name, share in enumerate(shares):
        assert abs(counts[name] - 100 * share / sum(shares)) < 1
    within = Counter(draw.index for draw in draws if SKEWED[draw.index] == (1,))
    assert max(within.values()) - min(within.values()) <= 1


def test_repeats_are_numbered_so_that_they_differ() -> None:
    draws = [d for d in EpochSampler(SKEWED, 4, shuffle=True, balance="equal") if d.index == 99]
    assert [draw.repeat for draw in draws] == list(range(len(draws)))
    assert len(draws) >= 33


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "at least one sample; got batch size 0"),
        ({"rank": 2, "world": 2}, "Ranks run from 0 to 1; got 2"),
        ({"balance": "log"}, "Unknown balance 'log'; use none, sqrt or equal"),
        ({"balance": "equal", "shuffle": False}, "Balanced sampling draws at random; set shuffle"),
        ({"balance": "equal", "targets": ((0, 1),)}, "needs exactly one label per sample"),
    ],
)
def test_contradictions_are_refused(settings: dict, message: str) -> None:
    arguments = {"targets": SKEWED, "batch_size": 4, "shuffle": True} | settings
    with pytest.raises(InvalidSetting, match=message):
        EpochSampler(**arguments)
