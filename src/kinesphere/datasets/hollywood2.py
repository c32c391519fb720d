"""Hollywood2: twelve actions in clips of 69 films, several at once in some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of
from kinesphere.datasets.example_videos import write_lines, write_videos

CLASSES = (
    *("AnswerPhone", "DriveCar", "Eat", "FightPerson", "GetOutCar", "HandShake"),
    *("HugPerson", "Kiss", "Run", "SitDown", "SitUp", "StandUp"),
)
_PARTS = {
    "train": (("clean", "train"), ("automatic", "")),
    "autotrain": (("clean", ""), ("automatic", "train")),
    "test": (("clean", "test"), ("automatic", "test")),
}
CARD = DatasetCard(
    title="Hollywood2 (actions)",
    content="videos",
    size="1 707 clips, and 810 more labelled by scripts",
    licence="for research; the films belong to their makers",
    source="https://www.di.ens.fr/~laptev/actions/hollywood2/",
    layout="AVIClips/<name>.avi; ClipSets/<class>_{train,autotrain,test}.txt",
    classes=CLASSES,
    splits=("train", "test"),
    protocols=("clean", "automatic"),
    paper="Marszałek, Laptev, Schmid (2009): Actions in context",
    counts=(
        Count("train", 823, "clean"),
        Count("test", 884, "clean"),
        Count("train", 810, "automatic", source="in the authors' README"),
        Count("test", 884, "automatic"),
    ),
    class_count=12,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The clips of all lists that are there: each names all clips of a part, 1 where they show its class."""
    lists = lists_of(
        folder,
        rf"({'|'.join(CLASSES)})_({'|'.join(_PARTS)})\.txt",
        "AnswerPhone_train.txt, AnswerPhone_test.txt",
    )
    labels: dict[tuple[str, str], list[str]] = {}
    for path, match in lists:
        for place, line in lines_of(path):
            video, _, shows = line.rpartition(" ")
            if shows not in ("1", "-1") or not video.strip():
                yield Skipped(place, f"{line[:80]!r} is not the name of a clip and 1 or -1")
                continue
            shown = labels.setdefault((match[2].lower(), video.strip()), [])
            if shows == "1":
                shown.append(match[1])
    for (part, video), shown in labels.items():
        yield Entry(f"{video}.avi", tuple(shown), _PARTS[part])


def _write_example(folder: Path) -> Path:
    clips: dict[str, dict[str, tuple[str, ...]]] = {
        "train": {"actioncliptrain00001": ("Run",), "actioncliptrain00002": ("Eat", "Kiss")},
        "autotrain": {"actionclipautoautotrain00001": ("Run",)},
        "test": {"actioncliptest00001": ("Kiss",)},
    }
    for part, known in clips.items():
        write_videos(folder / "AVIClips", [f"{video}.avi" for video in known])
        for label in CLASSES:
            lines = [f"{video}  {1 if label in labels else -1}" for video, labels in known.items()]
            write_lines(folder / "ClipSets" / f"{label}_{part}.txt", lines)
    return folder


DATASETS.add("hollywood2", Dataset.listed(CARD, entries, _write_example))
