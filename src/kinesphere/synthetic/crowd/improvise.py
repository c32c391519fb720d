"""People about a place who cross each other's way and do this and that, alone or together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.crowd.director import CLEAR_M, Director
from kinesphere.synthetic.crowd.pairs import INTERACTIONS
from kinesphere.synthetic.crowd.script import Act, Entrance, Item, Script, Spot
from kinesphere.synthetic.crowd.take import Take
from kinesphere.synthetic.crowd.things import SIZES_M
from kinesphere.synthetic.motion.motion import ObjectKind
from kinesphere.synthetic.scene.scene import KINDS
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

CROWD_CLASSES: tuple[str, ...] = (
    "walk", "run", "wave", "clap", "jump", "turn", "bend", "squat", "point", "fall", "get up",
)  # fmt: skip
"""Movements of people about a place, unless others are asked for."""

_CROWD = 7  # stream of random numbers under the data set's seed
_UNUSABLE = frozenset({
    "sit", "sit down", "stand up", "lie", "fall off a chair", "throw", "catch", "pick up", "put down",
    "pick up with one hand", "put down with one hand", "throw underarm", "throw with both hands",
    "throw from the shoulder", "kick a ball", "walk backwards",
})  # fmt: skip
"""They need a chair or a thing of their own; what people have here is picked up and put down by `things`."""
_AFTER = {"fall": "get up", "fall forwards": "get up from the front", "fall sideways": "get up from the side"}
_BEFORE = {after: before for before, after in _AFTER.items()} | {"contract": "expand"}
_ASIDE_M, _DEPTH_M = 2.4, 1.3
_TRIES = 12
_OUTDOORS = frozenset({"park", "street", "beach", "plaza", "garden"})


@dataclass(frozen=True)
class Crowd:
    """What people do in the recordings of a set.

    Attributes:
        people: Fewest and most people at once.
        things: Probability that a person brings a thing; as many lie about.
        together: Share of acts that two people do with each other.
        duration_s: Length of each recording.
    """

    people: tuple[int, int] = (2, 4)
    things: float = 0.4
    together: float = 0.15
    duration_s: float = 30.0

    def __post_init__(self) -> None:
        low, high = self.people
        if not 1 <= low <= high <= 12:
            raise InvalidSetting(f"A recording shows 1 to 12 people; got people={self.people}.")
        if not 0 <= self.things <= 1 or not 0 <= self.together <= 1:
            raise InvalidSetting(
                f"things and together are shares from 0 to 1; got {self.things} and {self.together}."
            )
        if not 1 <= self.duration_s <= 6 * 3600:
            raise InvalidSetting(f"A recording lasts 1 second to 6 hours; got {self.duration_s:g} s.")


def plan_crowd(settings: MannequinSettings, crowd: Crowd, split: str, number: int) -> Take:
    """One recording; a function of settings, split and number.

    Raises:
        InvalidSetting: If the split has fewer performers than people, or a class cannot be done here.
    """
    check_classes(settings)
    entropy = (settings.seed, _CROWD, SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    count = int(generator.integers(crowd.people[0], crowd.people[1] + 1))
    performers = draw_performers(settings, split, count, generator)
    azimuth = float(generator.uniform(-180, 180))
    floor = Floor(math.radians(azimuth))
    script = _opening(floor, count, crowd, generator)
    director = Director(script, [cast(settings, index) for index in performers], generator)
    _improvise(director, floor, crowd, settings, generator)
    return Take(
        f"{split}_people_{number:04d}", split, performers, draw_scene_number(settings, split, generator),
        azimuth, entropy, director.play(crowd.duration_s),
    )  # fmt: skip


def check_classes(settings: MannequinSettings) -> None:
    """Refuse movements that need a chair or a thing of their own.

    Raises:
        InvalidSetting: If there are any, or none but gaits.
    """
    wrong = [name for name in settings.classes if name in _UNUSABLE]
    if wrong:
        raise InvalidSetting(
            f"People about a place cannot {', '.join(wrong)}: it needs a chair or a thing of its own. Leave "
            f"it out of classes; kinesphere.synthetic.CROWD_CLASSES are {', '.join(CROWD_CLASSES)}."
        )


def draw_performers(
    settings: MannequinSettings, split: str, count: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """Different performers of a split.

    Raises:
        InvalidSetting: If it has too few.
    """
    pool = settings.pool(split, settings.performers)
    if len(pool) < count:
        raise InvalidSetting(
            f"Split {split!r} has {len(pool)} of the set's {settings.performers} performers, too few for "
            f"{count} people at once; raise performers."
        )
    return tuple(int(each) for each in generator.choice(pool, count, replace=False))


def draw_scene_number(settings: MannequinSettings, split: str, generator: np.random.Generator) -> int:
    """A place with room for several people, if the split has one: outdoors."""
    pool = list(settings.pool(split, settings.scenes))
    wide = [scene for scene in pool if KINDS[scene % len(KINDS)] in _OUTDOORS] or pool
    return wide[int(generator.integers(len(wide)))]


@dataclass(frozen=True)
class Floor:
    """The floor as the camera sees it, at a bearing: aside, to the image's right, and deep, away from it."""

    azimuth_rad: float

    def spot(self, aside_m: float, deep_m: float) -> Spot:
        """The place there."""
        c, s = math.cos(self.azimuth_rad), math.sin(self.azimuth_rad)
        return (-s * aside_m - c * deep_m, c * aside_m - s * deep_m)

    def aside(self, spot: Spot) -> float:
        """How far to the right a place is."""
        return -math.sin(self.azimuth_rad) * spot[0] + math.cos(self.azimuth_rad) * spot[1]

    def crossing(self, spot: Spot, generator: np.random.Generator) -> Spot:
        """A place on the other side, so that whoever goes there passes before or behind others."""
        side = -1.0 if self.aside(spot) > 0 else 1.0
        aside = side * float(generator.uniform(0.4, _ASIDE_M))
        return self.spot(aside, float(generator.uniform(-_DEPTH_M, _DEPTH_M)))


def draw_item(generator: np.random.Generator, at: Spot | None) -> Item:
    """A thing of any kind."""
    kinds: tuple[ObjectKind, ...] = tuple(SIZES_M)
    kind = kinds[int(generator.integers(len(kinds)))]
    return Item(kind, float(generator.uniform(*SIZES_M[kind])), at)


def _opening(floor: Floor, count: int, crowd: Crowd, generator: np.random.Generator) -> Script:
    """Where people stand at first, one behind the other as the camera sees them, and what they have."""
    lanes = np.linspace(-_DEPTH_M, _DEPTH_M, count) if count > 1 else np.zeros(1)
    people: list[Entrance] = []
    items: list[Item] = []
    for number, deep in enumerate(generator.permutation(lanes)):
        side = 1.0 if number % 2 else -1.0
        spot = floor.spot(side * float(generator.uniform(0.6, _ASIDE_M)), float(deep))
        thing = None
        if generator.random() < crowd.things:
            thing = len(items)
            items.append(draw_item(generator, None))
        people.append(Entrance(spot, float(generator.uniform(-math.pi, math.pi)), thing))
        if generator.random() < crowd.things:
            lying = floor.spot(float(generator.uniform(-1.8, 1.8)), float(generator.uniform(-1.0, 1.0)))
            items.append(draw_item(generator, lying))
    return Script(tuple(people), (), tuple(items), crowd.duration_s)


def _improvise(
    director: Director,
    floor: Floor,
    crowd: Crowd,
    settings: MannequinSettings,
    generator: np.random.Generator,
) -> None:
    """Act after act by whoever is free first, until the time is over."""
    while True:
        number = min(range(len(director.people)), key=lambda i: director.people[i].free_s)
        person = director.people[number]
        if person.free_s >= crowd.duration_s:
            return
        done = False
        if generator.random() < crowd.together:
            done = _with_somebody(director, number, generator)
        if not done and generator.random() < 0.5 * crowd.things:
            done = _with_a_thing(director, number, generator)
        if not done:
            label = settings.classes[int(generator.integers(len(settings.classes)))]
            if label in ("walk", "run") or generator.random() < 0.4:
                gait = label if label in settings.classes and label in ("walk", "run") else "walk"
                done = _across(director, number, gait, floor, generator)
            else:
                done = _alone(director, number, label, generator)
        if not done:
            person.waits(float(generator.uniform(0.5, 1.5)))


def _alone(director: Director, number: int, label: str, generator: np.random.Generator) -> bool:
    """A movement on the spot, with what has to come before and after."""
    if number in director.has and label in (*_AFTER, *_BEFORE):
        return False
    names = [name for name in (_BEFORE.get(label), label, _AFTER.get(label)) if name is not None]
    return director.attempt([Act(number, name, seconds=float(generator.uniform(1.5, 3.5))) for name in names])


def _across(
    director: Director, number: int, label: str, floor: Floor, generator: np.random.Generator
) -> bool:
    """To the other side, where the way is clear."""
    person = director.people[number]
    gait = person.gait(label)
    for _ in range(_TRIES):
        to = floor.crossing(person.spot, generator)
        starts = person.free_s + person.gap_s(person.facing(to))
        if _clear(director, number, to, starts, gait.lasts_s(math.dist(person.spot, to))):
            raised = number in director.has and bool(generator.random() < 0.35)
            if director.attempt([Act(number, label, to=to, raised=raised)], gait):
                return True
    return False


def _with_a_thing(director: Director, number: int, generator: np.random.Generator) -> bool:
    """Hold up or put down what one has, or pick up what lies about."""
    person = director.people[number]
    if number in director.has:
        name = "hold up" if generator.random() < 0.6 else "put down"
        return director.attempt([Act(number, name, seconds=float(generator.uniform(1.5, 3.5)))])
    for thing in generator.permutation(len(director.script.items)):
        at = director.lies(int(thing))
        if at is None or not _clear(director, number, at, person.free_s, 1.0 + math.dist(person.spot, at)):
            continue
        if director.attempt([Act(number, "pick up", thing=int(thing))]):
            return True
    return False


def _with_somebody(director: Director, number: int, generator: np.random.Generator) -> bool:
    """An interaction with somebody who is free soon, if the way there is clear."""
    person = director.people[number]
    names = tuple(INTERACTIONS)
    for other in generator.permutation(len(director.people)):
        partner = director.people[int(other)]
        if int(other) in (number, *director.has) or number in director.has:
            continue
        if partner.free_s - person.free_s > 2.5:
            continue
        way = math.dist(person.spot, partner.spot)
        if not _clear(director, number, partner.spot, partner.free_s, 1.5 + way, but=int(other)):
            continue
        name = names[int(generator.integers(len(names)))]
        if director.attempt([Act(number, name, other=int(other))]):
            return True
    return False


def _clear(
    director: Director, number: int, to: Spot, start_s: float, lasts_s: float, but: int | None = None
) -> bool:
    """Whether nobody is, or will be as far as is known, on a straight way and at its end."""
    person = director.people[number]
    times = np.arange(start_s, start_s + lasts_s + 1.0, 0.1)
    part = np.clip((times - start_s) / lasts_s, 0.0, 1.0)[:, None]
    own: Array = np.array(person.spot) + part * (np.array(to) - np.array(person.spot))
    for other, somebody in enumerate(director.people):
        if other in (number, but):
            continue
        apart = np.linalg.norm(somebody.where(times) - own, axis=1)
        # Whoever stands near already may go, but not come nearer.
        if (apart < min(CLEAR_M, float(apart[0]) - 0.02)).any():
            return False
    return True
