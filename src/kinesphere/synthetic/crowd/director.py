"""The staging of scripts: acts become movements, arms, and lives of things, in the order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import INDEX, Array, Placement, forward_kinematics
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.crowd.pairs import INTERACTIONS, interact
from kinesphere.synthetic.crowd.person import Gait, Person
from kinesphere.synthetic.crowd.script import Act, Item, Occurrence, Play, Script, Spot
from kinesphere.synthetic.crowd.things import COLOURS, Hands, Hold, Rest, Thing, resting_height_m
from kinesphere.synthetic.motion.acting import Grip, Layer, Side
from kinesphere.synthetic.motion.motion import Movement, palm
from kinesphere.synthetic.render.render import Figure

GOING: tuple[str, ...] = ("walk", "run")
"""Movements that lead to a place."""
CLEAR_M = 0.75
"""People who have nothing to do with each other keep at least so far apart, where there is room."""
_NEAR_M = 0.25  # who is as near to a place need not go there
_RAISE_S, _TAKE_S = 0.45, 0.3
_BEFORE_TOES_M = 0.12
_DRAWS, _DEEP_M = 10, 0.26  # how low the palms get of themselves


@dataclass
class _Life:
    """A thing while the script is staged."""

    item: Item
    rests: list[Rest] = field(default_factory=list)
    holds: list[tuple[int, Hands, float, float]] = field(default_factory=list)
    raised: list[tuple[float, float]] = field(default_factory=list)

    @property
    def hands(self) -> Hands:
        """How it is held by somebody right-handed."""
        return "both" if self.item.kind == "box" else "right"


class Director:
    """Stages acts one after the other.

    Args:
        script: Who is there, and which things; its acts are given one by one.
        performers: A body for each person.
        generator: Draws how everything is done.

    Raises:
        InvalidSetting: If there are not as many performers as people, or a thing is in two hands.
    """

    def __init__(
        self, script: Script, performers: Sequence[Performer], generator: np.random.Generator
    ) -> None:
        if len(performers) != len(script.people):
            raise InvalidSetting(
                f"The script is for {len(script.people)} people; got {len(performers)} performers."
            )
        self.script, self.generator = script, generator
        self.people = [
            Person(number, performer, entrance, generator)
            for number, (performer, entrance) in enumerate(zip(performers, script.people, strict=True), 1)
        ]
        self.has: dict[int, int] = {}
        self._lives = [_Life(item) for item in script.items]
        self._cut: dict[int, Layer] = {}
        for number, entrance in enumerate(script.people):
            if entrance.thing is not None:
                self._enter_with(number, entrance.thing)
        for number, life in enumerate(self._lives):
            if life.item.at is None and number not in self.has.values():
                raise InvalidSetting(f"Thing {number} ({life.item.kind}) lies nowhere and nobody has it.")
            if not life.rests:
                life.rests.append(Rest(life.item.at or (0.0, 0.0), self._any_yaw()))

    def do(self, act: Act) -> None:
        """Stage one act after all that the people in it did so far.

        Raises:
            InvalidSetting: If it cannot be done: a thing that another person has, nothing to put down.
        """
        person = self.people[act.person]
        if act.other is not None:
            if act.label not in INTERACTIONS:
                known = ", ".join(INTERACTIONS)
                raise InvalidSetting(f"What two people can do is {known}; got {act.label!r}.")
            interact(INTERACTIONS[act.label], person, self.people[act.other], act.start_s)
        elif act.label == "pick up":
            self._pick_up(act)
        elif act.label == "put down":
            self._put_down(act)
        elif act.to is not None:
            self.go(act)
        else:
            self._stay(act)

    def attempt(self, acts: Sequence[Act], gait: Gait | None = None) -> bool:
        """Stage acts unless somebody in them would come too near to somebody else; whether they were staged.

        Args:
            acts: They belong together.
            gait: With which the first one leads to a place, where it is drawn already.
        """
        involved = {number for act in acts for number in (act.person, act.other) if number is not None}
        memories = [person.memory() for person in self.people]
        lives = [_Life(each.item, [*each.rests], [*each.holds], [*each.raised]) for each in self._lives]
        has, carried = {**self.has}, {**self._cut}
        since_s = min(self.people[number].free_s for number in involved)
        for i, act in enumerate(acts):
            if i == 0 and gait is not None:
                self.go(act, gait)
            else:
                self.do(act)
        if all(self._keeps_away(number, involved, since_s) for number in involved):
            return True
        for person, memory in zip(self.people, memories, strict=True):
            person.recall(memory)
        self._lives, self.has, self._cut = lives, has, carried
        return False

    def _keeps_away(self, number: int, involved: set[int], since_s: float) -> bool:
        """Whether a person's way since a time is clear of all who are not involved."""
        until_s = max(self.people[each].free_s for each in involved)
        times = np.arange(since_s, until_s + 1.0, 0.1)
        own = self.people[number].where(times)
        for other, somebody in enumerate(self.people):
            if other not in involved:
                apart = np.linalg.norm(somebody.where(times) - own, axis=1)
                # Whoever stands near already may stay, but not come nearer.
                if (apart < min(CLEAR_M, float(apart[0]) - 0.02)).any():
                    return False
        return True

    def go(self, act: Act, gait: Gait | None = None) -> None:
        """Let a person walk or run to a place.

        Args:
            act: Who, how and where.
            gait: Where it is drawn already.

        Raises:
            InvalidSetting: If it is another movement, or nothing is there to hold up.
        """
        person = self.people[act.person]
        if act.label not in GOING or act.to is None:
            raise InvalidSetting(f"People get somewhere by {' or '.join(GOING)}; got {act.label!r}.")
        begun = person.goes(act.label, act.to, act.start_s, gait)
        if act.raised:
            self._raise(act.person, begun.start_s, begun.end_s)

    def play(self, duration_s: float | None = None) -> Play:
        """Everything staged so far, as a recording of some length (that of the script)."""
        length = self.script.duration_s if duration_s is None else duration_s
        for person in self.people:
            person.waits_until(length)
        figures = tuple(Figure(person.performer, person.acting(length)) for person in self.people)
        things = tuple(self._thing(life, figures) for life in self._lives)
        movements = [each for person in self.people for each in person.done]
        facts = [*movements]
        for number, life in enumerate(self._lives):
            facts += self._facts(life, len(figures) + number + 1, figures, length)
        spots = tuple((x, y) for person in self.people for t, x, y in person.way if t <= length)
        return Play(figures, things, _cut(movements, length), _cut(facts, length), length, spots)

    def lies(self, thing: int) -> Spot | None:
        """Where a thing lies, if nobody has it."""
        return None if thing in self.has.values() else self._lives[thing].rests[-1].at

    def _enter_with(self, number: int, thing: int) -> None:
        if thing in self.has.values() or self._lives[thing].item.at is not None:
            raise InvalidSetting(f"Thing {thing} is in one person's hand at first, or lies at one place.")
        self._lives[thing].rests.append(Rest(self.people[number].spot))
        self._take(number, thing, -math.inf)

    def _take(self, number: int, thing: int, start_s: float) -> None:
        """The thing is in the person's hands from then on, carried."""
        life, person = self._lives[thing], self.people[number]
        hands = _led(life.hands, person)
        life.holds.append((number, hands, start_s, math.inf))
        self.has[number] = thing
        begin = start_s if start_s > 0 else -10.0
        layer = Layer(begin, math.inf, _TAKE_S, _carried(life.item, hands, person, self.generator))
        self._cut[number] = layer
        person.layers.append(layer)

    def _release(self, number: int, end_s: float, at: Spot) -> None:
        person, life = self.people[number], self._lives[self.has.pop(number)]
        holder, hands, start_s, _ = life.holds[-1]
        life.holds[-1] = (holder, hands, start_s, end_s)
        life.rests.append(Rest(at, self._any_yaw()))
        carried = self._cut.pop(number)
        person.layers[person.layers.index(carried)] = replace(carried, end_s=end_s)

    def _pick_up(self, act: Act) -> None:
        person = self.people[act.person]
        if act.thing is None or act.thing in self.has.values() or act.person in self.has:
            raise InvalidSetting(
                f"Person {act.person} cannot pick up thing {act.thing}: it has to lie somewhere, and the "
                "person's hands to be free."
            )
        life = self._lives[act.thing]
        name = "pick up" if life.hands == "both" else "pick up with one hand"
        movement, at_s, ahead = self._bending(person, name, life)
        target = life.rests[-1].at
        bearing = person.facing(target)
        c, s = math.cos(bearing), math.sin(bearing)
        stand = (target[0] - c * ahead[0] + s * ahead[1], target[1] - s * ahead[0] - c * ahead[1])
        begin_s = act.start_s
        if math.dist(stand, person.spot) > _NEAR_M:
            person.goes("walk", stand, begin_s)
        begun = person.does("pick up", movement, begin_s, facing_rad=bearing, other=None)
        self._take(act.person, act.thing, begun.start_s + at_s)
        self._reach(person, life, target, begun.start_s + at_s)

    def _put_down(self, act: Act) -> None:
        person = self.people[act.person]
        if act.person not in self.has:
            raise InvalidSetting(f"Person {act.person} has nothing to put down.")
        life = self._lives[self.has[act.person]]
        name = "put down" if life.hands == "both" else "put down with one hand"
        movement, at_s, ahead = self._bending(person, name, life)
        spot, yaw = person.spot, person.yaw_rad
        c, s = math.cos(yaw), math.sin(yaw)
        target = (spot[0] + c * ahead[0] - s * ahead[1], spot[1] + s * ahead[0] + c * ahead[1])
        begun = person.does("put down", movement, act.start_s, facing_rad=yaw)
        self._reach(person, life, target, begun.start_s + at_s)
        self._release(act.person, begun.start_s + at_s, target)

    def _bending(self, person: Person, name: str, life: _Life) -> tuple[Movement, float, Spot]:
        """A movement down to the floor, when the hands are lowest, and how far ahead and aside a thing is."""
        body, hands = person.performer.body, _led(life.hands, person)
        sides: tuple[Side, ...] = ("left", "right") if hands == "both" else (hands,)
        # Some take things from low furniture; the deepest of a few draws, or one deep enough, is it.
        draws: list[tuple[float, int, Movement, Array, Placement, Array]] = []
        for _ in range(_DRAWS):
            movement = person.performed(name, 2.0)
            times = np.linspace(0, movement.duration_s, 60)
            placed = forward_kinematics(body, movement.pose(times, body))
            at = np.mean([palm(placed, side) for side in sides], axis=0)
            draws.append((float(at[:, 2].min()), len(draws), movement, times, placed, at))
            if draws[-1][0] < _DEEP_M:
                break
        _, _, movement, times, placed, at = min(draws, key=lambda draw: draw[:2])
        lowest = int(at[:, 2].argmin())
        # The thing lies before the toes, where the hands are led to.
        ahead = _BEFORE_TOES_M + float(placed.of("left_toes")[0, 0] - placed.of("pelvis")[0, 0])
        if hands == "both":
            return movement, float(times[lowest]), (ahead + 0.4 * life.item.size_m, 0.0)
        return movement, float(times[lowest]), (ahead, float(at[lowest, 1] - placed.of("pelvis")[0, 1]))

    def _reach(self, person: Person, life: _Life, target: Spot, at_s: float) -> None:
        """Both palms at the sides of a thing on the floor, or the leading one at its grip."""
        height = resting_height_m(life.item.kind, life.item.size_m)
        hands = _led(life.hands, person)
        middle = np.array([*target, height])
        yaw = person.yaw_rad
        for side in ("left", "right") if hands == "both" else (hands,):
            aside = life.item.size_m / 2 * (0 if hands != "both" else 1 if side == "left" else -1)
            point = middle + aside * np.array([-math.sin(yaw), math.cos(yaw), 0.0])
            person.grips.append(_still(side, at_s - 0.1, at_s + 0.1, 0.35, point))

    def _stay(self, act: Act) -> None:
        person = self.people[act.person]
        seconds = float(self.generator.uniform(2.0, 4.0)) if act.seconds is None else act.seconds
        raising = act.raised or act.label == "hold up"
        name = "stand" if act.label == "hold up" else act.label
        begun = person.does(act.label, person.performed(name, seconds), act.start_s)
        if raising:
            self._raise(act.person, begun.start_s, begun.end_s)

    def _raise(self, number: int, start_s: float, end_s: float) -> None:
        if number not in self.has:
            raise InvalidSetting(f"Person {number} has nothing to hold up; let it be picked up first.")
        life, person = self._lives[self.has[number]], self.people[number]
        hands = _led(life.hands, person)
        changes = _lifted(life.item, hands, person)
        person.layers.append(Layer(start_s - 0.2, end_s + 0.2, _RAISE_S, changes))
        life.raised.append((start_s - 0.2, end_s + 0.2))

    def _thing(self, life: _Life, figures: Sequence[Figure]) -> Thing:
        holds = tuple(Hold(figures[number], hands, start, end) for number, hands, start, end in life.holds)
        palette = COLOURS[life.item.kind]
        colour = palette[int(self.generator.integers(len(palette)))]
        rests = tuple(life.rests)
        if len(rests) == len(holds):  # still in somebody's hands
            rests = (*rests, rests[-1])
        return Thing(life.item.kind, life.item.size_m, colour, rests, holds)

    def _facts(
        self, life: _Life, identity: int, figures: Sequence[Figure], length_s: float
    ) -> list[Occurrence]:
        """Who holds, carries and holds up a thing."""
        facts, kind = [], life.item.kind
        for number, hands, start, end in life.holds:
            span, person = (max(start, 0.0), min(end, length_s)), self.people[number]
            facts.append(Occurrence(f"holds {kind}", *span, number + 1, identity))
            for begun in person.moving:
                low, high = max(begun.start_s, span[0]), min(begun.end_s, span[1])
                if begun.label in GOING and high > low:
                    facts.append(Occurrence(f"carries {kind}", low, high, number + 1, identity))
            for low, high in life.raised:
                if low < span[1] and high > span[0]:
                    up = _above_the_head(figures[number], hands, low, high)
                    if up is not None:
                        facts.append(Occurrence(f"holds up {kind}", *up, number + 1, identity))
        return facts

    def _any_yaw(self) -> float:
        return float(self.generator.uniform(-math.pi, math.pi))


def stage(script: Script, performers: Sequence[Performer], generator: np.random.Generator) -> Play:
    """Give a script bodies: acts in the order of `start_s`, each as soon as its people are free.

    Args:
        script: What happens.
        performers: A body for each person.
        generator: Draws how everything is done.

    Raises:
        InvalidSetting: If there are not as many performers as people, or an act cannot be done.
    """
    director = Director(script, performers, generator)
    for act in sorted(script.acts, key=lambda each: each.start_s):
        director.do(act)
    return director.play()


def _cut(occurrences: Sequence[Occurrence], length_s: float) -> tuple[Occurrence, ...]:
    """What lies within a recording, in the order of time."""
    within = [
        replace(each, start_s=max(each.start_s, 0.0), end_s=min(each.end_s, length_s)) for each in occurrences
    ]
    kept = [each for each in within if each.end_s - each.start_s > 1e-6]
    return tuple(sorted(kept, key=lambda each: (each.start_s, each.person, each.label)))


def _led(hands: Hands, person: Person) -> Hands:
    """The hands of a person who may be left-handed."""
    return "both" if hands == "both" else "left" if person.lead == "left" else "right"


def _still(side: Side, start_s: float, end_s: float, ramp_s: float, point: Array) -> Grip:
    return Grip(side, start_s, end_s, ramp_s, lambda times: np.broadcast_to(point, (len(times), 3)))


def _arms(hands: Hands, held: dict[str, float]) -> dict[str, float]:
    sides = ("left", "right") if hands == "both" else (hands,)
    return {f"{side}_hand_{name}": value for side in sides for name, value in held.items()}


def _beside(item: Item, person: Person) -> float:
    """How far outwards of the shoulder the hand at a box's side is, arm lengths."""
    body = person.performer.body
    return (item.size_m / 2 - abs(float(body.rest[INDEX["left_shoulder"], 1]))) / body.arm_m


def _carried(item: Item, hands: Hands, person: Person, generator: np.random.Generator) -> dict[str, float]:
    """Arms that carry a thing."""
    if hands == "both":
        return _arms(hands, {"x": 0.56, "y": _beside(item, person), "z": -0.45, "elbow": 0.35, "shrug": 0.0})
    ahead = float(generator.uniform(0.22, 0.45))
    return _arms(hands, {"x": ahead, "y": 0.10, "z": -0.92 + 0.75 * ahead, "elbow": 0.2, "shrug": 0.0})


def _lifted(item: Item, hands: Hands, person: Person) -> dict[str, float]:
    """Arms that hold a thing up."""
    if hands == "both":
        return _arms(hands, {"x": 0.30, "y": _beside(item, person), "z": 0.78, "elbow": 0.8, "shrug": -0.3})
    return _arms(hands, {"x": 0.26, "y": 0.12, "z": 0.88, "elbow": 0.5, "shrug": -0.35})


def _above_the_head(figure: Figure, hands: Hands, low_s: float, high_s: float) -> tuple[float, float] | None:
    """From when to when the palm is above the top of the head, to a fortieth of a second."""
    times = np.arange(max(low_s, 0.0), high_s, 1 / 40)
    if not len(times):
        return None
    placed = figure.placed(times)[0]
    sides: tuple[Side, ...] = ("left", "right") if hands == "both" else (hands,)
    height = np.min([palm(placed, side)[:, 2] for side in sides], axis=0)
    above = np.flatnonzero(height > placed.of("head_top")[:, 2])
    return None if not len(above) else (float(times[above[0]]), float(times[above[-1]]) + 1 / 40)
