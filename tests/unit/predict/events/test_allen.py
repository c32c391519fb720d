"""Allen's relations: exactly one between any two spans, and what follows from several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.events.allen import (
    ALL,
    GROUPS,
    RELATIONS,
    can_hold,
    inverse,
    relation,
    relation_set,
)

SPAN = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda ends: (min(ends), max(ends)))
PROPER = SPAN.filter(lambda span: span[0] < span[1])
# The definitions of the paper, for spans of some length.
DEFINED = {
    "before": lambda a, b, c, d: b < c,
    "meets": lambda a, b, c, d: b == c,
    "overlaps": lambda a, b, c, d: a < c < b < d,
    "starts": lambda a, b, c, d: a == c and b < d,
    "during": lambda a, b, c, d: c < a and b < d,
    "finishes": lambda a, b, c, d: c < a and b == d,
    "equals": lambda a, b, c, d: a == c and b == d,
    "after": lambda a, b, c, d: d < a,
    "met-by": lambda a, b, c, d: d == a,
    "overlapped-by": lambda a, b, c, d: c < a < d < b,
    "started-by": lambda a, b, c, d: a == c and d < b,
    "contains": lambda a, b, c, d: a < c and d < b,
    "finished-by": lambda a, b, c, d: a < c and b == d,
}


@given(PROPER, PROPER)
def test_the_relation_of_two_spans_is_the_one_that_is_defined(a: tuple[int, int], b: tuple[int, int]) -> None:
    holds = [name for name, defined in DEFINED.items() if defined(*a, *b)]
    assert holds == [RELATIONS[relation(*a, *b)]]


@given(SPAN, SPAN, st.sampled_from([0.0, 1.0]))
def test_the_other_way_round_holds_the_inverse(a: tuple[int, int], b: tuple[int, int], slack: float) -> None:
    assert 1 << relation(*b, *a, slack) == inverse(1 << relation(*a, *b, slack))


def test_an_instant_is_somewhere_in_a_span() -> None:
    names = [RELATIONS[relation(at, at, 1, 3)] for at in (0, 1, 2, 3, 4)]
    assert names == ["before", "starts", "during", "finishes", "after"]


def test_ends_within_the_tolerance_are_equal() -> None:
    assert RELATIONS[relation(0, 1.9, 2.0, 3, 0.2)] == "meets"
    assert RELATIONS[relation(0, 1.9, 2.0, 3)] == "before"
    assert RELATIONS[relation(0.1, 2, 0, 2.1, 0.2)] == "equals"


def test_groups_and_names_are_sets_and_others_are_suggested() -> None:
    assert relation_set(RELATIONS) == ALL
    assert relation_set(["then"]) == relation_set(["before", "meets"])
    assert relation_set(["met_by", "Together"]) == relation_set(
        ["met-by", *(RELATIONS[i] for i in GROUPS["together"])]
    )
    with pytest.raises(InvalidSetting, match="'befor' is no relation of two spans; did you mean before"):
        relation_set(["befor"])


@given(SPAN, SPAN, SPAN, st.sets(st.integers(0, 12)), st.sets(st.integers(0, 12)))
def test_what_holds_can_hold(
    a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], more: set[int], others: set[int]
) -> None:
    allowed = {
        (0, 1): 1 << relation(*a, *b) | sum(1 << index for index in more - {relation(*a, *b)}),
        (1, 2): 1 << relation(*b, *c) | sum(1 << index for index in others - {relation(*b, *c)}),
        (0, 2): 1 << relation(*a, *c),
    }
    assert can_hold(3, allowed)


def test_a_circle_of_before_cannot_hold() -> None:
    before = relation_set(["before"])
    assert not can_hold(3, {(0, 1): before, (1, 2): before, (2, 0): before})
    assert not can_hold(2, {(0, 1): before, (1, 0): before})
    assert not can_hold(
        3, {(0, 1): relation_set(["during"]), (1, 2): relation_set(["during"]), (0, 2): before}
    )
