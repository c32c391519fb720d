"""UCF101: 101 kinds of action in videos of the web, in three splits of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.groups import group_of_name
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of
from kinesphere.datasets.example_videos import write_lines, write_videos

SPLITS = ("split1", "split2", "split3")
CARD = DatasetCard(
    title="UCF101 (its three splits)",
    content="videos",
    size="13 320 clips, 27 hours",
    licence="none stated; the videos belong to those who published them",
    source="https://www.crcv.ucf.edu/data/UCF101.php: videos, and the splits for recognition",
    layout="v_<Class>_gXX_cYY.avi in folders of classes; trainlist0N.txt and testlist0N.txt",
    splits=("train", "test"),
    protocols=SPLITS,
    groups="source video",
    paper="Soomro, Zamir, Shah (2012): UCF101: a dataset of 101 human action classes from videos in the wild",
    counts=tuple(
        Count(split, clips, protocol, is_checked=True)
        for protocol, *clips_of_parts in zip(SPLITS, (9537, 9586, 9624), (3783, 3734, 3696), strict=True)
        for split, clips in zip(("train", "test"), clips_of_parts, strict=True)
    ),
    class_count=101,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there; a list names each by its class and file."""
    parts: dict[str, dict[str, str]] = {}
    lists = lists_of(folder, r"(train|test)list0?(\d)\.txt", "trainlist01.txt, testlist01.txt")
    protocols = sorted({f"split{match[2]}" for _, match in lists})
    for path, match in lists:
        for place, line in lines_of(path):
            video = line.split()[0]  # the class's number follows on lists of training
            if video.count("/") != 1:
                yield Skipped(place, f"{line[:80]!r} is not such as Archery/v_Archery_g01_c01.avi")
                continue
            parts.setdefault(video, {})[f"split{match[2]}"] = match[1].lower()
    for video, known in parts.items():
        label = video.partition("/")[0]
        named = group_of_name(Path(video), label)
        yield Entry(
            video,
            (label,),
            tuple((protocol, known.get(protocol, "")) for protocol in protocols),
            group=None if named is None else named[0],
        )


def _write_example(folder: Path) -> Path:
    videos = [
        f"{label}/v_{label}_g{group:02d}_c01.avi" for label in ("Archery", "Basketball") for group in (1, 2)
    ]
    write_videos(folder / "UCF-101", videos)
    for number in (1, 2, 3):
        tested = videos[number % 2 :: 2]
        trained = [f"{video} {1 + videos.index(video) // 2}" for video in videos if video not in tested]
        write_lines(folder / "ucfTrainTestlist" / f"trainlist0{number}.txt", trained)
        write_lines(folder / "ucfTrainTestlist" / f"testlist0{number}.txt", tested)
    return folder


DATASETS.add("ucf101", Dataset.listed(CARD, entries, _write_example))
