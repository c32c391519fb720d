"""Twins of the base movements that test: done once more with one thing changed, and nothing else.

What tests is new to a model: performers, scenes. Twins tell how much each of these costs it, clip by clip:
done by somebody, or filmed somewhere, that training has seen; and seen from where no camera of training was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from kinesphere.synthetic.laboratory.plan import LabClip
from kinesphere.synthetic.settings import MannequinSettings

_TWIN = 4  # stream of random numbers under a clip's own
BEHIND_DEG = 180.0
PERFORMERS, SCENES, CAMERAS = "base_performers", "base_scenes", "base_cameras"
TWINS: tuple[str, ...] = (PERFORMERS, SCENES, CAMERAS)
"""Tables of twins: by performers of training, in scenes of training, from other sides than training."""


def plan_twins(clips: Iterable[LabClip], settings: MannequinSettings) -> list[LabClip]:
    """The twins of all base clips that test, table by table.

    Scenes show in videos alone, so that clips which are not filmed have none there. Where no split teaches,
    or its cameras stand all around, there is nothing that could be told apart, and no twin.

    Args:
        clips: All clips of the laboratory.
        settings: Performers, scenes, cameras.
    """
    tested = [clip for clip in clips if clip.table == "base" and clip.split == "test"]
    return [twin for table in TWINS for clip in tested for twin in _twin(clip, table, settings)]


def _twin(clip: LabClip, table: str, settings: MannequinSettings) -> Iterator[LabClip]:
    generator = np.random.default_rng((*clip.entropy, _TWIN))
    performers, scenes = (settings.pool("train", n) for n in (settings.performers, settings.scenes))
    twin = replace(clip, table=table, id=clip.id.replace("base_test", table, 1), twin_of=clip.id)
    if table == PERFORMERS and performers:
        yield replace(twin, performer=performers[int(generator.integers(len(performers)))])
    elif table == SCENES and scenes and clip.filmed:
        yield replace(twin, scene=scenes[int(generator.integers(len(scenes)))], posed=False)
    elif table == CAMERAS and performers and settings.view_deg < BEHIND_DEG:
        side = 1.0 if generator.random() < 0.5 else -1.0
        yield replace(twin, azimuth_deg=side * float(generator.uniform(settings.view_deg, BEHIND_DEG)))
