"""Motion capture made into videos: mannequins play it, with various bodies, cameras and scenes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.bvh import Motion, read_bvh
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.skipped import Skipped, why_nothing
from kinesphere.data.catalogue import DATASETS, Captured, Labelled
from kinesphere.synthetic.dataset import (
    Progress,
    claim,
    describe_shot,
    is_finished,
    row_of,
    run_jobs,
    write_manifest,
    write_video,
)
from kinesphere.synthetic.mocap_clips import CapturePlan, Span, cut, plan_captures, render_capture
from kinesphere.synthetic.motion.motion import Recorded
from kinesphere.synthetic.motion.retarget import retarget
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

COLUMNS: tuple[str, ...] = (
    "path", "label", "start", "end", "group", "split", "id", "performer", "scene", "scene_kind", "view",
    "motion", "motion_start",
)  # fmt: skip


@dataclass(frozen=True)
class RenderedSet:
    """What `render_motions` wrote.

    Attributes:
        manifest: The table, one row per video.
        motions: Number of motions played.
        videos: Number of videos.
        skipped: What was left out.
    """

    manifest: Path
    motions: int
    videos: int
    skipped: tuple[Skipped, ...]


def render_motions(
    name: str,
    source: Path,
    out: Path,
    settings: MannequinSettings | None = None,
    *,
    renderings: int = 3,
    longest_s: float = 20.0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RenderedSet:
    """Write videos of mannequins that play a set of motion capture.

    The folder is laid out as by `kinesphere.synthetic.generate`, and finished videos are kept likewise.
    All videos of a motion, and of motions of one group, are in one split; the splits share neither
    performers nor scenes. Of the settings, `classes`, `clips_per_class`, `imbalance`, `duration_s` and the
    correlation of backgrounds do not apply.

    Args:
        name: One of `DATASETS` that is motion capture.
        source: Its folder, or a `.tar`, `.tar.xz` or `.tar.gz` archive of the folder.
        out: Folder to write; made if missing.
        settings: Frames, performers, scenes, cameras, ground truth and splits; by default the defaults.
        renderings: Videos of each motion, by different performers in any scenes.
        longest_s: Longer motions, and those that lead far over the floor, are cut into pieces of equal
            length, each a video for every rendering.
        workers: Processes; by default one per core.
        progress: Called after each video.

    Returns:
        The manifest, and what was left out: files that are damaged or too short, or whose names tell no
        label.

    Raises:
        UnknownName: If there is no such data set.
        InvalidSetting: If it is no motion capture, a number is not positive, or the folder holds another set.
        InvalidAnnotation: If there is nothing to render.
        UnsafeFile: If an archive would write outside its folder.
    """
    card = DATASETS.get(name).card
    if card.content != "motion capture":
        hint = "train on it as it is" if card.content == "videos" else "use `kinesphere import-skeletons`"
        raise InvalidSetting(f"Mannequins play motion capture, not {card.title}; {hint}.")
    if renderings < 1 or longest_s < 1:
        raise InvalidSetting(
            "Motions are rendered once or more, in videos of one second or more; got "
            f"renderings={renderings}, longest_s={longest_s}."
        )
    settings = settings or MannequinSettings()
    with opened(source) as folder:
        motions, skipped = _survey(name, folder, longest_s, settings.fps)
        planned = list(_plan(motions, settings, renderings))
        if not planned:
            nothing = why_nothing(skipped)
            raise InvalidAnnotation(f"{source} holds no motion of {card.title} to play; {nothing}.")
        numbers = {"renderings": renderings, "longest_s": longest_s}
        claim(out, "motions", settings, set=name, motions=_digest(planned), **numbers)
        run_jobs(partial(_write, settings=settings, root=out), planned, workers, progress)
    played = {motion.path for motion, _ in planned}
    return RenderedSet(_write_rows(out, planned, settings), len(played), len(planned), tuple(skipped))


def _write_rows(
    out: Path, planned: Sequence[tuple[_Listed, CapturePlan]], settings: MannequinSettings
) -> Path:
    extra = dict.fromkeys(column for motion, _ in planned for column, _ in motion.part.extra)
    rows = [_row(motion, plan, settings) for motion, plan in planned]
    return write_manifest(out, rows, (*COLUMNS, *extra))


@dataclass(frozen=True)
class _Listed:
    """A motion that can be played, without what it holds."""

    path: Path
    name: str
    part: Labelled
    group: str
    pieces: tuple[Span, ...]


def _survey(name: str, folder: Path, longest_s: float, fps: float) -> tuple[list[_Listed], list[Skipped]]:
    """The motions of a set, one in memory at a time, and what cannot be played."""
    motions, skipped = [], []
    for item in DATASETS.get(name).read(folder):
        if isinstance(item, Skipped):
            skipped.append(item)
        elif isinstance(item, Captured):
            try:
                pieces = cut(_played(item.motion), longest_s, fps)
            except InvalidAnnotation as error:
                skipped.append(Skipped(f"{item.name}{item.path.suffix}", str(error)))
                continue
            motions.append(_Listed(item.path, item.name, item.part, item.group, pieces))
    return motions, skipped


def deal(labels: Mapping[str, Iterable[str]], settings: MannequinSettings) -> dict[str, str]:
    """The split of each group, in an order drawn from the seed.

    Of every label each split gets about its fraction, and the largest one first, so that no label is tested
    that was not trained. A group of several labels counts for the first of them.

    Args:
        labels: Groups and the labels in them.
        settings: Fractions of the splits, and the seed.
    """
    order = np.random.default_rng(settings.seed).permutation(len(labels)).tolist()
    shuffled = dict(zip(labels, order, strict=True))
    splits: dict[str, str] = {}
    dealt: dict[str, Counter[str]] = {}
    for group in sorted(labels, key=lambda group: shuffled[group]):
        given = dealt.setdefault(min(labels[group]), Counter())
        wanted = [
            fraction * (given.total() + 1) - given[split]
            for split, fraction in zip(SPLITS, settings.splits, strict=True)
        ]
        splits[group] = SPLITS[int(np.argmax(wanted))]
        given[splits[group]] += 1
    return splits


def _plan(
    motions: Sequence[_Listed], settings: MannequinSettings, renderings: int
) -> Iterator[tuple[_Listed, CapturePlan]]:
    """The videos of all motions."""
    labels: dict[str, set[str]] = {}
    for motion in motions:
        labels.setdefault(motion.group, set()).add(motion.part.label)
    splits = deal(labels, settings)
    for motion in motions:
        split, label = splits[motion.group], motion.part.label
        for plan in plan_captures(settings, motion.name, label, split, motion.pieces, renderings):
            yield motion, plan


def _played(motion: Motion) -> Recorded:
    return retarget(*motion.joints(), motion.fps)


def _write(job: tuple[_Listed, CapturePlan], settings: MannequinSettings, root: Path) -> None:
    motion, plan = job
    if not is_finished(plan.id, settings, root):
        rendered = render_capture(plan, _played(read_bvh(motion.path)), settings)
        write_video(rendered, plan.id, settings, root)


def _row(motion: _Listed, plan: CapturePlan, settings: MannequinSettings) -> dict[str, str]:
    return {
        **row_of(plan, settings),
        "group": motion.group,
        "motion": plan.motion,
        "motion_start": f"{plan.start_s:.3f}",
        **describe_shot(plan),
        **dict(motion.part.extra),
    }


def _digest(planned: Sequence[tuple[_Listed, CapturePlan]]) -> str:
    """What tells one set of files from another: names, labels, splits and lengths of motions."""
    text = "\n".join(
        f"{plan.id}\0{motion.group}\0{motion.part}\0{plan.split}\0{plan.duration_s:.6f}"
        for motion, plan in planned
    )
    return hashlib.sha256(text.encode()).hexdigest()
