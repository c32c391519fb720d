"""What is known to happen, and what follows from it: `Fact` and `Event`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kinesphere.annotations.timed import FURTHEST_S
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

LONGEST_NAME = 1000
# A box may lie partly outside the picture; further out than this, it is in pixels.
_FURTHEST_CORNER = 10.0
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Fact:
    """Somebody does something over a span of time, perhaps with somebody or something else.

    Attributes:
        label: What is done.
        start_s: Start in seconds on the clock of the recording or stream.
        end_s: End; a fact may have no length, and it ends at infinity as long as it is going on.
        person: Identity of who does it; None where that is not known.
        other: Identity of the person or object that it is done with or to.
        score: Its confidence, any finite number.
        box: Where, as left, top, right, bottom in fractions of the picture's width and height; None where
            that is not known.

    Raises:
        InvalidAnnotation: If it ends before it starts, a time or score is no number, the label is blank or
            longer than 1000 characters, or the box is none in fractions of the picture.
    """

    label: str
    start_s: float
    end_s: float
    person: int | None = None
    other: int | None = None
    score: float = 1.0
    box: Box | None = None

    def __post_init__(self) -> None:
        if not (
            -FURTHEST_S <= self.start_s <= FURTHEST_S
            and self.start_s <= self.end_s
            and (self.end_s <= FURTHEST_S or self.end_s == math.inf)
        ):
            raise InvalidAnnotation(
                f"{brief(self.label)} should run from a finite start to an end that is not before it, in "
                f"seconds up to {FURTHEST_S:g}; got {brief(self.start_s)} and {brief(self.end_s)}."
            )
        if not self.label or len(self.label) > LONGEST_NAME or self.label.isspace():
            raise InvalidAnnotation(
                f"The label of a fact has 1 to {LONGEST_NAME} characters; got {brief(self.label)}."
            )
        if not math.isfinite(self.score):
            raise InvalidAnnotation(
                f"The score of {brief(self.label)} should be a finite number; got {brief(self.score)}."
            )
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (
                -_FURTHEST_CORNER <= left <= right <= _FURTHEST_CORNER
                and -_FURTHEST_CORNER <= top <= bottom <= _FURTHEST_CORNER
            ):
                raise InvalidAnnotation(
                    f"The box of {brief(self.label)} is left, top, right, bottom in fractions of "
                    f"the picture; got {brief(self.box)}. Divide pixels by the picture's width and height."
                )

    @property
    def is_over(self) -> bool:
        """Whether its end is known."""
        return self.end_s != math.inf


@dataclass(frozen=True, slots=True)
class Event:
    """What a rule found.

    Attributes:
        rule: Name of the rule.
        start_s: Earliest start of the evidence, in seconds.
        end_s: Latest end of the evidence.
        evidence: The facts that it rests on, in the order of the rule's parts.
    """

    rule: str
    start_s: float
    end_s: float
    evidence: tuple[Fact, ...]

    @property
    def people(self) -> tuple[int, ...]:
        """Who takes part, each once, in the order of the evidence."""
        return tuple(dict.fromkeys(fact.person for fact in self.evidence if fact.person is not None))
