"""Web lists in OmniSource's manner: clips of Kinetics for 200 classes, and what a search of the web gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of, lists_there, whole
from kinesphere.datasets.example_videos import write_lines, write_videos

_KINETICS = r"k200_(train|val)\.txt"
# What a search gave; what of it a teacher trusts; the same without what resembles the validation part.
_WEB = r"(.+_)?(insvideo|googleimage|insimage|webimage)_200(_wodup)?\.txt"
CARD = DatasetCard(
    title="OmniSource's public lists (Mini-Kinetics-200 with videos of the web)",
    content="videos",
    size="80 868 clips of Kinetics, 732 855 videos of Instagram, 330 680 of them trusted by a teacher",
    licence="by request to the authors; the videos belong to those who published them",
    source="https://github.com/open-mmlab/mmaction2/tree/main/tools/data/omnisource",
    layout="kinetics_200_{train,val}/<id>.mp4, insvideo_200/<class>/<tag>/<id>.mp4; annotations/: "
    "k200_{train,val}.txt, slowonly_8x8_insvideo_200_wodup.txt, k200_actions.txt",
    splits=("train", "val"),
    protocols=("web", "kinetics"),
    columns=("origin",),
    paper="Duan, Zhao, Xiong, Liu, Lin (2020): Omni-sourced webly-supervised learning for video recognition",
    counts=(
        Count("train", 76_030, "kinetics", source="in MMAction2's table of the release"),
        Count("val", 4_838, "kinetics", source="in MMAction2's table of the release"),
    ),
    class_count=200,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of Kinetics, and the web's in the list that was cleaned most of those that are there.

    Lists are lines of a path and a class's number. The protocol `web` trains with what the web gave,
    `kinetics` without; both validate on Kinetics. Lists of what resembles the validation part are never
    read. Images are no videos: they are counted only.
    """
    names = {
        number: line
        for path, _ in lists_there(folder, r"k200_actions\.txt")
        for number, (_, line) in enumerate(lines_of(path))
    }
    for path, match in lists_of(folder, _KINETICS, "k200_train.txt, k200_val.txt"):
        part = match[1].lower()
        yield from _of_list(path, names, "kinetics", (("web", part), ("kinetics", part)))
    cleanest: dict[str, tuple[tuple[bool, bool], Path]] = {}
    for path, match in lists_there(folder, _WEB):
        rank = (match[3] is not None, match[1] is not None)
        if match[2].lower() not in cleanest or rank > cleanest[match[2].lower()][0]:
            cleanest[match[2].lower()] = rank, path
    for origin, (_, path) in cleanest.items():
        if origin == "insvideo":
            yield from _of_list(path, names, origin, (("web", "train"), ("kinetics", "")))
        else:
            count = sum(1 for _ in lines_of(path))
            yield Skipped(path.name, f"{count} images, which are no videos", is_failure=False)


def _of_list(
    path: Path, names: dict[int, str], origin: str, parts: tuple[tuple[str, str], ...]
) -> Iterator[Entry | Skipped]:
    for place, line in lines_of(path):
        video, *rest = line.rsplit(maxsplit=1)
        number = whole(rest[0]) if rest else None
        if number is None or number >= (CARD.class_count or 0):
            yield Skipped(place, f"{line[:80]!r} is not a path and a class below {CARD.class_count}")
            continue
        label = names.get(number, f"class{number:03d}")
        yield Entry(video, (label,), parts, extra=(("origin", origin),))


def _write_example(folder: Path) -> Path:
    lists = {
        "kinetics_200/k200_train": ["aaaaaaaaaaa.mp4 0", "bbbbbbbbbbb.mp4 1"],
        "kinetics_200/k200_val": ["ccccccccccc.mp4 1"],
        "insvideo_200/insvideo_200": ["000/climb/ddd.mp4 0", "000/climb/eee.mp4 0"],
        "insvideo_200/slowonly_8x8_insvideo_200_wodup": ["000/climb/ddd.mp4 0"],
        "googleimage_200/googleimage_200": ["000/00/000001.jpg 0"],
        "k200_actions": ["abseiling", "air drumming"],
    }
    for name, lines in lists.items():
        write_lines(folder / "annotations" / f"{name}.txt", lines)
    write_videos(folder / "kinetics_200_train", ["aaaaaaaaaaa.mp4", "bbbbbbbbbbb.mp4"])
    write_videos(folder / "kinetics_200_val", ["ccccccccccc.mp4"])
    write_videos(folder / "insvideo_200", ["000/climb/ddd.mp4"])
    return folder


DATASETS.add("omnisource", Dataset.listed(CARD, entries, _write_example))
