"""The laboratory in the catalogue of data sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.manifest import Manifest
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample
from kinesphere.synthetic.laboratory.generate import COLUMNS, LABORATORY, generate_laboratory
from kinesphere.synthetic.laboratory.scale import BASE_CLIPS, DIMENSIONS
from kinesphere.synthetic.settings import SPLITS

CARD = DatasetCard(
    title="the movement-analysis laboratory (base movements; eval.csv holds their graded evaluations)",
    content="videos",
    size=f"{sum(BASE_CLIPS.values())} clips of base movements, {sum(d.clips for d in DIMENSIONS)} evaluated "
    "ones, as joints; an eighth as videos",
    licence="Apache-2.0, as Kinesphere",
    source="made on this machine: kinesphere generate laboratory --out FOLDER",
    layout="base.csv, eval.csv, together.csv, footage.csv, profiles.csv, poses/ and videos/",
    classes=tuple(sorted(BASE_CLIPS)),
    splits=SPLITS,
    groups="performer",
    columns=tuple(name for name in COLUMNS if name not in ("path", "label", "group", "split", "id")),
    counts=(Count("", sum(BASE_CLIPS.values()), is_checked=True),),
    class_count=len(BASE_CLIPS),
)


def read(folder: Path) -> Iterator[Sample]:
    """The base movements of a laboratory's folder, or the clips of one of its tables."""
    return iter(Manifest.read(folder / "base.csv" if folder.is_dir() else folder))


def _write_example(folder: Path) -> Path:
    few = replace(LABORATORY, classes=("jump", "wave"), performers=3, scenes=3, fps=8, duration_s=(1.0, 1.0))
    return generate_laboratory(few, folder, scale=1e-3, joints_only=True, workers=1)


DATASETS.add("laboratory", Dataset(CARD, read, _write_example))
