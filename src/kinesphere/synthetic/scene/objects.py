"""Surfaces of the things that figures use: chairs, balls, boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.body.body import Array, rotation
from kinesphere.synthetic.motion.motion import SceneObject


@dataclass(frozen=True)
class Surface:
    """Quads moving through the world.

    Attributes:
        vertices: (S, V, 3) float32 metres at S instants.
        faces: Vertex indices (F, 4), counter-clockwise seen from outside.
        colours: RGB 0–255 (F, 3).
        owner: Index of the person it belongs to, or -1 for a thing.
        parts: Vertex ranges whose hulls cast shadows.
        depth_bias_m: Added to its distance when faces are sorted.
    """

    vertices: Array
    faces: Array
    colours: Array
    owner: int
    parts: tuple[tuple[int, int], ...]
    depth_bias_m: float = 0.0


def object_surface(thing: SceneObject, colour: Array) -> Surface:
    """The surface of a thing along its path."""
    bias = 0.0
    if thing.kind == "ball":
        points, faces = _ball(thing.size_m / 2)
        patches = np.where(np.arange(len(faces)) % 5 == 0, 0.6, 1.0)[:, None]
        colours = colour * patches
    elif thing.kind == "box":
        half = thing.size_m / 2
        points, faces = _cuboid((0, 0, 0), (half * 0.8, half, half * 0.8), 3)
        tape = np.where(np.arange(len(faces)) % 3 == 1, 0.82, 1.0)[:, None]
        colours = colour * tape
    else:
        points, faces, chair_parts = _chair(thing.size_m)
        colours, bias = np.repeat(colour[None], len(faces), axis=0), 0.06
    parts = chair_parts if thing.kind == "chair" else ((0, len(points)),)
    turned = points @ rotation("z", np.array(thing.yaw_rad)).T
    vertices = (turned[None] + thing.positions[:, None]).astype(np.float32)
    return Surface(vertices, faces, colours.astype(np.float32), -1, parts, bias)


def _cuboid(
    centre: tuple[float, float, float], half: tuple[float, float, float], parts: int
) -> tuple[Array, Array]:
    """A box whose sides are cut into `parts` by `parts` quads, small enough to be sorted by depth."""
    points: list[Array] = []
    faces: list[Array] = []
    grid = np.linspace(-1, 1, parts + 1)
    a, b = (g.ravel() for g in np.meshgrid(grid, grid, indexing="ij"))
    i, j = (g.ravel() for g in np.meshgrid(np.arange(parts), np.arange(parts), indexing="ij"))
    step = parts + 1
    quad = np.stack([i * step + j, (i + 1) * step + j, (i + 1) * step + j + 1, i * step + j + 1], axis=1)
    for axis in range(3):
        for sign in (-1.0, 1.0):
            side = np.empty((len(a), 3))
            side[:, axis] = sign
            side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = a, b
            faces.append((quad if sign > 0 else quad[:, ::-1]) + len(points) * len(a))
            points.append(side * np.array(half) + np.array(centre))
    return np.concatenate(points), np.concatenate(faces)


def _chair(seat_m: float) -> tuple[Array, Array, tuple[tuple[int, int], ...]]:
    """A chair facing +x, its seat's middle above the origin."""
    pieces = [
        ((0.0, 0.0, seat_m - 0.025), (0.21, 0.21, 0.022), 4),
        ((-0.20, 0.0, seat_m + 0.22), (0.02, 0.20, 0.20), 4),
    ]
    legs = [
        ((x, y, seat_m / 2 - 0.02), (0.018, 0.018, seat_m / 2 - 0.02), 2)
        for x in (-0.18, 0.18)
        for y in (-0.18, 0.18)
    ]
    points, faces, parts, count = [], [], [], 0
    for centre, half, cuts in [*pieces, *legs]:
        some, quads = _cuboid(centre, half, cuts)
        points.append(some)
        faces.append(quads + count)
        parts.append((count, count + len(some)))
        count += len(some)
    return np.concatenate(points), np.concatenate(faces), tuple(parts)


def _ball(radius_m: float) -> tuple[Array, Array]:
    rings, segments = 7, 10
    polar = np.pi * np.arange(rings) / (rings - 1)
    around = 2 * np.pi * np.arange(segments) / segments
    x, y = np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around))
    points = np.stack([x, y, np.outer(np.cos(polar), np.ones(segments))], axis=-1).reshape(-1, 3)
    j = np.arange(segments)
    k = (j + 1) % segments
    bands = [
        np.stack([i * segments + j, (i + 1) * segments + j, (i + 1) * segments + k, i * segments + k], axis=1)
        for i in range(rings - 1)
    ]
    return points * radius_m, np.concatenate(bands)
