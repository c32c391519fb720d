"""FineGym: elements of gymnastics in videos of competitions, 99 classes or a long tail of 288."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import (
    LARGEST_LIST,
    Count,
    Entry,
    Origin,
    lines_of,
    lists_of,
    lists_there,
    whole,
)
from kinesphere.datasets.example_videos import write_lines, write_videos

_WATCH = "https://www.youtube.com/watch?v="
# The video, the seconds of a routine in it, and those of an element in the routine.
_NAME = re.compile(r"((.{11})_E_(\d{1,9})_(\d{1,9}))_(A_(\d{1,9})_(\d{1,9}))")
_CLASS = re.compile(r"Clabel:\s*(\d{1,9})\s*;.*;\s*(.+)")


def _card(classes: int, title: str, counts: tuple[Count, ...]) -> DatasetCard:
    return DatasetCard(
        title=f"FineGym, Gym{classes} ({title})",
        content="videos",
        size=f"{sum(count.number for count in counts):,} elements of a second or two".replace(",", " "),
        licence="CC BY-NC 4.0 for the annotations; the videos belong to those who published them",
        source="https://sdolivia.github.io/FineGym/; videos from YouTube by a downloader of your choice "
        "(kinesphere datasets … --urls)",
        layout="<youtube id>_E_<start>_<end>_A_<start>_<end>.mp4, cut, or <youtube id>.mp4, uncut; "
        f"gym{classes}_train_element_v1.1.txt, gym{classes}_val_element.txt, gym{classes}_categories.txt; "
        "finegym_annotation_info_v1.1.json, which has the times to more than a second",
        splits=("train", "val"),
        groups="YouTube video",
        columns=("event",),
        paper="Shao, Zhao, Dai, Lin (2020): FineGym: a hierarchical video dataset for fine-grained action "
        "understanding",
        counts=counts,
        class_count=classes,
    )


CARDS = {
    99: _card(
        99, "the more balanced classes; counts of lists 1.0", (Count("train", 20_484), Count("val", 8_521))
    ),
    288: _card(288, "the long tail; counts of lists 1.0", (Count("train", 22_671), Count("val", 9_646))),
}


def entries(folder: SetFolder, classes: int) -> Iterator[Entry | Skipped]:
    """The elements of both lists; of several versions of one list the newest is read.

    Groups are videos, of which several routines are shown; the authors' lists may part them.
    """
    found = lists_of(
        folder,
        rf"gym{classes}_(train|val)(?:_element)?(?:_v(\d\.\d))?(?:_org)?\.txt",
        f"gym{classes}_train_element_v1.1.txt, gym{classes}_val_element.txt",
    )
    newest = {match[1].lower(): path for path, match in sorted(found, key=lambda each: each[1][2] or "")}
    names, times = _names(folder, classes), _times(folder)
    for part, path in sorted(newest.items()):
        for place, line in lines_of(path):
            name, _, text = line.partition(" ")
            parsed, number = _NAME.fullmatch(name), whole(text)
            if parsed is None or number is None or number >= classes:
                yield Skipped(place, f"{line[:80]!r} is not an element and a class below {classes}")
                continue
            start, end = times.get(name) or _rounded(parsed)
            if not 0 <= start < end:
                yield Skipped(place, f"{name} runs from {start:g} to {end:g} s, which is no span")
                continue
            yield Entry(
                f"{name}.mp4",
                (names.get(number, f"class{number:03d}"),),
                (("", part),),
                group=parsed[2],
                origin=Origin(f"{_WATCH}{parsed[2]}", parsed[2], (start, end)),
                extra=(("event", parsed[1]),),
            )


def _rounded(parsed: re.Match[str]) -> tuple[float, float]:
    """An element's span in its video, from the whole seconds of its name."""
    routine = int(parsed[3])
    return float(routine + int(parsed[6])), float(routine + int(parsed[7]))


def _names(folder: SetFolder, classes: int) -> dict[int, str]:
    """Names of the classes, where their list is there; those that several share get their number, too."""
    known: dict[int, str] = {}
    for path, _ in lists_there(folder, rf"gym{classes}_categories\.txt"):
        found = (_CLASS.fullmatch(line) for _, line in lines_of(path))
        known = {int(match[1]): match[2] for match in found if match is not None}
    times = Counter(known.values())
    return {
        number: name if times[name] == 1 else f"{name} (class {number})" for number, name in known.items()
    }


def _times(folder: SetFolder) -> dict[str, tuple[float, float]]:
    """Spans of the elements in their videos, where the annotations are there."""
    found: dict[str, tuple[float, float]] = {}
    for path, _ in lists_there(folder, r"finegym_annotation_info_v\d\.\d\.json"):  # the newest is the last
        content = read_json(path, InvalidAnnotation, LARGEST_LIST)
        if not isinstance(content, dict):
            raise InvalidAnnotation(f"{path} holds no videos by their names; get it again.")
        try:
            for video, events in content.items():
                for event, facts in events.items():
                    found |= dict(_of_event(f"{video}_{event}", facts))
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InvalidAnnotation(f"{path} lacks times of an event ({error!r}); get it again.") from error
    return found


def _of_event(name: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    begin = float(facts["timestamps"][0][0])
    for element, known in (facts.get("segments") or {}).items():
        times = known["timestamps"]
        yield f"{name}_{element}", (begin + float(times[0][0]), begin + float(times[-1][1]))


def _write_example(folder: Path, classes: int) -> Path:
    names = [f"{letter * 11}_E_000010_000020_A_0001_0002" for letter in "abc"]
    lists = {"train_element_v1.1": names[:2], "val_element": names[2:]}
    for ending, listed in lists.items():
        lines = [f"{name} {number % 2}" for number, name in enumerate(listed)]
        write_lines(folder / "annotations" / f"gym{classes}_{ending}.txt", lines)
    titles = [
        "Clabel:   0; set:  1; Glabel:   1; (VT) round-off",
        "Clabel:   1; set:  1; Glabel:   2; (FX) turn",
    ]
    write_lines(folder / "annotations" / f"gym{classes}_categories.txt", titles)
    segments = {"A_0001_0002": {"stages": 1, "timestamps": [[1.25, 2.0]]}}
    content = {
        name[:11]: {"E_000010_000020": {"event": 1, "segments": segments, "timestamps": [[10.5, 20.0]]}}
        for name in names
    }
    write_lines(folder / "annotations" / "finegym_annotation_info_v1.1.json", [json.dumps(content)])
    write_videos(folder / "subactions", [f"{name}.mp4" for name in names])
    return folder


for _classes, _known in CARDS.items():
    DATASETS.add(
        f"gym{_classes}",
        Dataset.listed(_known, partial(entries, classes=_classes), partial(_write_example, classes=_classes)),
    )
