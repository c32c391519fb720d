"""Procedural surfaces: colours as functions of surface coordinates in metres, faded where too fine to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinesphere.synthetic.body.body import Array

TextureKind = Literal[
    "planks", "tiles", "carpet", "plaster", "paper", "brick", "panels",
    "grass", "asphalt", "sand", "paving", "court", "facade", "leaves",
]  # fmt: skip


@dataclass(frozen=True)
class Texture:
    """A surface pattern.

    Attributes:
        kind: Pattern.
        colour, second: RGB 0–255.
        scale_m: Size of its unit.
        lattice: Random values that its noise interpolates, (64, 64).
    """

    kind: TextureKind
    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    scale_m: float
    lattice: Array

    def shade(self, u: Array, v: Array, blur_m: Array) -> Array:
        """RGB (N, 3) at surface points (u, v) in metres; `blur_m` is a pixel's size on the surface."""
        u, v, fine = u / self.scale_m, v / self.scale_m, blur_m / self.scale_m
        mix, light = _PATTERNS[self.kind](self, u, v)
        keep = 1 / (1 + (1.6 * fine) ** 2)
        mix, light = (
            mix * keep + (1 - keep) * (float(np.mean(mix)) if len(mix) else 0.0),
            1 + (light - 1) * keep,
        )
        colour, second = np.array(self.colour, dtype=np.float32), np.array(self.second, dtype=np.float32)
        shaded: Array = (colour + mix[:, None] * (second - colour)) * light[:, None]
        return shaded

    def noise(self, u: Array, v: Array, octaves: int = 1) -> Array:
        """Smooth random values about 0, mostly within ±1, features of about one unit."""
        total = np.zeros_like(u)
        for octave in range(octaves):
            gain = 2.0**octave
            total += _value_noise(self.lattice, u * gain + 17.3 * octave, v * gain + 5.1 * octave) / gain
        return total


Pattern = Callable[[Texture, Array, Array], tuple[Array, Array]]


def draw_texture(
    kind: TextureKind,
    colour: tuple[float, float, float],
    generator: np.random.Generator,
    scale_m: float | None = None,
) -> Texture:
    """A texture near a colour, with a second colour and scale of its own."""
    typical: dict[TextureKind, float] = {
        "planks": 0.16, "tiles": 0.45, "carpet": 0.10, "plaster": 0.6, "paper": 0.30, "brick": 0.22,
        "panels": 0.9, "grass": 0.12, "asphalt": 0.10, "sand": 0.25, "paving": 0.5, "court": 3.0,
        "facade": 3.0, "leaves": 0.35,
    }  # fmt: skip
    base = np.clip(np.array(colour) + generator.normal(0, 6, 3), 5, 250)
    shift = generator.choice([-1.0, 1.0]) * generator.uniform(25, 55) + generator.normal(0, 8, 3)
    second = np.clip(base + shift, 5, 250)
    scale = scale_m if scale_m is not None else typical[kind] * float(generator.uniform(0.8, 1.3))
    lattice = generator.uniform(-1, 1, (64, 64)).astype(np.float32)
    return Texture(kind, triple(base), triple(second), scale, lattice)


def triple(values: Sequence[float] | Array) -> tuple[float, float, float]:
    """Three plain numbers."""
    return float(values[0]), float(values[1]), float(values[2])


def _value_noise(lattice: Array, u: Array, v: Array) -> Array:
    i, j = np.floor(u), np.floor(v)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    i, j = i.astype(np.int64) & 63, j.astype(np.int64) & 63
    i1, j1 = (i + 1) & 63, (j + 1) & 63
    low = lattice[i, j] * (1 - a) + lattice[i1, j] * a
    high = lattice[i, j1] * (1 - a) + lattice[i1, j1] * a
    mixed: Array = low * (1 - b) + high * b
    return mixed


def _grid(u: Array, v: Array, gap: float) -> Array:
    """1 on the lines of a unit grid, 0 elsewhere."""
    du, dv = np.abs(u - np.round(u)), np.abs(v - np.round(v))
    return (np.minimum(du, dv) < gap).astype(np.float32)


def _cell(texture: Texture, u: Array, v: Array) -> Array:
    """A random value per unit cell."""
    cells: Array = texture.lattice[np.floor(u).astype(np.int64) & 63, np.floor(v).astype(np.int64) & 63]
    return cells


def _planks(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    along = v / 8 + 0.37 * np.floor(u)
    edge = np.maximum(np.abs(u - np.round(u)) < 0.05, np.abs(along - np.round(along)) < 0.008)
    grain = 0.25 * t.noise(u * 3, v * 0.4, 2)
    return np.clip(0.3 + 0.3 * _cell(t, u, along) + grain, 0, 1), 1 - 0.45 * edge


def _tiles(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    chess = (np.floor(u) + np.floor(v)) % 2
    return 0.75 * chess + 0.1 * _cell(t, u, v), 1 - 0.3 * _grid(u, v, 0.03) + 0.03 * t.noise(u, v)


def _carpet(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    return 0.5 + 0.4 * t.noise(u / 9, v / 9, 2), 1 + 0.12 * t.noise(u * 2, v * 2)


def _plaster(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    return 0.15 + 0.25 * t.noise(u, v, 3), 1 + 0.04 * t.noise(u * 8, v * 8)


def _paper(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    return (np.floor(u * 2) % 2).astype(np.float32), 1 + 0.04 * t.noise(u * 4, v)


def _brick(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    row = np.floor(v * 3)
    x = u + 0.5 * (row % 2)
    return 0.4 + 0.4 * _cell(t, x, row), 1 - 0.30 * _grid(x, v * 3, 0.06)


def _panels(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    return 0.2 + 0.2 * _cell(t, u, v), 1 - 0.25 * _grid(u, v / 2, 0.02)


def _grass(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    return np.clip(0.4 + 0.45 * t.noise(u / 12, v / 12, 2), 0, 1), 1 + 0.22 * t.noise(u, v, 2)


def _asphalt(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    stripe = (np.abs(v * t.scale_m - 1.6) < 0.07) & (np.floor(u * t.scale_m / 1.5) % 2 == 0)
    return np.clip(0.25 + 0.2 * t.noise(u / 15, v / 15, 2), 0, 1), 1 + 0.12 * t.noise(u, v, 2) + 0.9 * stripe


def _sand(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    ripple = np.sin(2 * np.pi * (v * 0.9 + 0.8 * t.noise(u / 4, v / 4)))
    return 0.35 + 0.25 * t.noise(u / 6, v / 6, 2), 1 + 0.05 * ripple + 0.06 * t.noise(u * 2, v * 2)


def _paving(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    x = u + 0.5 * (np.floor(v) % 2)
    return 0.4 + 0.4 * _cell(t, x, v), 1 - 0.3 * _grid(x, v, 0.035) + 0.05 * t.noise(u * 3, v * 3)


def _court(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    radius = np.hypot(u - 0.4, v + 0.2)
    line = (np.abs(radius - 0.6) < 0.012) | (np.abs(u - 0.4) < 0.012) | (np.abs(v - 1.2) < 0.012)
    return 0.2 + 0.15 * t.noise(u * 2, v * 2, 2), 1 + 0.55 * line - 0.04 * (
        np.abs(u * 18 - np.round(u * 18)) < 0.06
    )


def _facade(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    x, y = u - np.floor(u), v - np.floor(v)
    window = (np.abs(x - 0.5) < 0.27) & (np.abs(y - 0.5) < 0.3)
    return 0.2 + 0.1 * t.noise(u, v), np.where(window, 0.45 + 0.25 * _cell(t, u, v), 1.0)


def _leaves(t: Texture, u: Array, v: Array) -> tuple[Array, Array]:
    clump = t.noise(u, v, 3)
    return np.clip(0.4 + 0.5 * clump, 0, 1), 1 + 0.35 * clump


_PATTERNS: dict[str, Pattern] = {
    "planks": _planks, "tiles": _tiles, "carpet": _carpet, "plaster": _plaster, "paper": _paper,
    "brick": _brick, "panels": _panels, "grass": _grass, "asphalt": _asphalt, "sand": _sand,
    "paving": _paving, "court": _court, "facade": _facade, "leaves": _leaves,
}  # fmt: skip
