"""Kinetics-400, -600 and -700: lists of YouTube videos with the ten seconds that show an action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.entry_table import EntryTable, MadeColumn
from kinesphere.data.media import SetFolder
from kinesphere.data.official import (
    LARGEST_LIST,
    Count,
    Entry,
    ListedCells,
    Origin,
    lists_of,
    seconds,
    table_blocks_of,
)
from kinesphere.datasets.example_videos import write_lines, write_videos

WATCH = "https://www.youtube.com/watch?v="
_PARTS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
_COLUMNS = ("youtube_id", "time_start", "time_end")
_LONGEST_S = 1e6


def _card(classes: int, year: int, title: str, size: str, counts: tuple[Count, ...]) -> DatasetCard:
    return DatasetCard(
        title=f"Kinetics-{classes}",
        content="videos",
        size=size,
        licence="CC BY 4.0 for the lists; the videos belong to those who published them",
        source="lists: https://github.com/cvdfoundation/kinetics-dataset; videos from YouTube by a "
        "downloader of your choice (kinesphere datasets … --urls), or copies of the same foundation",
        layout="<youtube id>_<start>_<end>.mp4 anywhere, seconds with six digits; lists train, val and test, "
        ".csv or .json",
        splits=("train", "val", "test"),
        groups="YouTube video",
        paper=f"{'Kay' if year == 2017 else 'Carreira'} et al. ({year}): {title}",
        counts=counts,
        class_count=classes,
    )


CARDS = {
    "kinetics400": _card(
        400,
        2017,
        "The Kinetics human action video dataset",
        "306 245 clips of about 10 s",
        (Count("train", 246_245), Count("val", 19_906, is_checked=True), Count("test", 40_000)),
    ),
    "kinetics600": _card(
        600,
        2018,
        "A short note about Kinetics-600",
        "about 482 600 clips of about 10 s",
        (Count("train", 392_622), Count("val", 30_000, is_checked=True), Count("test", 60_000)),
    ),
    "kinetics700": _card(
        700,
        2019,
        "A short note on the Kinetics-700 human action dataset",
        "650 317 clips of about 10 s",
        (Count("train", 545_317), Count("val", 35_000), Count("test", 70_000)),
    ),
}


def entries(folder: SetFolder, classes: int) -> Iterator[Entry | EntryTable | Skipped]:
    """The clips of all lists that are there; of a part's CSV and JSON the CSV is read."""
    name = rf"(?:k(?:inetics)?[-_]?(?:{classes})?[-_])?({'|'.join(_PARTS)})\.(csv|json)"
    lists = lists_of(folder, name, "train.csv, val.csv, test.csv")
    tables = {_PARTS[match[1].lower()] for _, match in lists if match[2].lower() == "csv"}
    for path, match in lists:
        part = _PARTS[match[1].lower()]
        if match[2].lower() == "csv":
            yield from _of_table(path, part)
        elif part not in tables:
            yield from _of_json(path, part)


def _of_table(path: Path, part: str) -> Iterator[Entry | EntryTable | Skipped]:
    columns, blocks = table_blocks_of(path)
    if any(column not in columns for column in _COLUMNS):
        reason = f"no list of Kinetics: it has no columns {', '.join(_COLUMNS)}"
        yield Skipped(path.name, reason, is_failure=False)
        return
    shared = _Shared()
    for block in blocks:
        table = _together(block.cells, part, shared) if isinstance(block, ListedCells) else None
        if table is not None:
            yield table
            continue
        for where, row in block.rows() if isinstance(block, ListedCells) else (block,):
            known = _PARTS.get((row.get("split") or "").lower(), part)
            times = (row["time_start"], row["time_end"])
            yield _entry(where, row.get("label") or "", row["youtube_id"], times, known, shared)


def _together(cells: Mapping[str, Sequence[str]], part: str, shared: _Shared) -> EntryTable | None:
    """The clips of some rows; None if one of them is wrong."""
    videos = cells["youtube_id"]
    starts, ends = map(shared.times, (cells["time_start"], cells["time_end"]))
    if starts is None or ends is None or not all(videos):
        return None
    from_s, to_s = np.array(starts), np.array(ends)
    if not np.all((from_s >= 0) & (from_s < to_s) & (to_s < _LONGEST_S)):
        return None
    named = {time: f"_{int(time):06d}" for time in {*starts, *ends}}
    blank = [""] * len(videos)
    parts = {split: shared.parts(_PARTS.get(split.lower(), part)) for split in {*cells.get("split", blank)}}
    return EntryTable.of_videos(
        [f"{v}{named[s]}{named[e]}" for v, s, e in zip(videos, starts, ends, strict=True)],
        list(map(shared.labels, cells.get("label", blank))),
        [parts[split] for split in cells.get("split", blank)],
        group=videos,
        also=MadeColumn(_also, videos, starts, ends),
        origin=MadeColumn(_origin, videos, starts, ends),
    )


def _also(video: str, start: float, end: float) -> tuple[str, ...]:
    return (f"{video}_{start:g}_{end:g}",)


def _origin(video: str, start: float, end: float) -> Origin:
    return Origin(f"{WATCH}{video}", video, (start, end))


def _of_json(path: Path, part: str) -> Iterator[Entry | Skipped]:
    content = read_json(path, InvalidAnnotation, LARGEST_LIST)
    if not isinstance(content, dict):
        raise InvalidAnnotation(f"{path} is no list of Kinetics: it holds no videos by their names.")
    shared = _Shared()
    for video, facts in content.items():
        where = f"{path.name}, {video[:80]}"
        known: Mapping[str, Any] = facts.get("annotations") or {} if isinstance(facts, dict) else {}
        segment = known.get("segment")
        if not isinstance(segment, list) or len(segment) != 2:
            yield Skipped(where, "it has no segment of two times")
            continue
        yield _entry(where, str(known.get("label") or ""), video, segment, part, shared)


class _Shared:
    """What many clips of a list have alike: one object for all of them."""

    def __init__(self) -> None:
        self._labels: dict[str, tuple[str, ...]] = {"": ()}
        self._parts: dict[str, tuple[tuple[str, str], ...]] = {}
        self._times: dict[str, float | None] = {}

    def labels(self, label: str) -> tuple[str, ...]:
        """The labels of a clip with one, or none."""
        return self._labels.setdefault(label, (label,))

    def parts(self, part: str) -> tuple[tuple[str, str], ...]:
        """The parts of a clip in a split of the only protocol."""
        return self._parts.setdefault(part, (("", part),))

    def times(self, texts: Sequence[str]) -> list[float] | None:
        """Times in seconds; None if one of them is no time."""
        for text in {*texts}.difference(self._times):
            self._times[text] = seconds(text)
        found = [self._times[text] for text in texts]
        return None if None in found else cast("list[float]", found)


def _entry(
    where: str, label: str, video: str, times: Sequence[Any], part: str, shared: _Shared
) -> Entry | Skipped:
    start, end = map(seconds, times)
    if start is None or end is None:
        return Skipped(where, "start and end are no seconds")
    if not video or not 0 <= start < end < _LONGEST_S:
        return Skipped(where, f"{video[:80]!r} from {start:g} to {end:g} s is no part of a video")
    return Entry(
        f"{video}_{int(start):06d}_{int(end):06d}",
        shared.labels(label),
        shared.parts(part),
        group=video,
        also=_also(video, start, end),
        origin=_origin(video, start, end),
    )


def _write_example(folder: Path) -> Path:
    for part, numbers in (("train", (1, 2)), ("val", (3,)), ("test", (4,))):
        lines = ["label,youtube_id,time_start,time_end,split,is_cc"]
        for number in numbers:
            label = ("abseiling", "air drumming")[number % 2]
            lines.append(f"{label},{number}bcdefghij_,{number},{number + 1},{part},0")
            video = f"{number}bcdefghij__{number:06d}_{number + 1:06d}.mp4"
            write_videos(folder / part / label.replace(" ", "_"), [video])
        write_lines(folder / "annotations" / f"{part}.csv", lines)
    return folder


for _name, _known in CARDS.items():
    DATASETS.add(_name, Dataset.listed(_known, partial(entries, classes=_known.class_count), _write_example))
