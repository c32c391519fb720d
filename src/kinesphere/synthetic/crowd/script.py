"""Scripts: who does what when, with whom and with which thing; and what is true once they are played."""

from __future__ import annotations

from dataclasses import dataclass

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.crowd.things import Thing
from kinesphere.synthetic.motion.motion import ObjectKind
from kinesphere.synthetic.render.render import Figure

Spot = tuple[float, float]
"""A place on the floor, (x, y) metres."""


@dataclass(frozen=True)
class Act:
    """Something that one person does.

    Attributes:
        person: Number of who does it, from 0.
        label: A base movement; an interaction ("shake hands", "hug", "push", "punch", "kick", "point", with
            `other`); or "pick up", "put down", "hold up" (with a thing).
        start_s: Not before; it begins once all who take part have done what came before.
        seconds: How long a movement that just goes on lasts; None draws it.
        to: Where walking or running leads.
        other: Number of the person with whom, or to whom, it is done.
        thing: Number of the thing that is picked up; what is put down or held up is what the person has.
        raised: Whether the thing in the hand is held up meanwhile.
    """

    person: int
    label: str
    start_s: float = 0.0
    seconds: float | None = None
    to: Spot | None = None
    other: int | None = None
    thing: int | None = None
    raised: bool = False


@dataclass(frozen=True)
class Entrance:
    """Where a person stands at first, facing which way (0 along x), with which thing in the hand."""

    at: Spot
    facing_rad: float = 0.0
    thing: int | None = None


@dataclass(frozen=True)
class Item:
    """A thing that lies at a place, or is in the hand of whoever enters with it (None)."""

    kind: ObjectKind
    size_m: float
    at: Spot | None = None


@dataclass(frozen=True)
class Script:
    """What happens in a recording.

    Attributes:
        people: Where each person stands at first.
        acts: What they do.
        items: Things; each is in one hand (a box in both) or lies on the floor.
        duration_s: Length of the recording; what begins later is left out.

    Raises:
        InvalidSetting: If an act names a person or thing that is not there, or nobody takes part.
    """

    people: tuple[Entrance, ...]
    acts: tuple[Act, ...]
    items: tuple[Item, ...] = ()
    duration_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.people or self.duration_s <= 0:
            raise InvalidSetting(
                f"A script needs people and a length; got {len(self.people)} people, {self.duration_s:g} s."
            )
        for act in self.acts:
            for number, count, what in (
                (act.person, len(self.people), "person"),
                (act.other, len(self.people), "person"),
                (act.thing, len(self.items), "thing"),
            ):
                if number is not None and not 0 <= number < count:
                    raise InvalidSetting(
                        f"The script has no {what} {number} to {act.label}; it has {count}, counted from 0."
                    )
            if act.other == act.person:
                raise InvalidSetting(f"Person {act.person} cannot {act.label} alone; name another one.")


@dataclass(frozen=True)
class Occurrence:
    """Something that is true for a while.

    Attributes:
        label: What a person does ("walk"), or with which thing ("holds up machete").
        start_s, end_s: From when to when.
        person: Identity of who does it, as tracks have it: people count from 1, things on from there.
        other: Identity of the person or thing that takes part, if any.
    """

    label: str
    start_s: float
    end_s: float
    person: int
    other: int | None = None


@dataclass(frozen=True)
class Play:
    """A script with bodies: what can be filmed, and the truth about it.

    Attributes:
        figures: The people; number i has identity i + 1.
        things: Number k has identity `len(figures) + k + 1`.
        movements: What each person does, in the order of time; spans of one person do not overlap.
        facts: The movements, and who holds, carries and holds up which thing.
        duration_s: Length.
        spots: Where people stand between their movements.
    """

    figures: tuple[Figure, ...]
    things: tuple[Thing, ...]
    movements: tuple[Occurrence, ...]
    facts: tuple[Occurrence, ...]
    duration_s: float
    spots: tuple[Spot, ...]
