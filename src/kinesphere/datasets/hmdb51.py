"""HMDB51: 51 kinds of action in clips of films and the web, in three splits of its own."""

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
PARTS = {"0": "", "1": "train", "2": "test"}
"""What the numbers on the lists mean; a clip with 0 is none of the split."""
CARD = DatasetCard(
    title="HMDB51 (its three splits)",
    content="videos",
    size="6 766 clips; 5 100 of them in each split",
    licence="CC BY 4.0 for the annotations; the videos belong to those who published them",
    source="https://serre.lab.brown.edu/hmdb51.html: hmdb51_org.rar and test_train_splits.rar",
    layout="<name>.avi in folders of classes; <class>_test_split<N>.txt",
    splits=("train", "test"),
    protocols=SPLITS,
    groups="recording",
    paper="Kuehne, Jhuang, Garrote, Poggio, Serre (2011): HMDB: a large video database for human motion "
    "recognition",
    counts=tuple(
        Count(part, clips, split, is_checked=True)
        for split in SPLITS
        for part, clips in (("train", 3570), ("test", 1530))
    ),
    class_count=51,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there: a list a class and split."""
    lists = lists_of(folder, r"(.+)_test_split(\d)\.txt", "brush_hair_test_split1.txt")
    protocols = sorted({f"split{match[2]}" for _, match in lists})
    parts: dict[tuple[str, str], dict[str, str]] = {}
    for path, match in lists:
        for place, line in lines_of(path):
            video, _, number = line.rpartition(" ")
            if number not in PARTS or not video.strip():
                yield Skipped(place, f"{line[:80]!r} is not the name of a clip and 0, 1 or 2")
                continue
            parts.setdefault((match[1], video.strip()), {})[f"split{match[2]}"] = PARTS[number]
    for (label, video), known in parts.items():
        named = group_of_name(Path(video), label)
        yield Entry(
            f"{label}/{video}",
            (label,),
            tuple((protocol, known.get(protocol, "")) for protocol in protocols),
            group=Path(video).stem if named is None else named[0],
        )


def _write_example(folder: Path) -> Path:
    for label in ("wave", "climb_stairs"):
        names = [f"Film{number}_{label}_f_cm_np1_fr_med_{number}.avi" for number in range(3)]
        write_videos(folder / "hmdb51_org" / label, names)
        for split in (1, 2, 3):
            lines = [f"{name} {(number + split) % 3} " for number, name in enumerate(names)]
            write_lines(folder / "testTrainMulti_7030_splits" / f"{label}_test_split{split}.txt", lines)
    return folder


DATASETS.add("hmdb51", Dataset.listed(CARD, entries, _write_example))
