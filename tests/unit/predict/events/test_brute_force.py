"""Events equal those of a definition that tries everything, in whatever order facts arrive."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.structured import dump_yaml
from kinesphere.predict.events import Event, Fact, Matcher, Rules, find_events

LABELS = ("a", "b", "c")
NAMES = {
    (0, 0): "equals", (0, -1): "starts", (0, 1): "started-by", (1, 0): "finishes", (-1, 0): "finished-by",
    (1, -1): "during", (-1, 1): "contains",
}  # fmt: skip
GROUPS = {
    "then": {"before", "meets"},
    "together": {*NAMES.values(), "overlaps", "overlapped-by"},
    "inside": {"starts", "during", "finishes", "equals"},
}


def by_definition(content: dict[str, Any], facts: Sequence[Fact]) -> set[tuple[str, tuple[Fact, ...]]]:
    """All matches of a rule in the order in which they complete; each whose facts serve no event before."""
    found: set[tuple[str, tuple[Fact, ...]]] = set()
    known = {fact for fact in facts if fact.end_s < math.inf}
    left = dict(content["rules"])
    while left:
        # A rule is looked at once those that it refers to have been.
        name = next(each for each in left if not labels_of(left[each]) & (left.keys() - {each}))
        rule = left.pop(name)
        used: set[Fact] = set()
        for match in sorted(matches(rule, known, facts, content), key=complete_then_latest):
            if used.isdisjoint(match):
                used |= {*match}
                evidence = match if "parts" in rule else tuple(sorted(match, key=order))
                found.add((name, evidence))
                people = {fact.person for fact in match}
                person = people.pop() if len(people) == 1 else None
                start, end = min(fact.start_s for fact in match), max(fact.end_s for fact in match)
                known.add(Fact(name, start, end, person, score=min(fact.score for fact in match)))
    return found


def order(fact: Fact) -> tuple[Any, ...]:
    def number(identity: int | None) -> float:
        return -math.inf if identity is None else identity

    people = number(fact.person), number(fact.other)
    return fact.end_s, fact.start_s, fact.label, *people, fact.score, fact.box or ()


def complete_then_latest(match: tuple[Fact, ...]) -> tuple[Any, ...]:
    last = max(match, key=order)
    return order(last), match.index(last), Latest(tuple(map(order, match)))


class Latest:
    """Sorts the other way round."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Latest) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Latest) and self.value == other.value


def labels_of(rule: dict[str, Any]) -> set[str]:
    parts = rule["parts"].values() if "parts" in rule else [rule["repeat"]]
    return {label for part in parts for label in part["label"]}


def matches(
    rule: dict[str, Any], known: set[Fact], facts: Sequence[Fact], content: dict[str, Any]
) -> Iterator[tuple[Fact, ...]]:
    if "repeat" in rule:
        part = rule["repeat"]
        fitting = sorted((fact for each in known if (fact := taken(part, each))), key=order, reverse=True)
        for match in itertools.combinations(fitting, part["times"]):
            people = [fact.person for fact in match]
            count = {"same": 1, "different": len(match)}.get(part.get("people", "any"))
            if (count is None or (None not in people and len({*people}) == count)) and short(rule, match):
                yield match
        return
    choices = [[fact for each in known if (fact := taken(part, each))] for part in rule["parts"].values()]
    for match in itertools.product(*choices):
        named = dict(zip(rule["parts"], match, strict=True))
        if (
            len({*match}) == len(match)
            and short(rule, match)
            and all(related(text, named, content["tolerance_s"]) for text in rule.get("relations", ()))
            and all(alike(names, named, True) for names in rule.get("same", ()))
            and all(alike(names, named, False) for names in rule.get("different", ()))
            and not any(happens(each, named, facts) for each in rule.get("absent", ()))
        ):
            yield match


def taken(part: dict[str, Any], fact: Fact) -> Fact | None:
    if fact.label not in part["label"] or fact.score < part.get("min_score", 0):
        return None
    if "counts_after_s" in part:
        end = fact.start_s + part["counts_after_s"]
        return replace(fact, end_s=end) if end <= fact.end_s else None
    return fact if part.get("min_s", 0) <= fact.end_s - fact.start_s <= part.get("max_s", math.inf) else None


def short(rule: dict[str, Any], match: Sequence[Fact]) -> bool:
    span = max(fact.end_s for fact in match) - min(fact.start_s for fact in match)
    return bool(span <= rule["within_s"])


def related(text: str, named: dict[str, Fact], tolerance: float) -> bool:
    first, *names, second = text.partition(" within ")[0].replace(" or ", " ").split()
    a, b = named[first], named[second]
    wanted = {each for name in names for each in GROUPS.get(name, {name})}
    if " within " in text:
        limit = float(text.partition(" within ")[2].removesuffix(" s"))
        if max(a.start_s - b.end_s, b.start_s - a.end_s) > limit:
            return False

    def sign(value: float) -> int:
        return 0 if abs(value) <= tolerance else 1 if value > 0 else -1

    held = NAMES.get((sign(a.start_s - b.start_s), sign(a.end_s - b.end_s)))
    if held is None and a.start_s < b.start_s:
        held = {1: "before", 0: "meets", -1: "overlaps"}[sign(b.start_s - a.end_s)]
    elif held is None:
        held = {1: "after", 0: "met-by", -1: "overlapped-by"}[sign(a.start_s - b.end_s)]
    return held in wanted


def who(text: str, named: dict[str, Fact]) -> int | None:
    part, _, other = text.partition(".")
    return named[part].other if other else named[part].person


def alike(names: Sequence[str], named: dict[str, Fact], equal: bool) -> bool:
    people = [who(name, named) for name in names]
    return None not in people and len({*people}) == (1 if equal else len(people))


def happens(absent: dict[str, Any], named: dict[str, Fact], facts: Sequence[Fact]) -> bool:
    if "between" in absent:
        anchors = [named[name] for name in absent["between"]]
        start, end = anchors[0].end_s, anchors[1].start_s
    else:
        kind = next(kind for kind in ("after", "before", "during") if kind in absent)
        [fact] = anchors = [named[absent[kind]]]
        start, end = {
            "after": (fact.end_s, fact.end_s + absent.get("within_s", 0)),
            "before": (fact.start_s - absent.get("within_s", 0), fact.start_s),
            "during": (fact.start_s, fact.end_s),
        }[kind]
    for other in facts:
        is_anchor = any(
            (other.label, other.start_s, other.person, other.other) == (a.label, a.start_s, a.person, a.other)
            for a in anchors
        )
        if other.label in absent["label"] and not is_anchor and start < end:
            same = "same" not in absent or (
                other.person is not None and other.person == who(absent["same"], named)
            )
            apart = "different" not in absent or (
                None not in (other.person, who(absent["different"], named))
                and other.person != who(absent["different"], named)
            )
            if same and apart and other.start_s < end and other.end_s > start:
                return True
    return False


def random_facts(rng: random.Random, count: int) -> list[Fact]:
    facts = []
    for _ in range(count):
        start = rng.randint(0, 14)
        end = start + rng.choice((0, 1, 1, 2, 3, 6))
        people = rng.choice((None, 1, 2, 3)), rng.choice((None, None, 1, 2))
        facts.append(Fact(rng.choice(LABELS), start, end, *people, rng.choice((0.25, 0.5, 1.0))))
    return facts


def random_rules(rng: random.Random) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for name in ("first", "second", "third")[: rng.randint(1, 3)]:
        labels = [*LABELS, *rules]
        if rng.random() < 0.25:
            repeat = random_part(rng, labels) | {"times": rng.randint(2, 3)}
            rules[name] = {"repeat": repeat | {"people": rng.choice(("any", "same", "different"))}}
        else:
            rules[name] = random_parts(rng, labels)
        rules[name]["within_s"] = rng.choice((3, 6, 12, 30))
    return {"tolerance_s": rng.choice((0, 0, 1)), "late_s": rng.choice((0, 3)), "rules": rules}


def random_part(rng: random.Random, labels: list[str]) -> dict[str, Any]:
    part: dict[str, Any] = {"label": rng.sample(labels, rng.choice((1, 1, 2)))}
    if rng.random() < 0.2:
        part["min_score"] = 0.5
    if rng.random() < 0.2:
        part["min_s"] = 1
    return part


def random_parts(rng: random.Random, labels: list[str]) -> dict[str, Any]:
    names = ("x", "y", "z")[: rng.randint(1, 3)]
    parts = {name: random_part(rng, labels) for name in names}
    if rng.random() < 0.3:  # one label is taken for its first seconds, wherever it is
        for name in names:
            parts[name] = (
                {"label": ["a"], "counts_after_s": 2} if "a" in parts[name]["label"] else parts[name]
            )
    rule: dict[str, Any] = {"parts": parts}
    every = [*NAMES.values(), *GROUPS, "before", "after", "meets", "met-by", "overlaps", "overlapped-by"]
    if len(names) > 1 and rng.random() < 0.7:
        one, other = rng.sample(names, 2)
        text = f"{one} {' or '.join(rng.sample(every, 3))} {other}"
        rule["relations"] = [text + rng.choice(("", " within 2 s"))]
    if len(names) > 1 and rng.random() < 0.5:
        rule[rng.choice(("same", "different"))] = [[*rng.sample(names, 2)]]
    elif rng.random() < 0.2:
        rule["different"] = [["x", f"{names[-1]}.other"]]
    if rng.random() < 0.5:
        absent: dict[str, Any] = {"label": [rng.choice(LABELS)]}
        kind = rng.choice(("after", "before", "during", "between"))
        if kind == "between" and len(names) > 1:
            absent["between"] = rng.sample(names, 2)
        else:
            kind = "after" if kind == "between" else kind
            absent[kind] = rng.choice(names)
            if kind != "during":
                absent["within_s"] = rng.choice((1, 4))
        if rng.random() < 0.4:
            absent[rng.choice(("same", "different"))] = rng.choice(names)
        rule["absent"] = [absent]
    return rule


def as_set(events: Sequence[Event]) -> set[tuple[str, tuple[Fact, ...]]]:
    found = {(event.rule, event.evidence) for event in events}
    assert len(found) == len(events)
    return found


def arriving(facts: Sequence[Fact], late_s: float, rng: random.Random) -> list[Fact]:
    """Facts up to `late_s` later than they begin and end, in that order or the other."""
    moments = [(fact.end_s + rng.uniform(0, late_s), 1, number) for number, fact in enumerate(facts)]
    moments += [(fact.start_s + rng.uniform(0, late_s), 0, number) for number, fact in enumerate(facts)]
    moments.sort()
    return [facts[i] if over else replace(facts[i], end_s=math.inf) for _, over, i in moments]


def check(seed: int) -> int:
    rng = random.Random(seed)
    content = random_rules(rng)
    try:
        rules = Rules.parse(dump_yaml(content))
    except InvalidSetting:  # rules that nothing can meet are refused
        return 0
    facts = random_facts(rng, rng.randint(3, 11))
    wanted = by_definition(content, facts)
    assert as_set(find_events(rules, facts)) == wanted, (seed, content)
    rng.shuffle(facts)
    assert as_set(find_events(rules, facts)) == wanted, (seed, content)
    # Facts that begin again with the same identity would be one that goes on.
    told_apart = len({(f.label, f.start_s, f.person, f.other) for f in facts}) == len(facts)
    if told_apart:
        matcher = Matcher(rules)
        found = [e for fact in arriving(facts, rules.late_s, rng) for e in matcher.add(fact)]
        assert as_set([*found, *matcher.finish()]) == wanted, (seed, content)
        assert matcher.late == 0
    return len(wanted)


def test_events_are_those_of_the_definition() -> None:
    assert sum(map(check, range(150))) > 50


@pytest.mark.slow
def test_events_are_those_of_the_definition_on_a_thousand_timelines() -> None:
    assert sum(map(check, range(1000, 2200))) > 600
