"""Events of facts: of all facts of a recording at once, or as they come (`Matcher`).

What an event is depends on the facts alone, not on when they arrive: they are taken in their order (see
`kinesphere.predict.events.search`), once the watermark has passed their end. The watermark is the latest time
that is known of, less the lateness that is allowed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.events.by_label import ByLabel
from kinesphere.predict.events.facts import Event, Fact
from kinesphere.predict.events.happened import Happened, Identity, identity_of
from kinesphere.predict.events.rule import Rule
from kinesphere.predict.events.rules import Rules
from kinesphere.predict.events.search import PartsSearch, RepeatSearch, Search, fact_of, order_of

# The order of a fact (seven fields), its cut, a number that tells entries apart, the fact.
Entry = tuple[Any, ...]
_SAME = 8
"""How many fields of two entries are equal if they are one fact."""
_WHOLE = -1.0
"""The cut of a fact that is taken whole."""


def find_events(rules: Rules, facts: Iterable[Fact]) -> list[Event]:
    """All events of a recording.

    Facts that are equal count as one. With the last fact the recording is over: what has not happened by then
    does not happen.

    Args:
        rules: What to look for.
        facts: In any order. Those without an end are still going on at the end of the recording.

    Returns:
        Events ordered by end, start and the order of the rules in their file.
    """
    stage = _Stage(rules)
    entries: list[Entry] = []
    begun: list[tuple[float, int, Fact]] = []
    cuts, kept = stage.cuts, stage.happened.keep_s
    for number, fact in enumerate(facts):
        label = fact.label
        if kept[label] is not None:
            begun.append((fact.start_s, number, fact))
        for cut in cuts[label]:
            known = fact if cut == _WHOLE else first_seconds(fact, cut)
            if known is not None and known.is_over:
                entries.append((*order_of(known), cut, number, known))
    entries.sort()
    begun.sort(reverse=True)
    found: list[Event] = []
    for entry in entries:
        while begun and begun[-1][0] <= entry[0]:
            stage.happened.add(begun.pop()[2], begun=True)
        stage.take(entry, found)
    for _, _, fact in begun:
        stage.happened.add(fact, begun=True)
    stage.decide(math.inf, found)
    rank = {name: number for number, name in enumerate(rules.order)}
    return sorted(found, key=lambda event: (event.end_s, event.start_s, rank[event.rule]))


def first_seconds(fact: Fact, seconds: float) -> Fact | None:
    """The fact as it was known once it had lasted so long; None if it did not."""
    end_s = fact.start_s + seconds
    return replace(fact, end_s=end_s) if end_s <= fact.end_s else None


class Matcher:
    """Events as facts come.

    A fact that is over is added with its end. One that is still going on may be added with an infinite end
    and again when it is over, with the same label, start and identities: rules that ask for its absence, or
    for its first seconds (`counts_after_s`), then know it from its start on. It must be said to be over at
    some time, or it is kept forever.

    A fact is late if it ends before the watermark, and if it is taken for its first seconds, if these do.
    Late facts have no part in events; they are counted.

    Attributes:
        late: How many facts were late.
        unused: How many facts have a label that no rule speaks of.

    Args:
        rules: What to look for.
        late_s: How much later than facts that end after it a fact may arrive; None: what the rules say.
        follows_facts: Whether the clock goes on with the facts; otherwise with `advance` alone.

    Raises:
        InvalidSetting: If `late_s` is negative or no number.
    """

    def __init__(self, rules: Rules, *, late_s: float | None = None, follows_facts: bool = True) -> None:
        self.rules, self.follows_facts = rules, follows_facts
        self.late_s = rules.late_s if late_s is None else late_s
        if not 0 <= self.late_s < math.inf:
            raise InvalidSetting(f"late_s is 0 s or more; got {self.late_s}.")
        self.late = self.unused = 0
        self._stage = _Stage(rules)
        self._waiting: list[Entry] = []
        self._latest = self._watermark = -math.inf
        self._added = 0
        self._begun: dict[Identity, _Begun] = {}

    @property
    def held(self) -> int:
        """How many facts are kept at this time, each counted wherever it is kept."""
        return len(self._waiting) + len(self._begun) + self._stage.held

    @property
    def watermark_s(self) -> float:
        """Everything that ends before this time is taken as known."""
        return self._watermark

    def add(self, fact: Fact) -> list[Event]:
        """Take a fact, and give the events that are decided now."""
        self._added += 1
        cuts = self._stage.cuts[fact.label]
        is_absent = self._stage.happened.keep_s[fact.label] is not None
        if cuts or is_absent:
            has_begun = bool(self._begun) and identity_of(fact) in self._begun
            in_time = not is_absent or self._note(fact)
            for cut in cuts:
                if cut == _WHOLE or not has_begun:
                    in_time &= self._enter(fact, cut)
            self.late += not in_time
            if self._begun and fact.is_over:
                self._mark_over(fact)
        else:
            self.unused += 1
        if not self.follows_facts:
            return []
        return self.advance(fact.end_s if fact.is_over else fact.start_s)

    def advance(self, time_s: float) -> list[Event]:
        """Let the clock go on to a time, and give the events that are decided now.

        All facts that ended before this time less `late_s` should have been added.
        """
        if time_s <= self._latest:
            return []
        self._latest = time_s
        return self._release(time_s - self.late_s)

    def finish(self) -> list[Event]:
        """The events that are left, there being no more facts."""
        return self._release(math.inf)

    def _note(self, fact: Fact) -> bool:
        """Keep a fact whose absence is asked for; False if it is late."""
        happened = self._stage.happened
        if not fact.is_over:
            happened.begin(fact)
        elif fact.end_s >= self._watermark or happened.is_going_on(fact):
            happened.add(fact)
        else:
            return False
        return True

    def _enter(self, fact: Fact, cut: float) -> bool:
        """Let a fact wait for the watermark; False if it is late."""
        # What did not last waits all the same, so that it is known if word that it began comes only now.
        known = fact if cut == _WHOLE else first_seconds(fact, cut) or fact
        if not known.is_over:
            return True
        if known.end_s < self._watermark:
            return False
        heappush(self._waiting, (*order_of(known), cut, self._added, known))
        if cut != _WHOLE:
            self._begun.setdefault(identity_of(fact), _Begun()).cuts.add(cut)
        return True

    def _mark_over(self, fact: Fact) -> None:
        """Let the first seconds of a fact that wait know when it ended."""
        begun = self._begun.get(identity_of(fact))
        if begun is not None:
            begun.end_s = fact.end_s
            if not begun.cuts:
                del self._begun[identity_of(fact)]

    def _release(self, watermark_s: float) -> list[Event]:
        found: list[Event] = []
        if watermark_s > self._watermark:
            self._watermark = watermark_s
            waiting, stage = self._waiting, self._stage
            while waiting and waiting[0][0] < watermark_s:
                entry = heappop(waiting)
                if entry[_SAME - 1] == _WHOLE or self._lasted(entry):
                    stage.take(entry, found)
            if stage.waits:
                stage.decide(watermark_s, found)
        return found

    def _lasted(self, entry: Entry) -> bool:
        """Whether a fact lasted as long as it is taken for, which was open if it came as it began."""
        fact: Fact = entry[-1]
        cut: float = entry[_SAME - 1]
        begun = self._begun[identity_of(fact)]
        begun.cuts.discard(cut)
        if begun.end_s == math.inf:
            return True
        if not begun.cuts:
            del self._begun[identity_of(fact)]
        return begun.end_s >= fact.start_s + cut


@dataclass(slots=True)
class _Begun:
    """When a fact ended that is taken for its first seconds, and for which of these it waits."""

    end_s: float = math.inf
    cuts: set[float] = field(default_factory=set)


class _Queue:
    """A rule whose facts wait: for what must not happen, or for the events of other rules."""

    def __init__(self, rule: Rule, search: Search, delay_s: float) -> None:
        self.rule, self.search, self.delay_s = rule, search, delay_s
        self.waiting: list[Entry] = []
        self.last: Entry = ()


class _Stage:
    """The searches of all rules, given facts in their order."""

    def __init__(self, rules: Rules) -> None:
        delays: dict[str, float] = {}
        for rule in rules.rules:
            before = [delays[label] for label in rule.labels if label in delays]
            delays[rule.name] = max(before, default=0.0) + rule.wait_s
        self.happened = Happened(ByLabel(lambda label: _kept_s(rules, delays, label)))
        self._immediate: list[tuple[Rule, Search]] = []
        self._queues: list[_Queue] = []
        self._told: dict[str, list[_Queue]] = defaultdict(list)
        self._last: Entry = ()
        self._numbers = 0
        self.waits = False
        for rule in rules.rules:
            search: Search = (
                RepeatSearch(rule) if rule.times > 1 else PartsSearch(rule, rules.tolerance_s, self.happened)
            )
            refers_to = rule.labels & delays.keys()
            self.waits |= bool(rule.absences or refers_to)
            if rule.wait_s == 0 and not refers_to:
                self._immediate.append((rule, search))
                continue
            queue = _Queue(rule, search, delays[rule.name])
            self._queues.append(queue)
            for label in refers_to:
                self._told[label].append(queue)
        every = rules.rules
        self.cuts: ByLabel[tuple[float, ...]] = ByLabel(
            lambda label: tuple(sorted({_cut(rule, label) for rule in every if rule.takes(label)}))
        )
        self._searches: ByLabel[list[tuple[float, Search]]] = ByLabel(
            lambda label: [(_cut(rule, label), each) for rule, each in self._immediate if rule.takes(label)]
        )
        self._queued: ByLabel[list[tuple[float, _Queue]]] = ByLabel(
            lambda label: [(_cut(each.rule, label), each) for each in self._queues if each.rule.takes(label)]
        )

    @property
    def held(self) -> int:
        """How many facts are kept, each counted wherever it is kept."""
        waiting = sum(len(queue.waiting) for queue in self._queues)
        searches = [*(each for _, each in self._immediate), *(queue.search for queue in self._queues)]
        return waiting + len(self.happened) + sum(search.held for search in searches)

    def take(self, entry: Entry, found: list[Event]) -> None:
        """Look at the next fact in order."""
        last, self._last = self._last, entry
        if last and last[0] == entry[0] and last[:_SAME] == entry[:_SAME]:
            return
        if self.waits:
            self.decide(entry[0], found)
        label, cut = entry[2], entry[_SAME - 1]
        for wanted, search in self._searches[label]:
            if wanted == cut:
                self._tell(search.take(entry[-1]), found)
        if self._queues:
            for wanted, queue in self._queued[label]:
                if wanted == cut:
                    heappush(queue.waiting, entry)

    def decide(self, clock_s: float, found: list[Event]) -> None:
        """Decide what waits, all that ended before a time being known."""
        for queue in self._queues:
            waiting = queue.waiting
            while waiting and waiting[0][0] + queue.delay_s < clock_s:
                entry = heappop(waiting)
                last, queue.last = queue.last, entry
                if last[:_SAME] != entry[:_SAME]:
                    self._tell(queue.search.take(entry[-1]), found)
        if clock_s != math.inf:
            self.happened.forget(clock_s)

    def _tell(self, event: Event | None, found: list[Event]) -> None:
        """Keep an event, and let the rules that refer to it know."""
        if event is None:
            return
        found.append(event)
        if event.rule in self._told:
            self._numbers -= 1  # numbers of facts that were added are positive
            fact = fact_of(event)
            for queue in self._told[event.rule]:
                heappush(queue.waiting, (*order_of(fact), _WHOLE, self._numbers, fact))


def _cut(rule: Rule, label: str) -> float:
    cut = rule.cut(label)
    return _WHOLE if cut is None else cut


def _kept_s(rules: Rules, delays: Mapping[str, float], label: str) -> float | None:
    """How long after its end a fact matters whose absence some rule asks for; None if none does."""
    kept = [
        delays[rule.name] + seconds
        for rule in rules.rules
        if (seconds := rule.keeps_absent_s(label)) is not None
    ]
    return max(kept, default=None)
