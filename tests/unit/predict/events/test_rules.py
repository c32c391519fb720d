"""Rules say what they mean, and what cannot be meant is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.predict.events import Fact, Rules, find_events

TWO = "rules: {r: {within_s: 9, parts: {a: {label: run}, b: {label: fall}}, %s}}"

DOOR = "rules: {r: {parts: {a: {label: x, place: %s}}}}\nplaces: {door: %s}"
NINE = ", ".join(f"p{i}: {{label: x}}" for i in range(9))
BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def found(text: str, *facts: Fact) -> list[tuple[str, float, float]]:
    return [(event.rule, event.start_s, event.end_s) for event in find_events(Rules.parse(text), facts)]


def test_parts_follow_overlap_and_keep_their_distance() -> None:
    run, fall = Fact("run", 0, 2), Fact("fall", 3, 4)
    assert found(TWO % "relations: [a then b]", run, fall) == [("r", 0, 4)]
    assert found(TWO % "relations: [b after a]", run, fall) == [("r", 0, 4)]
    assert found(TWO % "relations: [a together b]", run, fall) == []
    assert found(TWO % "relations: [a then b within 0.5 s]", run, fall) == []
    assert found(TWO % "relations: [b inside a]", Fact("run", 0, 5), fall) == [("r", 0, 5)]


def test_people_are_the_same_or_others_and_unknown_ones_neither() -> None:
    same = TWO % "same: [[a, b]]"
    other = TWO % "different: [[a, b]]"
    one, two, nobody = Fact("run", 0, 1, 1), Fact("fall", 1, 2, 2), Fact("fall", 1, 2)
    assert found(same, one, Fact("fall", 1, 2, 1)) == [("r", 0, 2)]
    assert (found(same, one, two), found(other, one, two)) == ([], [("r", 0, 2)])
    assert found(same, one, nobody) == found(other, one, nobody) == []
    assert found(TWO % "same: [[a.other, b]]", Fact("run", 0, 1, 1, 2), two) == [("r", 0, 2)]


def test_nothing_happens_in_between() -> None:
    absent = "absent: [{label: rise, after: f, within_s: 10, same: f}]"
    text = f"rules: {{lies: {{within_s: 60, parts: {{f: {{label: fall}}}}, {absent}}}}}"
    fall = Fact("fall", 0, 1, 1)
    assert found(text, fall) == [("lies", 0, 1)]
    assert found(text, fall, Fact("rise", 10.5, 12, 1)) == []
    assert found(text, fall, Fact("rise", 10.5, 12, 2), Fact("rise", 11, 12, 1)) == [("lies", 0, 1)]
    assert found(text, fall, Fact("rise", 0.5, 300, 1)) == []  # it goes on all the while


def test_a_place_holds_feet_or_centres() -> None:
    text = "places: {door: %s}\nrules: {in: {parts: {a: {label: stand, place: door}}}}"
    box = text % "{box: [0, 0.5, 0.5, 1]}"
    assert found(box, Fact("stand", 0, 1, box=(0.1, 0.1, 0.3, 0.9))) == [("in", 0, 1)]
    assert found(box, Fact("stand", 0, 1, box=(0.1, 0.1, 0.3, 1.02))) == [
        ("in", 0, 1)
    ]  # feet below the picture
    assert found(box, Fact("stand", 0, 1, box=(0.6, 0.1, 0.8, 0.9)), Fact("stand", 0, 1)) == []
    shape = text % "{polygon: [[0, 0], [1, 0], [0, 1]], point: centre}"
    assert found(shape, Fact("stand", 0, 1, box=(0.1, 0.1, 0.3, 0.9))) == [("in", 0, 1)]
    assert found(shape, Fact("stand", 0, 1, box=(0.6, 0.6, 0.8, 0.9))) == []


def test_repetitions_count_people() -> None:
    text = "rules: {r: {within_s: 10, repeat: {label: wave, times: 3, people: %s}}}"
    waves = [
        Fact("wave", t, t + 1, person) for t, person in ((0, 1), (2, 1), (4, 2), (6, 1), (8, 3), (30, 1))
    ]
    assert found(text % "any", *waves) == [("r", 0, 5)]
    assert found(text % "same", *waves) == [("r", 0, 7)]
    assert found(text % "different", *waves) == [("r", 4, 9)]


def test_rules_build_on_others_and_labels_may_have_stars() -> None:
    text = """
rules:
  attack: {within_s: 9, parts: {armed: {label: robbed}, down: {label: fall}}, relations: [armed then down]}
  robbed:
    within_s: 9
    parts: {up: {label: holds up *}, run: {label: run, counts_after_s: 1}}
    same: [[up, run]]
"""
    facts = [Fact("holds up knife", 0, 1, 1), Fact("run", 0, 30, 1), Fact("fall", 2, 3, 2)]
    assert found(text, *facts) == [("robbed", 0, 1), ("attack", 0, 3)]
    rules = Rules.parse(text)
    assert rules.labels == {"fall", "holds up *", "run"}
    rules.check_labels(["fall", "run", "holds up knife"], "the model")
    with pytest.raises(LabelMismatch, match=r"'fall' \(did you mean 'falls'\?\), which is not among the 3"):
        rules.check_labels(["falls", "run", "holds up cup"], "the model")


def test_equal_facts_are_one_and_no_fact_serves_a_rule_twice() -> None:
    text = "rules: {r: {within_s: 9, parts: {a: {label: run}, b: {label: run}}}}"
    assert found(text, Fact("run", 0, 1), Fact("run", 0, 1)) == []
    assert found(text, *(Fact("run", t, t + 1) for t in range(5))) == [("r", 0, 2), ("r", 2, 4)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "holds no rules"),
        ("rulez: {}", r"there is no setting 'rulez' \(did you mean rules\)"),
        (TWO % "relation: [a before b]", r"no setting 'rules.r.relation' \(did you mean relations"),
        ("rules: {r: {parts: {a: {lable: run}}}}", r"'rules.r.parts.a.lable' \(did you mean label"),
        (TWO % "relations: [a befor b]", "'befor' is no relation of two spans; did you mean before"),
        (TWO % "relations: [a before c]", "'c' in the relation 'a before c' is no part; there are a, b"),
        (TWO % "relations: [a b]", "should read like `a before b`"),
        (TWO % "relations: [a before b within x s]", "ends with `within N s`"),
        (TWO % "relations: [a before a]", "relates a part to itself"),
        (TWO % "relations: [a before b, b before a]", "no relation of a and b is left: it cannot be met"),
        (TWO % "same: [[a, b]], different: [[b, a]]", "contradicts what stands before"),
        (TWO % "same: [[a]]", "should list two parts or more"),
        (TWO % "same: [[a, b.person]]", "a part, or a part and `.other`"),
        (TWO % "absent: [{label: x, after: a}]", "within_s belongs to after and before"),
        (TWO % "absent: [{label: x, after: a, during: b, within_s: 1}]", "give one of them"),
        (TWO % "absent: [{label: r, during: b}]", "absent takes labels of facts, and 'r' is a rule"),
        ("rules: {r: {parts: {a: {label: run}, b: {label: run}}}}", "a rule of several facts needs within_s"),
        ("rules: {r: {within_s: 1}}", "either parts or repeat"),
        ("rules: {r: {within_s: 1, parts: {a: {label: x, min_s: 2}}}}", "a part takes 2 s or more"),
        ("rules: {r: {parts: {a: {label: x, min_s: 2, max_s: 1}}}}", "max_s 1 is less than min_s 2"),
        ("rules: {r: {parts: {a: {label: x, min_s: 2, counts_after_s: 1}}}}", "leave min_s and max_s out"),
        ("rules: {r: {parts: {'a b': {label: x}}}}", "is no name of a part"),
        (DOOR % ("dor", "{box: [0, 0, 1, 1]}"), "did you mean door"),
        (DOOR % ("door", "{box: [0, 0, 640, 480]}"), "fractions of the picture"),
        (DOOR % ("door", "{}"), "either a box or a polygon"),
        ("rules: {r: {within_s: 9, repeat: {label: x, times: 1000000000}}}", "less than or equal to 1000"),
        ("rules: {r: {within_s: 1e9, parts: {a: {label: x}}}}", "less than or equal to 86400"),
        ("rules: {a: {parts: {x: {label: b}}}, b: {parts: {x: {label: a}}}}", "rules refer to themselves"),
        ("rules: {a: {parts: {x: {label: a}}}}", "name the rule otherwise"),
        (f"rules: {{r: {{parts: {{{NINE}}}}}}}", "at most 8 items"),
        (BOMB, "unfolds to more than"),
        ("rules: " + "[" * 500 + "]" * 500, "deeper than"),
        ("rules: &r {r: *r}", "without end|deeper than|itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        Rules.parse(text)


def test_relations_that_follow_from_each_other_are_refused_in_circles() -> None:
    text = """
rules:
  r:
    within_s: 9
    parts: {a: {label: x}, b: {label: y}, c: {label: z}}
    relations: [a before b, b before c, c before a]
"""
    with pytest.raises(InvalidSetting, match="rule 'r': its relations contradict each other"):
        Rules.parse(text)


def test_the_recipe_of_a_robbery() -> None:
    rules = Rules.load(Path(__file__).parents[4] / "recipes" / "events" / "robbery.yaml")
    run = [Fact("run", 0, 4, 1), Fact("run", 3, 6, 2)]
    up = Fact("holds up machete", 8, 12, 1, 9)
    [event] = find_events(rules, [*run, up])
    assert (event.start_s, event.end_s, event.people) == (0, 12, (1, 2))
    assert find_events(rules, [run[0], Fact("run", 5, 8, 1), up]) == []
    assert find_events(rules, [*run, Fact("holds up machete", 15, 21, 1, 9)]) == []
    assert find_events(rules, [*run, Fact("holds machete", 8, 12, 1, 9)]) == []


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("figt*", "did you mean 'fighting'"),
        ("*runn*", "did you mean 'run fast'"),
        ("hold up *", "holds up knife"),
    ],
)
def test_patterns_that_no_label_meets_are_told_with_the_nearest(label: str, hint: str) -> None:
    rules = Rules.parse(f"rules: {{a: {{parts: {{x: {{label: '{label}'}}}}}}}}")
    with pytest.raises(LabelMismatch, match=rf"The rules speak of .*{hint}"):
        rules.check_labels(["fighting", "run fast", "holds up knife"], "the model")
