"""The movement scale: nine base movements, twelve dimensions in which they are evaluated, and how often.

Every level has a place between 0 and 1 that steers the synthesis. A clip is evaluated in one dimension; the
other dimensions of its movement then lie between their levels, so that no clip belongs to two of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from kinesphere.core.errors import UnknownName
from kinesphere.core.registry import nearest


@dataclass(frozen=True)
class Level:
    """One level of a dimension.

    Attributes:
        name: As it is annotated.
        value: From 0 to 1, what steers the synthesis.
        clips: How many of the laboratory's clips show it, over all splits.
    """

    name: str
    value: float
    clips: int


@dataclass(frozen=True)
class Dimension:
    """One dimension of the scale, evaluated in one base movement.

    Attributes:
        name: What is evaluated.
        base: The base movement.
        levels: In the order of the scale.
        meaning: What it describes.
        between: Value of clips that are evaluated in another dimension.
    """

    name: str
    base: str
    levels: tuple[Level, ...]
    meaning: str
    between: float = 0.5

    def label(self, level: str) -> str:
        """The class of a level: the base movement and the level, `walk curved`."""
        return f"{self.base} {level}"

    @property
    def clips(self) -> int:
        """How many clips are evaluated in this dimension."""
        return sum(level.clips for level in self.levels)

    def grade(self, level: str) -> float:
        """Where a level stands on the scale, from 0 for the first to 1 for the last."""
        return [each.name for each in self.levels].index(level) / (len(self.levels) - 1)


BASE_CLIPS: dict[str, int] = {
    "walk": 760, "jump": 620, "swing": 560, "turn": 480, "fall": 420, "wave": 360, "stamp": 300, "clap": 230,
    "balance": 170,
}  # fmt: skip
"""Base movements and their clips."""

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension(
        "floor pattern",
        "walk",
        (Level("straight", 0.0, 320), Level("curved", 0.5, 160), Level("winding", 1.0, 40)),
        "path over the floor",
    ),
    Dimension(
        "emphasis", "jump", (Level("upward", 0.05, 210), Level("forward", 0.95, 105)), "where a jump aims"
    ),
    Dimension(
        "time in the air", "jump", (Level("short", 0.0, 210), Level("long", 1.0, 70)), "time off the floor"
    ),
    Dimension(
        "body involvement",
        "clap",
        (Level("isolated", 0.0, 240), Level("whole", 1.0, 30)),
        "the arms move, or the whole body",
    ),
    Dimension(
        "strength",
        "stamp",
        (Level("none", 0.0, 120), Level("little", 0.5, 240), Level("max", 1.0, 30)),
        "force put into the accent",
    ),
    Dimension(
        "kinesphere",
        "wave",
        (Level("narrow", 0.0, 65), Level("middle", 0.5, 195), Level("wide", 1.0, 130)),
        "space that the limbs reach",
    ),
    Dimension(
        "shape",
        "turn",
        (Level("contracting", 0.0, 35), Level("none", 0.5, 280), Level("expanding", 1.0, 140)),
        "the body closes or opens on the way",
    ),
    Dimension(
        "balance",
        "balance",
        (Level("unstable", 0.0, 30), Level("wavering", 0.65, 50), Level("stable", 0.97, 240)),
        "steadiness",
        between=0.8,
    ),
    Dimension(
        "flow",
        "swing",
        (
            Level("halting", 0.0, 160),
            Level("bound", 0.42, 90),
            Level("free", 0.67, 160),
            Level("continuous", 1.0, 20),
        ),
        "from held at every turn to never at rest",
        between=0.56,
    ),
    Dimension(
        "acceleration",
        "swing",
        (Level("slowing", 0.0, 60), Level("quickening", 1.0, 120)),
        "change of tempo over the movement",
    ),
    Dimension(
        "falling flow",
        "fall",
        (Level("bound", 0.0, 70), Level("free", 1.0, 210)),
        "a fall that is held back, or let go",
    ),
    Dimension(
        "end position",
        "fall",
        (Level("sitting", 0.0, 30), Level("lying", 1.0, 240)),
        "where a fall ends",
    ),
)

TOGETHER: dict[tuple[str, ...], int] = {
    ("walk",): 120, ("wave",): 120, ("walk", "wave"): 120, ("clap",): 60, ("walk", "clap"): 60,
    ("turn",): 60, ("turn", "wave"): 60,
}  # fmt: skip
"""Movements at once and their clips: what the feet do, and what the arms do meanwhile."""


def dimension(name: str) -> Dimension:
    """The dimension called `name`.

    Raises:
        UnknownName: If there is none.
    """
    known = {each.name: each for each in DIMENSIONS}
    if name not in known:
        hint = ", ".join(nearest(name, known) or known)
        raise UnknownName(f"The movement scale has no dimension {name!r}; did you mean {hint}?")
    return known[name]


def dimensions_of(base: str) -> tuple[Dimension, ...]:
    """The dimensions in which a base movement is evaluated."""
    return tuple(each for each in DIMENSIONS if each.base == base)
