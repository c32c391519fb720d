"""Diving48: 48 kinds of competition dive, told apart by their course alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lists_of
from kinesphere.datasets.example_videos import write_lines, write_videos

CARD = DatasetCard(
    title="Diving48 (labels V2)",
    content="videos",
    size="16 997 clips with the labels V2, about 18 400 with the first ones",
    licence="none stated; the videos belong to those who published them",
    source="http://www.svcl.ucsd.edu/projects/resound/dataset.html",
    layout="<name>.mp4; Diving48_V2_train.json, Diving48_V2_test.json and Diving48_vocab.json",
    splits=("train", "test"),
    groups="source video",
    paper="Li, Li, Vasconcelos (2018): RESOUND: towards action recognition without representation bias",
    counts=(
        Count("train", 15_027, source="in reports of others who read the lists"),
        Count("test", 1_970, source="in reports of others who read the lists"),
    ),
    class_count=48,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of the labels V2; where there are none, of the first ones.

    A class is take-off, somersaults, twists and position: `Back+15som+05Twis+FREE`.
    """
    names = _vocabulary(folder)
    lists = lists_of(folder, r"Diving48_(?:(V\d)_)?(train|test)\.json", "Diving48_V2_train.json")
    newest = max(match[1] or "" for _, match in lists)
    for path, match in lists:
        if (match[1] or "") != newest:
            yield Skipped(path.name, f"of other labels than {newest}, which are used", is_failure=False)
            continue
        content = read_json(path, InvalidAnnotation)
        if not isinstance(content, list):
            raise InvalidAnnotation(f"{path} is no list of clips; get it again.")
        for place, item in enumerate(content, start=1):
            known = item if isinstance(item, dict) else {}
            video, number = known.get("vid_name"), known.get("label")
            if not isinstance(video, str) or not isinstance(number, int) or not 0 <= number < len(names):
                yield Skipped(f"{path.name}, clip {place}", f"it has no name, or no label of {len(names)}")
                continue
            group = video.rpartition("_")[0] or video
            yield Entry(video, (names[number],), (("", match[2].lower()),), group=group)


def _vocabulary(folder: SetFolder) -> list[str]:
    (path, _), *_ = lists_of(folder, r"Diving48_vocab\.json", "Diving48_vocab.json")
    content = read_json(path, InvalidAnnotation)
    if not isinstance(content, list):
        raise InvalidAnnotation(f"{path} is no list of classes; get it again.")
    return ["+".join(map(str, words)) if isinstance(words, list) else str(words) for words in content]


def _write_example(folder: Path) -> Path:
    write_lines(
        folder / "Diving48_vocab.json",
        [json.dumps([["Back", "15som", "05Twis", "FREE"], ["Forward", "Dive", "NoTwis", "PIKE"]])],
    )
    for part, videos in (("train", ("aa_00000", "aa_00001", "bb_00000")), ("test", ("cc_00000",))):
        clips = [
            {"vid_name": video, "label": number % 2, "start_frame": 0, "end_frame": 9}
            for number, video in enumerate(videos)
        ]
        write_lines(folder / f"Diving48_V2_{part}.json", [json.dumps(clips)])
        write_videos(folder / "rgb", [f"{video}.mp4" for video in videos])
    return folder


DATASETS.add("diving48", Dataset.listed(CARD, entries, _write_example))
