"""How long rules take to find events in a million facts, on one core.

    python -m benchmarks.events

Facts are generated: twelve people about a place, three facts a second, which overlap. `find_events` has them
all at once, `Matcher` gets one after the other, those that must not happen also when they begin, and keeps no
more than its rules can use; both find the same. Times are the least of two runs, of a
million facts that of one; facts are made before.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.record import command_line, finish, goal, significant
from kinesphere.predict.events import Event, Fact, Matcher, Rules, find_events

T = TypeVar("T")
SIZES = (10_000, 100_000, 1_000_000)
PEOPLE = 12
LABELS = {
    "walk": 6,
    "stand": 5,
    "run": 3,
    "wave": 2,
    "carry": 2,
    "holds up knife": 0.5,
    "fall": 0.3,
    "rise": 0.3,
}
"""What people do, and how often."""
ROBBERY = Path(__file__).parents[1] / "recipes" / "events" / "robbery.yaml"
SEVERAL = """
late_s: 5
rules:
  helpless:
    parts: {fall: {label: fall}}
    absent: [{label: rise, after: fall, within_s: 10, same: fall}]
    within_s: 30
  pacing:
    repeat: {label: walk, times: 5, people: same}
    within_s: 60
  handed over:
    parts: {one: {label: carry}, gives: {label: wave}, another: {label: carry}}
    relations: [one together gives, gives before or meets or overlaps another]
    same: [[one, gives]]
    different: [[one, another]]
    within_s: 15
  watched:
    parts: {pacing: {label: pacing}, handed: {label: handed over}}
    relations: [pacing together handed]
    within_s: 90
"""
RECIPE = "the recipe of a robbery"
ABSENT = frozenset({"rise"})
GOAL_S, GROWTH = 5.0, 20.0


def make_facts(count: int, seed: int = 0) -> list[Fact]:
    """Facts of a recording in the order of their ends."""
    rng = random.Random(seed)
    labels = rng.choices(list(LABELS), list(LABELS.values()), k=count)
    return [
        Fact(label, number / 3 - rng.uniform(0.5, 4), number / 3, rng.randrange(PEOPLE))
        for number, label in enumerate(labels)
    ]


def rule_sets() -> dict[str, Rules]:
    """What is looked for."""
    return {RECIPE: Rules.load(ROBBERY), "four rules": Rules.parse(SEVERAL)}


def as_they_come(facts: Sequence[Fact]) -> list[Fact]:
    """Facts by their ends, and those whose absence is asked for also by their starts, open."""
    begun = [replace(fact, end_s=math.inf) for fact in facts if fact.label in ABSENT]
    return sorted([*facts, *begun], key=lambda fact: fact.end_s if fact.is_over else fact.start_s)


def streamed(rules: Rules, facts: Sequence[Fact]) -> tuple[list[Event], int]:
    """The events of facts that come one after the other, and how many were kept at most."""
    matcher = Matcher(rules)
    found: list[Event] = []
    most = 0
    for number, fact in enumerate(facts):
        found += matcher.add(fact)
        if number % 1000 == 0:
            most = max(most, matcher.held)
    return found + matcher.finish(), most


def timed(call: Callable[[], T], once: bool) -> tuple[T, float]:
    """What a call gives and the least that it takes, in seconds; of two calls unless `once`."""
    taken = []
    for _ in range(1 if once else 2):
        begun = time.perf_counter()
        value = call()
        taken.append(time.perf_counter() - begun)
    return value, min(taken)


def measure(sizes: Sequence[int] = SIZES) -> dict[tuple[str, str, int], tuple[float, int, int]]:
    """Seconds, number of events and most facts kept, by rules, way and number of facts."""
    found: dict[tuple[str, str, int], tuple[float, int, int]] = {}
    facts = make_facts(max(sizes))
    for size in sizes:
        some, once = facts[:size], size > 100_000
        coming = as_they_come(some)
        for name, rules in rule_sets().items():
            at_once, taken_s = timed(partial(find_events, rules, some), once)
            found[name, "all at once", size] = taken_s, len(at_once), size
            (events, most), taken_s = timed(partial(streamed, rules, coming), once)
            found[name, "one by one", size] = taken_s, len(events), most
            if {*events} != {*at_once}:
                raise AssertionError(f"{name}: {len(events)} events one by one, {len(at_once)} at once")
    return found


def rows(found: Mapping[tuple[str, str, int], tuple[float, int, int]]) -> list[dict[str, str]]:
    """The table."""
    table = []
    for (name, way, size), (seconds, events, most) in found.items():
        smaller = found.get((name, way, size // 10))
        table.append({
            "rules": name,
            "facts": f"{size:,}".replace(",", " "),
            "given": way,
            "seconds": significant(seconds),
            "µs a fact": significant(1e6 * seconds / size),
            "times a tenth of it": "" if smaller is None else significant(seconds / smaller[0]),
            "events": str(events),
            "kept at most": str(most) if way == "one by one" else "all",
        })  # fmt: skip
    return table


def held_against_goals(found: Mapping[tuple[str, str, int], tuple[float, int, int]]) -> list[str]:
    """Whether a rule takes less than five seconds, and growth is at most twice in proportion."""
    lines = []
    largest = max(size for _, _, size in found)
    for (name, way, size), (seconds, _, _) in found.items():
        if size == largest:
            what = f"{name}, {size:,} facts {way}".replace(",000", " 000")
            if name == RECIPE:
                lines.append(goal(what, seconds, GOAL_S, " s", at_most=True))
            smaller = found.get((name, way, size // 10))
            if smaller is not None:
                lines.append(goal(f"{what}, times a tenth", seconds / smaller[0], GROWTH, at_most=True))
    return lines


def main() -> None:
    parser = command_line(__doc__)
    args = parser.parse_args()
    found = measure()
    finish("events", "Events in a million facts", parser, args, rows(found), held_against_goals(found))


if __name__ == "__main__":
    main()
