"""Which clips a laboratory has: what each shows, who does it, and how often."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kinesphere.synthetic.clips import Shot, cast
from kinesphere.synthetic.laboratory.acts import overlaid, performed
from kinesphere.synthetic.laboratory.scale import (
    BASE_CLIPS,
    DIMENSIONS,
    TOGETHER,
    Dimension,
    dimension,
    dimensions_of,
)
from kinesphere.synthetic.motion.motion import Movement
from kinesphere.synthetic.render.render import Figure
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

_CLIP, _TENDENCY, _ORDER = 11, 12, 13  # streams of random numbers under the data set's seed
_WHIM = 0.6  # what a clip departs from its performer's tendency, in standard deviations of the tendencies
_ALONE = 1 / 3  # fraction of base clips whose movement is at no level


@dataclass(frozen=True)
class LabClip(Shot):
    """One clip of the laboratory.

    Attributes:
        table: `"base"`, `"eval"`, `"together"`, or a table of twins.
        labels: Its classes.
        dimension: Name of the dimension in which it is evaluated; empty elsewhere than in `eval`.
        level: Its level in that dimension.
        filmed: Whether it has a video as well.
        posed: Whether it has joints.
        twin_of: Id of the clip that it repeats with one thing changed; empty of a clip of its own.
    """

    table: str = ""
    labels: tuple[str, ...] = ()
    dimension: str = ""
    level: str = ""
    filmed: bool = False
    posed: bool = True
    twin_of: str = ""

    @property
    def base(self) -> str:
        """The base movement; the first of two at once."""
        return dimension(self.dimension).base if self.dimension else self.labels[0]

    def figure(self, settings: MannequinSettings) -> Figure:
        """Who moves, and how."""
        performer = cast(settings, self.performer)
        generator = np.random.default_rng((*self.entropy, 1))
        movements = [
            performed(base, self._values(base, generator), performer, self.duration_s, generator)
            for base in (self.labels if self.table == "together" else (self.base,))
        ]
        movement: Movement = movements[0] if len(movements) == 1 else overlaid(movements[0], movements[1])
        onset = float(generator.uniform(0.0, 1.0)) * max(0.0, self.duration_s - movement.duration_s)
        return Figure(performer, movement, start_s=-onset)

    def _values(self, base: str, generator: np.random.Generator) -> Mapping[str, float]:
        """Where the movement stands: at its level, or, of a base movement, at any level or at none."""
        if self.dimension:
            levels = {level.name: level.value for level in dimension(self.dimension).levels}
            return {self.dimension: levels[self.level]}
        values = {}
        for each in dimensions_of(base):
            values[each.name] = each.between
            if generator.random() > _ALONE:
                values[each.name] = each.levels[int(generator.integers(len(each.levels)))].value
        return values


def scaled(clips: int, scale: float, settings: MannequinSettings) -> dict[str, int]:
    """How many of a class's clips each split gets: at least one each, in the settings' proportions."""
    wanted = clips * scale
    return {
        split: max(1, round(wanted * fraction))
        for split, fraction in zip(SPLITS, settings.splits, strict=True)
        if fraction > 0
    }


def plan_laboratory(settings: MannequinSettings, scale: float, rgb: int) -> list[LabClip]:
    """All clips, table by table and split by split.

    Args:
        settings: Base movements (`classes`), performers, scenes, splits, lengths, cameras and seed.
        scale: Factor of the numbers of clips.
        rgb: Of how many clips of a class and split one is filmed; 0 for none.
    """
    clips = [*_plan_base(settings, scale, rgb), *_plan_evaluations(settings, scale, rgb)]
    return [*clips, *_plan_together(settings, scale)]


def tendency(settings: MannequinSettings, performer: int, name: str) -> float:
    """How a performer is inclined in a dimension, about -2 to 2: to its first levels, or to its last."""
    entropy = (settings.seed, _TENDENCY, performer, zlib.crc32(name.encode()))
    return float(np.random.default_rng(entropy).normal())


def _plan_base(settings: MannequinSettings, scale: float, rgb: int) -> Iterator[LabClip]:
    for split in SPLITS:
        for base in settings.classes:
            clips = BASE_CLIPS[base]
            for number in range(scaled(clips, scale, settings).get(split, 0)):
                filmed = rgb > 0 and number % rgb == 0
                yield _clip(settings, "base", split, (base,), number, filmed=filmed)


def _plan_evaluations(settings: MannequinSettings, scale: float, rgb: int) -> Iterator[LabClip]:
    for split in SPLITS:
        for each in (each for each in DIMENSIONS if each.base in settings.classes):
            counted: dict[str, int] = {}
            for performer, level in _assigned(settings, each, split, scale):
                number = counted[level] = counted.get(level, -1) + 1
                yield _clip(
                    settings,
                    "eval",
                    split,
                    (each.label(level),),
                    number,
                    performer=performer,
                    name=each.name,
                    level=level,
                    filmed=rgb > 0 and number % rgb == 0,
                )


def _assigned(
    settings: MannequinSettings, each: Dimension, split: str, scale: float
) -> list[tuple[int, str]]:
    """Performers and levels of a split's clips in one dimension: exact counts, and everybody's own bent."""
    counts = [scaled(level.clips, scale, settings).get(split, 0) for level in each.levels]
    performers = settings.pool(split, settings.performers)
    entropy = (settings.seed, _ORDER, zlib.crc32(each.name.encode()), SPLITS.index(split))
    generator = np.random.default_rng(entropy)
    shift = int(generator.integers(max(1, len(performers))))
    slots = [performers[(shift + i) % len(performers)] for i in range(sum(counts))]
    inclined = np.array([tendency(settings, performer, each.name) for performer in slots])
    order = np.argsort(inclined + _WHIM * generator.normal(size=len(slots)), kind="stable")
    levels = np.repeat([level.name for level in each.levels], counts)
    given = dict(zip(order.tolist(), levels.tolist(), strict=True))
    return [(performer, given[slot]) for slot, performer in enumerate(slots)]


def _plan_together(settings: MannequinSettings, scale: float) -> Iterator[LabClip]:
    for split in SPLITS:
        for labels, clips in TOGETHER.items():
            if not {*labels} <= {*settings.classes}:
                continue
            for number in range(scaled(clips, scale, settings).get(split, 0)):
                yield _clip(settings, "together", split, labels, number)


def _clip(
    settings: MannequinSettings,
    table: str,
    split: str,
    labels: tuple[str, ...],
    number: int,
    *,
    performer: int | None = None,
    name: str = "",
    level: str = "",
    filmed: bool = False,
) -> LabClip:
    joined = "_".join(labels)
    entropy = (settings.seed, _CLIP, zlib.crc32(f"{table} {joined}".encode()), SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers, scenes = settings.pool(split, settings.performers), settings.pool(split, settings.scenes)
    shift = int(np.random.default_rng(entropy[:-1]).integers(len(performers)))
    return LabClip(
        id=f"{table}_{split}_{joined.replace(' ', '-')}_{number:04d}",
        label="|".join(labels),
        split=split,
        performer=performers[(shift + number) % len(performers)] if performer is None else performer,
        scene=scenes[int(generator.integers(len(scenes)))],
        duration_s=float(generator.uniform(*settings.duration_s)),
        azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
        entropy=entropy,
        table=table,
        labels=labels,
        dimension=name,
        level=level,
        filmed=filmed,
    )
