"""The base movements as they are done at a place of the scale, and two movements at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.laboratory.scale import dimensions_of
from kinesphere.synthetic.motion.controls import CHANNELS, COLUMN, Track, posture
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.motion import Clock, Movement
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance, lerp

Values = Mapping[str, float]
"""Names of dimensions and values from 0 to 1."""

_SPLAY, _BEND_CURVE = 0.95, 0.75  # heading of a winding path in radians; curvature of a curved one, 1/leg
_WAVELENGTH = 2.4  # leg lengths
_SWING_S = 1.15
_CLOSED = {"bend": 0.75, "nod": 0.4, "hands_x": 0.40, "hands_y": -0.28, "hands_z": -0.35, "height": 0.86}
_OPENED = {"bend": -0.25, "nod": -0.2, "hands_x": 0.05, "hands_y": 0.80, "hands_z": -0.30, "feet_y": 0.24}
_ARMS = [i for name, i in COLUMN.items() if "_hand_" in name]


def between(base: str) -> dict[str, float]:
    """The values of a movement that is at none of its levels."""
    return {dimension.name: dimension.between for dimension in dimensions_of(base)}


def performed(
    base: str, values: Values, performer: Performer, clip_s: float, generator: np.random.Generator
) -> Movement:
    """A base movement at a place of the scale, in a performer's manner.

    Args:
        base: The movement.
        values: Of the dimensions in which it is evaluated; those left out lie between their levels.
        performer: Whose manner it is: tempo, size, leading hand.
        clip_s: Seconds that movements without an end go on for; the others end by then.
        generator: Draws everything else.
    """
    at = between(base) | dict(values)
    movement = _ACTS[base](at, performer, clip_s, generator)
    if movement.duration_s > clip_s:
        rate = movement.duration_s / clip_s
        movement = movement.played(lambda t: np.asarray(t) * rate, clip_s)
    return movement


def overlaid(legs: Movement, arms: Movement) -> Movement:
    """What the feet do and what the arms do, at once; as long as the former."""

    def track(times_s: Array) -> Array:
        controls = legs.track(legs.clock(times_s))
        controls[:, _ARMS] = arms.track(arms.clock(times_s))[:, _ARMS]
        return controls

    return replace(legs, track=track, clock=np.asarray)


def _plain(
    name: str,
    evaluation: Evaluation,
    performer: Performer,
    clip_s: float,
    generator: np.random.Generator,
) -> Movement:
    """The mannequin's own movement. Tempo and size vary less than elsewhere: levels are told by them."""
    manner = Performance(
        evaluation=evaluation,
        tempo=performer.tempo**0.4 * float(generator.uniform(0.97, 1.03)),
        amplitude=performer.amplitude**0.5 * float(generator.uniform(0.97, 1.03)),
        left_handed=performer.left_handed,
        slouch_rad=performer.slouch_rad,
        clip_s=clip_s,
        generator=generator,
    )
    return MOVEMENTS.get(name).perform(manner)


def _aside(generator: np.random.Generator) -> float:
    """A value of what is not evaluated."""
    return float(generator.uniform(0.35, 0.55))


def _walk(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    plain = Evaluation(floor_pattern=0.0, flow=0.5)
    movement = _plain("walk", plain, performer, clip_s, generator)
    return replace(movement, track=_led(movement.track, _path(at["floor pattern"], generator)))


def _jump(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    evaluation = Evaluation(emphasis_direction=at["emphasis"], air_time=at["time in the air"])
    return _plain("jump", evaluation, performer, clip_s, generator)


def _clap(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    whole = at["body involvement"]
    evaluation = Evaluation(body_use=whole, strength=_aside(generator), kinesphere=_aside(generator))
    movement = _plain("clap", evaluation, performer, clip_s, generator)
    period = lerp(0.42, 0.62, evaluation.kinesphere)
    sway = {"height": -0.10 * whole, "bend": 0.22 * whole, "pitch": 0.12 * whole, "nod": 0.1 * whole}
    return replace(movement, track=_pulsing(movement.track, sway, 2 * period))


def _stamp(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    evaluation = Evaluation(strength=at["strength"], body_use=_aside(generator))
    return _plain("stamp", evaluation, performer, clip_s, generator)


def _wave(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    evaluation = Evaluation(kinesphere=at["kinesphere"], body_use=_aside(generator), flow=0.5)
    return _plain("wave", evaluation, performer, clip_s, generator)


def _turn(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    plain = Evaluation(shape_emphasis=0.5, flow=0.5, balance=0.9)
    movement = _plain("turn", plain, performer, clip_s, generator)
    emphasis = 2 * at["shape"] - 1
    offset = abs(emphasis) * (posture(_OPENED if emphasis > 0 else _CLOSED) - posture())
    length, track = movement.duration_s, movement.track
    own = movement.clock

    def changing(times_s: Array) -> Array:
        part = np.clip(np.asarray(times_s) / length, 0.0, 1.0)
        controls: Array = track(own(times_s)) + (part * part * (3 - 2 * part))[:, None] * offset
        return controls

    return replace(movement, track=changing, clock=np.asarray)


def _balance(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    evaluation = Evaluation(balance=at["balance"], kinesphere=_aside(generator), shape_emphasis=0.5)
    return _plain("balance", evaluation, performer, clip_s, generator)


def _swing(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    evaluation = Evaluation(
        acceleration=0.1 + 0.8 * at["acceleration"],
        flow=0.5,
        kinesphere=_aside(generator),
        body_use=_aside(generator),
    )
    movement = _plain("swing", evaluation, performer, clip_s, generator)
    flow = at["flow"]
    # Up to the free swing the arms rest at either end, the longer the more bound; beyond it they go round.
    pause_s = 0.50 * max(0.0, 0.67 - flow) / 0.67
    round_y = 0.45 * max(0.0, flow - 0.67) / 0.33
    own, track = movement.clock, _circling(movement.track, round_y)
    held = _pausing(_SWING_S / 4, _SWING_S / 2, pause_s)
    return replace(movement, track=track, clock=lambda t: held(own(t)))


def _fall(at: Values, performer: Performer, clip_s: float, generator: np.random.Generator) -> Movement:
    loose, lying = at["falling flow"], at["end position"]
    state = generator.bit_generator.state
    ends = []
    for place in (0.0, 1.0):
        generator.bit_generator.state = state  # the same fall but for its end
        evaluation = Evaluation(falling_flow=loose, end_position=place)
        ends.append(_plain("fall", evaluation, performer, clip_s, generator))
    sitting, down = ends
    pace = lerp(0.75, 1.25, loose)

    def track(times_s: Array) -> Array:
        controls: Array = (1 - lying) * sitting.track(sitting.clock(times_s))
        return controls + lying * down.track(down.clock(times_s))

    whole = replace(down, track=track, clock=np.asarray)
    return whole.played(lambda t: np.asarray(t) * pace, down.duration_s / pace)


_ACTS: dict[str, Callable[[Values, Performer, float, np.random.Generator], Movement]] = {
    "walk": _walk, "jump": _jump, "swing": _swing, "turn": _turn, "fall": _fall, "wave": _wave,
    "stamp": _stamp, "clap": _clap, "balance": _balance,
}  # fmt: skip


def _path(pattern: float, generator: np.random.Generator) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Points and heading over the way gone in leg lengths: straight at 0, bent at 0.5, winding at 1."""
    side = -1.0 if generator.random() < 0.5 else 1.0
    phase = float(generator.uniform(0, 2 * np.pi))
    bent = side * _BEND_CURVE * max(0.0, 1 - abs(2 * pattern - 1))
    splay = _SPLAY * max(0.0, 2 * pattern - 1)
    way = np.linspace(-4.0, 16.0, 1601)
    heading = bent * way + splay * np.sin(2 * np.pi * way / _WAVELENGTH + phase)
    step = way[1] - way[0]
    x, y = (np.cumsum(direction) * step for direction in (np.cos(heading), np.sin(heading)))

    def path(along: Array) -> tuple[Array, Array, Array]:
        return np.interp(along, way, x), np.interp(along, way, y), np.interp(along, way, heading)

    return path


def _led(track: Track, path: Callable[[Array], tuple[Array, Array, Array]]) -> Track:
    """A track straight ahead, led along a path: pelvis and feet keep their distance from its middle."""

    def led(times_s: Array) -> Array:
        controls = track(times_s)
        for prefix in ("", "left_foot_", "right_foot_"):
            x, y, heading = path(controls[:, COLUMN[prefix + "x"]])
            aside = controls[:, COLUMN[prefix + "y"]].copy()
            controls[:, COLUMN[prefix + "x"]] = x - aside * np.sin(heading)
            controls[:, COLUMN[prefix + "y"]] = y + aside * np.cos(heading)
            controls[:, COLUMN[prefix + "yaw"]] += heading
        return controls

    return led


def _pulsing(track: Track, changes: Mapping[str, float], period_s: float) -> Track:
    """A track to which changes of channels come and go once a period."""
    offset = np.zeros(len(CHANNELS))
    for name, value in changes.items():
        offset[COLUMN[name]] = value

    def pulsing(times_s: Array) -> Array:
        weight = 0.5 - 0.5 * np.cos(2 * np.pi * np.asarray(times_s) / period_s)
        controls: Array = track(times_s) + weight[:, None] * offset
        return controls

    return pulsing


def _circling(track: Track, aside: float) -> Track:
    """A swing whose hands go outwards and back in between their two ends, so that they never rest."""

    def circling(times_s: Array) -> Array:
        controls = track(times_s)
        wave = aside * np.cos(2 * np.pi * np.asarray(times_s) / _SWING_S)
        for side in ("left", "right"):
            controls[:, COLUMN[f"{side}_hand_y"]] += aside + wave
        return controls

    return circling


def _pausing(first_s: float, every_s: float, pause_s: float) -> Clock:
    """A clock that stands still for `pause_s` at `first_s` and every `every_s` thereafter."""

    def clock(times_s: Array) -> Array:
        since = np.asarray(times_s) - first_s
        turns = np.floor(since / (every_s + pause_s))
        rest = since - turns * (every_s + pause_s)
        own: Array = first_s + turns * every_s + np.maximum(rest - pause_s, 0.0)
        return own

    return clock
