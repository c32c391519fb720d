"""The performer's surface: lofted limbs, trunk, head, hair, hands, shoes and skirt, skinned to the joints.

The mesh is built once in the rest pose; linear blend skinning then moves it for all instants at once.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kinesphere.synthetic.body.body import INDEX, JOINTS, Array, Body, Placement
from kinesphere.synthetic.body.performer import Outfit, Performer

Weights = dict[str, float]


@dataclass(frozen=True)
class Mesh:
    """A surface of quads.

    Attributes:
        vertices: Rest positions (V, 3) metres.
        weights: Weight of each joint in each vertex, (V, 31), rows sum to 1.
        faces: Vertex indices (F, 4), counter-clockwise seen from outside; triangles repeat one.
        colours: RGB of each face 0–255, (F, 3).
        parts: Vertex ranges `(start, end)` whose convex hulls cast the shadow.
    """

    vertices: Array
    weights: Array
    faces: Array
    colours: Array
    parts: tuple[tuple[int, int], ...]

    def skinned(self, body: Body, placement: Placement) -> Array:
        """Vertices in the world at every instant, (T, V, 3) float32."""
        turned = placement.orientations
        shift = placement.positions - np.einsum("tjab,jb->tja", turned, body.rest)
        moves = np.concatenate([turned, shift[..., None]], axis=3).reshape(len(turned), len(JOINTS), 12)
        blend = np.matmul(self.weights.astype(np.float32), moves.astype(np.float32))
        blend = blend.reshape(len(turned), len(self.vertices), 3, 4)
        x, y, z = self.vertices.astype(np.float32).T[:, :, None]
        placed: Array = blend[..., 0] * x + blend[..., 1] * y + blend[..., 2] * z + blend[..., 3]
        return placed


@dataclass(frozen=True)
class Ring:
    """One cross-section of a loft: centre, half-widths along its two axes, joint weights, squareness."""

    centre: tuple[float, float, float]
    half: tuple[float, float]
    weights: Weights
    square: float = 0.0


class Builder:
    """Collects lofts into one mesh; `detail` multiplies the quads around each of them."""

    def __init__(self, detail: int) -> None:
        self.detail = detail
        self.vertices: list[Array] = []
        self.weights: list[Array] = []
        self.faces: list[Array] = []
        self.colours: list[Array] = []
        self.parts: list[tuple[int, int]] = []
        self.count = 0

    def loft(
        self, rings: list[Ring], segments: int, colours: Array, along: str = "z", shadow: bool = True
    ) -> None:
        """Skin a row of rings, closed at both ends.

        Args:
            rings: Cross-sections from the top down (or from back to front with `along="x"`).
            segments: Points per ring; the first one points forward (up with `along="x"`), the second
                half-width axis is lateral.
            colours: RGB per band and segment, (len(rings) + 1, segments, 3): cap, bands, cap.
            along: Axis that the rings follow.
            shadow: Whether the loft casts a shadow.
        """
        angle = 2 * np.pi * np.arange(segments) / segments
        points, weights = [], []
        for ring in rings:
            c, s = np.cos(angle), np.sin(angle)
            if ring.square:
                power = 1 - ring.square
                c, s = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
            main, lateral = ring.half[0] * c, ring.half[1] * s
            zero = np.zeros(segments)
            local = np.stack([main, lateral, zero] if along == "z" else [zero, lateral, main], axis=1)
            points.append(np.array(ring.centre) + local)
            weights.append(np.repeat(_row(ring.weights)[None], segments, axis=0))
        for ring in (rings[0], rings[-1]):
            points.append(np.array([ring.centre]))
            weights.append(_row(ring.weights)[None])
        self._add(
            np.concatenate(points),
            np.concatenate(weights),
            _loft_faces(len(rings), segments),
            colours,
            shadow,
        )

    def _add(self, points: Array, weights: Array, faces: Array, colours: Array, shadow: bool) -> None:
        # Outward is away from the loft's axis; flip all faces if the first band looks inwards.
        band = faces[len(faces) // 2]
        normal = np.cross(points[band[2]] - points[band[0]], points[band[3]] - points[band[1]])
        middle = points[:-2].mean(axis=0)
        inward = np.dot(normal, points[band].mean(axis=0) - middle) < 0
        self.vertices.append(points)
        self.weights.append(weights)
        self.faces.append((faces[:, ::-1] if inward else faces) + self.count)
        self.colours.append(colours.reshape(-1, 3))
        if shadow:
            self.parts.append((self.count, self.count + len(points)))
        self.count += len(points)

    def mesh(self) -> Mesh:
        """The finished surface."""
        return Mesh(
            np.concatenate(self.vertices),
            np.concatenate(self.weights),
            np.concatenate(self.faces),
            np.concatenate(self.colours).astype(np.float32),
            tuple(self.parts),
        )


@lru_cache(maxsize=64)
def build_mesh(performer: Performer, detail: int = 1) -> Mesh:
    """The surface of a performer in his or her clothes; do not write into its arrays, they are shared.

    Args:
        performer: Who; folds and the unevenness of cloth follow from the appearance.
        detail: Factor on the number of quads around limbs; 1 suits images up to some 240 pixels high.
    """
    builder = Builder(detail)
    generator = np.random.default_rng(zlib.crc32(repr(performer).encode()))
    body, outfit = performer.body, performer.outfit
    scale = body.proportions.height_m * body.proportions.girth
    for side in ("left", "right"):
        _leg(builder, performer, side, scale, generator)
        _foot(builder, performer, side)
        _arm(builder, performer, side, scale, generator)
    _trunk(builder, performer, scale, generator)
    if outfit.legwear == "skirt":
        _skirt(builder, body, outfit, scale, generator)
    _head(builder, performer, generator)
    return builder.mesh()


def _row(weights: Weights) -> Array:
    row = np.zeros(len(JOINTS))
    for name, value in weights.items():
        row[INDEX[name]] = value
    normalised: Array = row / row.sum()
    return normalised


def _loft_faces(rings: int, segments: int) -> Array:
    """Quads between successive rings and fans at both ends, cap first; (rings + 1) * segments of them."""
    j = np.arange(segments)
    k = (j + 1) % segments
    first, last = rings * segments, rings * segments + 1
    bands = [np.stack([np.full(segments, first), np.full(segments, first), k, j], axis=1)]
    for i in range(rings - 1):
        a, b = i * segments, (i + 1) * segments
        bands.append(np.stack([a + j, a + k, b + k, b + j], axis=1))
    end = (rings - 1) * segments
    bands.append(np.stack([end + j, end + k, np.full(segments, last), np.full(segments, last)], axis=1))
    return np.concatenate(bands)


def _from_front(segments: int) -> Array:
    """Angle in degrees of each segment's middle from a ring's first point, 0–180."""
    angle = (np.arange(segments) + 0.5) * 360 / segments
    nearest: Array = np.minimum(angle, 360 - angle)
    return nearest


def _paint(
    bands: int, segments: int, colour: tuple[int, int, int], generator: np.random.Generator, fold: float
) -> Array:
    """One colour with the slight unevenness of cloth or skin, (bands, segments, 3)."""
    shade = 1 + fold * generator.uniform(-1, 1, (bands, segments, 1))
    painted: Array = np.array(colour, dtype=float) * shade
    return painted


def _between(a: str, b: str, part: float) -> Weights:
    return {a: 1 - part, b: part} if 0 < part < 1 else {b if part >= 1 else a: 1.0}


def _leg(
    builder: Builder, performer: Performer, side: str, scale: float, generator: np.random.Generator
) -> None:
    body, outfit = performer.body, performer.outfit
    hip, knee, ankle = (body.rest[INDEX[f"{side}_{n}"]] for n in ("hip", "knee", "ankle"))
    # Level (0 hip, 1 knee, 2 ankle), half-widths forward and lateral, part of the lower joint.
    profile = (
        (-0.16, 0.050, 0.042, 0.0), (0.0, 0.054, 0.049, 0.0), (0.18, 0.053, 0.049, 0.0),
        (0.45, 0.046, 0.043, 0.0), (0.72, 0.039, 0.037, 0.0), (0.90, 0.036, 0.034, 0.25),
        (1.0, 0.035, 0.033, 0.5), (1.10, 0.034, 0.032, 0.75), (1.30, 0.037, 0.033, 1.0),
        (1.55, 0.032, 0.029, 1.0), (1.80, 0.023, 0.022, 1.0), (1.97, 0.021, 0.020, 1.0),
    )  # fmt: skip
    covered = 0.0 if outfit.legwear == "skirt" else 2 * outfit.hem
    rings, colours = [], []
    segments = 7 * builder.detail
    for level, fore, wide, lower in profile:
        top, bottom, part = (hip, knee, level) if level <= 1 else (knee, ankle, level - 1)
        centre = top + part * (bottom - top)
        dressed = level <= covered
        width = scale * (
            outfit.loose + 0.12 * max(0.0, level - 0.6) * (outfit.loose > 1.1) if dressed else 1.0
        )
        joints = {f"{side}_hip": 1.0} if level > -0.1 else {f"{side}_hip": 0.5, "pelvis": 0.5}
        if lower > 0:
            joints = _between(f"{side}_hip", f"{side}_knee", lower)
        calf = -0.006 * scale if 1.1 < level < 1.7 else 0.0
        rings.append(Ring((centre[0] + calf, centre[1], centre[2]), (fore * width, wide * width), joints))
        colours.append(_paint(1, segments, outfit.bottom if dressed else performer.skin, generator, 0.06)[0])
    colours.append(colours[-1])
    builder.loft(rings, segments, np.stack(colours))


def _foot(builder: Builder, performer: Performer, side: str) -> None:
    body, shoe = performer.body, np.array(performer.outfit.shoes, dtype=float)
    h = body.proportions.height_m
    ankle = body.rest[INDEX[f"{side}_ankle"]]
    foot, toe = {f"{side}_ankle": 1.0}, {f"{side}_ball": 1.0}
    profile = (
        (-0.043, 0.026, 0.018, 0.017, foot), (-0.030, 0.034, 0.024, 0.022, foot),
        (0.0, 0.040, 0.025, 0.022, foot), (0.040, 0.026, 0.022, 0.026, foot),
        (0.083, 0.018, 0.017, 0.029, _between(f"{side}_ankle", f"{side}_ball", 0.5)),
        (0.105, 0.014, 0.013, 0.026, toe), (0.124, 0.010, 0.009, 0.016, toe),
    )  # fmt: skip
    rings = [
        Ring((ankle[0] + x * h, ankle[1], z * h * 0.62 + 0.002), (z * h * 0.62, wide * h), joints, 0.25)
        for x, z, _, wide, joints in profile
    ]
    segments = 6 * builder.detail
    colours = np.broadcast_to(shoe, (len(rings) + 1, segments, 3)).copy()
    colours[:, _from_front(segments) > 135] *= 0.55  # the sole
    builder.loft(rings, segments, colours, along="x")


def _arm(
    builder: Builder, performer: Performer, side: str, scale: float, generator: np.random.Generator
) -> None:
    body, outfit = performer.body, performer.outfit
    shoulder, elbow, wrist, fingers = (
        body.rest[INDEX[f"{side}_{n}"]] for n in ("shoulder", "elbow", "wrist", "fingers")
    )
    profile = (
        (-0.16, 0.020, 0.018, 0.0), (-0.09, 0.034, 0.032, 0.0), (0.03, 0.039, 0.036, 0.0),
        (0.25, 0.035, 0.032, 0.0), (0.6, 0.029, 0.027, 0.0), (0.88, 0.026, 0.025, 0.25),
        (1.0, 0.025, 0.025, 0.5), (1.12, 0.026, 0.025, 0.75), (1.35, 0.026, 0.024, 1.0),
        (1.7, 0.020, 0.019, 1.0), (1.97, 0.016, 0.017, 1.0),
    )  # fmt: skip
    covered = 2 * outfit.sleeve if outfit.sleeve else -0.02
    rings, colours = [], []
    segments = 6 * builder.detail
    for level, fore, wide, lower in profile:
        top, bottom, part = (shoulder, elbow, level) if level <= 1 else (elbow, wrist, level - 1)
        centre = top + part * (bottom - top)
        dressed = level <= covered
        width = scale * (1.16 if dressed else 1.0)
        joints = (
            {f"{side}_shoulder": 0.6, f"{side}_clavicle": 0.4} if level < 0 else {f"{side}_shoulder": 1.0}
        )
        if lower > 0:
            joints = _between(f"{side}_shoulder", f"{side}_elbow", lower)
        rings.append(Ring((centre[0], centre[1], centre[2]), (fore * width, wide * width), joints))
        colours.append(
            _paint(1, segments, _top(outfit, level * 3.0) if dressed else performer.skin, generator, 0.05)[0]
        )
    colours.append(colours[-1])
    builder.loft(rings, segments, np.stack(colours))
    hand = {f"{side}_wrist": 1.0}
    shape = (
        (0.0, 0.015, 0.015), (0.3, 0.026, 0.013), (0.6, 0.028, 0.013), (0.9, 0.023, 0.011),
        (1.12, 0.014, 0.008),
    )  # fmt: skip
    size = body.proportions.height_m * (0.5 + 0.5 * body.proportions.girth)
    palm = [wrist + part * (fingers - wrist) for part, _, _ in shape]
    rings = [
        Ring((c[0] + 0.004, c[1], c[2]), (fore * size, wide * size), hand)
        for c, (_, fore, wide) in zip(palm, shape, strict=True)
    ]
    segments = 5 * builder.detail
    builder.loft(
        rings, segments, _paint(len(rings) + 1, segments, performer.skin, generator, 0.04), shadow=False
    )


def _top(outfit: Outfit, level: float, segment: int = 0) -> tuple[int, int, int]:
    """Colour of the top at a height (in bands) and a place around the body."""
    second = {
        "plain": False,
        "print": False,
        "bands": int(np.floor(level)) % 2 == 1,
        "stripes": segment % 2 == 1,
        "checks": (int(np.floor(level)) + segment) % 2 == 1,
    }[outfit.pattern]
    return outfit.accent if second else outfit.top


def _trunk(builder: Builder, performer: Performer, scale: float, generator: np.random.Generator) -> None:
    body, outfit, p = performer.body, performer.outfit, performer.body.proportions
    h = p.height_m
    z = {
        name: float(body.rest[INDEX[name], 2])
        for name in ("left_hip", "pelvis", "spine", "chest", "neck", "head")
    }
    shoulder_z = float(body.rest[INDEX["left_shoulder"], 2])
    hip_z, midriff = z["left_hip"], 0.5 * (z["chest"] + z["spine"])
    ribs, waist = _between("spine", "chest", 0.7), _between("pelvis", "spine", 0.5)
    wide, hips = p.shoulder * h * (0.4 + 0.6 * p.girth), p.hip * scale
    rings = [
        Ring((0.0, 0, z["head"] + 0.01 * h), (0.033 * h, 0.030 * h), _between("neck", "head", 0.6)),
        Ring((-0.006 * h, 0, z["neck"] + 0.012 * h), (0.036 * h, 0.034 * h), _between("chest", "neck", 0.7)),
        Ring((-0.008 * h, 0, shoulder_z + 0.022 * h), (0.044 * h, 0.062 * wide), {"chest": 1.0}),
        Ring((-0.008 * h, 0, shoulder_z + 0.008 * h), (0.056 * scale, 0.106 * wide), {"chest": 1.0}, 0.1),
        Ring((-0.004 * h, 0, shoulder_z - 0.028 * h), (0.068 * scale, 0.116 * wide), {"chest": 1.0}, 0.15),
        Ring((0.002 * h, 0, shoulder_z - 0.065 * h), (0.073 * scale, 0.108 * wide), {"chest": 1.0}, 0.15),
        Ring((0.002 * h, 0, z["chest"] - 0.005 * h), (0.069 * scale, 0.097 * scale), ribs, 0.1),
        Ring((0.002 * h, 0, midriff), (0.065 * scale, 0.090 * scale), _between("spine", "chest", 0.3), 0.1),
        Ring((0.0, 0, z["spine"] - 0.005 * h), (0.067 * scale, 0.092 * hips), waist, 0.1),
        Ring((-0.002 * h, 0, z["pelvis"] + 0.01 * h), (0.071 * scale, 0.100 * hips), {"pelvis": 1.0}, 0.15),
        Ring((-0.006 * h, 0, hip_z - 0.005 * h), (0.074 * scale, 0.104 * hips), {"pelvis": 1.0}, 0.15),
        Ring((-0.006 * h, 0, hip_z - 0.045 * h), (0.062 * scale, 0.090 * hips), {"pelvis": 1.0}, 0.1),
    ]  # fmt: skip
    segments = 12 * builder.detail
    colours = np.empty((len(rings) + 1, segments, 3))
    for band in range(len(rings) + 1):
        fold = _paint(1, segments, (255, 255, 255), generator, 0.05)[0] / 255
        for segment in range(segments):
            if band < 2:
                plain = performer.skin
            elif band < 10:
                plain = _top(outfit, band, segment // builder.detail)
            else:
                plain = outfit.bottom
            colours[band, segment] = np.array(plain) * fold[segment]
    if outfit.pattern == "print":
        colours[5:8, _from_front(segments) < 45] = outfit.accent
    if outfit.sleeve == 0:
        colours[2, :] = performer.skin
    builder.loft(rings, segments, colours)


def _skirt(
    builder: Builder, body: Body, outfit: Outfit, scale: float, generator: np.random.Generator
) -> None:
    hip, ankle = body.rest[INDEX["left_hip"]], body.rest[INDEX["left_ankle"]]
    z_waist, z_hem = body.rest[INDEX["spine"], 2] - 0.02, hip[2] + outfit.hem * (ankle[2] - hip[2])
    segments, bands = 12 * builder.detail, 6
    lateral = np.sin(2 * np.pi * np.arange(segments) / segments)
    builder.loft(
        [
            Ring(
                (0.0, 0.0, z_waist + u * (z_hem - z_waist)),
                ((0.070 + 0.050 * u) * scale, (0.096 + 0.055 * u) * scale),
                {"pelvis": 1.0},
            )
            for u in np.linspace(0, 1, bands)
        ],
        segments,
        _paint(bands + 1, segments, outfit.bottom, generator, 0.09),
    )
    # The cloth hangs from the waist and follows the thigh below it, more so towards the hem.
    weights = builder.weights[-1]
    for band, u in enumerate(np.linspace(0, 1, bands)):
        rows = slice(band * segments, (band + 1) * segments)
        follow = min(1.0, 1.25 * u)
        weights[rows] = 0
        weights[rows, INDEX["pelvis"]] = 1 - follow
        weights[rows, INDEX["left_hip"]] = follow * (0.5 + 0.5 * lateral)
        weights[rows, INDEX["right_hip"]] = follow * (0.5 - 0.5 * lateral)


def _head(builder: Builder, performer: Performer, generator: np.random.Generator) -> None:
    body = performer.body
    chin, top = body.rest[INDEX["head"]], body.rest[INDEX["head_top"]]
    size = float(top[2] - chin[2])
    bottom_z = chin[2] - 0.02 * size
    head = {"head": 1.0}
    profile = (
        (0.99, 0.16, 0.15, 0.00), (0.93, 0.32, 0.27, -0.02), (0.82, 0.43, 0.36, -0.02),
        (0.66, 0.48, 0.385, -0.01), (0.53, 0.48, 0.385, 0.00), (0.42, 0.47, 0.375, 0.01),
        (0.30, 0.45, 0.355, 0.02), (0.17, 0.40, 0.30, 0.05), (0.06, 0.30, 0.21, 0.09),
        (0.0, 0.16, 0.12, 0.12),
    )  # fmt: skip
    segments = 12 * builder.detail
    rings = [
        Ring((chin[0] + x * size, 0.0, bottom_z + level * size), (fore * size, wide * size), head)
        for level, fore, wide, x in profile
    ]
    skin = _paint(len(rings) + 1, segments, performer.skin, generator, 0.02)
    hair = _paint(len(rings) + 1, segments, performer.hair_colour, generator, 0.12)
    from_front = _from_front(segments)
    colours = skin.copy()
    colours[5, (from_front > 5) & (from_front < 32)] *= 0.35  # eyes
    colours[4, from_front < 50] *= 0.85  # brows
    colours[8, from_front < 25] = np.array(performer.skin) * (0.80, 0.52, 0.52)  # mouth
    cover = {"bald": 0, "short": 5, "bob": 7, "long": 7, "bun": 5, "cap": 4}[performer.hair]
    if performer.hair != "bald":
        for band in range(cover + 2):
            # The hairline: all of the crown, further and further back below it.
            behind = 0.0 if band < 3 else 50.0 + 14.0 * max(0, band - 4)
            colours[band, from_front > behind] = hair[band, from_front > behind]
    if performer.hair == "cap":
        colours[:4] = np.array(performer.outfit.accent)
    builder.loft(rings, segments, colours)
    nose = body.rest[INDEX["nose"]]
    tip = Ring((nose[0] - 0.03 * size, 0, nose[2]), (0.10 * size, 0.06 * size), head)
    bridge = Ring((nose[0] - 0.05 * size, 0, nose[2] + 0.16 * size), (0.04 * size, 0.03 * size), head)
    builder.loft([bridge, tip], 6, _paint(3, 6, performer.skin, generator, 0.03) * 0.96, shadow=False)
    _hair(builder, performer, chin, size, generator)


def _hair(
    builder: Builder, performer: Performer, chin: Array, size: float, generator: np.random.Generator
) -> None:
    """Volume beyond the skull: lengths down the back, a bun, the brim of a cap."""
    head: Weights = {"head": 1.0}

    def ring(x: float, z: float, fore: float, wide: float, weights: Weights = head) -> Ring:
        return Ring((chin[0] + x * size, 0, chin[2] + z * size), (fore, wide), weights)

    if performer.hair in ("bob", "long"):
        end = 0.05 if performer.hair == "bob" else -1.0
        rings = []
        for u in np.linspace(0, 1, 6):
            level = 0.85 + u * (end - 0.85)
            follow = head if level > -0.2 else _between("head", "chest", 0.6)
            back, half = -0.16 - 0.06 * u, 0.34 - 0.10 * u * (performer.hair == "long")
            rings.append(ring(back, level, 0.36 * size - 0.12 * size * u, half * size * 1.22, follow))
        segments = 10 * builder.detail
        builder.loft(
            rings, segments, _paint(len(rings) + 1, segments, performer.hair_colour, generator, 0.14)
        )
    elif performer.hair == "bun":
        rings = [
            ring(-0.46, 0.78 + z, r * size, r * size)
            for z, r in ((0.17, 0.08), (0.08, 0.17), (-0.04, 0.18), (-0.15, 0.10))
        ]
        builder.loft(rings, 8, _paint(len(rings) + 1, 8, performer.hair_colour, generator, 0.14))
    elif performer.hair == "cap":
        rings = [ring(0.42, 0.74 + z, 0.36 * size, 0.30 * size) for z in (0.02, -0.02)]
        builder.loft(rings, 10, _paint(3, 10, performer.outfit.accent, generator, 0.05))
