"""Facts as they come: what is late, what is kept, and how much is looked at."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.events import Event, Fact, Matcher, Rules, find_events, search

ROBBERY = """
late_s: 5
rules:
  robbery:
    within_s: 20
    parts: {one: {label: run}, another: {label: run}, up: {label: hold up}}
    different: [[one, another]]
    same: [[one, up]]
"""
LIES = """
rules:
  lies:
    within_s: 60
    parts: {f: {label: lie, counts_after_s: 10}}
    absent: [{label: help, after: f, within_s: 20}]
"""


def test_events_come_once_the_watermark_has_passed() -> None:
    matcher = Matcher(Rules.parse(ROBBERY))
    assert matcher.add(Fact("hold up", 1, 3, 1)) == matcher.add(Fact("run", 0, 2, 1)) == []
    assert matcher.add(Fact("run", 4, 6, 2)) == matcher.advance(11) == []
    assert [event.people for event in matcher.advance(11.5)] == [(1, 2)]
    assert matcher.watermark_s == 6.5


def test_late_facts_are_counted_and_have_no_part() -> None:
    matcher = Matcher(Rules.parse(ROBBERY))
    for fact in (
        Fact("hold up", 1, 3, 1),
        Fact("run", 4, 6, 2),
        Fact("run", 18, 19, 2),
        Fact("run", 0, 2, 1),
    ):
        assert matcher.add(fact) == []
    matcher.add(Fact("walk", 0, 99, 1))
    assert matcher.finish() == []
    assert (matcher.late, matcher.unused) == (1, 1)
    with pytest.raises(InvalidSetting, match="late_s is 0 s or more"):
        Matcher(Rules.parse(ROBBERY), late_s=-1)


def test_what_goes_on_counts_after_some_seconds_and_for_absences() -> None:
    def lies(*then: Fact) -> list[Event]:
        matcher = Matcher(Rules.parse(LIES))
        first = [*matcher.add(Fact("lie", 0, math.inf, 1)), *matcher.advance(9)]
        assert first == []
        return [*(e for fact in then for e in matcher.add(fact)), *matcher.advance(30.5)]

    assert [(event.start_s, event.end_s) for event in lies()] == [(0, 10)]
    assert lies(Fact("lie", 0, 9.5, 1)) == []
    assert lies(Fact("help", 25, math.inf, 2)) == []
    assert len(lies(Fact("lie", 0, 12, 1))) == 1


def test_facts_expire_when_no_rule_can_use_them() -> None:
    rng = random.Random(0)
    text = ROBBERY + "    absent: [{label: guard, before: up, within_s: 30}]\n"
    for content in (
        ROBBERY,
        text,
        "rules: {r: {within_s: 9, repeat: {label: run, times: 900, people: same}}}",
    ):
        matcher = Matcher(Rules.parse(content))
        most = 0
        for second in range(4000):
            label = rng.choice(("run", "run", "hold up", "guard"))
            matcher.add(Fact(label, second - rng.random(), second, rng.randrange(10**6)))
            most = max(most, matcher.held)
        assert most < 500


def test_few_facts_are_looked_at_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    fitting = search.PartsSearch._fitting

    def counted(self: search.PartsSearch, *args: object) -> list[search.Item]:
        looked.append(len(args[3]))  # type: ignore[arg-type]
        return fitting(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(search.PartsSearch, "_fitting", counted)
    per_fact = []
    for count in (500, 4000):
        rng = random.Random(1)
        labels = rng.choices(("run", "hold up", "walk"), (5, 1, 6), k=count)
        facts = [Fact(label, t / 3 - 1, t / 3, rng.randrange(12)) for t, label in enumerate(labels)]
        looked.clear()
        assert find_events(Rules.parse(ROBBERY), facts)
        per_fact.append(sum(looked) / count)
    assert per_fact[1] < 1.2 * per_fact[0] < 60  # what lies within 20 s, however long the recording


def test_the_clock_may_be_somebody_elses() -> None:
    matcher = Matcher(Rules.parse(ROBBERY), late_s=0, follows_facts=False)
    facts = [Fact("hold up", 1, 3, 1), Fact("run", 40, 42, 2), Fact("run", 0, 2, 1), Fact("run", 4, 6, 2)]
    assert [matcher.add(fact) for fact in facts] == [[]] * 4
    assert len(matcher.advance(7)) == 1


def test_order_within_the_lateness_changes_nothing() -> None:
    rng = random.Random(3)
    facts = [Fact(rng.choice(("run", "hold up")), t / 2, t / 2 + 1, rng.randrange(4)) for t in range(300)]
    rules = Rules.parse(ROBBERY)
    wanted = find_events(rules, facts)
    assert len(wanted) > 20
    for _ in range(5):
        matcher = Matcher(rules)
        shuffled = sorted(facts, key=lambda fact: fact.end_s + rng.uniform(0, 5))
        events = [event for fact in shuffled for event in matcher.add(fact)] + matcher.finish()
        assert events == wanted
        assert matcher.late == 0


def test_a_fact_that_begins_again_is_the_same() -> None:
    matcher = Matcher(Rules.parse(LIES))
    begun = Fact("lie", 0, math.inf, 1)
    found = [*matcher.add(begun), *matcher.add(begun), *matcher.add(replace(begun, end_s=15))]
    assert len([*found, *matcher.advance(40), *matcher.add(begun), *matcher.finish()]) == 1
    assert matcher.late == 1


def test_rules_that_try_too_much_are_stopped_and_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_TRIED", 1000)
    parts = ", ".join(f"p{number}: {{label: run}}" for number in range(8))
    different = ", ".join(f"p{number}" for number in range(8))
    rules = Rules.parse(f"rules: {{r: {{within_s: 8, parts: {{{parts}}}, different: [[{different}]]}}}}")
    facts = [Fact("run", t / 4, t / 4 + 1, t % 7) for t in range(100)]  # seven people are never eight
    with pytest.raises(
        InvalidSetting, match=r"Rule 'r' has too many combinations to try: .* shorten within_s"
    ):
        find_events(rules, facts)
