"""Scripted events: robberies, and recordings that resemble them but are none.

A robbery is that two different people run and somebody holds a thing up, where all three lie within 20 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.crowd.director import stage
from kinesphere.synthetic.crowd.improvise import Floor, draw_performers, draw_scene_number
from kinesphere.synthetic.crowd.script import Act, Entrance, Item, Occurrence, Play, Script
from kinesphere.synthetic.crowd.take import Happening, Take
from kinesphere.synthetic.crowd.things import SIZES_M
from kinesphere.synthetic.motion.motion import ObjectKind
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

ROBBERY = "robbery"
WITHIN_S = 20.0
"""How long two runs and a thing held up may take from the first start to the last end."""
DECOYS: tuple[str, ...] = ("one runs", "nobody runs", "too far apart", "carried only")

_EVENTS = 9  # stream of random numbers under the data set's seed
_LENGTH_S = 60.0
_CLEARLY_S = 6.0  # what is no robbery misses the time by this, what is one keeps it by as much
_TRIES = 20
_SHOWN: tuple[ObjectKind, ...] = ("machete", "stick", "bottle")


@dataclass(frozen=True)
class _Setting:
    """Where people are: as the camera sees them, one lane behind the other."""

    floor: Floor
    lanes: tuple[float, ...]
    generator: np.random.Generator

    def at(self, person: int, aside_m: float) -> tuple[float, float]:
        """A place in a person's own lane."""
        return self.floor.spot(aside_m, self.lanes[person])


def plan_event(settings: MannequinSettings, split: str, number: int) -> Take:
    """One recording: a robbery where the number is even, one of the decoys by turns where it is odd.

    Raises:
        InvalidSetting: If the split has fewer than four performers.
    """
    entropy = (settings.seed, _EVENTS, SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers = draw_performers(settings, split, 4, generator)
    kind = ROBBERY if number % 2 == 0 else DECOYS[number // 2 % len(DECOYS)]
    azimuth = float(generator.uniform(-180, 180))
    bodies = [cast(settings, index) for index in performers]
    for _ in range(_TRIES):
        lanes = tuple(float(each) for each in generator.permutation(np.linspace(-1.5, 1.5, 4)))
        script = _script(kind, _Setting(Floor(math.radians(azimuth)), lanes, generator))
        play = stage(script, bodies, generator)
        found = robberies(play)
        # How long a body takes is known once it is staged; a script that came out otherwise is redrawn.
        if bool(found) == (kind == ROBBERY) and not _doubtful(play, bool(found)):
            break
    return Take(
        f"{split}_event_{number:04d}", split, performers, draw_scene_number(settings, split, generator),
        azimuth, entropy, play, found, kind,
    )  # fmt: skip


def robberies(play: Play, within_s: float = WITHIN_S) -> tuple[Happening, ...]:
    """The robberies of a play, those that share time as one: by trying all runs and all things held up."""
    runs = [each for each in play.facts if each.label == "run"]
    raised = [each for each in play.facts if each.label.startswith("holds up ")]
    found = [
        (one, two, up)
        for one, two, up in product(runs, runs, raised)
        if one.person < two.person and _lasts_s((one, two, up)) <= within_s
    ]
    happenings: list[Happening] = []
    for three in sorted(found, key=lambda three: min(each.start_s for each in three)):
        start, end = min(each.start_s for each in three), max(each.end_s for each in three)
        people = {each.person for each in three}
        things = {each.other for each in three if each.other is not None}
        if happenings and start <= happenings[-1].end_s:
            last = happenings.pop()
            start, end = last.start_s, max(end, last.end_s)
            people, things = people | set(last.people), things | set(last.things)
        happenings.append(Happening(ROBBERY, start, end, tuple(sorted(people)), tuple(sorted(things))))
    return tuple(happenings)


def _doubtful(play: Play, found: bool) -> bool:
    """Whether a little more or less time would change the answer."""
    return bool(robberies(play, WITHIN_S + (-_CLEARLY_S if found else _CLEARLY_S))) != found


def _lasts_s(occurrences: Sequence[Occurrence]) -> float:
    return max(each.end_s for each in occurrences) - min(each.start_s for each in occurrences)


def _script(kind: str, where: _Setting) -> Script:
    """Two who may be robbers, and two who stand about, walk and wave."""
    generator = where.generator
    side = 1.0 if generator.random() < 0.5 else -1.0
    starts = [side * 2.6, side * 2.2, -side * 1.8, -side * 0.9]
    starts = [each + float(generator.uniform(-0.3, 0.3)) for each in starts]
    shown = _SHOWN[int(generator.integers(len(_SHOWN)))]
    items = (Item(shown, float(generator.uniform(*SIZES_M[shown]))),)
    people = tuple(
        Entrance(
            where.at(person, aside), float(generator.uniform(-math.pi, math.pi)), 0 if person == 0 else None
        )
        for person, aside in enumerate(starts)
    )
    first_s = float(generator.uniform(6, 14))
    acts = {
        ROBBERY: _robbery,
        "one runs": _one_runs,
        "nobody runs": _nobody_runs,
        "too far apart": _too_far_apart,
        "carried only": _carried_only,
    }[kind](where, first_s, starts)
    acts += _passers_by(where, starts)
    return Script(people, tuple(acts), items, _LENGTH_S)


def _over(
    where: _Setting, person: int, label: str, at_s: float, starts: list[float], raised: bool = False
) -> Act:
    """To the other side and, the next time, back, in the person's own lane."""
    starts[person] = -starts[person] + 0.2 * math.copysign(1.0, starts[person])
    return Act(person, label, at_s, to=where.at(person, starts[person]), raised=raised)


def _robbery(where: _Setting, at_s: float, starts: list[float]) -> list[Act]:
    """Two run, and the one with the thing holds it up: before, on the way, or after."""
    when = int(where.generator.integers(3))
    late, after = float(where.generator.uniform(0.2, 4.0)), float(where.generator.uniform(4.0, 8.0))
    acts = [Act(0, "hold up", at_s, seconds=2.0)] if when == 0 else []
    acts += [
        _over(where, 0, "run", at_s + 2.5 * (when == 0), starts, raised=when == 1),
        _over(where, 1, "run", at_s + 2.5 * (when == 0) + late, starts),
    ]
    if when == 2:
        acts.append(Act(0, "hold up", at_s + after, seconds=2.0))
    return [*acts, _over(where, 0, "walk", at_s + 26.0, starts), Act(1, "wave", at_s + 24.0)]


def _one_runs(where: _Setting, at_s: float, starts: list[float]) -> list[Act]:
    """One runs there and back while the thing is held up."""
    runner = int(where.generator.integers(2))
    return [
        Act(0, "hold up", at_s, seconds=2.0),
        _over(where, runner, "run", at_s + 2.5, starts),
        _over(where, runner, "run", at_s + 6.0, starts),
        _over(where, 1 - runner, "walk", at_s + 6.5, starts),
    ]


def _nobody_runs(where: _Setting, at_s: float, starts: list[float]) -> list[Act]:
    """The thing is held up, and people walk."""
    return [
        Act(0, "hold up", at_s, seconds=2.5),
        _over(where, 1, "walk", at_s + 1.0, starts),
        _over(where, 0, "walk", at_s + 5.0, starts, raised=True),
    ]


def _too_far_apart(where: _Setting, at_s: float, starts: list[float]) -> list[Act]:
    """Two run, and long afterwards, or before, the thing is held up."""
    first = bool(where.generator.random() < 0.5)
    runs_s, shows_s = (at_s, at_s + 34.0) if first else (at_s + 34.0, at_s)
    return [
        _over(where, 0, "run", runs_s, starts),
        _over(where, 1, "run", runs_s + 0.8, starts),
        Act(0, "hold up", shows_s, seconds=2.0),
        Act(1, "wave", at_s + 15.0, seconds=2.0),
    ]


def _carried_only(where: _Setting, at_s: float, starts: list[float]) -> list[Act]:
    """Two run, one with the thing in a lowered hand."""
    return [
        _over(where, 0, "run", at_s, starts),
        _over(where, 1, "run", at_s + float(where.generator.uniform(0.3, 2.0)), starts),
        _over(where, 0, "walk", at_s + 12.0, starts),
    ]


def _passers_by(where: _Setting, starts: list[float]) -> list[Act]:
    """What the others do meanwhile."""
    generator, acts = where.generator, []
    for person in (2, 3):
        clock = float(generator.uniform(0, 5))
        while clock < _LENGTH_S:
            name = ("walk", "wave", "clap", "turn", "bend")[int(generator.integers(5))]
            if name == "walk":
                acts.append(_over(where, person, "walk", clock, starts))
            else:
                acts.append(Act(person, name, clock, seconds=float(generator.uniform(1.5, 3.0))))
            clock += float(generator.uniform(6, 12))
    return acts
