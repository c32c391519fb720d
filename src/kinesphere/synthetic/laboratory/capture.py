"""The laboratory's tables of motion capture: what is done is the base movement, how it is done is graded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kinesphere.clips.modalities.pose.file import SUFFIX, write_poses
from kinesphere.core.archives import opened
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import make_folder
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.skipped import Skipped, why_nothing
from kinesphere.data.catalogue import DATASETS, Captured, DatasetCard
from kinesphere.synthetic.dataset import write_table
from kinesphere.synthetic.laboratory.generate import LABORATORY
from kinesphere.synthetic.mocap import deal
from kinesphere.synthetic.settings import MannequinSettings

COLUMNS: tuple[str, ...] = ("path", "label", "group", "split", "id", "view")
EVALUATION_COLUMNS: tuple[str, ...] = (*COLUMNS, "parent", "dimension", "level")
_VIEWS_DEG = (-45.0, 0.0, 45.0)
Row = dict[str, str]


@dataclass(frozen=True)
class CaptureTables:
    """What `capture_laboratory` wrote.

    Attributes:
        base: Table of the base movements.
        evaluations: Table of the evaluations, one row for each clip and dimension.
        clips: Number of pose files.
        skipped: What was left out.
    """

    base: Path
    evaluations: Path
    clips: int
    skipped: tuple[Skipped, ...]


def capture_laboratory(
    name: str,
    source: Path,
    out: Path,
    settings: MannequinSettings = LABORATORY,
    *,
    views_deg: tuple[float, ...] = _VIEWS_DEG,
) -> CaptureTables:
    """Write the tables of a laboratory over a set of motion capture, as cameras see its joints.

    `out` gets `base.csv`, whose labels are what is done, `eval.csv`, whose labels are the dimensions and
    levels that the set grades (columns `parent`, `dimension`, `level`), and `poses/`. All views of a motion,
    and all motions of a group, are in one split, the same in both tables. Files that are there are kept.

    Args:
        name: One of `DATASETS` that is motion capture and grades its motions, such as `bandai_namco` (styles)
            or `laban_effort` (Effort factors).
        source: Its folder, or an archive of it.
        out: Folder to write; made if missing.
        settings: Splits and seed.
        views_deg: Bearings of the cameras, 0 in front of the person's start and 90 to its left.

    Raises:
        UnknownName: If there is no such data set.
        InvalidSetting: If it is no motion capture, no view is given, or the folder holds another set.
        InvalidAnnotation: If there is no motion with an evaluation.
        UnsafeFile: If an archive would write outside its folder.
    """
    card = _checked(name, views_deg)
    wanted: dict[str, object] = {"kind": "captured laboratory", "set": name, "views_deg": list(views_deg)}
    wanted |= {"splits": list(settings.splits), "seed": settings.seed}
    make_folder(out / "poses")
    claim_settings(out / "settings.json", wanted, output=out)
    base: list[Row] = []
    evaluations: list[Row] = []
    skipped: list[Skipped] = []
    labels: dict[str, set[str]] = {}
    with opened(source) as folder:
        for item in DATASETS.get(name).read(folder):
            if isinstance(item, Skipped):
                skipped.append(item)
            elif isinstance(item, Captured) and item.part.extra:
                try:
                    rows = _write_views(item, out, views_deg)
                except InvalidAnnotation as error:
                    skipped.append(Skipped(f"{item.name}{item.path.suffix}", str(error)))
                    continue
                base += rows
                evaluations += (each for row in rows for each in _evaluated(item, row))
                labels.setdefault(item.group, set()).add(item.part.label)
    if not evaluations:
        raise InvalidAnnotation(
            f"{source} holds no motion of {card.title} with an evaluation; {why_nothing(skipped)}."
        )
    splits = deal(labels, settings)
    for row in (*base, *evaluations):
        row["split"] = splits[row["group"]]
    write_table(out / "base.csv", COLUMNS, base)
    write_table(out / "eval.csv", EVALUATION_COLUMNS, evaluations)
    return CaptureTables(out / "base.csv", out / "eval.csv", len(base), tuple(skipped))


def _checked(name: str, views_deg: tuple[float, ...]) -> DatasetCard:
    card = DATASETS.get(name).card
    if card.content != "motion capture" or not views_deg:
        raise InvalidSetting(
            f"A laboratory of captured motion needs a set of motion capture and a view; got {card.title}, "
            f"which holds {card.content}, and {len(views_deg)} views."
        )
    return card


def _write_views(item: Captured, out: Path, views_deg: tuple[float, ...]) -> list[Row]:
    """Write what is not there of a motion's pose files, and tell their rows."""
    rows = []
    for recording in item.recordings(views_deg):
        path = out / "poses" / f"{recording.name}{SUFFIX}"
        if not path.exists():
            write_poses(recording.poses, path)
        (part,) = recording.parts
        view = dict(part.extra)["azimuth_deg"]
        place = path.relative_to(out).as_posix()
        rows.append(
            {"path": place, "label": part.label, "group": item.group, "id": recording.name, "view": view}
        )
    return rows


def _evaluated(item: Captured, row: Row) -> Iterator[Row]:
    """A row for each dimension that the set grades a motion in."""
    for dimension, level in item.part.extra:
        yield {
            **row,
            "label": f"{dimension} {level}",
            "id": f"{row['id']} {dimension}",
            "parent": item.part.label,
            "dimension": dimension,
            "level": level,
        }
