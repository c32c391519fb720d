"""The rules of a file: what was written, checked and put into an order in which it can be matched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from itertools import combinations
from pathlib import Path

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.predict.events import allen
from kinesphere.predict.events.rule import (
    Absence,
    Anchored,
    Filter,
    Pair,
    Place,
    Rule,
    Who,
    matches,
    may_be_one,
)
from kinesphere.predict.events.settings import (
    AbsenceSection,
    FilterSection,
    PartSection,
    PlaceSection,
    RuleSection,
    RulesSection,
    load_settings,
    parse_settings,
)

_PART = re.compile(r"[^\s.,]{1,100}")
_WORDS = frozenset({"or", "within"})


@dataclass(frozen=True)
class Rules:
    """The rules of a file, in an order in which each follows those that it refers to.

    Attributes:
        rules: The rules.
        late_s: How late facts may arrive.
        tolerance_s: How far apart ends of spans may be that count as equal.
        order: Names in the order of the file.
        digest: Of what is written, but for its layout and comments: other rules have another one.
    """

    rules: tuple[Rule, ...]
    late_s: float = 0.0
    tolerance_s: float = 0.0
    order: tuple[str, ...] = field(default=())
    digest: str = ""

    @classmethod
    def load(cls, path: str | Path) -> Rules:
        """The rules of a YAML file.

        Raises:
            InvalidSetting: If it is no YAML, a key or value is wrong, or a rule cannot be met.
        """
        return _compiled(load_settings(Path(path)), str(path))

    @classmethod
    def parse(cls, text: str, name: str = "the rules") -> Rules:
        """The rules of a YAML text; see `load`."""
        return _compiled(parse_settings(text, name), name)

    @property
    def labels(self) -> frozenset[str]:
        """Labels of facts that the rules speak of, without names of rules."""
        absent = (label for rule in self.rules for each in rule.absences for label in each.what.labels)
        return frozenset((*absent, *(label for rule in self.rules for label in rule.labels))) - {*self.order}

    @property
    def asks_for_people(self) -> bool:
        """Whether some rule asks who it is."""
        return any(
            rule.people != "any"
            or any(pair.people for pair in rule.pairs.values())
            or any(each.people for each in rule.absences)
            or any(each.with_itself is not None for each in rule.filters)
            for rule in self.rules
        )

    @property
    def asks_for_places(self) -> bool:
        """Whether some rule asks where it is."""
        filters = (each for rule in self.rules for each in (*rule.filters, *(a.what for a in rule.absences)))
        return any(each.place is not None for each in filters)

    def check_labels(self, known: Iterable[str], of: str) -> None:
        """Hold the labels of the rules against those that somebody can give.

        Args:
            known: All labels that may occur.
            of: Who gives them, for the message.

        Raises:
            LabelMismatch: If a label is not among them; the nearest are listed.
        """
        names = list(known)
        unknown = sorted(
            label
            for label in self.labels.difference(names)
            if not any(matches(label, name) for name in names)
        )
        if not unknown:
            return
        hints = []
        for label in unknown[:10]:
            close = _nearest(label, names)
            hints.append(
                f"{brief(label)}" + (f" (did you mean {' or '.join(map(brief, close))}?)" if close else "")
            )
        are = "is" if len(unknown) == 1 else "are"
        raise LabelMismatch(
            f"The rules speak of {', '.join(hints)}, which {are} not among the {len(names)} labels of {of}."
        )


def _nearest(label: str, names: Sequence[str]) -> list[str]:
    """The names most like a label; of one with `*` those that hold the rest of it, or a word like that."""
    plain = label.replace("*", " ").strip()
    if "*" not in label or not plain:
        return nearest(label, names)
    words = {word: name for name in reversed(names) for word in (name, *name.split())}
    found = [words[word] for word in nearest(plain, words)]
    return list(dict.fromkeys([*(name for name in names if plain.lower() in name.lower()), *found]))[:3]


def _compiled(settings: RulesSection, name: str) -> Rules:
    rules = {}
    for rule, section in settings.rules.items():
        try:
            rules[rule] = _Compiler(rule, section, settings).rule()
        except InvalidSetting as error:
            raise InvalidSetting(f"In {name}, rule {brief(rule)}: {error}") from None
    before = {rule: each.labels & rules.keys() for rule, each in rules.items()}
    try:
        order = tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        circle = " -> ".join(map(brief, error.args[1]))
        raise InvalidSetting(
            f"In {name}, rules refer to themselves: {circle}. A label that is also the name of a rule stands "
            "for its events; name the rule otherwise."
        ) from None
    for each in rules.values():
        _check_references(each, rules.keys(), name)
    digest = sha256(settings.model_dump_json().encode()).hexdigest()[:12]
    ordered = tuple(rules[each] for each in order)
    return Rules(ordered, settings.late_s, settings.tolerance_s, tuple(rules), digest)


def _check_references(rule: Rule, names: Iterable[str], name: str) -> None:
    """Refuse what rules cannot ask of the events of others."""
    known = {*names}
    for each in rule.filters:
        if each.counts_after_s is not None and (found := sorted(each.labels & known)):
            raise InvalidSetting(
                f"In {name}, rule {brief(rule.name)}: {brief(found[0])} is a rule, whose events are over "
                "when they are found; counts_after_s takes labels of facts."
            )
    for absence in rule.absences:
        if found := sorted(absence.what.labels & known):
            raise InvalidSetting(
                f"In {name}, rule {brief(rule.name)}: absent takes labels of facts, and {brief(found[0])} is "
                "a rule."
            )


class _Compiler:
    """One rule of a file, from its section."""

    def __init__(self, name: str, section: RuleSection, settings: RulesSection) -> None:
        self.name, self.section, self.settings = name, section, settings
        self.parts = tuple(section.parts or ())
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.itself: dict[int, bool] = {}
        for part in self.parts:
            if not _PART.fullmatch(part) or part in _WORDS:
                raise InvalidSetting(
                    f"{brief(part)} is no name of a part: names have no spaces, dots or commas, and are not "
                    f"{' or '.join(map(repr, sorted(_WORDS)))}."
                )

    def rule(self) -> Rule:
        section = self.section
        if section.repeat is not None:
            only = self.filter(section.repeat)
            self._check_durations((only,))
            return Rule(
                self.name, ("repeat",), (only,), {}, (), section.within_s or 0.0,
                section.repeat.times, section.repeat.people,
            )  # fmt: skip
        assert section.parts is not None
        for text in section.relations:
            self.relate(text)
        for names, equal in [*((x, True) for x in section.same), *((x, False) for x in section.different)]:
            self.people(names, equal)
        filters = tuple(
            self.filter(part, self.itself.get(number)) for number, part in enumerate(section.parts.values())
        )
        self._check_durations(filters)
        self._check_cuts(filters)
        self._check_relations()
        absences = tuple(map(self.absence, section.absent))
        within_s = float("inf") if section.within_s is None else section.within_s
        return Rule(self.name, self.parts, filters, self.pairs, absences, within_s)

    def number(self, part: str, where: str) -> int:
        """The number of a part by its name."""
        if part in self.parts:
            return self.parts.index(part)
        close = nearest(part, self.parts)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(self.parts)}."
        raise InvalidSetting(f"{brief(part)} in {where} is no part; {hint}")

    def who(self, text: str, where: str) -> Who:
        part, dot, other = text.partition(".")
        if dot and other != "other":
            raise InvalidSetting(f"{brief(text)} in {where} should be a part, or a part and `.other`.")
        return Who(self.number(part, where), bool(dot))

    def filter(self, section: FilterSection, with_itself: bool | None = None) -> Filter:
        score = float("-inf") if section.min_score is None else section.min_score
        place = None if section.place is None else self.place(section.place)
        labels = frozenset(section.label)
        if not isinstance(section, PartSection):
            return Filter(labels, min_score=score, place=place)
        longest = float("inf") if section.max_s is None else section.max_s
        return Filter(labels, section.min_s, longest, section.counts_after_s, score, place, with_itself)

    def place(self, name: str) -> Place:
        section: PlaceSection | None = self.settings.places.get(name)
        if section is None:
            close = nearest(name, self.settings.places)
            known = ", ".join(map(brief, self.settings.places)) or "none"
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {known}."
            raise InvalidSetting(f"there is no place {brief(name)}; {hint}")
        if section.polygon is not None:
            return Place(section.polygon, section.point)
        left, top, right, bottom = section.box or (0.0, 0.0, 1.0, 1.0)
        # Feet on the lower edge of the picture, or below it, stand in a place that reaches down to it.
        edge = 11.0 if bottom == 1 else bottom
        return Place(((left, top), (right, top), (right, edge), (left, edge)), section.point)

    def relate(self, text: str) -> None:
        """Enter `a before or meets b within 5 s`."""
        where = f"the relation {brief(text)}"
        words = text.replace(",", " ").split()
        gap_s = float("inf")
        if len(words) > 3 and words[-1] == "s" and words[-3] == "within":
            try:
                gap_s = float(words[-2])
            except ValueError:
                gap_s = -1.0
            words = words[:-3]
            if not 0 <= gap_s < float("inf"):
                raise InvalidSetting(f"{where} ends with `within N s`, N a number of 0 or more.")
        names = [word for word in words[1:-1] if word != "or"]
        if len(words) < 3 or not names:
            raise InvalidSetting(
                f"{where} should read like `a before b` or `a starts or during b within 5 s`."
            )
        first, second = self.number(words[0], where), self.number(words[-1], where)
        if first == second:
            raise InvalidSetting(f"{where} relates a part to itself.")
        self.join(first, second, Pair(allen.relation_set(names), gap_s))

    def join(self, first: int, second: int, pair: Pair) -> None:
        """Ask for one more thing between two parts."""
        if first > second:
            first, second, pair = second, first, pair.reversed()
        held = self.pairs.get((first, second), Pair())
        self.pairs[first, second] = Pair(
            held.relations & pair.relations, min(held.gap_s, pair.gap_s), (*held.people, *pair.people)
        )

    def people(self, names: Sequence[str], equal: bool) -> None:
        where = f"{'same' if equal else 'different'}: [{', '.join(names[:5])}]"
        if len(names) < 2:
            raise InvalidSetting(f"{where} should list two parts or more.")
        for one, other in combinations([self.who(name, where) for name in names], 2):
            if one == other:
                raise InvalidSetting(f"{where} names a part twice.")
            if one.part == other.part:
                if self.itself.setdefault(one.part, equal) != equal:
                    raise InvalidSetting(f"{where} contradicts what stands before: it cannot be met.")
                continue
            held = self.pairs.get((min(one.part, other.part), max(one.part, other.part)), Pair())
            if any({a, b} == {one, other} and known != equal for a, b, known in held.people):
                raise InvalidSetting(f"{where} contradicts what stands before: it cannot be met.")
            self.join(one.part, other.part, Pair(people=((one, other, equal),)))

    def absence(self, section: AbsenceSection) -> Absence:
        kind: Anchored
        names: tuple[str, ...]
        if section.between is not None:
            kind, names = "between", section.between
        elif section.during is not None:
            kind, names = "during", (section.during,)
        elif section.before is not None:
            kind, names = "before", (section.before,)
        else:
            kind, names = "after", (section.after or "",)
        parts = tuple(self.number(name, f"absent {kind}") for name in names)
        people = tuple(
            (self.who(name, "absent"), equal)
            for name, equal in ((section.same, True), (section.different, False))
            if name is not None
        )
        return Absence(self.filter(section), kind, parts, section.within_s or 0.0, people)

    def _check_durations(self, filters: Iterable[Filter]) -> None:
        within_s = self.section.within_s
        for part in filters:
            shortest = max(part.min_s, part.counts_after_s or 0.0)
            if within_s is not None and shortest > within_s:
                raise InvalidSetting(
                    f"a part takes {shortest:g} s or more, and all of it should happen within_s "
                    f"{within_s:g}: it cannot be met."
                )

    def _check_cuts(self, filters: Sequence[Filter]) -> None:
        for one, other in combinations(filters, 2):
            shared = [a for a in sorted(one.labels) for b in other.labels if may_be_one(a, b)]
            if shared and one.counts_after_s != other.counts_after_s:
                raise InvalidSetting(
                    f"parts with the label {brief(shared[0])} need the same counts_after_s in one rule."
                )

    def _check_relations(self) -> None:
        for (i, j), pair in self.pairs.items():
            if not pair.relations:
                raise InvalidSetting(
                    f"no relation of {self.parts[i]} and {self.parts[j]} is left: it cannot be met."
                )
        # Within a tolerance, relations do not follow from each other.
        sets = {pair: each.relations for pair, each in self.pairs.items()}
        if self.settings.tolerance_s == 0 and not allen.can_hold(len(self.parts), sets):
            raise InvalidSetting(
                "its relations contradict each other, as in a circle of `before`: it cannot be met."
            )
