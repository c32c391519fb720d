"""Scenes: rooms and places with floors, walls, furniture, trees and buildings, light and sky.

A scene is drawn once per video by casting the camera's rays; the person is composed over it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from kinesphere.clips.pinhole import PinholeCamera
from kinesphere.synthetic.body.body import Array, rotation
from kinesphere.synthetic.scene.textures import Texture, TextureKind, draw_texture, triple

SceneKind = Literal[
    "living room", "park", "gym", "street", "office", "beach", "studio", "plaza", "corridor", "garden"
]
KINDS: tuple[SceneKind, ...] = get_args(SceneKind)
RGB = tuple[float, float, float]
_FREE_M = 2.2  # nothing stands nearer to the performer than this


@dataclass(frozen=True)
class Block:
    """A box or ellipsoid: centre and half sizes in metres, texture."""

    shape: Literal["box", "ellipsoid"]
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    texture: Texture


@dataclass(frozen=True)
class Light:
    """Illumination of persons: direction towards the lamp or sun, its fraction, and the ambient's colour.

    Attributes:
        direction: Unit vector towards the light.
        strength: Fraction of direct light, 0–1; the rest is ambient.
        colour: Tint of the direct light, factors near 1.
        shadow: Darkness of the cast shadow, 0–1.
    """

    direction: tuple[float, float, float]
    strength: float
    colour: RGB
    shadow: float


@dataclass(frozen=True)
class Scene:
    """One place.

    Attributes:
        name: Identifier.
        kind: What sort of place.
        floor: Floor texture.
        walls: Wall texture of a room, None outdoors.
        room_m: Half extents of the room (x, y) and its height.
        blocks: Furniture, trees, buildings.
        sky: Zenith and horizon colours.
        light: Illumination.
    """

    name: str
    kind: SceneKind
    floor: Texture
    walls: Texture | None
    room_m: tuple[float, float, float]
    blocks: tuple[Block, ...]
    sky: tuple[RGB, RGB]
    light: Light


@dataclass(frozen=True)
class Plate:
    """A rendered background: RGB uint8 (h, w, 3) and floor fraction 0–1 (h, w), with a margin for shake."""

    rgb: Array
    floor: Array
    margin_px: int


@dataclass
class _View:
    """What N rays (N, 3) from an eye meet: RGB (N, 3), distance in rays (N,), whether it is floor (N,)."""

    eye: Array
    rays: Array
    pixel: np.float32
    colour: Array
    depth: Array
    floor: Array


def draw_scene(name: str, kind: SceneKind, generator: np.random.Generator) -> Scene:
    """A random scene of a kind."""
    floor_kind, floor_rgb, wall_kind, wall_rgb = _SURFACES[kind]
    floor = draw_texture(floor_kind, _varied(floor_rgb, generator, 16), generator)
    azimuth, elevation = generator.uniform(0, 2 * np.pi), generator.uniform(0.7, 1.25)
    outdoors = wall_kind is None
    flat = np.cos(elevation)
    light = Light(
        triple((np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation))),
        float(generator.uniform(0.45, 0.7) if outdoors else generator.uniform(0.3, 0.5)),
        _varied((1.04, 1.0, 0.94), generator, 0.03),
        float(generator.uniform(0.35, 0.6) if outdoors else generator.uniform(0.2, 0.4)),
    )
    walls, room = None, (60.0, 60.0, 40.0)
    if wall_kind is not None:
        walls = draw_texture(wall_kind, _varied(wall_rgb, generator, 28), generator)
        narrow = kind == "corridor"
        x, y = generator.uniform(3.0, 6.0), generator.uniform(*((1.7, 2.2) if narrow else (2.8, 5.0)))
        tall = generator.uniform(*((4.5, 6.0) if kind == "gym" else (2.6, 3.3)))
        room = triple((x, y, tall))
    blocks = _outdoor_blocks(kind, generator) if outdoors else _indoor_blocks(kind, room, generator)
    haze = _varied((205, 215, 225), generator, 14)
    zenith = _varied(((95, 145, 215), (150, 165, 185))[int(generator.random() < 0.4)], generator, 15)
    return Scene(name, kind, floor, walls, room, blocks, (zenith, haze), light)


def render_plate(
    scene: Scene, camera: PinholeCamera, yaw_rad: float, offset_m: tuple[float, float], margin_px: int
) -> Plate:
    """Draw the scene behind a performer.

    Args:
        scene: What to draw.
        camera: From where, in the performer's world.
        yaw_rad: How the scene is turned about the performer.
        offset_m: Where in the scene the performer stands.
        margin_px: Pixels drawn beyond each border.
    """
    sampling = 1.5 if max(camera.size) <= 400 else 1.0
    origin, rays = camera.rays(margin_px, sampling)
    turn = rotation("z", np.array(-yaw_rad)).astype(np.float32)
    eye = (turn @ origin + np.array([*offset_m, 0.0])).astype(np.float32)
    shape = rays.shape[:2]
    rays = rays.reshape(-1, 3) @ turn.T
    here = np.array(offset_m, dtype=np.float32)
    view = _background(scene, eye, rays, np.float32(1 / (camera.focal * camera.size[0])))
    length = np.sqrt(np.einsum("ij,ij->i", rays, rays))
    behind = here - eye[:2]
    behind = behind / max(float(np.linalg.norm(behind)), 1e-6)
    for block in scene.blocks:
        # A block between the camera and the performer would hide what the clip is about.
        away = np.array(block.centre[:2]) - here
        if float(away @ behind) > 0.3 and float(np.hypot(*away)) - max(block.half[:2]) > 0.8:
            _draw_block(block, scene, view, length)
    image: Array = np.clip(view.colour, 0, 255).astype(np.uint8).reshape(*shape, 3)
    ground: Array = view.floor.astype(np.float32).reshape(shape)
    if sampling > 1:
        height, width = camera.size
        small = (width + 2 * margin_px, height + 2 * margin_px)
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        ground = cv2.resize(ground, small, interpolation=cv2.INTER_AREA)
    return Plate(image, ground, margin_px)


def _background(scene: Scene, eye: Array, rays: Array, pixel: np.float32) -> _View:
    """Floor, walls and ceiling, or floor and sky."""
    with np.errstate(divide="ignore"):
        inverse = 1 / np.where(np.abs(rays) < 1e-6, 1e-6, rays)
    depth = np.full(len(rays), 1e4, dtype=np.float32)
    colour = np.empty((len(rays), 3), dtype=np.float32)
    to_floor = np.where(rays[:, 2] < 0, -eye[2] * inverse[:, 2], 1e4)
    if scene.walls is None:
        floor = (to_floor < 120) & (to_floor > 0)
        _paint_sky(scene, rays, ~floor, colour)
    else:
        x, y, tall = scene.room_m
        exits = [
            (np.where(rays[:, 0] > 0, x, -x) - eye[0]) * inverse[:, 0],
            (np.where(rays[:, 1] > 0, y, -y) - eye[1]) * inverse[:, 1],
            np.where(rays[:, 2] > 0, (tall - eye[2]) * inverse[:, 2], to_floor),
        ]
        stacked = np.stack(exits)
        nearest = np.argmin(stacked, axis=0)
        depth = stacked[nearest, np.arange(len(rays))].astype(np.float32)
        floor = (nearest == 2) & (rays[:, 2] < 0)
        _paint_walls(scene, _View(eye, rays, pixel, colour, depth, floor), nearest)
    depth = np.where(floor, to_floor, depth).astype(np.float32)
    points = eye[:2] + rays[floor, :2] * depth[floor, None]
    blur = pixel * depth[floor] / np.maximum(-rays[floor, 2], 0.08)
    shade = scene.floor.shade(points[:, 0], points[:, 1], blur)
    if scene.walls is None:
        fade = np.clip(depth[floor] / 90, 0, 1)[:, None] ** 0.8
        shade = shade * (1 - fade) + np.array(scene.sky[1], dtype=np.float32) * fade
    colour[floor] = shade
    return _View(eye, rays, pixel, colour, depth, floor)


def _paint_sky(scene: Scene, rays: Array, where: Array, colour: Array) -> None:
    up = rays[where]
    rise = np.clip(up[:, 2] / np.hypot(up[:, 0], up[:, 1]), 0, 1.5)
    zenith, haze = (np.array(rgb, dtype=np.float32) for rgb in scene.sky)
    blend = np.clip(rise * 1.6, 0, 1)[:, None] ** 0.7
    azimuth = np.arctan2(up[:, 1], up[:, 0])
    clouds = np.clip(scene.floor.noise(azimuth * 4, 3 / (rise + 0.25), 3), 0, 1)[:, None]
    sky: Array = haze + blend * (zenith - haze)
    sky = sky + 0.5 * clouds * (245 - sky)
    hills = 0.05 + 0.05 * scene.floor.noise(azimuth * 3, np.zeros_like(azimuth), 3)
    ridge = (rise < hills)[:, None]
    colour[where] = np.where(ridge, 0.55 * haze + 0.3 * np.array(scene.floor.colour, dtype=np.float32), sky)


def _paint_walls(scene: Scene, view: _View, nearest: Array) -> None:
    """Two pairs of walls and the ceiling; `nearest` (N,) says which pair a ray meets first, or 2."""
    assert scene.walls is not None
    rays, depth, tall = view.rays, view.depth, scene.room_m[2]
    for axis in (0, 1):
        wall = nearest == axis
        points = view.eye + rays[wall] * depth[wall, None]
        u, v = points[:, 1 - axis] + 11.0 * axis, points[:, 2]
        blur = view.pixel * depth[wall] / np.maximum(np.abs(rays[wall, axis]), 0.1)
        shade = scene.walls.shade(u, v, blur)
        side = np.where(rays[wall, axis] > 0, 1.0, 0.90) * (1.0 if axis == 0 else 0.84)
        gradient = 0.80 + 0.2 * v / tall
        skirting = v < 0.09
        shade = shade * (side * gradient)[:, None]
        shade[skirting] = np.array((225, 222, 215), dtype=np.float32) * 0.72
        view.colour[wall] = shade
    ceiling = (nearest == 2) & ~view.floor
    view.colour[ceiling] = np.array((222, 220, 214), dtype=np.float32)


def _draw_block(block: Block, scene: Scene, view: _View, length: Array) -> None:
    """Draw a block where it is nearer than what is there already; `length` is that of the rays."""
    centre, half = np.array(block.centre, dtype=np.float32), np.array(block.half, dtype=np.float32)
    eye, rays, depth = view.eye, view.rays, view.depth
    away = centre - eye
    distance, radius = float(np.linalg.norm(away)), float(np.linalg.norm(half))
    cosine = np.sqrt(max(0.0, 1 - (radius / distance) ** 2)) if distance > radius else -1.0
    near = np.flatnonzero(rays @ away > cosine * distance * length)
    if len(near) == 0:
        return
    d, o = rays[near] / half, -away / half
    if block.shape == "box":
        inverse = 1 / np.where(np.abs(d) < 1e-6, 1e-6, d)
        a, b = (-1 - o) * inverse, (1 - o) * inverse
        enter_axes = np.minimum(a, b)
        enter, leave = enter_axes.max(axis=1), np.maximum(a, b).min(axis=1)
        hit = (enter < leave) & (enter > 0.1) & (enter < depth[near])
    else:
        aa, bb, cc = np.sum(d * d, 1), d @ o, float(o @ o) - 1
        root = bb * bb - aa * cc
        enter = (-bb - np.sqrt(np.maximum(root, 0))) / aa
        hit = (root > 0) & (enter > 0.1) & (enter < depth[near])
    chosen, t = near[hit], enter[hit]
    points = eye + rays[chosen] * t[:, None]
    local = (points - centre) / half
    if block.shape == "box":
        axis = np.argmax(enter_axes[hit], axis=1)
        normal = np.zeros_like(local)
        normal[np.arange(len(axis)), axis] = np.sign(local[np.arange(len(axis)), axis])
        u = np.where(axis == 0, points[:, 1], points[:, 0])
        v = np.where(axis == 2, points[:, 1], points[:, 2])
    else:
        normal = local / half
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        u, v = points[:, 0] + points[:, 1] * 0.6, points[:, 2]
    towards = normal @ np.array(scene.light.direction, dtype=np.float32)
    light = 0.62 + 0.12 * normal[:, 2] + 0.55 * scene.light.strength * np.maximum(towards, 0)
    shade = block.texture.shade(u, v, view.pixel * t) * light[:, None]
    if scene.walls is None:
        fade = np.clip((t - 8) / 80, 0, 0.8)[:, None]
        shade = shade * (1 - fade) + np.array(scene.sky[1], dtype=np.float32) * fade
    view.colour[chosen], depth[chosen], view.floor[chosen] = shade, t, False


def _indoor_blocks(kind: SceneKind, room: RGB, generator: np.random.Generator) -> tuple[Block, ...]:
    """Furniture along the walls; images, windows and doors on them."""
    x, y, tall = room
    blocks = []
    pieces: dict[str, list[tuple[float, float, float]]] = {
        "living room": [(0.9, 0.42, 0.42), (0.5, 0.2, 0.9), (0.3, 0.3, 0.25), (0.6, 0.25, 0.4)],
        "office": [(0.8, 0.4, 0.37), (0.5, 0.22, 1.0), (0.5, 0.22, 0.65), (0.25, 0.25, 0.5)],
        "gym": [(1.0, 0.15, 0.25), (0.4, 0.4, 0.45), (1.2, 0.08, 1.2)],
        "studio": [(0.1, 0.1, 1.0), (0.35, 0.35, 0.4)],
        "corridor": [(0.3, 0.16, 0.5), (0.45, 0.16, 0.95)],
    }
    for long, deep, high in pieces[kind]:
        for side in generator.permutation(4)[:2]:
            size = np.array([long, deep, high]) * generator.uniform(0.8, 1.2, 3)
            wall = y if side < 2 else x
            span = (x if side < 2 else y) - size[0] - 0.1
            spot, out = generator.uniform(-span, span) if span > 0 else 0.0, wall - size[1] - 0.02
            sign = 1.0 if side % 2 else -1.0
            texture = draw_texture(
                ("panels", "carpet", "planks")[int(generator.integers(3))], _any_colour(generator), generator
            )
            blocks.append(_at_wall(side, spot, sign * out, size[2], size, texture))
    for _ in range(int(generator.integers(4, 9))):
        side = int(generator.integers(4))
        wall, span = (y, x - 0.8) if side < 2 else (x, y - 0.8)
        width, high, z = (generator.uniform(*ends) for ends in ((0.25, 0.8), (0.25, 0.6), (1.3, 1.8)))
        colour = _any_colour(generator)
        if generator.random() < 0.35:  # a window
            colour, high, z = (200 + 30 * generator.random(), 222, 240), 0.6, 1.55
        elif generator.random() < 0.3:  # a door
            width, high, z = 0.45, 1.02, 1.02
        spot, sign = generator.uniform(-span, span), 1.0 if side % 2 else -1.0
        texture = draw_texture("tiles", colour, generator, 0.5)
        blocks.append(_at_wall(side, spot, sign * wall, min(z, tall - high), (width, 0.03, high), texture))
    return tuple(blocks)


def _at_wall(
    side: int, along: float, away: float, z: float, half: Sequence[float] | Array, texture: Texture
) -> Block:
    """A block of half sizes (along the wall, off it, up) at one of two walls along x or two along y."""
    long, deep, high = half
    if side < 2:
        return Block("box", triple((along, away, z)), triple((long, deep, high)), texture)
    return Block("box", triple((away, along, z)), triple((deep, long, high)), texture)


def _outdoor_blocks(kind: SceneKind, generator: np.random.Generator) -> tuple[Block, ...]:
    """Trees, hedges, benches and buildings around the performer."""
    trees, hedges, houses, benches = {
        "park": (16, 2, 0, 3), "street": (4, 0, 14, 3), "beach": (5, 0, 0, 5), "plaza": (4, 1, 12, 5),
        "garden": (9, 7, 2, 2),
    }[kind]  # fmt: skip
    blocks = []

    def around(low: float, high: float) -> tuple[float, float]:
        angle, radius = generator.uniform(0, 2 * np.pi), generator.uniform(low, high)
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))

    for _ in range(trees):
        (x, y), high, crown = around(5, 22), generator.uniform(1.4, 2.6), generator.uniform(1.0, 2.2)
        bark = draw_texture("plaster", (92, 70, 52), generator)
        leaves = draw_texture("leaves", _varied((70, 112, 52), generator, 18), generator)
        blocks.append(Block("box", (x, y, high / 2), (0.14, 0.14, high / 2 + 0.3), bark))
        blocks.append(Block("ellipsoid", (x, y, high + crown * 0.8), (crown, crown, crown * 1.05), leaves))
    for _ in range(hedges):
        (x, y), long = around(5, 9), generator.uniform(1.0, 3.0)
        half = (long, 0.35, 0.6) if generator.random() < 0.5 else (0.35, long, 0.6)
        hedge = draw_texture("leaves", _varied((62, 100, 50), generator, 12), generator, 0.25)
        blocks.append(Block("box", (x, y, 0.6), half, hedge))
    for _ in range(houses):
        (x, y), size = around(13, 26), generator.uniform((3, 3, 3), (6, 6, 8))
        front = draw_texture("facade", _any_colour(generator), generator)
        blocks.append(Block("box", (x, y, float(size[2])), triple(size), front))
    for _ in range(benches):
        (x, y), size = around(_FREE_M + 1.2, 8), generator.uniform((0.15, 0.15, 0.2), (0.8, 0.4, 0.55))
        texture = draw_texture("planks", _any_colour(generator), generator)
        blocks.append(Block("box", (x, y, float(size[2])), triple(size), texture))
    return tuple(blocks)


def _varied(rgb: RGB, generator: np.random.Generator, spread: float) -> RGB:
    together = generator.normal(0, spread)
    return triple(np.array(rgb) + together + generator.normal(0, spread / 3, 3))


def _any_colour(generator: np.random.Generator) -> RGB:
    grey, tint = generator.uniform(60, 205), generator.normal(0, 22, 3)
    return triple(np.clip(grey + tint, 15, 240))


_SURFACES: dict[SceneKind, tuple[TextureKind, RGB, TextureKind | None, RGB]] = {
    "living room": ("planks", (168, 120, 78), "paper", (196, 184, 160)),
    "park": ("grass", (98, 132, 62), None, (0, 0, 0)),
    "gym": ("court", (196, 150, 98), "brick", (178, 176, 172)),
    "street": ("asphalt", (104, 104, 108), None, (0, 0, 0)),
    "office": ("carpet", (112, 118, 130), "plaster", (206, 206, 202)),
    "beach": ("sand", (206, 186, 146), None, (0, 0, 0)),
    "studio": ("planks", (128, 112, 100), "plaster", (150, 150, 158)),
    "plaza": ("paving", (168, 160, 150), None, (0, 0, 0)),
    "corridor": ("tiles", (182, 178, 170), "panels", (178, 190, 190)),
    "garden": ("grass", (112, 144, 72), None, (0, 0, 0)),
}
