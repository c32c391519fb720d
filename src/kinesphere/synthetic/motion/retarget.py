"""Motion capture played by mannequins: joints in space become the rotations of our own skeleton.

Names of bones, their number and their rest poses differ between capture systems, but where joints are does
not: every bone of ours is turned the shortest way into the direction of the captured one. Bodies keep their
own proportions; the path over the floor is scaled to the length of the legs, and the feet stand where the
captured ones stand. Joints do not tell how a limb is twisted about itself nor where a head looks: limbs are
not twisted, and heads look where the chest does. Shoulders keep their line, but are not shrugged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.synthetic.body.body import (
    INDEX,
    JOINTS,
    Array,
    Body,
    Placement,
    Pose,
    forward_kinematics,
    rotation,
)
from kinesphere.synthetic.motion.controls import local_rotations, unit
from kinesphere.synthetic.motion.motion import Recorded, orthonormal

NEEDED: tuple[str, ...] = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
"""Joints without which nothing can be played; pelvis, spine, thorax, neck, head, feet and hands help."""

_DOWN = np.array([0.0, 0.0, -1.0])
_UP = np.array([0.0, 0.0, 1.0])
_SHORTEST_M = 1e-3
# A first pose from which the body jumps, so many times further than in any later step, calibrates the system.
_JUMP = 3.0
# Feet lower than this stand, or as good as; above the second height they follow the pelvis and not it them.
_STANDING_M, _FLYING_M = 0.1, 0.4
_FLAT_TOES_M = 0.08


def retarget(joints: Sequence[str], points: Array, rate_hz: float) -> Recorded:
    """Turn where captured joints are into joint rotations that any body can play.

    A calibration pose at the start, as in CMU's files, is left out.

    Args:
        joints: Names of J joints as in `kinesphere.clips.skeleton`, those of `NEEDED` among them.
        points: Where they are, (T, J, 3) in any unit, x forward, y left, z up.
        rate_hz: Poses a second.

    Returns:
        T poses, or T - 1.

    Raises:
        InvalidAnnotation: If joints are missing or lie on one another, or there are fewer than two poses.
    """
    missing = [name for name in NEEDED if name not in joints]
    if missing:
        raise InvalidAnnotation(
            f"A body cannot be moved without its {', '.join(missing)}; got {', '.join(joints)}."
        )
    points = _without_calibration(np.asarray(points, dtype=float))
    if len(points) < 2:
        raise InvalidAnnotation(f"{len(points)} pose is no movement; two or more are needed.")
    at = dict(zip(joints, np.moveaxis(points, 1, 0), strict=True))
    body = Body()
    legs = [_leg_length(at, side) for side in ("left", "right")]
    at = {name: points * (2 * body.leg_m / sum(legs)) for name, points in at.items()}
    at = {
        "thorax": (at["left_shoulder"] + at["right_shoulder"]) / 2,
        "pelvis": (at["left_hip"] + at["right_hip"]) / 2,
        **at,
    }
    at = {"spine": (at["pelvis"] + at["thorax"]) / 2, **at}
    _check_lengths(at)
    world = _orientations(at, body)
    hips = body.rest[[INDEX["left_hip"], INDEX["right_hip"]]].mean(axis=0) - body.rest[INDEX["pelvis"]]
    root = (at["left_hip"] + at["right_hip"]) / 2 - world[:, INDEX["pelvis"]] @ hips
    placed = forward_kinematics(body, Pose(root, local_rotations(world)))
    raised_m = _grounding(at, placed, body)
    root[:, 2] += raised_m
    _flatten_toes(world, placed, raised_m, body)
    return Recorded(Pose(root, local_rotations(world)), rate_hz, float(body.rest[INDEX["pelvis"], 2]))


def _without_calibration(points: Array) -> Array:
    if len(points) < 3:
        return points
    posture = points - points.mean(axis=1, keepdims=True)
    steps = np.linalg.norm(np.diff(posture, axis=0), axis=2).mean(axis=1)
    return points[1:] if steps[0] > _JUMP * steps[1:].max() else points


def _leg_length(at: Mapping[str, Array], side: str) -> float:
    thigh = np.linalg.norm(at[f"{side}_knee"] - at[f"{side}_hip"], axis=1)
    shank = np.linalg.norm(at[f"{side}_ankle"] - at[f"{side}_knee"], axis=1)
    return max(float(np.median(thigh + shank)), 1e-9)


def _check_lengths(at: Mapping[str, Array]) -> None:
    """Bones that have to point somewhere have a length, in metres of the average body."""
    bones = [("pelvis", "spine"), ("spine", "thorax"), ("right_hip", "left_hip")]
    bones += [("right_shoulder", "left_shoulder")]
    for side in ("left", "right"):
        for limb in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            bones += [(f"{side}_{a}", f"{side}_{b}") for a, b in pairwise(limb)]
    for start, end in bones:
        if np.linalg.norm(at[end] - at[start], axis=1).min() < _SHORTEST_M:
            raise InvalidAnnotation(
                f"{start} and {end} lie on one another; a bone between them points nowhere."
            )


def _orientations(at: Mapping[str, Array], body: Body) -> Array:
    """World orientations of our joints, (T, 31, 3, 3), from where the captured ones are."""
    world = np.broadcast_to(np.eye(3), (len(at["pelvis"]), len(JOINTS), 3, 3)).copy()
    pelvis = _across(at["left_hip"] - at["right_hip"], at["spine"] - at["pelvis"])
    chest = _across(at["left_shoulder"] - at["right_shoulder"], at["thorax"] - at["spine"])
    head = chest
    if _is_apart(at, "neck", "head"):
        upright = body.offsets[INDEX["head"]]
        head = _turned(chest, upright / np.linalg.norm(upright), at["head"] - at["neck"])
    world[:, INDEX["pelvis"]] = pelvis
    world[:, INDEX["spine"]] = world[:, INDEX["chest"]] = chest
    for name in ("neck", "head", "head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        world[:, INDEX[name]] = head
    for side, sign in (("left", 1.0), ("right", -1.0)):

        def to(part: str, end: str, side: str = side) -> Array:
            return at[f"{side}_{end}"] - at[f"{side}_{part}"]

        # Arms are turned from where they are spread: the way down and the way up are equally long from there.
        spread = chest @ rotation("x", np.array(sign * np.pi / 2))
        upper = _turned(spread, _DOWN, to("shoulder", "elbow"))
        lower = _turned(upper, _DOWN, to("elbow", "wrist"))
        tip = _is_apart(at, f"{side}_wrist", f"{side}_hand_tip")
        hand = _turned(lower, _DOWN, to("wrist", "hand_tip")) if tip else lower
        thigh = _turned(pelvis, _DOWN, to("hip", "knee"))
        shank = _turned(thigh, _DOWN, to("knee", "ankle"))
        parts = {"clavicle": chest, "shoulder": upper, "elbow": lower, "wrist": hand, "fingers": hand}
        parts |= {"hip": thigh, "knee": shank}
        parts |= dict.fromkeys(("ankle", "ball", "toes"), _foot(at, side, shank))
        for part, orientation in parts.items():
            world[:, INDEX[f"{side}_{part}"]] = orientation
    return world


def _foot(at: Mapping[str, Array], side: str, shank: Array) -> Array:
    """Orientations of a foot (T, 3, 3), level where the captured foot stands."""
    up = shank[:, :, 2] + _UP
    if not _is_apart(at, f"{side}_ankle", f"{side}_foot"):
        return _along(shank[:, :, 0] * (1.0, 1.0, 0.2), up)
    ankle = at[f"{side}_ankle"]
    forward = unit(at[f"{side}_foot"] - ankle)
    # Ankles lie higher above the toes in some systems than in others.
    low = ankle[:, 2] <= np.percentile(ankle[:, 2], 10) + 0.02
    slope = float(np.median(np.arcsin(-forward[low, 2])))
    return _along(forward, up) @ rotation("y", np.array(-slope))


def _grounding(at: Mapping[str, Array], placed: Placement, body: Body) -> Array:
    """How much to lift the placed body, (T,) metres, so that its feet are as high as the captured ones."""
    lifts, soles = [], []
    ball_m = float(body.rest[INDEX["left_ball"], 2])
    heel = np.array([-0.045 * body.proportions.height_m, 0.0, -body.ankle_m])
    for side in ("left", "right"):
        heights = [at[name][:, 2] for name in (f"{side}_ankle", f"{side}_foot") if name in at]
        lifts += [height - np.percentile(height, 5) for height in heights]
        ankle = placed.of(f"{side}_ankle") + placed.orientations[:, INDEX[f"{side}_ankle"]] @ heel
        soles += [ankle[:, 2], placed.of(f"{side}_ball")[:, 2] - ball_m]
    lift = np.maximum(np.min(lifts, axis=0), 0.0)
    needed = lift - np.min(soles, axis=0)
    settled = np.median(needed[lift <= np.percentile(lift, 50)])
    standing = np.clip((_FLYING_M - lift) / (_FLYING_M - _STANDING_M), 0.0, 1.0)
    result: Array = standing * needed + (1 - standing) * settled
    return result


def _flatten_toes(world: Array, placed: Placement, raised_m: Array, body: Body) -> None:
    """Bend the toes of feet that stand on their balls."""
    for side in ("left", "right"):
        foot = world[:, INDEX[f"{side}_ankle"]]
        height = placed.of(f"{side}_ball")[:, 2] + raised_m - body.rest[INDEX[f"{side}_ball"], 2]
        kept = 0.1 + 0.9 * np.clip(height / _FLAT_TOES_M, 0.0, 1.0)
        forward = foot[:, :, 0].copy()
        forward[:, 2] *= np.where(forward[:, 2] < 0, kept, 1.0)
        x = unit(forward)
        y = unit(foot[:, :, 1] - x * np.sum(foot[:, :, 1] * x, axis=1, keepdims=True))
        toes = np.stack([x, y, np.cross(x, y)], axis=2)
        world[:, INDEX[f"{side}_ball"]] = world[:, INDEX[f"{side}_toes"]] = toes


def _is_apart(at: Mapping[str, Array], start: str, end: str) -> bool:
    """Whether there is a bone between two joints that need not be there."""
    if start not in at or end not in at:
        return False
    return bool(np.linalg.norm(at[end] - at[start], axis=1).min() >= _SHORTEST_M)


def _turned(frames: Array, rest: Array, direction: Array) -> Array:
    """Frames (T, 3, 3) turned the shortest way until their `rest` (3,) points along `direction` (T, 3)."""
    a, b = frames @ rest, unit(direction)
    axis, cosine = np.cross(a, b), np.sum(a * b, axis=1)
    cross = np.zeros_like(frames)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        cross[:, j, k], cross[:, k, j] = -axis[:, i], axis[:, i]
    arc = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-6)[:, None, None]
    return orthonormal(arc @ frames)


def _across(lateral: Array, up: Array) -> Array:
    """Frames (T, 3, 3) whose y axis is `lateral` and whose z axis lies near `up`."""
    y = unit(lateral)
    x = unit(np.cross(y, up))
    return np.stack([x, y, np.cross(x, y)], axis=2)


def _along(forward: Array, up: Array) -> Array:
    """Frames (T, 3, 3) whose x axis is `forward` and whose z axis lies near `up`."""
    x = unit(forward)
    y = unit(np.cross(up, x))
    return np.stack([x, y, np.cross(x, y)], axis=2)
