"""Two generated people who cross each other's way, with the truth about them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.mot import read_mot
from kinesphere.annotations.timed import TimedLabel, Track
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.crowd.director import Director
from kinesphere.synthetic.crowd.improvise import Floor, draw_performers
from kinesphere.synthetic.crowd.script import Act, Entrance, Script
from kinesphere.synthetic.crowd.sets import write_set
from kinesphere.synthetic.crowd.take import Take
from kinesphere.synthetic.settings import MannequinSettings

STAYING = ("wave", "clap", "punch", "kick", "jump")
"""Movements that go on for as long as they are asked to."""
_STREAM = 41
_ASIDE_M, _DEPTH_M, _STAY_S = 1.6, 0.45, 8.0


@dataclass(frozen=True, eq=False)
class Crossing:
    """A video of two people who cross.

    Attributes:
        video: The file.
        tracks: True boxes of the two, around what is visible.
        acts: What each does when, by its identity.
    """

    video: Path
    tracks: tuple[Track, ...]
    acts: Mapping[int, tuple[TimedLabel, ...]]


def plan_crossing(number: int, settings: MannequinSettings) -> Take:
    """Two who walk and run past each other and back; or one who walks past somebody who stays and does
    something, before or behind, and back."""
    entropy = (settings.seed, _STREAM, number)
    generator = np.random.default_rng(entropy)
    performers = draw_performers(settings, "test", 2, generator)
    azimuth = float(generator.uniform(-180, 180))
    floor = Floor(math.radians(azimuth))
    sides = (-1.0, 1.0) if number % 2 else (-1.0, 0.0)
    deep = _DEPTH_M if number % 4 < 2 else -_DEPTH_M
    people = tuple(
        Entrance(
            floor.spot(side * _ASIDE_M, -deep if side < 0 else deep),
            math.radians(azimuth) - side * math.pi / 2 + float(generator.uniform(-0.5, 0.5)),
        )
        for side in sides
    )
    director = Director(Script(people, ()), [cast(settings, index) for index in performers], generator)
    for who, (side, gait) in enumerate(zip(sides, ("walk", "run"), strict=True)):
        own = -deep if side < 0 else deep
        if side == 0:
            director.do(Act(who, str(generator.choice(STAYING)), seconds=_STAY_S))
            continue
        for end in (-side, side):
            director.do(Act(who, gait, to=floor.spot(end * _ASIDE_M, own)))
    ends = max(person.free_s for person, side in zip(director.people, sides, strict=True) if side)
    scenes = settings.pool("test", settings.scenes)
    scene = scenes[int(generator.integers(len(scenes)))]
    name = f"test_crossing_{number:04d}"
    return Take(name, "test", performers, scene, azimuth, entropy, director.play(ends))


def crossings(folder: Path, count: int, size: tuple[int, int] = (480, 640)) -> list[Crossing]:
    """The videos, made where they are missing."""
    settings = MannequinSettings(size=size, fps=25, seed=1234, performers=40, scenes=24)
    names = [f"test_crossing_{number:04d}" for number in range(count)]
    plan = partial(plan_crossing, settings=settings)
    write_set(folder, "crossings", names, plan, settings, joints_only=False, workers=1, progress=None)
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for name in names:
        own = [row for row in rows if Path(row["path"]).stem == name]
        acts = {
            person: tuple(
                TimedLabel(name, row["label"], float(row["start"]), float(row["end"]))
                for row in own
                if int(row["person"]) == person
            )
            for person in (1, 2)
        }
        tracks = read_mot(folder / "tracks" / name / "visible" / "gt" / "gt.txt")
        found.append(Crossing(folder / "videos" / f"{name}.mp4", tracks, acts))
    return found
