"""Rules that tell in the joints whether a movement of an element is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kinesphere.synthetic.body.body import Array, Placement
from kinesphere.synthetic.laboratory.rules import flights, heading_rad, speeds, stature_m


def rules_met(placed: Placement, times_s: Array) -> tuple[str, ...]:
    """Which rules of all elements the joints of a recording meet, in the order of `ELEMENT_RULES`.

    Args:
        placed: All joints at T times.
        times_s: `(T,)` seconds, evenly spaced.
    """
    return tuple(name for name, met in ELEMENT_RULES.items() if met(placed, times_s))


def _waved(placed: Placement, times_s: Array) -> bool:
    """A hand that is held out goes up and down at least three times."""
    size = 0.10 * stature_m(placed)
    return any(
        len(_turns(placed.of(f"{side}_wrist")[:, 2], size, _held_out(placed, side))) >= 6
        for side in ("left", "right")
    )


def _level_hands(placed: Placement, times_s: Array) -> bool:
    """Both hands, held out, lie within 35 degrees of the horizontal for two seconds."""
    level = np.ones(len(times_s), bool)
    for side in ("left", "right"):
        hand = placed.of(f"{side}_fingers") - placed.of(f"{side}_wrist")
        level &= np.abs(hand[:, 2]) < np.sin(np.radians(35)) * np.linalg.norm(hand, axis=1)
        level &= _held_out(placed, side)
    return _seconds(level, times_s) >= 2.0


def _wound(placed: Placement, times_s: Array) -> bool:
    """The trunk bends to one side and to the other at least twice."""
    trunk = placed.of("neck") - placed.of("pelvis")
    left = placed.of("left_hip") - placed.of("right_hip")
    aside = np.sum(trunk * left, axis=1) / np.linalg.norm(left, axis=1)
    return len(_turns(aside, 0.05 * stature_m(placed), np.ones(len(aside), bool))) >= 4


def _rose(placed: Placement, times_s: Array) -> bool:
    """A hand goes from below the hips to above the head twice."""
    for side in ("left", "right"):
        wrist = placed.of(f"{side}_wrist")[:, 2]
        low, high = wrist < placed.of("pelvis")[:, 2] + 0.05, wrist > placed.of("head_top")[:, 2]
        states = np.where(low, -1, np.where(high, 1, 0))
        states = states[states != 0]
        if (np.diff(states) > 0).sum() >= 2:
            return True
    return False


def _jumped(placed: Placement, times_s: Array) -> bool:
    return sum(bool(times_s[b] - times_s[a] > 0.15) for a, b in flights(placed, times_s)) >= 2


def _roamed(placed: Placement, times_s: Array) -> bool:
    """A way of more than two body lengths."""
    step = float(times_s[1] - times_s[0])
    way = speeds(placed.of("pelvis") * np.array([1, 1, 0]), times_s) * step
    return float(way.sum()) > 2.5 * stature_m(placed)


def _busy(placed: Placement, times_s: Array) -> bool:
    """A hand turns round eight times within two seconds."""
    size, everywhere = 0.03 * stature_m(placed), np.ones(len(times_s), bool)
    for side in ("left", "right"):
        height = placed.of(f"{side}_wrist")[:, 2] - placed.of("chest")[:, 2]
        turned_s = times_s[_turns(height, size, everywhere)]
        if (turned_s[7:] - turned_s[:-7] <= 2.0).any():
            return True
    return False


def _whirled(placed: Placement, times_s: Array) -> bool:
    """A whole turn one way within two seconds and a half."""
    heading = heading_rad(placed)
    span = max(1, round(2.5 / float(times_s[1] - times_s[0])))
    turned = np.abs(heading[span:] - heading[:-span]) if len(heading) > span else np.zeros(1)
    return float(turned.max()) > 1.4 * np.pi


def _fell(placed: Placement, times_s: Array) -> bool:
    """The pelvis comes down to the floor."""
    return float(placed.of("pelvis")[:, 2].min()) < 0.13 * stature_m(placed)


def _stood_on_fours(placed: Placement, times_s: Array) -> bool:
    """Hands and knees are on the floor and the pelvis is not, for half a second."""
    length = stature_m(placed)
    low = np.ones(len(times_s), bool)
    for side in ("left", "right"):
        low &= placed.of(f"{side}_wrist")[:, 2] < 0.12 * length
        low &= placed.of(f"{side}_knee")[:, 2] < 0.20 * length
    return _seconds(low & (placed.of("pelvis")[:, 2] > 0.18 * length), times_s) >= 0.5


def _drawn_together(placed: Placement, times_s: Array) -> bool:
    """Head, hands and feet are near the body's middle, for a second."""
    names = ("head", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
    points = np.stack([placed.of(name) for name in names], axis=1)
    spread = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=2).mean(axis=1)
    return _seconds(spread < 0.22 * stature_m(placed), times_s) >= 1.0


def _stamped(placed: Placement, times_s: Array) -> bool:
    """Feet come down hard twice while the body stays upright and where it is."""
    step, length = float(times_s[1] - times_s[0]), stature_m(placed)
    upright = placed.of("pelvis")[:, 2] > 0.42 * length
    going = np.convolve(speeds(placed.of("pelvis") * np.array([1, 1, 0]), times_s), np.ones(15) / 15, "same")
    struck = np.zeros(len(times_s) - 1, bool)
    for side in ("left", "right"):
        struck |= -np.diff(placed.of(f"{side}_ankle")[:, 2]) / step > 1.2 * length
    airborne = np.min([placed.of(f"{side}_ball")[:, 2] for side in ("left", "right")], axis=0) > 0.06
    landing = np.convolve(airborne, np.ones(max(1, round(0.3 / step))))[: len(airborne)] > 0
    struck &= upright[1:] & ~landing[1:] & (going < 0.35 * length)
    return int((np.diff(struck.astype(int)) > 0).sum()) >= 2


def _held_out(placed: Placement, side: str) -> Array:
    """Where a wrist is away from the trunk and above the hip, (T,)."""
    wrist = placed.of(f"{side}_wrist")
    away = np.linalg.norm((wrist - placed.of("chest"))[:, :2], axis=1)
    out: Array = (away > 0.27 * stature_m(placed)) & (wrist[:, 2] > placed.of(f"{side}_hip")[:, 2] + 0.2)
    return out


def _turns(values: Array, size: float, where: Array) -> list[int]:
    """When values turn round after going `size` one way, looked at in some places only."""
    turns: list[int] = []
    extreme, way = values[0], 0
    for i, (value, seen) in enumerate(zip(values, where, strict=True)):
        if not seen:
            extreme, way = value, 0
        elif way >= 0 and value < extreme - size:
            turns, way, extreme = [*turns, i], -1, value
        elif way <= 0 and value > extreme + size:
            turns, way, extreme = [*turns, i], 1, value
        elif (way > 0 and value > extreme) or (way < 0 and value < extreme):
            extreme = value
    return turns


def _seconds(where: Array, times_s: Array) -> float:
    return float(where.sum()) * float(times_s[1] - times_s[0])


ELEMENT_RULES: dict[str, Callable[[Placement, Array], bool]] = {
    "waves with the arms": _waved,
    "level hands": _level_hands,
    "fish-like": _wound,
    "rising hands": _rose,
    "jumps": _jumped,
    "roaming": _roamed,
    "busy hands": _busy,
    "whirls": _whirled,
    "falls": _fell,
    "on all fours": _stood_on_fours,
    "contracted": _drawn_together,
    "stamping": _stamped,
}
"""Rules and what meets them, each a function of all joints at T times and the times."""
