"""Long recordings: several movements after one another, with timed annotations."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.clips.pinhole import framing
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.performer import Performer
from kinesphere.synthetic.clips import ClipPlan, cast, location, perform
from kinesphere.synthetic.dataset import (
    Progress,
    claim,
    describe,
    is_finished,
    run_jobs,
    write_manifest,
    write_video,
)
from kinesphere.synthetic.motion.controls import COLUMN
from kinesphere.synthetic.motion.grades import Evaluation
from kinesphere.synthetic.motion.primitive import MOVEMENTS
from kinesphere.synthetic.motion.sequence import BLEND_S, Passage, Sequence
from kinesphere.synthetic.render.render import CameraEffects, Figure, Rendered, Stage, render
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

_RECORDING = 4  # stream of random numbers under the data set's seed
_FOLLOWS = {"sit down": "stand up", "fall": "get up", "pick up": "put down"}
_PRECEDES = {after: before for before, after in _FOLLOWS.items()} | {"contract": "expand"}
_ON_THE_WAY = ("walk", "run", "walk backwards")
_LEG_M = 0.85


def plan_recording(
    settings: MannequinSettings, split: str, number: int, movements: int
) -> tuple[ClipPlan, Sequence]:
    """Who does what, where and when in one recording; the plan's own label is that of the first movement."""
    entropy = (settings.seed, _RECORDING, SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers, scenes = settings.pool(split, settings.performers), settings.pool(split, settings.scenes)
    performer = performers[number % len(performers)]
    sequence = compose(settings, cast(settings, performer), movements, generator)
    plan = ClipPlan(
        id=f"{split}_recording_{number:04d}",
        label=sequence.passages[0].label,
        split=split,
        performer=performer,
        scene=scenes[int(generator.integers(len(scenes)))],
        duration_s=sequence.duration_s,
        azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
        evaluation=sequence.passages[0].evaluation,
        entropy=entropy,
    )
    return plan, sequence


def compose(
    settings: MannequinSettings, performer: Performer, movements: int, generator: np.random.Generator
) -> Sequence:
    """A random sequence of about `movements` of the settings' classes.

    Who sat down stands up before anything else, who picked up puts down, and so on; a movement that walks
    off starts towards the middle of the floor.
    """
    labels: list[str] = []
    while len(labels) < movements:
        label = settings.classes[int(generator.integers(len(settings.classes)))]
        if label in _PRECEDES and (not labels or labels[-1] != _PRECEDES[label]):
            labels.append(_PRECEDES[label])
        labels.append(label)
        if label in _FOLLOWS:
            labels.append(_FOLLOWS[label])
    passages: list[Passage] = []
    x, y, yaw, clock = 0.0, 0.0, 0.0, 0.3
    for label in labels:
        primitive = MOVEMENTS.get(label)
        evaluation = Evaluation.draw(primitive.grades, generator)
        movement = perform(label, performer, evaluation, float(generator.uniform(1.8, 3.2)), generator)
        if label in _ON_THE_WAY:
            yaw = math.atan2(-y, -x) + float(generator.normal(0, 0.4)) if math.hypot(x, y) > 0.8 else yaw
            yaw += math.pi * (label == "walk backwards")
        start = movement.controls(np.zeros(1))[0]
        facing = yaw - start[COLUMN["yaw"]]
        c, s = math.cos(facing), math.sin(facing)
        sx, sy = start[COLUMN["x"]], start[COLUMN["y"]]
        movement = movement.moved(x - c * sx + s * sy, y - s * sx - c * sy, facing)
        passages.append(Passage(label, evaluation, movement, clock, clock + movement.duration_s))
        end = movement.controls(np.array([movement.duration_s]))[0]
        x, y, yaw = float(end[COLUMN["x"]]), float(end[COLUMN["y"]]), float(end[COLUMN["yaw"]])
        clock += movement.duration_s + BLEND_S * (
            1.0 if label in _FOLLOWS else float(generator.uniform(1.0, 2.5))
        )
    return Sequence(tuple(passages), passages[-1].end_s + 0.3)


def render_recording(plan: ClipPlan, sequence: Sequence, settings: MannequinSettings) -> Rendered:
    """Draw one recording with a still-standing camera that holds everything in the image."""
    generator = np.random.default_rng((*plan.entropy, 1))
    figure = Figure(cast(settings, plan.performer), sequence)
    times = plan.times(settings.fps)
    seen = figure.placed(times)[0].positions.reshape(-1, 3)
    elevation = math.radians(float(generator.uniform(*settings.elevation_deg)))
    camera = framing(seen, math.radians(plan.azimuth_deg), elevation, 1.5, settings.size, 0.08)
    stage = Stage(location(settings, plan.scene), float(generator.uniform(0, 2 * math.pi)))
    effects = CameraEffects(
        settings.shutter, settings.shake, settings.noise, float(generator.uniform(0.85, 1.15))
    )
    return render([figure], stage, camera, times, effects, generator, flow=settings.flow)


def generate_recordings(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    count: int = 10,
    movements: int = 8,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write long recordings with timed annotations.

    The folder is laid out as by `generate`; the manifest has one row per movement, several rows sharing a
    video, with `start` and `end` in seconds. `settings.clips_per_class` and `duration_s` do not apply. A
    recording is in memory while it is drawn; for one of an hour there is `generate_people` with one person.

    Args:
        settings: Classes, image, performers and scenes.
        folder: Where; created if missing.
        count: Recordings over all splits.
        movements: At least this many movements in each.
        workers: Processes; by default one per core.
        progress: Called after each recording.

    Returns:
        Path of the manifest.

    Raises:
        InvalidSetting: If a number is below 1, or the folder holds another set.
    """
    if count < 1 or movements < 1:
        raise InvalidSetting(
            f"Recordings need count and movements of at least 1; got count={count}, movements={movements}."
        )
    root = Path(folder)
    claim(root, "recordings", settings, count=count, movements=movements)
    numbers = range(count)
    run_jobs(
        partial(_write_recording, settings=settings, root=root, count=count, movements=movements),
        numbers,
        workers,
        progress,
    )
    rows: list[dict[str, str]] = []
    for number in numbers:
        plan, sequence = plan_recording(settings, split_of(settings, number, count), number, movements)
        for passage in sequence.passages:
            shown = replace(plan, label=passage.label, evaluation=passage.evaluation)
            rows.append(
                {
                    "path": f"videos/{plan.id}.mp4",
                    "label": passage.label,
                    "start": f"{passage.start_s:.3f}",
                    "end": f"{passage.end_s:.3f}",
                    "id": f"{plan.id}_{len(rows):05d}",
                    **describe(shown),
                }
            )
    return write_manifest(root, rows)


def _write_recording(
    number: int, settings: MannequinSettings, root: Path, count: int, movements: int
) -> None:
    plan, sequence = plan_recording(settings, split_of(settings, number, count), number, movements)
    if not is_finished(plan.id, settings, root):
        write_video(render_recording(plan, sequence, settings), plan.id, settings, root)


def split_of(settings: MannequinSettings, number: int, count: int) -> str:
    """Recordings are dealt to the splits by their fractions."""
    position, total = (number + 0.5) / count, 0.0
    for split, fraction in zip(SPLITS, settings.splits, strict=True):
        total += fraction
        if position < total:
            return split
    return SPLITS[-1]
