"""The YAML of rules as it is written: keys, types and bounds, with messages in a user's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import BeforeValidator

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.setting_types import as_typed
from kinesphere.core.structured import parse_yaml, read_yaml

MOST_RULES, MOST_PARTS, MOST_TIMES, MOST_RELATIONS = 200, 8, 1000, 100
LONGEST_S = 86_400.0
"""The longest time that a rule may span: a day. Facts are kept for as long."""
_MOST_LABELS, _MOST_CORNERS, _LONGEST_NAME, _MOST_PROBLEMS = 200, 100, 100, 20


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Seconds = Annotated[float, Field(ge=0, le=LONGEST_S)]
Within = Annotated[float, Field(gt=0, le=LONGEST_S)]
Labels = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1, max_length=_MOST_LABELS)]
People = Annotated[tuple[tuple[str, ...], ...], Field(max_length=MOST_RELATIONS)]
Corner = tuple[float, float]


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class PlaceSection(Section):
    """A region of the picture, in fractions of its width and height."""

    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom."""
    polygon: Annotated[tuple[Corner, ...], Field(min_length=3, max_length=_MOST_CORNERS)] | None = None
    """Corners x, y in order."""
    point: Literal["bottom", "centre"] = "bottom"
    """Which point of a fact's box must lie in it: the middle of its lower edge (feet), or its centre."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.box is None) == (self.polygon is None):
            raise ValueError("a place is either a box or a polygon")
        corners = self.polygon or ((self.box or (0, 0, 0, 0))[:2], (self.box or (0, 0, 0, 0))[2:])
        if not all(0 <= value <= 1 for corner in corners for value in corner):
            raise ValueError("corners are fractions of the picture, from 0 to 1; divide pixels by its size")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("a box is left, top, right, bottom, with left < right and top < bottom")
        return self


class FilterSection(Section):
    """Which facts are meant."""

    label: Labels
    """Label, or labels of which any will do; the name of another rule stands for its events."""
    min_score: float | None = None
    """Lowest score."""
    place: str | None = None
    """Name of the place in which it happens."""


class PartSection(FilterSection):
    """One fact that a rule needs."""

    min_s: Seconds = 0.0
    """Shortest duration."""
    max_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = None
    """Longest duration."""
    counts_after_s: Seconds | None = None
    """Take the fact for its first seconds, so many, as soon as it has lasted so long."""

    @model_validator(mode="after")
    def _one_duration(self) -> Self:
        if self.counts_after_s is not None and (self.min_s or self.max_s is not None):
            raise ValueError("counts_after_s says how long the fact is; leave min_s and max_s out")
        if self.max_s is not None and self.max_s < self.min_s:
            raise ValueError(f"max_s {self.max_s:g} is less than min_s {self.min_s:g}")
        return self


class RepeatSection(PartSection):
    """Several facts of one kind."""

    times: Annotated[int, Field(ge=2, le=MOST_TIMES)]
    """How many."""
    people: Literal["any", "same", "different"] = "any"
    """Whether all are of one person, each of another one, or of anybody."""


class AbsenceSection(FilterSection):
    """What must not happen."""

    after: str | None = None
    """Part after whose end, for within_s, it must not happen."""
    before: str | None = None
    """Part before whose start, for within_s, it must not happen."""
    during: str | None = None
    """Part during which it must not happen."""
    between: tuple[str, str] | None = None
    """Two parts: from the end of the first to the start of the second it must not happen."""
    within_s: Within | None = None
    """How long after or before."""
    same: str | None = None
    """Only what the person of this part does counts."""
    different: str | None = None
    """Only what known people other than that of this part do counts."""

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        given = [name for name in ("after", "before", "during", "between") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("an absence is after, before, during or between parts: give one of them")
        if (given[0] in ("after", "before")) != (self.within_s is not None):
            raise ValueError("within_s belongs to after and before, and they need it")
        return self


class RuleSection(Section):
    """A composite activity: parts that are related, or one kind of fact several times."""

    parts: Annotated[dict[str, PartSection], Field(min_length=1, max_length=MOST_PARTS)] | None = None
    """Facts that the rule needs, by names of your own."""
    repeat: RepeatSection | None = None
    """In place of parts: one kind of fact several times."""
    relations: Annotated[tuple[str, ...], Field(max_length=MOST_RELATIONS)] = ()
    """How the parts lie in time: `a before b`, `a starts or during b`, `a then b within 5 s`."""
    same: People = ()
    """Lists of parts that one person does; `a.other` is whom or what part `a` is done with or to."""
    different: People = ()
    """Lists of parts that different people do, each another one."""
    absent: Annotated[tuple[AbsenceSection, ...], Field(max_length=MOST_RELATIONS)] = ()
    """What must not happen."""
    within_s: Within | None = None
    """Longest time from the earliest start to the latest end; required for more than one fact."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.parts is None) == (self.repeat is None):
            raise ValueError("a rule has either parts or repeat")
        if self.repeat is not None and (self.relations or self.same or self.different or self.absent):
            raise ValueError("relations, same, different and absent belong to rules with parts")
        if self.within_s is None and (self.repeat is not None or len(self.parts or ()) > 1):
            raise ValueError("a rule of several facts needs within_s, the time that it may take")
        if self.within_s is None and self.absent:
            raise ValueError("a rule with absent needs within_s, the time that its parts may take")
        return self


class RulesSection(Section):
    """A file of rules."""

    late_s: Seconds = 0.0
    """How much later than facts that end after it a fact may arrive and still count."""
    tolerance_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Ends of spans that are no further apart count as equal."""
    places: dict[str, PlaceSection] = {}
    """Regions of the picture, by name."""
    rules: Annotated[dict[str, RuleSection], Field(min_length=1, max_length=MOST_RULES)]
    """Rules, by the names that their events get."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in (*self.rules, *self.places):
            if not name.strip() or len(name) > _LONGEST_NAME:
                raise ValueError(f"names have 1 to {_LONGEST_NAME} characters; got {brief(name)}")
        return self


def load_settings(path: Path) -> RulesSection:
    """A YAML file of rules.

    Raises:
        InvalidSetting: If it is no such file, or keys or values are wrong; all are named.
    """
    return _checked(read_yaml(path, InvalidSetting), str(path))


def parse_settings(text: str, name: str = "the rules") -> RulesSection:
    """The same of a text."""
    return _checked(parse_yaml(text, name, InvalidSetting), name)


def _checked(content: Any, name: str) -> RulesSection:
    if not isinstance(content, dict):
        raise InvalidSetting(f"{name} holds no rules, but {brief(content)}; begin with `rules:`.")
    try:
        return RulesSection.model_validate(as_typed(content, RulesSection))
    except ValidationError as error:
        problems = list(dict.fromkeys(_explain(dict(problem)) for problem in error.errors()))
        more = len(problems) - _MOST_PROBLEMS
        listed = "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise InvalidSetting(f"In {name}: {listed}.") from None


def _explain(problem: Mapping[str, Any]) -> str:
    """One pydantic problem in a user's words."""
    place = [str(part) for part in problem["loc"]]
    where = brief(".".join(place)) if place else "the rules"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        close = nearest(place[-1], known)
        hint = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known)}"
        return f"there is no setting {where} ({hint})"
    if problem["type"] == "missing":
        return f"{where} is required"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {message}; got {brief(problem['input'])}"


_INNER: Mapping[str, type[Section]] = {
    "parts": PartSection,
    "repeat": RepeatSection,
    "absent": AbsenceSection,
    "rules": RuleSection,
    "places": PlaceSection,
}
_BY_NAME = frozenset({"parts", "absent", "rules", "places"})


def _keys_at(place: Iterable[str]) -> list[str]:
    """The keys of the section at a place such as `rules.robbery.parts.first`."""
    model: type[Section] = RulesSection
    names = iter(place)
    for name in names:
        model = _INNER.get(name, model)
        if name in _BY_NAME:
            next(names, None)
    return list(model.model_fields)
