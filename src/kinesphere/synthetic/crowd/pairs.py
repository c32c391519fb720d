"""What two people do with each other: at the right distance, and in contact at the right moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.body.body import INDEX, Array, forward_kinematics
from kinesphere.synthetic.crowd.person import Person
from kinesphere.synthetic.motion.acting import Grip, Side
from kinesphere.synthetic.motion.motion import Movement, palm

_DEPTH = 0.071  # from the trunk's axis to its front, statures
_SLACK_M = 0.06
_PART_M = 0.55


@dataclass(frozen=True)
class Interaction:
    """One of them.

    Attributes:
        name: Its label. Where `mutual`, it is said of both; else of who does it, with the other named.
        movement: The base movement.
        mutual: Whether both do the same.
        limb: What touches the other: `"palm"`, `"palms"`, `"toes"`; `"none"` from afar.
        reaction: The base movement of who is touched, begun at that moment.
    """

    name: str
    movement: str
    mutual: bool
    limb: str
    reaction: str | None = None


INTERACTIONS: dict[str, Interaction] = {
    each.name: each
    for each in (
        Interaction("shake hands", "shake hands", True, "palm"),
        Interaction("hug", "embrace", True, "palms"),
        Interaction("push", "push", False, "palms", "stagger"),
        Interaction("punch", "punch", False, "palm", "stagger"),
        Interaction("kick", "kick", False, "toes", "stagger"),
        Interaction("point", "point", False, "none"),
    )
}
"""The classes of UT-Interaction (Ryoo and Aggarwal, 2009), and what they are made of."""


@dataclass(frozen=True)
class _Reach:
    """When a movement reaches furthest ahead, how far (metres from where the pelvis was at first), and which
    hand or foot does."""

    at_s: float
    ahead_m: float
    side: Side
    pelvis_m: float


def interact(kind: Interaction, actor: Person, partner: Person, start_s: float) -> None:
    """Add an interaction to what two people do: the actor comes to the partner, who waits.

    Args:
        kind: Which one.
        actor, partner: Who does it, and with whom.
        start_s: Not before.
    """
    begin = max(start_s, actor.free_s, partner.free_s)
    movement = actor.performed(kind.movement, 2.0, cycles=1, plain=kind.mutual)
    reach = _furthest(actor, movement, kind.limb)
    apart = _distance_m(kind, reach, actor, partner)
    bearing = actor.facing(partner.spot)
    gap = math.dist(actor.spot, partner.spot) - apart
    if abs(gap) > _SLACK_M:
        to = (actor.spot[0] + gap * math.cos(bearing), actor.spot[1] + gap * math.sin(bearing))
        actor.goes("walk" if gap > 0 else "walk backwards", to, begin)
        begin = actor.free_s
    back = math.remainder(bearing + math.pi, 2 * math.pi)
    start = max(begin, actor.free_s + actor.gap_s(bearing), partner.free_s + partner.gap_s(back))
    if kind.mutual:
        actor.does(kind.name, movement, start, facing_rad=bearing, other=partner.identity)
        partner.does(kind.name, movement, start, facing_rad=back, other=actor.identity)
        _touch(kind, actor, partner, start, movement, reach)
        if kind.limb == "palms":
            _part(actor, bearing)
        return
    waits = start + reach.at_s - 0.35 - partner.free_s - partner.gap_s(back)
    idle = partner.performed("idle", max(waits, 0.2))
    partner.does("idle", idle, partner.free_s + partner.gap_s(back), facing_rad=back, named=False)
    start = max(start, partner.free_s + 0.35 - reach.at_s)
    begun = actor.does(kind.name, movement, start, facing_rad=bearing, other=partner.identity)
    moment = begun.start_s + reach.at_s
    _strike(kind, actor, partner, moment, reach)
    if kind.reaction:
        partner.does(kind.reaction, partner.performed(kind.reaction, 1.0), moment, facing_rad=back)


def _part(actor: Person, bearing_rad: float) -> None:
    """Step back from somebody who is too near for anything else."""
    away = (actor.spot[0] - _PART_M * math.cos(bearing_rad), actor.spot[1] - _PART_M * math.sin(bearing_rad))
    actor.goes("walk backwards", away)


def _distance_m(kind: Interaction, reach: _Reach, actor: Person, partner: Person) -> float:
    """How far apart they stand."""
    heights = [each.performer.body.proportions.height_m for each in (actor, partner)]
    front = _DEPTH * partner.performer.body.proportions.girth * heights[1]
    if kind.name == "shake hands":
        return 0.56 * sum(heights) / 2 + 2 * reach.pelvis_m
    if kind.name == "hug":
        return 0.19 * sum(heights) / 2 + 2 * reach.pelvis_m
    if kind.limb == "none":
        return float(actor.generator.uniform(1.5, 2.3))
    return reach.ahead_m + front - 0.02


def _furthest(person: Person, movement: Movement, limb: str) -> _Reach:
    """The moment of a movement that contact belongs to; of an embrace, when the arms have closed."""
    body = person.performer.body
    times = np.linspace(0, movement.duration_s, 90)
    placed = forward_kinematics(body, movement.pose(times, body))
    start, yaw = placed.of("pelvis")[0], placed.orientations[0, INDEX["pelvis"], :, 0]
    ahead = yaw[:2] / np.linalg.norm(yaw[:2])
    points = {
        side: placed.of(f"{side}_toes") if limb == "toes" else palm(placed, side)
        for side in ("left", "right")
    }
    far = {side: (at - start)[:, :2] @ ahead for side, at in points.items()}
    if limb == "palms":
        both = np.minimum(far["left"], far["right"])
        far = {"left": both, "right": both}
    side: Side = "left" if far["left"].max() > far["right"].max() + 1e-9 else "right"
    at = int(far[side].argmax())
    pelvis = float(((placed.of("pelvis")[at] - start)[:2]) @ ahead)
    return _Reach(float(times[at]), float(far[side][at]), side, pelvis)


def _touch(
    kind: Interaction, actor: Person, partner: Person, start_s: float, movement: Movement, reach: _Reach
) -> None:
    """Palms of both that meet, or lie on the other's back, while the movement holds."""
    length = movement.duration_s
    first, last = start_s + 0.55, start_s + length - 0.6
    if kind.name == "hug":
        first, last = start_s + 0.95, start_s + length - 0.55
        for own, other, up in ((actor, partner, 1.0), (partner, actor, 0.0)):
            for side in _SIDES:
                own.grips.append(Grip(side, first, max(first, last), 0.4, _on_the_back(other, side, up)))
        return
    times = np.linspace(first, max(first, last), 5)
    chests = [each.placed(times).of("chest").mean(axis=0) for each in (actor, partner)]
    middle = (chests[0] + chests[1]) / 2
    middle[2] = 0.56 * np.mean([each.performer.body.proportions.height_m for each in (actor, partner)])
    rate = 2 * math.pi * float(actor.generator.uniform(2.2, 3.0))
    size = float(actor.generator.uniform(0.02, 0.05))

    def shaken(times_s: Array) -> Array:
        points = np.tile(middle, (len(times_s), 1))
        points[:, 2] += size * np.sin(rate * (np.asarray(times_s) - first))
        return points

    for each in (actor, partner):
        each.grips.append(Grip("right", first, max(first, last), 0.4, shaken))


def _strike(kind: Interaction, actor: Person, partner: Person, moment_s: float, reach: _Reach) -> None:
    """The hand, or both, that touch the partner at a moment; a hand that points towards the head."""
    if kind.limb == "toes":
        return
    now = np.array([moment_s])
    body = partner.performer.body
    placed = partner.placed(now)
    chest = placed.orientations[0, INDEX["chest"]]
    front = _DEPTH * body.proportions.girth * body.proportions.height_m
    if kind.limb == "none":
        shoulder = actor.placed(now).of(f"{reach.side}_shoulder")[0]
        towards = placed.of("nose")[0] - shoulder
        point = shoulder + towards / np.linalg.norm(towards) * (actor.performer.body.arm_m + 0.02)
        actor.grips.append(Grip(reach.side, moment_s - 0.1, moment_s + 0.3, 0.35, _at(point)))
        return
    middle = 0.5 * (placed.of("chest")[0] + placed.of("neck")[0])
    sides = _SIDES if kind.limb == "palms" else (reach.side,)
    for side in sides:
        aside = 0.09 * (0 if len(sides) == 1 else -1 if side == "left" else 1)
        point = middle + chest @ np.array([front + 0.02, aside, 0.0])
        actor.grips.append(Grip(side, moment_s - 0.03, moment_s + 0.03, 0.16, _at(point)))


def _on_the_back(other: Person, side: Side, up: float) -> Callable[[Array], Array]:
    """A place on somebody's back: high up, beside the neck, or low, at the waist."""
    body = other.performer.body
    back = _DEPTH * body.proportions.girth * body.proportions.height_m + 0.03
    aside = 0.07 * (-1 if side == "left" else 1)

    def point(times_s: Array) -> Array:
        placed = other.placed(times_s)
        turn = placed.orientations[:, INDEX["chest"]]
        middle = placed.of("chest") + up * 0.45 * (placed.of("neck") - placed.of("chest"))
        at: Array = middle + turn @ np.array([-back, aside, 0.0])
        return at

    return point


def _at(point: Array) -> Callable[[Array], Array]:
    return lambda times_s: np.broadcast_to(point, (len(times_s), 3))


_SIDES: tuple[Side, Side] = ("left", "right")
