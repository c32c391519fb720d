"""Surfaces of the things that figures use: chairs, balls, boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.body.body import Array, rotation
from kinesphere.synthetic.motion.motion import ObjectKind, SceneObject

_Piece = tuple[tuple[float, float, float], tuple[float, float, float], int]
_Shape = tuple[Array, Array, Array, tuple[tuple[int, int], ...]]
"""Points (V, 3), faces (F, 4), factors on the colour (F, 1 or 3), ranges of vertices that cast shadows."""


@dataclass(frozen=True)
class Surface:
    """Quads moving through the world.

    Attributes:
        vertices: (S, V, 3) float32 metres at S instants.
        faces: Vertex indices (F, 4), counter-clockwise seen from outside.
        colours: RGB 0–255 (F, 3).
        owner: Index of the person or thing of which the ground truth tells, or -1.
        parts: Vertex ranges whose hulls cast shadows.
        depth_bias_m: Added to its distance when faces are sorted.
    """

    vertices: Array
    faces: Array
    colours: Array
    owner: int
    parts: tuple[tuple[int, int], ...]
    depth_bias_m: float = 0.0


def object_surface(thing: SceneObject, colour: Array, owner: int = -1) -> Surface:
    """The surface of a thing along its path, in a colour that it has unless it brings its own."""
    own = colour if thing.colour is None else np.array(thing.colour)
    points, faces, shades, parts = _SHAPES[thing.kind](thing.size_m)
    heading = rotation("z", np.array(thing.yaw_rad))
    if thing.orientations is None:
        turned = (points @ heading.T)[None]
    else:
        turned = points @ np.swapaxes(heading @ thing.orientations, 1, 2)
    vertices = (turned + thing.positions[:, None]).astype(np.float32)
    colours = (own * shades).astype(np.float32)
    return Surface(vertices, faces, colours, owner, parts, _BIAS_M.get(thing.kind, 0.0))


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


def _chair(seat_m: float) -> _Shape:
    """A chair facing +x, its seat's middle above the origin."""
    pieces: list[_Piece] = [
        ((0.0, 0.0, seat_m - 0.025), (0.21, 0.21, 0.022), 4),
        ((-0.20, 0.0, seat_m + 0.22), (0.02, 0.20, 0.20), 4),
    ]
    legs = [
        ((x, y, seat_m / 2 - 0.02), (0.018, 0.018, seat_m / 2 - 0.02), 2)
        for x in (-0.18, 0.18)
        for y in (-0.18, 0.18)
    ]
    points, faces, parts = _joined([*pieces, *legs])
    return points, faces, np.ones((len(faces), 1)), parts


def _joined(pieces: Sequence[_Piece]) -> tuple[Array, Array, tuple[tuple[int, int], ...]]:
    """Blocks as one body, and the vertices of each."""
    points, faces, parts, count = [], [], [], 0
    for centre, half, cuts in pieces:
        some, quads = _cuboid(centre, half, cuts)
        points.append(some)
        faces.append(quads + count)
        parts.append((count, count + len(some)))
        count += len(some)
    return np.concatenate(points), np.concatenate(faces), tuple(parts)


def _box(size_m: float) -> _Shape:
    half = size_m / 2
    points, faces = _cuboid((0, 0, 0), (half * 0.8, half, half * 0.8), 3)
    tape = np.where(np.arange(len(faces)) % 3 == 1, 0.82, 1.0)[:, None]
    return points, faces, tape, ((0, len(points)),)


def _football(size_m: float) -> _Shape:
    points, faces = _ball(size_m / 2)
    patches = np.where(np.arange(len(faces)) % 5 == 0, 0.6, 1.0)[:, None]
    return points, faces, patches, ((0, len(points)),)


def _bottle(size_m: float) -> _Shape:
    """A body with a neck and a light cap, standing, its middle at the origin."""
    rows = [(-0.5, 0.0), (-0.5, 0.15), (-0.2, 0.16), (0.08, 0.16), (0.24, 0.06), (0.4, 0.055), (0.4, 0.075),
            (0.5, 0.075), (0.5, 0.0)]  # fmt: skip
    points, faces = _turned([(size_m * z, size_m * r) for z, r in rows], 10)
    cap = (np.arange(len(faces)) >= 5 * 10)[:, None]
    label = (np.arange(len(faces)) // 10 == 2)[:, None]
    return points, faces, np.where(cap, 1.6, np.where(label, 1.35, 1.0)), ((0, len(points)),)


def _stick(size_m: float) -> _Shape:
    """A round staff along z, held where the origin is, at a fifth of its length."""
    levels = np.linspace(-0.2, 0.8, 13)
    rows = [(levels[0], 0.0), *((level, 0.02) for level in levels), (levels[-1], 0.0)]
    points, faces = _turned([(size_m * z, size_m * r) for z, r in rows], 6)
    bark = np.where(np.arange(len(faces)) % 4 == 1, 0.85, 1.0)[:, None]
    return points, faces, bark, ((0, len(points)),)


def _machete(size_m: float) -> _Shape:
    """A dark grip at the origin and a broad blade along z, its edge towards +x."""
    grip: _Piece = ((0.0, 0.0, 0.0), (0.028 * size_m, 0.020 * size_m, 0.12 * size_m), 2)
    blade: list[_Piece] = [
        ((0.02 * size_m * i / 4, 0.0, (0.19 + 0.14 * i) * size_m),
         ((0.036 + 0.008 * i) * size_m, 0.005 * size_m, 0.07 * size_m), 2)
        for i in range(5)
    ]  # fmt: skip
    points, faces, parts = _joined([grip, *blade])
    shades = np.where((np.arange(len(faces)) < 24)[:, None], np.array([0.28, 0.2, 0.16]), 1.0)
    return points, faces, shades, ((parts[0][0], parts[-1][1]),)


def _turned(rows: Sequence[tuple[float, float]], segments: int) -> tuple[Array, Array]:
    """A body of revolution about z through (height, radius) from its bottom to its top."""
    around = 2 * np.pi * np.arange(segments) / segments
    z, radius = np.array(rows).T
    x, y = np.outer(radius, np.cos(around)), np.outer(radius, np.sin(around))
    points = np.stack([x, y, np.repeat(z[:, None], segments, axis=1)], axis=-1).reshape(-1, 3)
    return points, _bands(len(rows), segments)[:, ::-1]


def _ball(radius_m: float) -> tuple[Array, Array]:
    rings, segments = 7, 10
    polar = np.pi * np.arange(rings) / (rings - 1)
    around = 2 * np.pi * np.arange(segments) / segments
    x, y = np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around))
    points = np.stack([x, y, np.outer(np.cos(polar), np.ones(segments))], axis=-1).reshape(-1, 3)
    return points * radius_m, _bands(rings, segments)


def _bands(rings: int, segments: int) -> Array:
    """Quads between successive rings."""
    j = np.arange(segments)
    k = (j + 1) % segments
    bands = [
        np.stack([i * segments + j, (i + 1) * segments + j, (i + 1) * segments + k, i * segments + k], axis=1)
        for i in range(rings - 1)
    ]
    return np.concatenate(bands)


_SHAPES: dict[ObjectKind, Callable[[float], _Shape]] = {
    "ball": _football, "box": _box, "chair": _chair, "bottle": _bottle, "stick": _stick, "machete": _machete,
}  # fmt: skip
_BIAS_M: dict[ObjectKind, float] = {"chair": 0.06}
