"""Charades: everyday activities that people acted out at home, several at once and one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of, lists_there, seconds, table_of
from kinesphere.datasets.example_videos import write_lines, write_videos

_COLUMNS = ("id", "subject", "scene", "actions", "length")
_ACTION = re.compile(r"(c\d{3}) (\d{1,6}(?:\.\d+)?) (\d{1,6}(?:\.\d+)?)")
CARD = DatasetCard(
    title="Charades (several activities in a video)",
    content="videos",
    size="9 848 videos of about 30 s with 66 500 annotations, by 267 people",
    licence="non-commercial, the publisher's terms",
    source="https://prior.allenai.org/projects/charades",
    layout="<id>.mp4 anywhere; Charades_v1_train.csv, Charades_v1_test.csv, Charades_v1_classes.txt",
    splits=("train", "test"),
    groups="subject",
    columns=("scene",),
    paper="Sigurdsson, Varol, Wang, Farhadi, Laptev, Gupta (2016): Hollywood in homes: crowdsourcing data "
    "collection for activity understanding",
    counts=(
        Count("train", 7_985, source="in reports of others; with the test 9 848, as in the paper"),
        Count("test", 1_863, source="in reports of others"),
    ),
    class_count=157,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The videos of both lists, each with all of its activities, and when they are (`--timed`).

    Videos in which nothing of the classes happens are counted as those without a class. Activities that end
    before they start are left out of the times only.
    """
    lists = lists_of(folder, r"Charades_v1_(train|test)\.csv", "Charades_v1_train.csv, Charades_v1_test.csv")
    names = dict(_names(folder))
    for path, match in lists:
        columns, rows = table_of(path)
        if any(column not in columns for column in _COLUMNS):
            reason = f"no list of Charades: it has no columns {', '.join(_COLUMNS)}"
            yield Skipped(path.name, reason)
            continue
        for where, row in rows:
            texts = [text for text in row["actions"].split(";") if text]
            actions = [_ACTION.fullmatch(text) for text in texts]
            if not row["id"] or None in actions:
                yield Skipped(
                    where, f"{row['actions'][:80]!r} is not such as c092 11.90 21.20;c147 0.00 12.60"
                )
                continue
            timed = [
                (names.get(action[1], action[1]), float(action[2]), float(action[3]))
                for action in actions
                if action is not None
            ]
            yield Entry(
                f"{row['id']}.mp4",
                tuple(dict.fromkeys(label for label, _, _ in timed)),
                (("", match[1].lower()),),
                group=row["subject"] or row["id"],
                extra=(("scene", row["scene"]),),
                annotations=len(timed),
                video_s=seconds(row["length"]),
                timed=tuple(each for each in timed if each[1] < each[2]),
            )


def _names(folder: SetFolder) -> Iterator[tuple[str, str]]:
    """Code and name of each class, where their list is there."""
    for path, _ in lists_there(folder, r"Charades_v1_classes\.txt"):
        for _, line in lines_of(path):
            code, _, name = line.partition(" ")
            yield code, name.strip() or code


def _write_example(folder: Path) -> Path:
    known = {
        "train": (("AAAAA", "S1", "c000 0.00 0.50;c001 0.20 1.00"), ("BBBBB", "S2", "c001 0.00 0.90")),
        "test": (("CCCCC", "S3", "c000 0.10 0.60"),),
    }
    for part, rows in known.items():
        lines = ["id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"]
        lines += [
            f'{name},{subject},Kitchen,6,7,Yes,"They eat, then sleep.",cup,"They eat.",{actions},1.00'
            for name, subject, actions in rows
        ]
        write_lines(folder / "Charades" / f"Charades_v1_{part}.csv", lines)
        write_videos(folder / "Charades_v1_480", [f"{name}.mp4" for name, *_ in rows])
    write_lines(
        folder / "Charades" / "Charades_v1_classes.txt",
        ["c000 Holding some clothes", "c001 Eating a sandwich"],
    )
    return folder


DATASETS.add("charades", Dataset.listed(CARD, entries, _write_example))
