"""The doors: sets of people about a place, of pairs, and of scripted events."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.crowd.director import Director
from kinesphere.synthetic.crowd.events import plan_event
from kinesphere.synthetic.crowd.improvise import Crowd, Floor, check_classes, draw_performers, plan_crowd
from kinesphere.synthetic.crowd.pairs import INTERACTIONS
from kinesphere.synthetic.crowd.script import Act, Entrance, Script
from kinesphere.synthetic.crowd.sets import write_set
from kinesphere.synthetic.crowd.take import Take
from kinesphere.synthetic.dataset import Progress
from kinesphere.synthetic.recordings import split_of
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

PLAIN = Crowd()
_PAIRS = 8  # stream of random numbers under the data set's seed


def generate_people(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    count: int = 10,
    crowd: Crowd = PLAIN,
    joints_only: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write recordings of several people who cross each other's way, do this and that, and have things.

    `crowd.sets` says what the folder gets. `settings.clips_per_class`, `duration_s` and what concerns
    bystanders, partners and clutter do not apply. Videos are drawn a few seconds at a time, however long they
    are.

    Args:
        settings: Classes, image, rate, performers, scenes and splits.
        folder: Where; created if missing.
        count: Recordings over all splits.
        crowd: How many people, for how long, and what they do.
        joints_only: Whether to write poses instead of videos, which takes seconds for an hour.
        workers: Processes; by default one per core.
        progress: Called after each recording.

    Returns:
        Path of the manifest: one row for each movement of each person, with the columns `crowd.sets.COLUMNS`.
        `person` is the identity in the track file, `other` that of whoever takes part.

    Raises:
        InvalidSetting: If a number is below 1, a class needs a chair or thing of its own, a split has too few
            performers, or the folder holds another set.
    """
    check_classes(settings)
    plan = partial(_people, settings=settings, crowd=crowd, count=count)
    low, high = crowd.people
    return write_set(
        Path(folder), "people", _names(settings, "people", count), plan, settings,
        joints_only=joints_only, workers=workers, progress=progress, people=f"{low}-{high}",
        things=crowd.things, together=crowd.together, duration_s=crowd.duration_s,
    )  # fmt: skip


def generate_pairs(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    count: int = 60,
    joints_only: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write clips in which two people meet: shake hands, hug, push, punch, kick and point, by turns.

    The folder is laid out as by `generate_people`. Shaking hands and hugging are said of both people; the
    others of who does it, as UT-Interaction labels a pair by what is done, and `other` names who it is done
    to; who is pushed or hit then is the person of a row `stagger`. Who comes walks first.

    Args:
        settings: Image, rate, performers, scenes and splits; classes do not apply.
        folder: Where; created if missing.
        count: Clips over all splits and interactions.
        joints_only: Whether to write poses instead of videos.
        workers: Processes; by default one per core.
        progress: Called after each clip.

    Returns:
        Path of the manifest.

    Raises:
        InvalidSetting: If a number is below 1, a split has fewer than two performers, or the folder holds
            another set.
    """
    plan = partial(_pair, settings=settings, count=count)
    return write_set(
        Path(folder), "pairs", _names(settings, "pair", count), plan, settings,
        joints_only=joints_only, workers=workers, progress=progress,
    )  # fmt: skip


def generate_events(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    count: int = 50,
    joints_only: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write recordings of a minute in which a robbery happens, or something that resembles one.

    A robbery is what `kinesphere.synthetic.crowd.events` says: two people run and somebody holds a thing up,
    all within 20 seconds. Every other recording has one; the others only one who runs, nobody who runs, all
    of it but too far apart, or a thing that is carried but not held up. `events.csv` has the truth, the
    column `script` of the manifest which of them a recording is; the rest is as by `generate_people`.

    Args:
        settings: Image, rate, performers, scenes and splits; classes do not apply.
        folder: Where; created if missing.
        count: Recordings over all splits.
        joints_only: Whether to write poses instead of videos.
        workers: Processes; by default one per core.
        progress: Called after each recording.

    Returns:
        Path of the manifest.

    Raises:
        InvalidSetting: If a number is below 1, a split has fewer than four performers, or the folder holds
            another set.
    """
    plan = partial(_event, settings=settings, count=count)
    return write_set(
        Path(folder), "events", _names(settings, "event", count), plan, settings,
        joints_only=joints_only, workers=workers, progress=progress,
    )  # fmt: skip


def _names(settings: MannequinSettings, kind: str, count: int) -> list[str]:
    return [f"{split_of(settings, number, count)}_{kind}_{number:04d}" for number in range(count)]


def _people(number: int, settings: MannequinSettings, crowd: Crowd, count: int) -> Take:
    return plan_crowd(settings, crowd, split_of(settings, number, count), number)


def _event(number: int, settings: MannequinSettings, count: int) -> Take:
    return plan_event(settings, split_of(settings, number, count), number)


def _pair(number: int, settings: MannequinSettings, count: int) -> Take:
    return plan_pair(settings, split_of(settings, number, count), number)


def plan_pair(settings: MannequinSettings, split: str, number: int) -> Take:
    """Two people who do the interaction whose turn it is, seen from the side, more or less.

    Raises:
        InvalidSetting: If the split has fewer than two performers.
    """
    entropy = (settings.seed, _PAIRS, SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers = draw_performers(settings, split, 2, generator)
    name = tuple(INTERACTIONS)[number % len(INTERACTIONS)]
    azimuth = float(generator.uniform(-180, 180))
    floor = Floor(math.radians(azimuth))
    side = 1.0 if generator.random() < 0.5 else -1.0
    apart = float(generator.uniform(0.9, 1.6))
    people = tuple(
        Entrance(
            floor.spot(way * apart * side, float(generator.uniform(-0.35, 0.35))),
            float(generator.uniform(-math.pi, math.pi)),
        )
        for way in (1.0, -0.4)
    )
    director = Director(Script(people, ()), [cast(settings, index) for index in performers], generator)
    director.do(Act(0, name, float(generator.uniform(0.2, 0.8)), other=1))
    ends = max(person.free_s for person in director.people) + float(generator.uniform(0.4, 1.0))
    scenes = settings.pool(split, settings.scenes)
    return Take(
        f"{split}_pair_{number:04d}", split, performers, scenes[int(generator.integers(len(scenes)))],
        azimuth, entropy, director.play(ends),
    )  # fmt: skip
