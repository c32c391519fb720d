"""Jester: 27 hand gestures in front of a webcam, as folders of frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry
from kinesphere.datasets.crowd_lists import numbered_entries
from kinesphere.datasets.example_videos import write_frames, write_lines

_PREFIX, _FPS = "jester-v1", 12
CARD = DatasetCard(
    title="Jester (20BN-Jester v1)",
    content="videos",
    size="148 092 clips as folders of frames, 12 a second",
    licence="the publisher's terms, for research",
    source="https://www.qualcomm.com/developer/software/jester-dataset",
    layout="20bn-jester-v1/<number>/00001.jpg …; jester-v1-{train,validation,test}.csv",
    splits=("train", "val", "test"),
    columns=("fps",),
    paper="Materzynska, Berger, Bax, Memisevic (2019): The Jester dataset: a large-scale video dataset of "
    "human gestures",
    counts=(Count("train", 118_562), Count("val", 14_787), Count("test", 14_743)),
    class_count=27,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there; the test's has no classes."""
    return numbered_entries(folder, _PREFIX, _FPS)


def _write_example(folder: Path) -> Path:
    gestures = ("Swiping Left", "Thumb Up", "No gesture")
    lists = {
        "train": [f"{i};{gesture}" for i, gesture in enumerate(gestures, 1)],
        "validation": ["4;Thumb Up"],
    }
    lists["test"] = ["5;Swiping Left"]
    for part, lines in lists.items():
        write_lines(folder / f"{_PREFIX}-{part}.csv", lines)
        write_frames(folder / "20bn-jester-v1", [line.partition(";")[0] for line in lines])
    return folder


DATASETS.add("jester", Dataset.listed(CARD, entries, _write_example))
