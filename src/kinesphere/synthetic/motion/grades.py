"""Graded evaluations of a movement, as movement analysts and dance educators give them.

Each is a value in [0, 1] that steers the synthesis, and a named level derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from kinesphere.core.errors import InvalidSetting


@dataclass(frozen=True)
class Grade:
    """One evaluation: its name, its levels from value 0 to value 1, and what it describes."""

    name: str
    levels: tuple[str, ...]
    meaning: str

    def level(self, value: float) -> str:
        """Name of the level that a value in [0, 1] belongs to."""
        return self.levels[min(int(value * len(self.levels)), len(self.levels) - 1)]

    def draw(self, generator: np.random.Generator) -> float:
        """A random value: levels equally likely, values kept off the borders between levels."""
        level = int(generator.integers(len(self.levels)))
        return (level + float(generator.uniform(0.15, 0.85))) / len(self.levels)


GRADES: tuple[Grade, ...] = (
    Grade("floor_pattern", ("straight", "curved"), "path over the floor"),
    Grade("emphasis_direction", ("upward", "forward"), "where the movement aims"),
    Grade("air_time", ("short", "long"), "time without contact to the floor"),
    Grade("body_use", ("isolated", "whole"), "one limb moves, or the whole body takes part"),
    Grade("strength", ("none", "little", "max"), "force put into the accent"),
    Grade("kinesphere", ("narrow", "medium", "wide"), "space that the limbs reach"),
    Grade("shape_emphasis", ("contracting", "none", "expanding"), "the body closes or opens on the way"),
    Grade("balance", ("unstable", "stable"), "steadiness"),
    Grade("flow", ("bound", "free"), "halting and held, or continuous and trailing"),
    Grade("acceleration", ("slowing", "steady", "quickening"), "change of tempo over the movement"),
    Grade("falling_flow", ("bound", "free"), "a fall that is caught in stages, or let go"),
    Grade("end_position", ("sitting", "lying"), "where a fall ends"),
)
BY_NAME: dict[str, Grade] = {grade.name: grade for grade in GRADES}


@dataclass(frozen=True)
class Evaluation:
    """Values in [0, 1] of the grades of one movement; the defaults are the plain, middling performance."""

    floor_pattern: float = 0.0
    emphasis_direction: float = 0.0
    air_time: float = 0.4
    body_use: float = 0.4
    strength: float = 0.5
    kinesphere: float = 0.5
    shape_emphasis: float = 0.5
    balance: float = 0.9
    flow: float = 0.6
    acceleration: float = 0.5
    falling_flow: float = 0.7
    end_position: float = 0.9

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not 0 <= value <= 1:
                raise InvalidSetting(f"Evaluation {item.name!r} is a value from 0 to 1; got {value}.")

    @classmethod
    def draw(cls, names: tuple[str, ...], generator: np.random.Generator) -> Evaluation:
        """Random values for the named grades, defaults for the others."""
        return cls(**{name: BY_NAME[name].draw(generator) for name in names})

    def value(self, name: str) -> float:
        """Value of the grade called `name`."""
        value: float = getattr(self, name)
        return value
