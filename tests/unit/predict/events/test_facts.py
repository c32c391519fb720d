"""Facts are checked when they are made."""

from __future__ import annotations

import math

import pytest

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.predict.events import Event, Fact


def test_a_fact_holds_who_does_what_when_and_where() -> None:
    fact = Fact("hold up", 1.0, 2.5, person=3, other=7, score=0.8, box=(0.1, 0.2, 0.3, 1.05))
    assert (fact.person, fact.other, fact.box) == (3, 7, (0.1, 0.2, 0.3, 1.05))
    assert fact.is_over
    assert not Fact("run", 0.0, math.inf).is_over


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"end_s": 0.5}, "an end that is not before it"),
        ({"start_s": math.nan}, "from a finite start"),
        ({"end_s": 1e9}, "seconds up to"),
        ({"label": " "}, "has 1 to 1000 characters"),
        ({"label": "a" * 1001}, "has 1 to 1000 characters"),
        ({"score": math.inf}, "should be a finite number"),
        ({"box": (10.0, 20.0, 110.0, 220.0)}, "Divide pixels by the picture's width"),
        ({"box": (0.5, 0.0, 0.4, 1.0)}, "left, top, right, bottom in fractions"),
    ],
)
def test_what_is_no_fact_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidAnnotation, match=words):
        Fact(**{"label": "run", "start_s": 1.0, "end_s": 2.0, **given})  # type: ignore[arg-type]


def test_an_event_names_its_people_once() -> None:
    evidence = tuple(Fact("run", 0, 1, person) for person in (4, 2, None, 4))
    assert Event("two run", 0, 1, evidence).people == (4, 2)
