"""What every parametric movement shares: how it is declared, and how a performance shapes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kinesphere.core.registry import Registry
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.motion.controls import COLUMN, Track, posture
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Movement, Prop, unrest


@dataclass(frozen=True)
class Performance:
    """How a movement is done this time.

    Attributes:
        evaluation: The graded evaluations.
        tempo: Speed factor of this performer and moment.
        amplitude: Size factor of gestures.
        left_handed: Whether left leads.
        slouch_rad: Habitual forward bend of the spine.
        clip_s: Played seconds a cyclic movement must fill.
        generator: Draws everything else.
        cycles: How often a cyclic movement is done, from its first posture to its last; None fills `clip_s`
            from a random phase on.
    """

    evaluation: Evaluation
    tempo: float
    amplitude: float
    left_handed: bool
    slouch_rad: float
    clip_s: float
    generator: np.random.Generator
    cycles: int | None = None


@dataclass(frozen=True)
class Sketch:
    """What a family module returns: a right-handed, plainly timed movement in its own time.

    Attributes:
        track: Control vectors over own time.
        natural_s: Length of one event, or of one cycle.
        accent_s: Spacing of the accents between which a bound flow halts.
        props: What is handled.
    """

    track: Track
    natural_s: float
    accent_s: float
    props: tuple[Prop, ...] = ()


Build = Callable[[Performance], Sketch]


@dataclass(frozen=True)
class Primitive:
    """One base movement.

    Attributes:
        name: The class label.
        build: Makes the sketch for a performance.
        grades: Names of the evaluations that shape it.
        published: Those that are given as labels (all, except what reversal turns into its opposite).
        cyclic: Whether it repeats, so that a clip may start anywhere in it.
        backwards: Whether it plays its sketch backwards in time.
        rate: Speed factor; pairs that differ only in speed differ only here.
        ends_standing: Whether another movement can follow without getting up, or putting down, first.
    """

    name: str
    build: Build
    grades: tuple[str, ...]
    published: tuple[str, ...]
    cyclic: bool
    backwards: bool = False
    rate: float = 1.0
    ends_standing: bool = True

    def perform(self, performance: Performance) -> Movement:
        """The movement as one performer does it once.

        Cyclic movements start at a random phase and fill `performance.clip_s`, unless their cycles are
        counted; the others take as long as they take, from their first posture to their last.
        """
        sketch = self.build(performance)
        rate = self.rate * performance.tempo
        evaluation, generator = performance.evaluation, performance.generator
        if self.cyclic and performance.cycles is None:
            duration = performance.clip_s
            start = float(generator.uniform(0, max(sketch.natural_s, 1.0)))
        else:
            duration, start = (performance.cycles or 1) * sketch.natural_s / rate, 0.0
        track = shaped(sketch.track, performance, self.grades)
        gain = (evaluation.acceleration - 0.5) * 1.3 if "acceleration" in self.grades else 0.0
        hold = max(0.0, 0.5 - evaluation.flow) * 1.7 if "flow" in self.grades else 0.0
        accent = sketch.accent_s

        def clock(t: Array) -> Array:
            s = np.clip(np.asarray(t, dtype=float), 0.0, duration)
            own: Array = start + rate * (t + gain * (s * s / duration - s))
            return own - hold * accent / (2 * np.pi) * np.sin(2 * np.pi * own / accent)

        steadiness = evaluation.balance if "balance" in self.grades else 0.9
        movement = Movement(duration, track, clock, unrest(generator, steadiness), sketch.props)
        if performance.left_handed:
            movement = movement.mirrored()
        return movement.backwards() if self.backwards else movement


MOVEMENTS: Registry[Primitive] = Registry(
    "movement", Primitive, package="kinesphere.synthetic.motion.movements"
)


def movement(
    name: str,
    grades: tuple[str, ...],
    *,
    cyclic: bool,
    reverse: str | None = None,
    slow: tuple[str, float] | None = None,
    ends_standing: bool = True,
    reverse_ends_standing: bool = True,
) -> Callable[[Build], Build]:
    """Declare the base movement `name`.

    Args:
        name: Class label.
        grades: Evaluations that shape it.
        cyclic: Whether it repeats.
        reverse: Label of its time reversal, if that is a movement of its own.
        slow: Label and rate of the same movement at another speed, if that is one of its own.
        ends_standing: Whether it ends on both feet with empty hands.
        reverse_ends_standing: The same for its reversal.
    """

    def declare(build: Build) -> Build:
        base = Primitive(name, build, grades, grades, cyclic, ends_standing=ends_standing)
        MOVEMENTS.add(name, base)
        if reverse:
            kept = tuple(g for g in grades if g not in ("acceleration", "falling_flow", "end_position"))
            back = replace(base, name=reverse, published=kept, backwards=True)
            MOVEMENTS.add(reverse, replace(back, ends_standing=reverse_ends_standing))
        if slow:
            MOVEMENTS.add(slow[0], replace(base, name=slow[0], rate=slow[1]))
        return build

    return declare


def shaped(track: Track, performance: Performance, grades: tuple[str, ...]) -> Track:
    """Lay posture, shape emphasis and the trailing hands of a free flow over a track."""
    evaluation = performance.evaluation
    emphasis = 2 * evaluation.shape_emphasis - 1 if "shape_emphasis" in grades else 0.0
    closed = {"bend": 0.45, "nod": 0.3, "hands_x": 0.42, "hands_y": -0.12, "hands_z": -0.50, "height": 0.93}
    opened = {"bend": -0.22, "nod": -0.12, "hands_x": 0.10, "hands_y": 0.55, "hands_z": -0.65, "feet_y": 0.18}
    offset = abs(emphasis) * (posture(opened if emphasis > 0 else closed) - posture())
    # The limbs that carry the movement keep it: emphasis pulls the hands only part of the way.
    offset[COLUMN["bend"]] += performance.slouch_rad
    trail_s = max(0.0, evaluation.flow - 0.5) * 0.14 if "flow" in grades else 0.0
    hands = [i for name, i in COLUMN.items() if "_hand_" in name]

    def result(times_s: Array) -> Array:
        controls = track(times_s)
        if trail_s:
            controls[:, hands] = track(np.asarray(times_s) - trail_s)[:, hands]
        shaped_controls: Array = controls + offset
        return shaped_controls

    return result


def repeated(track: Track, period_s: float, advance: float = 0.0) -> Track:
    """A track of one cycle repeated for ever, moving on by `advance` leg lengths each time."""
    forward = [COLUMN[name] for name in ("x", "left_foot_x", "right_foot_x")]

    def result(times_s: Array) -> Array:
        turn = np.floor(np.asarray(times_s) / period_s)
        controls = track(np.asarray(times_s) - turn * period_s)
        controls[:, forward] += (turn * advance)[:, None]
        return controls

    return result


def lerp(low: float, high: float, value: float) -> float:
    """The point between `low` and `high` that a value in [0, 1] names."""
    return low + (high - low) * value
