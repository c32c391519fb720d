"""Sports-1M: over a million YouTube videos of 487 kinds of sport, labelled by machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, Origin, lines_of, lists_of
from kinesphere.datasets.example_videos import write_lines, write_videos

_LINE = re.compile(r"(\S{1,500})\s+(\d{1,9}(?:,\d{1,9})*)")
_VIDEO = re.compile(r"[?&]v=([\w-]{1,100})")
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


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The videos of both lists. One that both of them name is tested, not trained on."""
    (labels, _), *_ = lists_of(folder, r"labels\.txt", "labels.txt")
    names = [line for _, line in lines_of(labels)]
    lists = lists_of(folder, r"(train|test)_partition\.txt", "train_partition.txt, test_partition.txt")
    tested: set[str] = set()
    sports: dict[str, tuple[str, ...]] = {}
    for path, match in lists:  # the test's comes first
        parts = (("", match[1]),)
        for place, line in lines_of(path):
            found = _LINE.fullmatch(line)
            named = None if found is None else _VIDEO.search(found[1])
            if found is None or named is None:
                yield Skipped(place, f"{line[:80]!r} is no address of a video with numbers of labels")
                continue
            url, video, numbers = found[1], named[1], found[2]
            known = [int(number) for number in dict.fromkeys(numbers.split(","))]
            if max(known) >= len(names):
                yield Skipped(place, f"there is no label {max(known)}; {labels.name} has {len(names)}")
            elif match[1] == "train" and video in tested:
                yield Skipped(place, "on the list of the test, too, which counts", is_failure=False)
            else:
                if match[1] == "test":
                    tested.add(video)
                if numbers not in sports:
                    sports[numbers] = tuple(names[number] for number in known)
                yield Entry(video, sports[numbers], parts, origin=Origin(url, video))


def _write_example(folder: Path) -> Path:
    write_lines(folder / "labels.txt", ["boomerang", "sprint", "diving"])
    for part, lines in (("train", {"a_b-c": "1", "d_e-f": "0,2"}), ("test", {"g_h-i": "0"})):
        urls = [f"https://www.youtube.com/watch?v={video} {labels}" for video, labels in lines.items()]
        write_lines(folder / "original" / f"{part}_partition.txt", urls)
        write_videos(folder / "videos", [f"{video}.mp4" for video in lines])
    return folder


DATASETS.add("sports1m", Dataset.listed(CARD, entries, _write_example))
