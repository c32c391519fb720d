"""What tells the levels of every dimension apart in the joints of a clip: one number and its borders each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.body.body import Array, Placement
from kinesphere.synthetic.laboratory.scale import dimension

_FLIGHT_M = 0.06  # height of the toes above which a foot is off the floor
_STILL = 0.2  # of the usual speed of a hand's way; below, it rests


@dataclass(frozen=True)
class Rule:
    """A measure of joints and the values that divide the levels.

    Attributes:
        measure: Joints `(T, 31, 3)` in metres at times `(T,)`, evenly spaced, to a number that grows from
            the first level to the last.
        borders: Between each level and the next.
        unit: What the number counts.
    """

    measure: Callable[[Placement, Array], float]
    borders: tuple[float, ...]
    unit: str


def level_of(name: str, placed: Placement, times_s: Array) -> str:
    """The level of a dimension that the joints of a clip show.

    Args:
        name: The dimension.
        placed: All joints at T times; 30 a second or more tell quick movements.
        times_s: `(T,)` seconds.

    Raises:
        UnknownName: If the movement scale has no such dimension.
    """
    levels = dimension(name).levels
    rule = RULES[name]
    return levels[int(np.searchsorted(rule.borders, rule.measure(placed, times_s)))].name


def stature_m(placed: Placement) -> float:
    """Length of the body from head to ankle along its bones."""
    bones = (("head_top", "neck"), ("neck", "pelvis"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    return sum(float(np.linalg.norm(placed.of(a)[0] - placed.of(b)[0])) for a, b in bones)


def speeds(points: Array, times_s: Array) -> Array:
    """Speed of points (T, 3) between instants, (T - 1,) metres a second."""
    way: Array = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return way / float(times_s[1] - times_s[0])


def flights(placed: Placement, times_s: Array) -> list[tuple[int, int]]:
    """First and last index of each time off the floor that begins and ends within the clip."""
    lowest = np.min([placed.of(f"{side}_ball")[:, 2] for side in ("left", "right")], axis=0)
    up = lowest > _FLIGHT_M
    change = np.flatnonzero(np.diff(up.astype(int)))
    if up[0] and len(change):
        change = change[1:]
    return [(int(a) + 1, int(b)) for a, b in zip(change[::2], change[1::2], strict=False)]


def smoothed(values: Array, times_s: Array, window_s: float) -> Array:
    """Moving mean over a window, without the ends that it would not fill."""
    size = max(1, round(window_s / float(times_s[1] - times_s[0])))
    if size >= len(values):
        return values
    mean: Array = np.convolve(values, np.ones(size) / size, mode="valid")
    return mean


def heading_rad(placed: Placement) -> Array:
    """Where the pelvis faces, (T,) radians without jumps."""
    left = placed.of("left_hip") - placed.of("right_hip")
    angle: Array = np.unwrap(np.arctan2(-left[:, 0], left[:, 1]))
    return angle


def hands_apart(placed: Placement) -> Array:
    """Distance between the wrists over the body's length, (T,)."""
    apart: Array = np.linalg.norm(placed.of("left_wrist") - placed.of("right_wrist"), axis=1)
    return apart / stature_m(placed)


def _turned(placed: Placement, times_s: Array) -> float:
    return float(np.abs(np.diff(smoothed(heading_rad(placed), times_s, 0.5))).sum())


def _forward(placed: Placement, times_s: Array) -> float:
    """Way over the floor in a flight."""
    pelvis = placed.of("pelvis")[:, :2]
    ways = [float(np.linalg.norm(pelvis[b] - pelvis[a])) for a, b in flights(placed, times_s)]
    return float(np.mean(ways)) / stature_m(placed) if ways else 0.0


def _airborne(placed: Placement, times_s: Array) -> float:
    found = [times_s[b] - times_s[a] for a, b in flights(placed, times_s)]
    return float(np.median(found)) if found else 0.0


def _involved(placed: Placement, times_s: Array) -> float:
    parts = [speeds(placed.of(name), times_s).mean() for name in ("pelvis", "head")]
    return float(np.mean(parts)) / stature_m(placed)


def _struck(placed: Placement, times_s: Array) -> float:
    step = float(times_s[1] - times_s[0])
    down = [-np.diff(placed.of(f"{side}_ankle")[:, 2]).min() / step for side in ("left", "right")]
    return float(max(down)) / stature_m(placed)


def _reach(placed: Placement, times_s: Array) -> float:
    chest = placed.of("chest")
    sizes = []
    for side in ("left", "right"):
        way = placed.of(f"{side}_wrist") - chest
        sizes.append(float(np.linalg.norm(np.ptp(way, axis=0))))
    return max(sizes) / stature_m(placed)


def _opened(placed: Placement, times_s: Array) -> float:
    """How far the hands are from each other in the end, less how far in the beginning."""
    apart = hands_apart(placed)
    return float(apart[-1] - apart[0])


def _steady(placed: Placement, times_s: Array) -> float:
    held = slice(3 * len(times_s) // 5, None)
    parts = [placed.of(name)[held] for name in ("head", "chest", "left_wrist", "right_wrist", "pelvis")]
    return -float(np.mean([speeds(part, times_s).mean() for part in parts])) / stature_m(placed)


def _hand_speed(placed: Placement, times_s: Array) -> Array:
    chest = placed.of("chest")
    both = [speeds(placed.of(f"{side}_wrist") - chest, times_s) for side in ("left", "right")]
    mean: Array = np.mean(both, axis=0)
    return mean


def _moving(placed: Placement, times_s: Array) -> float:
    speed = _hand_speed(placed, times_s)
    return float((speed > _STILL * np.percentile(speed, 90)).mean())


def _quickened(placed: Placement, times_s: Array) -> float:
    speed = _hand_speed(placed, times_s)
    half = len(speed) // 2
    return float(np.log(speed[half:].mean() / speed[:half].mean()))


def _dropped(placed: Placement, times_s: Array) -> float:
    step = float(times_s[1] - times_s[0])
    return float(-np.diff(placed.of("pelvis")[:, 2]).min() / step) / stature_m(placed)


def _reclined(placed: Placement, times_s: Array) -> float:
    trunk = placed.of("neck")[-1] - placed.of("pelvis")[-1]
    return 1.0 - float(trunk[2] / np.linalg.norm(trunk))


RULES: dict[str, Rule] = {
    "floor pattern": Rule(_turned, (1.0, 3.3), "radians turned"),
    "emphasis": Rule(_forward, (0.17,), "body lengths of a flight"),
    "time in the air": Rule(_airborne, (0.34,), "seconds of a flight"),
    "body involvement": Rule(_involved, (0.1,), "body lengths a second of pelvis and head"),
    "strength": Rule(_struck, (1.55, 3.2), "body lengths a second of a foot that comes down"),
    "kinesphere": Rule(_reach, (0.225, 0.335), "body lengths that a hand spans"),
    "shape": Rule(_opened, (-0.1, 0.1), "body lengths that the hands part"),
    "balance": Rule(_steady, (-0.125, -0.03), "body lengths a second of trunk and hands, negative"),
    "flow": Rule(_moving, (0.57, 0.75, 0.95), "fraction of the time in which the hands move"),
    "acceleration": Rule(_quickened, (0.0,), "logarithm of the hands' later over their earlier speed"),
    "falling flow": Rule(_dropped, (1.15,), "body lengths a second of the pelvis"),
    "end position": Rule(_reclined, (0.5,), "0 upright to 1 lying"),
}
