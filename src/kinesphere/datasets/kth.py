"""KTH: six actions of 25 people on four grounds, each passage of a video one clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of
from kinesphere.datasets.example_videos import write_lines, write_videos

FPS = 25
CLASSES = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
PEOPLE = {
    "train": (11, 12, 13, 14, 15, 16, 17, 18),
    "val": (19, 20, 21, 23, 24, 25, 1, 4),
    "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
"""The authors' division of the performers."""
_LINE = re.compile(r"(person(\d\d)_([a-z]+)_(d[1-4]))\s+(?:frames\s+)?(.+)")
_RANGE = re.compile(r"(?<!\d)(\d{1,9})-(\d{1,9})(?!\d)")
CARD = DatasetCard(
    title="KTH actions (the authors' division of performers)",
    content="videos",
    size="599 videos of 2 391 passages; the list ends one of them, of person17_walking_d4, before it begins",
    licence="for research, as the authors state it",
    source="https://www.csc.kth.se/cvap/actions/",
    layout="personXX_<class>_dY_uncomp.avi; 00sequences.txt",
    classes=CLASSES,
    splits=("train", "val", "test"),
    groups="performer",
    columns=("scenario",),
    paper="Schuldt, Laptev, Caputo (2004): Recognizing human actions: a local SVM approach",
    counts=(Count("", 2_390, source="in a copy of 00sequences.txt, without that passage"),),
    class_count=6,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The passages of the authors' list, whose frames count from 1; every one but the missing video's."""
    (path, _), *_ = lists_of(folder, r"(?:00)?sequences\.txt", "00sequences.txt")
    parts = {number: part for part, numbers in PEOPLE.items() for number in numbers}
    for place, line in lines_of(path):
        found = _LINE.fullmatch(line)
        if found is None:
            continue  # the list begins with a page of words
        name, person, label, scenario, frames = found.groups()
        if "missing" in frames:
            yield Skipped(place, f"{name} is missing from the set itself", is_failure=False)
            continue
        ranges = [(int(first), int(last)) for first, last in _RANGE.findall(frames)]
        if label not in CLASSES or int(person) not in parts or not ranges:
            yield Skipped(place, f"{line[:80]!r} is no passage of a person's action")
            continue
        for first, last in ranges:
            if not 1 <= first <= last:
                yield Skipped(place, f"frames {first} to {last} of {name} are no passage")
                continue
            yield Entry(
                f"{name}_uncomp.avi",
                (label,),
                (("", parts[int(person)]),),
                span=((first - 1) / FPS, last / FPS),
                group=f"person{person}",
                also=(name,),
                extra=(("scenario", scenario),),
            )


def _write_example(folder: Path) -> Path:
    names = [f"person{number}_{label}_d1" for number in ("11", "19", "22") for label in ("boxing", "walking")]
    lines = ["Sequences of six actions", *(f"{name}\t\tframes\t1-20, 21-40" for name in names)]
    write_lines(folder / "00sequences.txt", [*lines, "person13_handclapping_d3\t*missing*"])
    for name in names:
        write_videos(folder / name.split("_")[1], [f"{name}_uncomp.avi"], seconds=1.6, fps=FPS)
    return folder


DATASETS.add("kth", Dataset.listed(CARD, entries, _write_example))
