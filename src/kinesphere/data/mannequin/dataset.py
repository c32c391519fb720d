"""Data sets on disk: videos, a manifest, and the truth beside them."""

from __future__ import annotations

import csv
import dataclasses
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import InvalidManifest, InvalidSetting
from kinesphere.data.mannequin.clips import ClipPlan, plan_clips, render_clip
from kinesphere.data.mannequin.grades import GRADES
from kinesphere.data.mannequin.render import Rendered, Truth
from kinesphere.data.mannequin.settings import MannequinSettings
from kinesphere.video.write import VideoWriter

Item = TypeVar("Item")
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

    `folder` gets `videos/<id>.mp4`, `truth/<id>.npz` (see `load_truth`), `manifest.csv` and
    `settings.json`. Finished videos are kept, so an interrupted run continues where it stopped; the bytes do
    not depend on interruptions or on the number of workers. Workers are fresh processes: a script that calls
    this needs the `if __name__ == "__main__":` guard.

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


def load_truth(path: str | Path) -> Truth:
    """Read one `truth/<id>.npz`.

    Raises:
        InvalidManifest: If the file is missing or is no such file.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            height, width = (int(n) for n in file["size"])
            mask = np.unpackbits(file["mask"], axis=-1, count=width).astype(bool)
            return Truth(
                file["joints2d"],
                file["joints3d"],
                file["boxes"],
                mask.reshape(*mask.shape[:2], height, width),
            )
    except (OSError, KeyError, ValueError) as error:
        raise InvalidManifest(
            f"{path} is not the truth file of a generated video ({error}); generate the set again."
        ) from error


def claim(root: Path, kind: str, settings: MannequinSettings, **more: float) -> None:
    """Make `root` the folder of this set, or check that it is already.

    Raises:
        InvalidSetting: If it holds another set.
    """
    note = {
        "kind": kind,
        "fingerprint": settings.fingerprint(),
        **more,
        "settings": dataclasses.asdict(settings),
    }
    path = root / "settings.json"
    text = json.dumps(note, indent=2)
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise InvalidSetting(
                f"{root} holds videos generated with other settings (see {path.name}); choose another folder "
                "or delete it."
            )
        return
    if (root / "manifest.csv").exists():
        raise InvalidSetting(f"{root} holds another data set; choose another folder.")
    for name in ("videos", "truth"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _write_text(path, text)


def run_jobs(
    job: Callable[[Item], None],
    items: Sequence[Item],
    workers: int | None,
    progress: Progress | None,
) -> None:
    """Do all items, in this process or in several.

    Raises:
        InvalidSetting: If `workers` is below 1.
    """
    count = cpu_count() if workers is None else workers
    if count < 1:
        raise InvalidSetting(f"At least one worker is needed to generate videos; got workers={workers}.")
    if count == 1:
        _count(map(job, items), len(items), progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_single_thread) as pool:
        try:
            _count(pool.map(job, items, chunksize=4), len(items), progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_manifest(root: Path, rows: Iterable[dict[str, str]]) -> Path:
    """Write `manifest.csv`, atomically."""
    path = root / "manifest.csv"
    part = path.with_name(f".manifest.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    part.replace(path)
    return path


def write_video(rendered: Rendered, name: str, settings: MannequinSettings, root: Path) -> None:
    """Write the truth, then the video, so that a video that exists is complete."""
    if settings.truth:
        save_truth(rendered.truth, root / "truth" / f"{name}.npz")
    path = root / "videos" / f"{name}.mp4"
    # One encoder thread: the stream must not depend on the machine's number of cores.
    with VideoWriter(path, settings.size, settings.fps, quality=settings.crf, threads=1) as writer:
        for frame in rendered.frames:
            writer.write(frame)


def save_truth(truth: Truth, path: Path) -> None:
    """Write a truth file, atomically; masks are packed to bits along rows."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            joints2d=truth.joints2d,
            joints3d=truth.joints3d,
            boxes=truth.boxes,
            mask=np.packbits(truth.mask, axis=-1),
            size=np.array(truth.mask.shape[2:]),
        )
    part.replace(path)


def _write_clip(plan: ClipPlan, settings: MannequinSettings, root: Path) -> None:
    if not (root / "videos" / f"{plan.id}.mp4").exists():
        write_video(render_clip(plan, settings), plan.id, settings, root)


def _row(plan: ClipPlan, settings: MannequinSettings) -> dict[str, str]:
    frames = round(plan.duration_s * settings.fps)
    return {
        "path": f"videos/{plan.id}.mp4",
        "label": plan.label,
        "start": "0.000",
        "end": f"{frames / settings.fps:.3f}",
        "id": plan.id,
        **describe(plan),
    }


def describe(plan: ClipPlan) -> dict[str, str]:
    """The columns that say who, where, from which side and how."""
    from kinesphere.data.mannequin.scene import KINDS

    row = {
        "group": f"performer{plan.performer:03d}",
        "split": plan.split,
        "performer": f"performer{plan.performer:03d}",
        "scene": f"scene{plan.scene:03d}",
        "scene_kind": KINDS[plan.scene % len(KINDS)],
        "view": plan.view,
    }
    for name, (level, value) in plan.grades().items():
        row |= {name: level, f"{name}_value": f"{value:.3f}"}
    return row


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _single_thread() -> None:
    """Workers are the parallelism; threads inside them would only contend."""
    cv2.setNumThreads(1)


def _count(results: Iterable[None], total: int, progress: Progress | None) -> None:
    for done, _ in enumerate(results, start=1):
        if progress:
            progress(done, total)
