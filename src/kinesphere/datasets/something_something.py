"""Something-Something v1 and v2: templates such as `Putting [something] on [something]`, acted out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import LARGEST_LIST, Count, Entry, lines_of, lists_of, lists_there
from kinesphere.datasets.crowd_lists import PARTS, numbered_entries
from kinesphere.datasets.example_videos import write_frames, write_lines, write_videos

_V1, _FPS = "something-something-v1", 12
_LICENCE = "the publisher's terms, for research"
_SOURCE = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
_PAPER = (
    "Goyal et al. (2017): The “something something” video database for learning and evaluating visual common "
    "sense"
)
V1 = DatasetCard(
    title="Something-Something v1",
    content="videos",
    size="108 499 clips as folders of frames, 12 a second",
    licence=_LICENCE,
    source=f"no longer given away by its publisher; v2: {_SOURCE}",
    layout="20bn-something-something-v1/<number>/00001.jpg …; something-something-v1-{train,validation,test}"
    ".csv",
    splits=("train", "val", "test"),
    columns=("fps",),
    paper=_PAPER,
    counts=(Count("train", 86_017), Count("val", 11_522), Count("test", 10_960)),
    class_count=174,
)
V2 = DatasetCard(
    title="Something-Something v2",
    content="videos",
    size="220 847 clips",
    licence=_LICENCE,
    source=_SOURCE,
    layout="20bn-something-something-v2/<number>.webm; {train,validation,test}.json and test-answers.csv, "
    "with or without something-something-v2- before",
    splits=("train", "val", "test"),
    columns=("sentence", "placeholders"),
    paper=_PAPER,
    counts=(Count("train", 168_913), Count("val", 24_777), Count("test", 27_157)),
    class_count=174,
)


def entries_v1(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there; the test's has no classes."""
    return numbered_entries(folder, _V1, _FPS)


def entries_v2(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there.

    Classes are the templates without their brackets; what somebody put in their places are the columns
    `sentence` and `placeholders`. The test's classes are a list of their own, which not everybody has.
    """
    prefix = r"(?:something-something-v2-)?"
    lists = lists_of(folder, rf"{prefix}({'|'.join(PARTS)})\.json", "train.json, validation.json, test.json")
    answers = dict(_answers(folder, rf"{prefix}test-answers\.csv"))
    for path, match in lists:
        content = read_json(path, InvalidAnnotation, LARGEST_LIST)
        if not isinstance(content, list):
            raise InvalidAnnotation(f"{path} is no list of clips; get it again.")
        for place, item in enumerate(content, start=1):
            known = item if isinstance(item, dict) else {}
            number, template = str(known.get("id", "")), known.get("template", "")
            placeholders = known.get("placeholders", [])
            if not number.isdecimal() or not isinstance(template, str) or not isinstance(placeholders, list):
                yield Skipped(f"{path.name}, clip {place}", "it has no number, template or placeholders")
                continue
            label = template.replace("[", "").replace("]", "") or answers.get(number, "")
            words = "|".join(str(word) for word in placeholders)
            extra = (("sentence", str(known.get("label", ""))), ("placeholders", words))
            part = PARTS[match[1].lower()]
            yield Entry(f"{number}.webm", (label,) if label else (), (("", part),), extra=extra)


def _answers(folder: SetFolder, pattern: str) -> Iterator[tuple[str, str]]:
    """Number and class of the test's clips, where somebody has that list."""
    for path, _ in lists_there(folder, pattern):
        for _, line in lines_of(path):
            number, _, label = line.partition(";")
            yield number, label.replace("[", "").replace("]", "")


def _write_example_v1(folder: Path) -> Path:
    lists = {"train": ["1;Holding something", "2;Closing something"], "validation": ["3;Holding something"]}
    lists["test"] = ["4;Closing something"]
    for part, lines in lists.items():
        write_lines(folder / f"{_V1}-{part}.csv", lines)
        write_frames(folder / "20bn-something-something-v1", [line.partition(";")[0] for line in lines])
    return folder


def _write_example_v2(folder: Path) -> Path:
    def clip(number: int, template: str, word: str) -> dict[str, object]:
        sentence = template.replace("[something]", word)
        return {"id": str(number), "label": sentence, "template": template, "placeholders": [word]}

    holding, closing = "Holding [something]", "Closing [something]"
    lists: dict[str, list[dict[str, object]]] = {
        "train": [clip(1, holding, "a cup"), clip(2, closing, "a door")],
        "validation": [clip(3, holding, "a pen")],
        "test": [{"id": "4"}],
    }
    for part, clips in lists.items():
        write_lines(folder / "labels" / f"{part}.json", [json.dumps(clips)])
        write_videos(folder / "20bn-something-something-v2", [f"{known['id']}.webm" for known in clips])
    write_lines(folder / "labels" / "test-answers.csv", [f"4;{closing.replace('[', '').replace(']', '')}"])
    return folder


DATASETS.add("something_something_v1", Dataset.listed(V1, entries_v1, _write_example_v1))
DATASETS.add("something_something_v2", Dataset.listed(V2, entries_v2, _write_example_v2))
