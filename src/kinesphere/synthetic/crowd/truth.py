"""Where people and things are in the image, and how much of them is hidden, from joints alone.

A body is a set of capsules about its bones. That is a few pixels off the drawn surface, costs a thousandth of
drawing it, and is the same whether a video is drawn or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.clips.pinhole import PinholeCamera, shaken
from kinesphere.synthetic.body.body import COCO, INDEX, JOINTS, PARENTS, Array
from kinesphere.synthetic.crowd.script import Play
from kinesphere.synthetic.scene.objects import object_surface

_BEHIND_M = 0.12  # what is nearer to a bone in depth than this touches the body and is not hidden by it
_MOST_POINTS = 24  # of a thing's surface

# Half the thickness of the body at each joint, statures.
_THICK = {
    "pelvis": 0.070, "spine": 0.068, "chest": 0.068, "neck": 0.034, "head": 0.030, "head_top": 0.010,
    "nose": 0.012, "eye": 0.020, "ear": 0.012, "clavicle": 0.040, "shoulder": 0.036, "elbow": 0.027,
    "wrist": 0.018, "fingers": 0.012, "hip": 0.058, "knee": 0.035, "ankle": 0.026, "ball": 0.014,
    "toes": 0.012,
}  # fmt: skip
RADII: Array = np.array([_THICK[name.removeprefix("left_").removeprefix("right_")] for name in JOINTS])
_LIMBS = (
    "spine", "chest", "neck", "head", "head_top", "shoulder", "elbow", "wrist", "fingers", "hip", "knee",
    "ankle", "toes",
)  # fmt: skip
_BONES = np.array([(PARENTS[INDEX[name]], INDEX[name]) for name in JOINTS if name.endswith(_LIMBS)])


@dataclass(frozen=True)
class Sight:
    """What is where in N frames; P people, then K things.

    Attributes:
        joints2d: COCO joints (N, P, 17, 3) float32: x px, y px, 1 inside the image or 0 outside.
        joints3d: The same in the world (N, P, 17, 3) float32, metres.
        boxes: Around all of each, whatever hides it, (N, P + K, 4): x0, y0, x1, y1 px.
        visible: Fraction of each that is in the image and behind nobody, (N, P + K).
    """

    joints2d: Array
    joints3d: Array
    boxes: Array
    visible: Array


def sight(play: Play, camera: PinholeCamera, maps: Array, times_s: Array) -> Sight:
    """Look at a play at times (N,) through a camera whose image is shaken by `maps` (N, 2, 3)."""
    maps = maps[:, None]
    bodies, worlds, boxes = [], [], []
    for figure in play.figures:
        positions = figure.placed(times_s)[0].positions
        flat = shaken(camera.project(positions), maps)
        scale = figure.performer.body.proportions
        thick = RADII * scale.height_m * (0.4 + 0.6 * scale.girth)
        radii = thick * camera.focal * camera.size[0] / flat[..., 2]
        low = (flat[..., :2] - radii[..., None]).min(axis=1)
        high = (flat[..., :2] + radii[..., None]).max(axis=1)
        boxes.append(np.concatenate([low, high], axis=1))
        bodies.append((flat, radii))
        worlds.append(positions[:, COCO])
    points = [flat for flat, _ in bodies]
    for thing in play.things:
        surface = object_surface(thing.at(times_s), np.zeros(3))
        flat = shaken(camera.project(surface.vertices), maps)
        boxes.append(np.concatenate([flat[..., :2].min(axis=1), flat[..., :2].max(axis=1)], axis=1))
        points.append(flat[:, :: max(1, flat.shape[1] // _MOST_POINTS)])
    where = np.stack(boxes, axis=1)
    visible = [_visible(own, i, where, bodies, camera.size) for i, own in enumerate(points)]
    joints2d = np.stack([flat[:, COCO] for flat, _ in bodies], axis=1).astype(np.float32)
    joints2d[..., 2] = _inside(joints2d, camera.size)
    return Sight(joints2d, np.stack(worlds, axis=1).astype(np.float32), where, np.stack(visible, axis=1))


def _visible(
    points: Array, number: int, boxes: Array, bodies: list[tuple[Array, Array]], size: tuple[int, int]
) -> Array:
    """Fraction (N,) of points (N, V, 3) that are inside the image and behind no body but their own."""
    seen = _inside(points, size)
    for other, (flat, radii) in enumerate(bodies):
        if other == number:
            continue
        a, b = boxes[:, number], boxes[:, other]
        near = (a[:, :2] < b[:, 2:]).all(axis=1) & (b[:, :2] < a[:, 2:]).all(axis=1)
        if near.any():
            seen[near] &= ~_covered(points[near], flat[near], radii[near])
    fraction: Array = seen.mean(axis=1)
    return fraction


def _covered(points: Array, flat: Array, radii: Array) -> Array:
    """Which of the points (N, V, 3) lie behind a body's bones."""
    start, end = flat[:, _BONES[:, 0]], flat[:, _BONES[:, 1]]
    along = end[..., :2] - start[..., :2]
    off = points[:, :, None, :2] - start[:, None, :, :2]
    length = np.maximum((along**2).sum(axis=-1), 1e-6)
    part = np.clip(np.einsum("nvbi,nbi->nvb", off, along) / length[:, None], 0.0, 1.0)
    away = ((off - part[..., None] * along[:, None]) ** 2).sum(axis=-1)
    thick = (1 - part) * radii[:, None, _BONES[:, 0]] + part * radii[:, None, _BONES[:, 1]]
    depth = start[:, None, :, 2] + part * (end - start)[:, None, :, 2]
    covered: Array = ((away < thick**2) & (depth < points[:, :, None, 2] - _BEHIND_M)).any(axis=2)
    return covered


def _inside(points: Array, size: tuple[int, int]) -> Array:
    height, width = size
    x, y = points[..., 0], points[..., 1]
    within: Array = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return within
