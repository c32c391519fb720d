"""What happens, for rules that ask that something does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kinesphere.predict.events.by_label import ByLabel
from kinesphere.predict.events.facts import Fact
from kinesphere.predict.events.rule import Filter

Identity = tuple[str, float, int | None, int | None]
_FEWEST = 64


@dataclass(slots=True)
class _Known:
    """A fact, and whether it was known from its start on."""

    fact: Fact
    begun: bool


class Happened:
    """Facts whose absence some rule asks for, as long as one can ask.

    Args:
        keep_s: By label, how long after its end a fact may be asked for; None: never.
    """

    def __init__(self, keep_s: ByLabel[float | None]) -> None:
        self.keep_s = keep_s
        self._over: dict[str, list[_Known]] = {}
        self._going_on: dict[Identity, Fact] = {}
        self._identities: set[Identity] = set()
        self._size, self._prune_at = 0, _FEWEST

    def __len__(self) -> int:
        return self._size + len(self._going_on)

    def begin(self, fact: Fact) -> None:
        """A fact that is going on; if it is known to be over, that it was known from its start on."""
        identity = identity_of(fact)
        if identity not in self._identities:
            self._going_on[identity] = fact
            return
        for known in self._over[fact.label]:
            known.begun |= identity_of(known.fact) == identity

    def add(self, fact: Fact, begun: bool = False) -> None:
        """A fact that is over, perhaps one that had begun."""
        identity = identity_of(fact)
        begun = self._going_on.pop(identity, None) is not None or begun
        self._identities.add(identity)
        self._over.setdefault(fact.label, []).append(_Known(fact, begun))
        self._size += 1

    def is_going_on(self, fact: Fact) -> bool:
        """Whether a fact has begun and is not over."""
        return identity_of(fact) in self._going_on

    def forget(self, clock_s: float) -> None:
        """Drop what no rule can ask for from this time on; looks at all facts once they have doubled."""
        if self._size < self._prune_at:
            return
        for label, known in list(self._over.items()):
            limit = clock_s - (self.keep_s[label] or 0.0)
            known[:] = [each for each in known if each.fact.end_s > limit]
            if not known:
                del self._over[label]
        self._identities = {identity_of(each.fact) for known in self._over.values() for each in known}
        self._size = sum(map(len, self._over.values()))
        self._prune_at = max(_FEWEST, 2 * self._size)

    def occurs(
        self,
        what: Filter,
        start_s: float,
        end_s: float,
        people: Sequence[tuple[int, bool]],
        besides: Iterable[Fact],
    ) -> bool:
        """Whether something happens between two times, the very times not included.

        What is over counts if it was known from its start on or ends by then: so the answer is the same
        however much later it is asked.

        Args:
            what: Which facts.
            start_s, end_s: The span; one without length holds nothing.
            people: Identities, and whether the person must be that one or another one.
            besides: Facts that do not count.
        """
        if start_s >= end_s:
            return False
        anchors = {identity_of(fact) for fact in besides}
        for label, all_known in self._over.items():
            if not what.means(label):
                continue
            for known in all_known:
                fact = known.fact
                if (
                    fact.start_s < end_s
                    and fact.end_s > start_s
                    and (known.begun or fact.end_s <= end_s)
                    and _counts(fact, what, people)
                    and identity_of(fact) not in anchors
                ):
                    return True
        return any(
            fact.start_s < end_s
            and what.means(fact.label)
            and identity not in anchors
            and _counts(fact, what, people)
            for identity, fact in self._going_on.items()
        )


def _counts(fact: Fact, what: Filter, people: Sequence[tuple[int, bool]]) -> bool:
    if fact.score < what.min_score or (what.place is not None and not what.place.holds(fact.box)):
        return False
    return all(fact.person is not None and (fact.person == known) == equal for known, equal in people)


def identity_of(fact: Fact) -> Identity:
    """What stays the same of a fact while it is going on."""
    return fact.label, fact.start_s, fact.person, fact.other
