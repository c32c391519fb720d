"""Fights before surveillance cameras: clips of about two seconds, half of them of fights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import look_through
from kinesphere.data.official import Count
from kinesphere.data.sample import Sample
from kinesphere.datasets.example_videos import write_videos

CLASSES = ("fight", "noFight")
CARD = DatasetCard(
    title="surveillance camera fights",
    content="videos",
    size="300 clips of about 2 s; several are cut from one video, which the set does not tell: a random "
    "division parts them",
    licence="for research, as its authors state it",
    source="https://github.com/sayibet/fight-detection-surv-dataset",
    layout="fight/*.mp4 and noFight/*.mp4",
    classes=CLASSES,
    paper="Aktı, Tataroğlu, Ekenel (2019): Vision-based fight detection from surveillance cameras",
    counts=(Count("", 300),),
    class_count=2,
)


def read(folder: Path) -> Iterator[Sample | Skipped]:
    """The clips of both folders."""
    labels = {label.casefold(): label for label in CLASSES}
    for media in look_through(folder).media:
        label = labels.get(media.path.parent.name.casefold())
        if label is None or media.is_empty:
            reason = "an empty file" if media.is_empty else "it lies in neither fight nor noFight"
            yield Skipped(media.path.name, reason, is_failure=media.is_empty)
        else:
            yield Sample(media.stem, media.path, (label,))


def _write_example(folder: Path) -> Path:
    write_videos(folder, ["fight/fi001.mp4", "fight/fi002.mp4", "noFight/nofi001.mp4"])
    return folder


DATASETS.add("surveillance_fights", Dataset(CARD, read, _write_example))
