"""Data sets on disk: videos, a manifest, and the ground truth beside them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidSetting, WorkerFailed
from kinesphere.core.files import make_folder, replacing, sweep
from kinesphere.core.parallel import bounded_map
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.signals import raise_if_stopped
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.manifest import Manifest
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample
from kinesphere.synthetic.clips import ClipPlan, Shot, plan_clips, render_clip
from kinesphere.synthetic.motion.grades import GRADES
from kinesphere.synthetic.render.ground_truth import ground_truth_files, video_file, write_ground_truth
from kinesphere.synthetic.render.render import Rendered
from kinesphere.synthetic.scene.scene import KINDS
from kinesphere.synthetic.settings import DEFAULT_CLASSES, SPLITS, MannequinSettings
from kinesphere.video.write import VideoWriter

_LONGEST_S = 6 * 3600.0

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the number of videos done and the number of videos in all."""

GRADE_COLUMNS: tuple[str, ...] = tuple(
    name for grade in GRADES for name in (grade.name, f"{grade.name}_value")
)
COLUMNS: tuple[str, ...] = (
    "path", "label", "start", "end", "group", "split", "id", "performer", "scene", "scene_kind", "view",
    *GRADE_COLUMNS,
)  # fmt: skip


def generate(
    settings: MannequinSettings,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a data set of single movements.

    `folder` gets `videos/<id>.mp4`, their ground truth (see `kinesphere.synthetic.render.ground_truth`),
    `manifest.csv` and `settings.json`. Finished videos are kept, so an interrupted run continues where it
    stopped; the bytes do not depend on interruptions or on the number of workers.

    Args:
        settings: What to generate.
        folder: Where; created if missing.
        workers: Processes; by default one per core.
        progress: Called after each video.

    Returns:
        Path of the manifest: one row per video, with the columns `COLUMNS`; evaluations that do not apply
        to a movement are empty.

    Raises:
        InvalidSetting: If `workers` is below 1, or the folder holds a set made with other settings.
    """
    root = Path(folder)
    claim(root, "clips", settings)
    plans = list(plan_clips(settings))
    run_jobs(partial(_write_clip, settings=settings, root=root), plans, workers, progress)
    return write_manifest(root, [_row(plan, settings) for plan in plans])


def claim(root: Path, kind: str, settings: MannequinSettings, **more: float | str) -> None:
    """Make `root` the folder of this set, or check that it is already; what killed processes left in it goes.

    Raises:
        InvalidSetting: If it holds another set.
    """
    note = {"kind": kind, "fingerprint": settings.fingerprint(), **more, "settings": settings.plain()}
    for folder in (root, *(root / name for name in ("videos", "truth", "poses")), *root.glob("tracks/**/gt")):
        sweep(folder)
    file = root / "settings.json"
    claim_settings(file, note, output=root, started=file.exists() or (root / "manifest.csv").exists())


def run_jobs(
    job: Callable[[Item], Result], items: Sequence[Item], workers: int | None, progress: Progress | None
) -> list[Result]:
    """Do all items, in this process or in several.

    Returns:
        What the items gave, in the order in which they were done.

    Raises:
        InvalidSetting: If `workers` is below 1.
        WorkerFailed: If a process dies.
    """
    count = cpu_count() if workers is None else workers
    if count < 1:
        raise InvalidSetting(f"At least one worker is needed to generate videos; got workers={workers}.")
    given: list[Result] = []
    for result in _results(job, items, count):
        given.append(result)
        if progress:
            progress(len(given), len(items))
    return given


def _results(job: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    if workers == 1:
        for item in items:
            raise_if_stopped()
            yield job(item)
        return
    for _, result in bounded_map(job, items, workers=workers, timeout_s=_LONGEST_S):
        if isinstance(result, Skipped):
            raise WorkerFailed(f"A video was not generated: {result.reason}. Run it again to go on.")
        yield result


def write_manifest(root: Path, rows: Iterable[dict[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    """Write `manifest.csv`, atomically."""
    path = root / "manifest.csv"
    write_table(path, columns, rows)
    return path


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
    """Write a table as CSV, atomically; what a row does not say is empty."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def is_finished(name: str, settings: MannequinSettings, root: Path) -> bool:
    """Whether a video is there, with all that belongs to it."""
    files = ground_truth_files(name, root, flow=settings.flow) if settings.truth else ()
    return all(path.exists() for path in (video_file(name, root), *files))


def write_video(rendered: Rendered, name: str, settings: MannequinSettings, root: Path) -> None:
    """Write a video and, unless the settings say otherwise, its ground truth."""
    if settings.truth:
        write_ground_truth(rendered, name, settings.fps, root)
    path = video_file(name, root)
    make_folder(path.parent)
    # One encoder thread: the stream must not depend on the machine's number of cores.
    with VideoWriter(path, settings.size, settings.fps, quality=settings.crf, threads=1) as writer:
        for frame in rendered.frames:
            writer.write(frame)


def _write_clip(plan: ClipPlan, settings: MannequinSettings, root: Path) -> None:
    if not is_finished(plan.id, settings, root):
        write_video(render_clip(plan, settings), plan.id, settings, root)


def _row(plan: ClipPlan, settings: MannequinSettings) -> dict[str, str]:
    return {**row_of(plan, settings), **describe(plan)}


def row_of(shot: Shot, settings: MannequinSettings) -> dict[str, str]:
    """The columns of a video that shows one thing."""
    end = f"{len(shot.times(settings.fps)) / settings.fps:.3f}"
    path = f"videos/{shot.id}.mp4"
    return {"path": path, "label": shot.label, "start": "0.000", "end": end, "id": shot.id}


def describe(plan: ClipPlan) -> dict[str, str]:
    """The columns that say who, where, from which side and how."""
    row = {"group": f"performer{plan.performer:03d}", **describe_shot(plan)}
    for name, (level, value) in plan.grades().items():
        row |= {name: level, f"{name}_value": f"{value:.3f}"}
    return row


def describe_shot(shot: Shot) -> dict[str, str]:
    """The columns that say who, where and from which side."""
    return {
        "split": shot.split,
        "performer": f"performer{shot.performer:03d}",
        "scene": f"scene{shot.scene:03d}",
        "scene_kind": KINDS[shot.scene % len(KINDS)],
        "view": shot.view,
    }


CARD = DatasetCard(
    title="synthetic movements (the generator's defaults)",
    content="videos",
    size=f"{MannequinSettings.clips_per_class} videos of every class",
    licence="Apache-2.0, as Kinesphere",
    source="made on this machine: kinesphere generate movements --out FOLDER",
    layout="manifest.csv, videos/ and truth/",
    classes=DEFAULT_CLASSES,
    splits=SPLITS,
    groups="performer",
    columns=("performer", "scene", "scene_kind", "view", *GRADE_COLUMNS),
    counts=tuple(
        Count(split, sum(MannequinSettings().clip_count(label, split) for label in DEFAULT_CLASSES), "", True)
        for split in SPLITS
    ),
    class_count=len(DEFAULT_CLASSES),
)


def read(folder: Path) -> Iterator[Sample]:
    """The videos of a generated folder."""
    return iter(Manifest.read(folder))


def _write_example(folder: Path) -> Path:
    few = MannequinSettings(
        classes=DEFAULT_CLASSES[:2], clips_per_class=5, splits=(0.6, 0.2, 0.2), size=(32, 32), fps=8,
        duration_s=(0.5, 0.5), performers=3, scenes=3, truth=False,
    )  # fmt: skip
    return generate(few, folder, workers=1).parent


DATASETS.add("synthetic", Dataset(CARD, read, _write_example))
