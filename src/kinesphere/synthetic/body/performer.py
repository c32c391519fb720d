"""Performers: bodies, skin, hair, clothes and personal manner, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from kinesphere.synthetic.body.body import Body, Proportions

Colour = tuple[int, int, int]
Hair = Literal["bald", "short", "bob", "long", "bun", "cap"]
Pattern = Literal["plain", "stripes", "bands", "checks", "print"]
Legwear = Literal["trousers", "shorts", "skirt", "leggings"]

HAIRS: tuple[Hair, ...] = get_args(Hair)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
LEGWEAR: tuple[Legwear, ...] = get_args(Legwear)

_SKIN: tuple[Colour, ...] = (
    (244, 208, 177), (231, 185, 148), (214, 160, 118), (186, 130, 92), (150, 98, 66), (116, 74, 50),
    (84, 54, 40),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (28, 22, 20), (52, 36, 26), (92, 60, 36), (140, 98, 56), (196, 158, 98), (150, 74, 40), (150, 148, 146),
)  # fmt: skip
_SHOES: tuple[Colour, ...] = ((36, 34, 36), (228, 226, 222), (96, 60, 40), (176, 44, 44), (52, 72, 128))


@dataclass(frozen=True)
class Outfit:
    """Clothes: colours as RGB 0–255, lengths as fractions of the limb.

    Attributes:
        top, accent, bottom, shoes: Colours; `accent` is the pattern's second colour.
        pattern: Pattern of the top.
        sleeve: 0 sleeveless, 0.45 to the elbow, 1 to the wrist.
        legwear: What covers the legs.
        hem: 0 at the hip, 0.5 at the knee, 1 at the ankle.
        loose: How far the cloth stands off, factor of limb thickness.
    """

    top: Colour
    accent: Colour
    bottom: Colour
    shoes: Colour
    pattern: Pattern
    sleeve: float
    legwear: Legwear
    hem: float
    loose: float


@dataclass(frozen=True)
class Performer:
    """One person.

    Attributes:
        name: Identifier, also the group of a data set's samples.
        body: Skeleton.
        outfit, skin, hair, hair_colour: Appearance.
        tempo, amplitude: Personal speed and size of movement, 1 on average.
        left_handed: Which side leads.
        slouch_rad: Habitual forward bend.
    """

    name: str
    body: Body
    outfit: Outfit
    skin: Colour
    hair: Hair
    hair_colour: Colour
    tempo: float
    amplitude: float
    left_handed: bool
    slouch_rad: float


def draw_performer(name: str, generator: np.random.Generator) -> Performer:
    """A random person."""

    def around(spread: float) -> float:
        return float(np.clip(generator.normal(1.0, spread), 1 - 2 * spread, 1 + 2 * spread))

    proportions = Proportions(
        height_m=float(np.clip(generator.normal(1.70, 0.10), 1.45, 1.95)),
        leg=around(0.025),
        arm=around(0.025),
        shoulder=around(0.07),
        hip=around(0.07),
        head=around(0.04),
        girth=float(np.clip(generator.normal(1.0, 0.12), 0.82, 1.35)),
    )
    return Performer(
        name=name,
        body=Body(proportions),
        outfit=draw_outfit(generator),
        skin=_pick(_SKIN, generator),
        hair=HAIRS[int(generator.choice(len(HAIRS), p=(0.08, 0.34, 0.2, 0.18, 0.1, 0.1)))],
        hair_colour=_pick(_HAIR, generator),
        tempo=float(generator.uniform(0.85, 1.18)),
        amplitude=float(generator.uniform(0.85, 1.12)),
        left_handed=bool(generator.random() < 0.25),
        slouch_rad=float(generator.uniform(-0.04, 0.12)),
    )


def draw_outfit(generator: np.random.Generator) -> Outfit:
    """Random clothes."""
    legwear = LEGWEAR[int(generator.choice(len(LEGWEAR), p=(0.5, 0.2, 0.15, 0.15)))]
    hem = {"trousers": 1.0, "shorts": 0.42, "skirt": float(generator.uniform(0.38, 0.62)), "leggings": 0.97}[
        legwear
    ]
    return Outfit(
        top=_cloth(generator, 0.95),
        accent=_cloth(generator, 0.95),
        bottom=_cloth(generator, 0.62),
        shoes=_pick(_SHOES, generator),
        pattern=PATTERNS[int(generator.choice(len(PATTERNS), p=(0.45, 0.15, 0.15, 0.1, 0.15)))],
        sleeve=float(generator.choice([0.0, 0.32, 0.45, 1.0, 1.0])),
        legwear=legwear,
        hem=hem,
        loose={"trousers": 1.16, "shorts": 1.24, "skirt": 1.15, "leggings": 1.02}[legwear],
    )


def _pick(palette: tuple[Colour, ...], generator: np.random.Generator) -> Colour:
    r, g, b = np.clip(
        np.array(palette[int(generator.integers(len(palette)))]) + generator.integers(-9, 10, 3), 0, 255
    )
    return int(r), int(g), int(b)


def _cloth(generator: np.random.Generator, brightest: float) -> Colour:
    """A dye: any hue, muted or vivid, dark to `brightest`."""
    hue = generator.uniform(0, 6)
    saturation = generator.choice([0.08, 0.35, 0.75]) * generator.uniform(0.7, 1.1)
    value = generator.uniform(0.16, brightest)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    r, g, b = np.round(255 * value * (1 - saturation + saturation * wheel))
    return int(r), int(g), int(b)
