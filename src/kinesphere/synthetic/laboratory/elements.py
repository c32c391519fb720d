"""Footage without labels: people who emulate water, fire, air and earth, and rules that their joints meet.

Nobody names what is done in it. What a model says of it is held against what an element lets one expect, and
the joints tell which of the element's movements are really there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.clips import Shot, cast
from kinesphere.synthetic.laboratory.acts import performed
from kinesphere.synthetic.motion.controls import COLUMN, keyed, posture
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance, Primitive, Sketch, repeated
from kinesphere.synthetic.motion.sequence import BLEND_S, Passage, Sequence
from kinesphere.synthetic.motion.variety import continued
from kinesphere.synthetic.render.render import Figure
from kinesphere.synthetic.settings import MannequinSettings

_FOOTAGE = 14  # stream of random numbers under the data set's seed
_BETWEEN_S = 2.2 * BLEND_S  # longest time to get from the floor, or to it
_HANDS = [COLUMN[f"{side}_hand_{axis}"] for side in ("left", "right") for axis in "xyz"]
REACHES: Mapping[str, float] = {"narrow": 0.75, "middle": 0.9, "wide": 1.05}
"""How far from the shoulders the hands get, as a factor of the plain movement."""
Act = Callable[[Performer, np.random.Generator], Movement]


@dataclass(frozen=True)
class Element:
    """One of the four.

    Attributes:
        name: Its name.
        acts: Movements that emulate it, by the name of the rule that each meets.
        expected: Base movements that resemble them: what a model that knows only those may say.
    """

    name: str
    acts: Mapping[str, tuple[Act, ...]]
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Footage(Shot):
    """One unlabelled recording; its label is the element, which no model is told.

    Attributes:
        kinesphere: Name of how far the hands reach in all of it.
        filmed: Whether it has a video as well.
    """

    kinesphere: str = "middle"
    filmed: bool = False

    def figure(self, settings: MannequinSettings) -> Figure:
        """Who moves, and how: the element's movements in any order, again and again."""
        performer = cast(settings, self.performer)
        generator = np.random.default_rng((*self.entropy, 1))
        element = ELEMENTS[self.label]
        passages: list[Passage] = []
        clock, spot = 0.2, (0.0, 0.0, 0.0)
        while clock < self.duration_s:
            for rule in generator.permutation(list(element.acts)).tolist():
                for act in element.acts[rule]:
                    moving = _reaching(act(performer, generator), REACHES[self.kinesphere])
                    placed = continued(moving, spot)
                    passages.append(Passage(rule, Evaluation(), placed, clock, clock + placed.duration_s))
                    end = placed.controls(np.array([placed.duration_s]))[0]
                    spot = (float(end[COLUMN["x"]]), float(end[COLUMN["y"]]), float(end[COLUMN["yaw"]]))
                    clock += placed.duration_s + float(generator.uniform(BLEND_S, _BETWEEN_S))
        return Figure(performer, Sequence(tuple(passages), clock, steps=True))


def plan_footage(settings: MannequinSettings, count: int, seconds: float, rgb: int) -> list[Footage]:
    """Recordings of each element by people whom no model has seen.

    How far hands reach changes from recording to recording of an element, and of a performer, so that it goes
    with neither.

    Args:
        settings: Performers, scenes, cameras and seed.
        count: Recordings of each element.
        seconds: Length of each.
        rgb: Of how many one is filmed; 0 for none.
    """
    performers, scenes = (
        settings.pool("test", n) or range(n) for n in (settings.performers, settings.scenes)
    )
    footage = []
    for place, name in enumerate(ELEMENTS):
        for number in range(count):
            entropy = (settings.seed, _FOOTAGE, zlib.crc32(name.encode()), number)
            generator = np.random.default_rng(entropy)
            reach = tuple(REACHES)[(number + place) % len(REACHES)]
            footage.append(
                Footage(
                    id=f"{name}_{reach}_{number:03d}",
                    label=name,
                    split="unlabelled",
                    performer=performers[number % len(performers)],
                    scene=scenes[int(generator.integers(len(scenes)))],
                    duration_s=seconds,
                    azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
                    entropy=entropy,
                    kinesphere=reach,
                    filmed=rgb > 0 and number % rgb == 0,
                )
            )
    return footage


def _reaching(movement: Movement, factor: float) -> Movement:
    """The movement with the hands nearer to the shoulders or farther off."""

    def track(times_s: Array) -> Array:
        controls = movement.track(times_s)
        controls[:, _HANDS] *= factor
        return controls

    return replace(movement, track=track)


def _made(name: str, build: Callable[[Performance], Sketch], cycles: int) -> Act:
    """An act that is authored here, done a few times."""
    primitive = Primitive(name, build, (), (), cyclic=True)

    def act(performer: Performer, generator: np.random.Generator) -> Movement:
        manner = Performance(
            Evaluation(), performer.tempo**0.5, performer.amplitude**0.5, performer.left_handed,
            performer.slouch_rad, 2.5, generator, cycles,
        )  # fmt: skip
        return primitive.perform(manner)

    return act


def _known(base: str, seconds: float = 2.6, **values: float) -> Act:
    """A base movement of the scale; dimensions are named with underscores."""
    at = {name.replace("_", " "): value for name, value in values.items()}
    return lambda performer, generator: performed(base, at, performer, seconds, generator)


def _get_up(performer: Performer, generator: np.random.Generator) -> Movement:
    manner = Performance(Evaluation(), performer.tempo**0.5, 1.0, performer.left_handed, 0.0, 2.0, generator)
    return MOVEMENTS.get("get up").perform(manner)


def _arm_waves(performance: Performance) -> Sketch:
    """Arms spread wide, a wave running through them from one hand to the other."""
    period, base = 1.3, posture({"hands_x": 0.15, "hands_y": 0.85, "hands_elbow": 0.6})

    def track(times_s: Array) -> Array:
        phase = 2 * np.pi * np.asarray(times_s) / period
        controls = np.repeat(base[None], len(phase), axis=0)
        for side, late in (("left", 0.0), ("right", 2.2)):
            controls[:, COLUMN[f"{side}_hand_z"]] = -0.05 + 0.32 * np.sin(phase - late)
            controls[:, COLUMN[f"{side}_hand_shrug"]] = -0.12 * np.sin(phase - late + 0.8)
        controls[:, COLUMN["side"]] = 0.08 * np.sin(phase - 1.1)
        return controls

    return Sketch(track, period, period)


def _fish(performance: Performance) -> Sketch:
    """Hands together before the chest, and the trunk winding from side to side like a fish."""
    period = 1.1
    base = posture({"hands_x": 0.72, "hands_y": -0.20, "hands_z": -0.12, "hands_elbow": 0.7, "height": 0.95})

    def track(times_s: Array) -> Array:
        phase = 2 * np.pi * np.asarray(times_s) / period
        controls = np.repeat(base[None], len(phase), axis=0)
        controls[:, COLUMN["side"]] = 0.42 * np.sin(phase)
        controls[:, COLUMN["twist"]] = 0.35 * np.sin(phase - 0.9)
        controls[:, COLUMN["y"]] = -0.07 * np.sin(phase)
        controls[:, COLUMN["tilt"]] = -0.25 * np.sin(phase - 0.5)
        return controls

    return Sketch(track, period, period)


def _rising_hands(performance: Performance) -> Sketch:
    """Hands that shoot up from below the hips to above the head and flicker down again."""
    low = {"hands_x": 0.25, "hands_y": 0.0, "hands_z": -0.85, "height": 0.86, "bend": 0.35}
    high = {"hands_x": 0.15, "hands_y": 0.18, "hands_z": 0.92, "bend": -0.1, "nod": -0.3, "feet_pitch": 0.4}
    keys = [(0.0, low), (0.45, high), (0.6, high), (1.1, low)]
    return Sketch(repeated(keyed(keys), 1.1), 1.1, 1.1)


def _busy_hands(performance: Performance) -> Sketch:
    """Hands that flutter before the body and beside the head without rest."""
    quick, slow = 0.3, 1.5
    base = posture({"hands_x": 0.5, "hands_elbow": 0.6})

    def track(times_s: Array) -> Array:
        times = np.asarray(times_s)
        controls = np.repeat(base[None], len(times), axis=0)
        for side, late in (("left", 0.0), ("right", 1.9)):
            flutter = 2 * np.pi * times / quick + late
            controls[:, COLUMN[f"{side}_hand_z"]] = 0.20 * np.sin(2 * np.pi * times / slow + late) - 0.05
            controls[:, COLUMN[f"{side}_hand_z"]] += 0.10 * np.sin(flutter)
            controls[:, COLUMN[f"{side}_hand_y"]] = 0.20 + 0.12 * np.cos(flutter)
        return controls

    return Sketch(track, slow, quick)


def _on_all_fours(performance: Performance) -> Sketch:
    """Down on hands and knees, a few steps there, and up again."""
    four = {
        "x": 0.15, "height": 0.50, "pitch": 1.30, "bend": 0.10, "nod": -0.7, "hands_x": 0.95, "hands_y": 0.05,
        "hands_z": -0.10, "feet_x": -0.30, "feet_pitch": 1.45,
    }  # fmt: skip
    crouch = {
        "x": 0.05, "height": 0.55, "pitch": 0.7, "bend": 0.6, "hands_x": 0.7, "hands_z": -0.6,
        "feet_pitch": 0.7,
    }  # fmt: skip
    shifted = four | {"x": 0.22, "left_hand_x": 0.8, "roll": 0.05}
    keys = [(0.0, {}), (0.6, crouch), (1.1, four), (1.7, shifted), (2.3, four), (2.9, crouch), (3.5, {})]
    return Sketch(keyed(keys), 3.5, 1.0)


def _contracted(performance: Performance) -> Sketch:
    """The body drawn together into a ball, held, and let go."""
    ball = {
        "height": 0.42, "x": -0.05, "pitch": 0.35, "bend": 1.05, "nod": 0.6, "hands_x": 0.45, "hands_y": -0.2,
        "hands_z": -0.55, "feet_pitch": 0.6,
    }  # fmt: skip
    return Sketch(keyed([(0.0, {}), (0.8, ball), (2.2, ball), (3.0, {})]), 3.0, 1.0)


ELEMENTS: dict[str, Element] = {
    element.name: element
    for element in (
        Element(
            "water",
            {
                "waves with the arms": (_made("arm waves", _arm_waves, 3),),
                "level hands": (_made("arm waves", _arm_waves, 2),),
                "fish-like": (_made("fish", _fish, 3),),
            },
            ("wave", "swing"),
        ),
        Element(
            "fire",
            {
                "rising hands": (_made("rising hands", _rising_hands, 3),),
                "jumps": (_known("jump", 3.0, emphasis=0.05),),
            },
            ("jump",),
        ),
        Element(
            "air",
            {
                "roaming": (_known("walk", 3.2, floor_pattern=1.0),),
                "busy hands": (_made("busy hands", _busy_hands, 2),),
                "whirls": (_known("turn", shape=0.5),),
            },
            ("walk", "turn"),
        ),
        Element(
            "earth",
            {
                "falls": (_known("fall", end_position=1.0), _get_up),
                "on all fours": (_made("on all fours", _on_all_fours, 1),),
                "contracted": (_made("contracted", _contracted, 1),),
                "stamping": (_known("stamp", 2.5, strength=1.0),),
            },
            ("fall", "stamp"),
        ),
    )
}
