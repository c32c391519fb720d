"""The search of one rule for the facts that meet it.

Facts come in their order (`order_of`). A fact completes a match if it is the last of its facts in that order,
so that all matches that a fact completes are found among those facts that came before it. Those are preferred
in which it is the earliest part, and of these the one whose other facts are the latest, part by part. The
facts of a match serve this rule no more: that is one event.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.predict.events.allen import ALL, relation
from kinesphere.predict.events.by_label import ByLabel
from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.events.happened import Happened
from kinesphere.predict.events.rule import Absence, Filter, Rule

Order = tuple[float, float, str, float, float, float, tuple[float, ...]]
_UNKNOWN = float("-inf")
_FEWEST = 64
MOST_TRIED = 50_000
"""Facts that are tried as parts of a rule before one fact is known to complete it or not."""


def order_of(fact: Fact) -> Order:
    """Where a fact stands in the order of all: by end, start, and then whatever tells two facts apart."""
    return (
        fact.end_s,
        fact.start_s,
        fact.label,
        _UNKNOWN if fact.person is None else fact.person,
        _UNKNOWN if fact.other is None else fact.other,
        fact.score,
        fact.box or (),
    )


class Search(Protocol):
    """What finds the events of one rule."""

    def take(self, fact: Fact) -> Event | None:
        """Look at the next fact in order, and give the event that it completes."""
        ...

    @property
    def held(self) -> int:
        """How many facts are kept."""
        ...


class Item:
    """A fact that is kept for later ones, in all the pools of parts that it may be."""

    __slots__ = ("end", "fact", "people", "start", "used")

    def __init__(self, fact: Fact) -> None:
        self.fact, self.start, self.end = fact, fact.start_s, fact.end_s
        self.people = fact.person, fact.other
        self.used = False


class PartsSearch:
    """Search of a rule with parts.

    Where many facts may be each part and few combinations fit, what meets a rule may take long to tell; there
    is a bound to how many are tried (`MOST_TRIED`), beyond which `take` raises `InvalidSetting`.

    Args:
        rule: The rule.
        tolerance_s: How far apart ends of spans may be that count as equal.
        happened: What must not happen is looked up here.
    """

    def __init__(self, rule: Rule, tolerance_s: float, happened: Happened) -> None:
        self.rule, self.tolerance_s, self.happened = rule, tolerance_s, happened
        filters = list(dict.fromkeys(rule.filters))
        self._pools: list[deque[Item]] = [deque() for _ in filters]
        self._pool_of = [self._pools[filters.index(each)] for each in rule.filters]
        kinds = [
            (each, [i for i, own in enumerate(rule.filters) if own == each], pool)
            for each, pool in zip(filters, self._pools, strict=True)
        ]
        self._parts_of: ByLabel[list[tuple[Filter, list[int], deque[Item]]]] = ByLabel(
            lambda label: [kind for kind in kinds if kind[0].means(label)]
        )
        self._pairs = dict(rule.pairs) | {(j, i): pair.reversed() for (i, j), pair in rule.pairs.items()}
        self._equal = [
            (i, j, who.is_other, whom.is_other)
            for (i, j), pair in self._pairs.items()
            for who, whom, equal in pair.people
            if equal
        ]
        self._left = MOST_TRIED
        self._others = [[j for j in range(len(rule.parts)) if j != i] for i in range(len(rule.parts))]

    @property
    def held(self) -> int:
        return sum(map(len, self._pools))

    def take(self, fact: Fact) -> Event | None:
        """The event that a fact completes, and otherwise keep it."""
        if fact.end_s - fact.start_s > self.rule.within_s:
            return None
        pools: list[deque[Item]] = []
        parts: list[int] = []
        for accepted, numbers, pool in self._parts_of[fact.label]:
            if accepted.accepts(fact):
                pools.append(pool)
                parts += numbers
        if not parts:
            return None
        item = Item(fact)
        for part in sorted(parts):
            found = self._completed(part, item)
            if found is not None:
                for each in found:
                    each.used = True
                return event_of(self.rule, [each.fact for each in found])
        if len(self._pool_of) > 1:
            limit = fact.end_s - self.rule.within_s
            for pool in pools:
                _forget(pool, limit)
                pool.append(item)
        return None

    def _completed(self, part: int, item: Item) -> list[Item] | None:
        """The latest match in which the item is this part, and all others came before it."""
        limit = item.end - self.rule.within_s
        others = self._others[part]
        for other in others:
            pool = self._pool_of[other]
            _forget(pool, limit)
            if not pool:
                return None
        chosen: list[Item | None] = [None] * len(self._pool_of)
        chosen[part] = item
        if not self._nothing_forbidden(part, chosen):
            return None
        candidates: list[list[Item]] = [[]] * len(chosen)
        for other in sorted(others, key=lambda each: len(self._pool_of[each])):
            free = [each for each in reversed(self._pool_of[other]) if not each.used and each.start >= limit]
            candidates[other] = self._fitting(part, item, other, free)
            if not candidates[other]:
                return None
        for one, other, who, whom in self._equal:
            # Who does not occur in the other part is in no match; most attempts end here.
            if one != part and other != part:
                known = {each.people[whom] for each in candidates[other]}
                candidates[one] = [each for each in candidates[one] if each.people[who] in known]
                if not candidates[one]:
                    return None
        self._left = MOST_TRIED
        return self._extended(chosen, candidates)

    def _extended(self, chosen: list[Item | None], candidates: list[list[Item]]) -> list[Item] | None:
        """The latest match, part by part, that has what is chosen and takes the rest from the candidates."""
        if None not in chosen:
            return [each for each in chosen if each is not None]
        part = chosen.index(None)
        for item in candidates[part]:
            self._left -= 1
            if self._left < 0:
                raise InvalidSetting(
                    f"Rule {brief(self.rule.name)} has too many combinations to try: {self.held} facts "
                    f"within its {self.rule.within_s:g} s. Relate parts more closely, or shorten within_s."
                )
            chosen[part] = item
            if self._nothing_forbidden(part, chosen):
                narrowed = self._narrowed(part, item, chosen, candidates)
                found = None if narrowed is None else self._extended(chosen, narrowed)
                if found is not None:
                    return found
        chosen[part] = None
        return None

    def _narrowed(
        self, part: int, item: Item, chosen: Sequence[Item | None], candidates: list[list[Item]]
    ) -> list[list[Item]] | None:
        """The candidates of the parts that are not chosen yet which fit the item; None if a part has none."""
        narrowed = list(candidates)
        for other, taken in enumerate(chosen):
            if taken is not None:
                continue
            narrowed[other] = self._fitting(part, item, other, candidates[other])
            if not narrowed[other]:
                return None
        return narrowed

    def _fitting(self, part: int, item: Item, other: int, items: list[Item]) -> list[Item]:
        """Those of some items that can be another part, besides an item that is a part."""
        pair = self._pairs.get((part, other))
        if pair is None:
            return [each for each in items if each is not item] if item in items else items
        for who, whom, equal in pair.people:
            known, at = item.people[who.is_other], whom.is_other
            if known is None:
                return []
            if equal:
                items = [each for each in items if each.people[at] == known]
            else:
                items = [each for each in items if each.people[at] not in (known, None)]
        relations, gap_s, tolerance_s = pair.relations, pair.gap_s, self.tolerance_s
        start, end = item.start, item.end
        if relations != ALL:
            items = [
                each
                for each in items
                if relations >> relation(start, end, each.start, each.end, tolerance_s) & 1
            ]
        if gap_s != math.inf:
            items = [each for each in items if max(each.start - end, start - each.end) <= gap_s]
        return [each for each in items if each is not item] if item in items else items

    def _nothing_forbidden(self, part: int, chosen: Sequence[Item | None]) -> bool:
        """Whether the absences hold that this part decides, all others that they need being chosen."""
        for absence in self.rule.absences:
            if part in absence.needs and all(chosen[each] is not None for each in absence.needs):
                facts = [each.fact if each is not None else None for each in chosen]
                if self._happens(absence, facts):
                    return False
        return True

    def _happens(self, absence: Absence, facts: Sequence[Fact | None]) -> bool:
        anchors = [fact for part in absence.parts if (fact := facts[part]) is not None]
        start_s, end_s = absence.span(anchors)
        people = []
        for who, equal in absence.people:
            fact = facts[who.part]
            known = None if fact is None else who.of(fact)
            if known is None:  # nobody is the same as, or different from, somebody unknown
                return False
            people.append((known, equal))
        return self.happened.occurs(absence.what, start_s, end_s, people, anchors)


class RepeatSearch:
    """Search of a rule that counts facts of one kind."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._pools: dict[int | None, deque[Item]] = {}
        self._prune_at = _FEWEST

    @property
    def held(self) -> int:
        return sum(map(len, self._pools.values()))

    def take(self, fact: Fact) -> Event | None:
        """The event that a fact completes, and otherwise keep it."""
        rule = self.rule
        if fact.end_s - fact.start_s > rule.within_s or not rule.filters[0].accepts(fact):
            return None
        if rule.people != "any" and fact.person is None:
            return None
        limit = fact.end_s - rule.within_s
        key = fact.person if rule.people == "same" else None
        pool = self._pools.setdefault(key, deque())
        _forget(pool, limit)
        item = Item(fact)
        if len(pool) >= rule.times - 1:
            found = self._latest(item, pool, limit)
            if found is not None:
                for each in found:
                    each.used = True
                return event_of(rule, [each.fact for each in found])
        pool.append(item)
        if len(self._pools) > self._prune_at:
            self._prune(limit)
        return None

    def _latest(self, item: Item, pool: Iterable[Item], limit: float) -> list[Item] | None:
        """The latest facts that complete the item, in their order; None if there are too few."""
        found = [item]
        people = {item.fact.person}
        apart = self.rule.people == "different"
        for each in reversed(pool):  # type: ignore[call-overload]
            if len(found) == self.rule.times:
                break
            if each.used or each.start < limit or (apart and each.fact.person in people):
                continue
            found.append(each)
            people.add(each.fact.person)
        return found[::-1] if len(found) == self.rule.times else None

    def _prune(self, limit: float) -> None:
        for key, pool in list(self._pools.items()):
            _forget(pool, limit)
            if not pool:
                del self._pools[key]
        self._prune_at = max(_FEWEST, 2 * len(self._pools))


def event_of(rule: Rule, evidence: Sequence[Fact]) -> Event:
    """The event that rests on these facts."""
    start_s = min(fact.start_s for fact in evidence)
    return Event(rule.name, start_s, max(fact.end_s for fact in evidence), tuple(evidence))


def fact_of(event: Event) -> Fact:
    """An event as a fact for other rules: of its one person, as sure as the least sure of its evidence."""
    people = {fact.person for fact in event.evidence}
    person = people.pop() if len(people) == 1 else None
    score = min(fact.score for fact in event.evidence)
    return Fact(event.rule, event.start_s, event.end_s, person, score=score)


def _forget(pool: deque[Item], limit: float) -> None:
    """Drop the first ones that ended too early, or served already."""
    while pool and (pool[0].end < limit or pool[0].used):
        pool.popleft()
