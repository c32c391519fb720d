"""One rule, ready to be matched: which facts its parts may be, and what must hold between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kinesphere.predict.events import allen
from kinesphere.predict.events.facts import Box, Fact

Anchored = Literal["after", "before", "during", "between"]


@dataclass(frozen=True, slots=True)
class Place:
    """A polygon in fractions of the picture, and which point of a box must lie in it."""

    corners: tuple[tuple[float, float], ...]
    point: Literal["bottom", "centre"]

    def holds(self, box: Box | None) -> bool:
        """Whether the point of the box lies inside (even-odd rule); what has no box is nowhere."""
        if box is None:
            return False
        x = (box[0] + box[2]) / 2
        y = box[3] if self.point == "bottom" else (box[1] + box[3]) / 2
        inside = False
        for (x0, y0), (x1, y1) in zip(self.corners, self.corners[1:] + self.corners[:1], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                inside = not inside
        return inside


def matches(pattern: str, label: str) -> bool:
    """Whether a label is meant by another one, in which each `*` stands for any text."""
    if "*" not in pattern:
        return pattern == label
    first, *middle, last = pattern.split("*")
    if len(label) < len(first) + len(last) or not label.startswith(first) or not label.endswith(last):
        return False
    at, end = len(first), len(label) - len(last)
    for part in middle:
        found = label.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def may_be_one(one: str, other: str) -> bool:
    """Whether some label may be meant by both, as far as their beginnings and ends tell."""
    if "*" not in one or "*" not in other:
        return matches(one, other) or matches(other, one)
    begins = one.partition("*")[0], other.partition("*")[0]
    ends = one.rpartition("*")[2], other.rpartition("*")[2]
    return max(begins, key=len).startswith(min(begins, key=len)) and (
        max(ends, key=len).endswith(min(ends, key=len))
    )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which facts may be a part of a rule.

    Attributes:
        labels: Any of these; a `*` in one stands for any text.
        min_s, max_s: Bounds of the duration.
        counts_after_s: The fact is taken for its first seconds, so many; None for all of it.
        min_score: Lowest score.
        place: Where its box must be.
        with_itself: True where `person` and `other` must be one, False where they must differ.
    """

    labels: frozenset[str]
    min_s: float = 0.0
    max_s: float = float("inf")
    counts_after_s: float | None = None
    min_score: float = float("-inf")
    place: Place | None = None
    with_itself: bool | None = None

    def means(self, label: str) -> bool:
        """Whether a label is one of the filter's."""
        return label in self.labels or any(matches(each, label) for each in self.labels)

    def accepts(self, fact: Fact) -> bool:
        """Whether a fact (of one of the labels) may be the part."""
        if fact.score < self.min_score or not self.min_s <= fact.end_s - fact.start_s <= self.max_s:
            return False
        if self.place is not None and not self.place.holds(fact.box):
            return False
        if self.with_itself is None:
            return True
        known = fact.person is not None and fact.other is not None
        return known and (fact.person == fact.other) == self.with_itself


@dataclass(frozen=True, slots=True)
class Who:
    """The person of a part, or whom or what it is done with."""

    part: int
    is_other: bool = False

    def of(self, fact: Fact) -> int | None:
        """The identity, None where it is not known."""
        return fact.other if self.is_other else fact.person


@dataclass(frozen=True, slots=True)
class Pair:
    """What must hold between two parts, from the first to the second.

    Attributes:
        relations: Set of Allen's relations.
        gap_s: The furthest that they may lie apart.
        people: Who of the first, who of the second, and whether they must be one person or two.
    """

    relations: int = allen.ALL
    gap_s: float = float("inf")
    people: tuple[tuple[Who, Who, bool], ...] = ()

    def reversed(self) -> Pair:
        """The same from the second to the first."""
        return Pair(
            allen.inverse(self.relations), self.gap_s, tuple((b, a, equal) for a, b, equal in self.people)
        )


@dataclass(frozen=True, slots=True)
class Absence:
    """What must not happen in a span of time that parts of the rule determine.

    Attributes:
        what: Which facts.
        kind: How the parts determine the span.
        parts: One part, of `"between"` two.
        within_s: Length of the span after or before the part.
        people: Who of the rule must, or must not, be the person of such a fact for it to count.
    """

    what: Filter
    kind: Anchored
    parts: tuple[int, ...]
    within_s: float
    people: tuple[tuple[Who, bool], ...]

    @property
    def needs(self) -> frozenset[int]:
        """The parts that must be known to decide it."""
        return frozenset((*self.parts, *(who.part for who, _ in self.people)))

    def span(self, parts: Sequence[Fact]) -> tuple[float, float]:
        """The span, given its `parts`."""
        first = parts[0]
        match self.kind:
            case "after":
                return first.end_s, first.end_s + self.within_s
            case "before":
                return first.start_s - self.within_s, first.start_s
            case "during":
                return first.start_s, first.end_s
            case "between":
                return first.end_s, parts[1].start_s


@dataclass(frozen=True, slots=True)
class Rule:
    """One composite activity.

    Attributes:
        name: Its name, and the label of its events.
        parts: Names of the parts.
        filters: Which facts each part may be; of a repetition the one filter.
        pairs: What must hold between two parts, by their numbers `(i, j)`, `i < j`.
        absences: What must not happen.
        within_s: Longest time from the earliest start to the latest end.
        times: How often the one part must happen; 1 for rules with parts.
        people: Whose facts a repetition counts.
    """

    name: str
    parts: tuple[str, ...]
    filters: tuple[Filter, ...]
    pairs: Mapping[tuple[int, int], Pair]
    absences: tuple[Absence, ...]
    within_s: float
    times: int = 1
    people: Literal["any", "same", "different"] = "any"

    @property
    def labels(self) -> frozenset[str]:
        """Labels of facts that may be parts."""
        return frozenset(label for each in self.filters for label in each.labels)

    @property
    def wait_s(self) -> float:
        """How long after its last fact it is decided that nothing forbidden happens."""
        return max((each.within_s for each in self.absences if each.kind == "after"), default=0.0)

    def takes(self, label: str) -> bool:
        """Whether facts of a label may be parts."""
        return any(each.means(label) for each in self.filters)

    def cut(self, label: str) -> float | None:
        """For how many of its first seconds a fact of one of its labels is taken; None for all."""
        return next(each.counts_after_s for each in self.filters if each.means(label))

    def keeps_absent_s(self, label: str) -> float | None:
        """How long after its end a fact may matter that must not happen, but for delays; None: not at all."""
        asked = [each for each in self.absences if each.what.means(label)]
        if not asked:
            return None
        back_s = max(each.within_s if each.kind == "before" else 0.0 for each in asked)
        return self.within_s + back_s
