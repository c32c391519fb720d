"""Sports-1M: over a million YouTube videos of 487 kinds of sport, labelled by machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import cast

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.entry_table import EntryTable, MadeColumn
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, Origin, line_blocks, lines_of, lists_of, place_in
from kinesphere.datasets.example_videos import write_lines, write_videos

_LINE = re.compile(r"(\S{1,500})\s+(\d{1,9}(?:,\d{1,9})*)")
_VIDEO = re.compile(r"[?&]v=([\w-]{1,100})")
_NUMBERS = re.compile(r"\d{1,9}(?:,\d{1,9})*")
# Names in lines of their own.
_NAMES = re.compile(r"[\w-]+(?:\n[\w-]+)*")
_LONGEST_START, _LONGEST_NAME = 400, 100
CARD = DatasetCard(
    title="Sports-1M",
    content="videos",
    size="1 133 158 videos, some of them with several labels",
    licence="CC BY 3.0 for the lists; the videos belong to those who published them",
    source="https://github.com/gtoderici/sports-1m-dataset; videos from YouTube by a downloader of your "
    "choice (kinesphere datasets … --urls)",
    layout="<youtube id>.mp4 anywhere; labels.txt, train_partition.txt and test_partition.txt, unpacked",
    splits=("train", "test"),
    paper="Karpathy et al. (2014): Large-scale video classification with convolutional neural networks",
    counts=(Count("", 1_133_158),),
    class_count=487,
)


def entries(folder: SetFolder) -> Iterator[Entry | EntryTable | Skipped]:
    """The videos of both lists. One that both of them name is tested, not trained on."""
    (labels, _), *_ = lists_of(folder, r"labels\.txt", "labels.txt")
    sports = _Sports(labels.name, [line for _, line in lines_of(labels)])
    lists = lists_of(folder, r"(train|test)_partition\.txt", "train_partition.txt, test_partition.txt")
    tested: set[str] = set()
    for path, match in lists:  # the test's comes first
        parts = (("", match[1]),)
        for block in line_blocks(path):
            table = _together(block.lines, sports, parts)
            if table is not None and (match[1] == "test" or tested.isdisjoint(table.video)):
                tested.update(table.video if match[1] == "test" else ())
                yield table
                continue
            for number, line in zip(*block, strict=True):
                entry = _entry(place_in(path, number), line, sports, parts)
                if isinstance(entry, Entry) and match[1] == "train" and entry.video in tested:
                    reason = "on the list of the test, too, which counts"
                    entry = Skipped(place_in(path, number), reason, is_failure=False)
                elif isinstance(entry, Entry) and match[1] == "test":
                    tested.add(entry.video)
                yield entry


class _Sports:
    """The names of the labels, by the texts of numbers that lists have of them."""

    def __init__(self, where: str, names: Sequence[str]) -> None:
        self.where, self.count = where, len(names)
        self._names = names
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, numbers: str) -> tuple[str, ...] | int:
        """The labels of some numbers, or a number that there is no label of."""
        found = self._known.get(numbers)
        if found is None:
            known = [int(number) for number in dict.fromkeys(numbers.split(","))]
            if max(known) >= self.count:
                return max(known)
            found = self._known[numbers] = tuple(self._names[number] for number in known)
        return found


def _entry(place: str, line: str, sports: _Sports, parts: tuple[tuple[str, str], ...]) -> Entry | Skipped:
    found = _LINE.fullmatch(line)
    named = None if found is None else _VIDEO.search(found[1])
    if found is None or named is None:
        return Skipped(place, f"{line[:80]!r} is no address of a video with numbers of labels")
    labels = sports.of(found[2])
    if isinstance(labels, int):
        return Skipped(place, f"there is no label {labels}; {sports.where} has {sports.count}")
    return Entry(named[1], labels, parts, origin=Origin(found[1], named[1]))


def _together(lines: Sequence[str], sports: _Sports, parts: tuple[tuple[str, str], ...]) -> EntryTable | None:
    """The videos of some lines whose URLs begin alike; None unless that is plain to see."""
    words = " ".join(lines).split()
    begins = _VIDEO.search(words[0])
    if begins is None or {*map(str.count, lines, repeat(" "))} != {1} or len(words) != 2 * len(lines):
        return None
    start = words[0][: begins.start(1)]
    urls, numbers = words[::2], words[1::2]
    videos = [url.removeprefix(start) for url in urls]
    known = {each: _NUMBERS.fullmatch(each) and sports.of(each) for each in {*numbers}}
    if (
        len(start) > _LONGEST_START
        or not all(map(str.startswith, urls, repeat(start)))
        or not _NAMES.fullmatch("\n".join(videos))
        or max(map(len, videos)) > _LONGEST_NAME
        or not all(isinstance(labels, tuple) for labels in known.values())
    ):
        return None
    labels = cast("list[tuple[str, ...]]", list(map(known.__getitem__, numbers)))
    origins = MadeColumn(_origin, videos, [start] * len(videos))
    return EntryTable.of_videos(videos, labels, [parts] * len(videos), origin=origins)


def _origin(video: str, start: str) -> Origin:
    return Origin(start + video, video)


def _write_example(folder: Path) -> Path:
    write_lines(folder / "labels.txt", ["boomerang", "sprint", "diving"])
    for part, lines in (("train", {"a_b-c": "1", "d_e-f": "0,2"}), ("test", {"g_h-i": "0"})):
        urls = [f"https://www.youtube.com/watch?v={video} {labels}" for video, labels in lines.items()]
        write_lines(folder / "original" / f"{part}_partition.txt", urls)
        write_videos(folder / "videos", [f"{video}.mp4" for video in lines])
    return folder


DATASETS.add("sports1m", Dataset.listed(CARD, entries, _write_example))
