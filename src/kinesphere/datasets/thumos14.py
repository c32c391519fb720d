"""THUMOS14's task of detection: 20 sports, annotated in untrimmed videos of two subsets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinesphere.annotations.formats.thumos import AMBIGUOUS
from kinesphere.annotations.formats.thumos import CLASSES as BY_NUMBER
from kinesphere.annotations.timed import video_name
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Dataset, DatasetCard
from kinesphere.data.media import SetFolder
from kinesphere.data.official import Count, Entry, lines_of, lists_of, lists_there
from kinesphere.datasets.example_videos import write_lines, write_videos

CLASSES = tuple(sorted(BY_NUMBER.values()))
_PARTS = {"val": "train", "validation": "train", "test": "test"}
_NAMES = {"val": "validation", "validation": "validation", "test": "test"}
CARD = DatasetCard(
    title="THUMOS14, temporal action detection (the validation subset trains)",
    content="videos",
    size="200 validation and 212 test videos with 6 365 annotations, and 188 Ambiguous ones",
    licence="for research, as its authors state it",
    source="https://www.crcv.ucf.edu/THUMOS14/download.html",
    layout="video_{validation,test}_<number>.mp4 anywhere, uncut; <class>_{val,test}.txt, of each subset's "
    "annotations; {validation,test}_durations.txt and {validation,test}_avoid_videos.txt, where somebody has "
    "them",
    classes=CLASSES,
    splits=("train", "test"),
    groups="video",
    columns=("subset", "avoid"),
    paper="Jiang et al. (2014): THUMOS challenge: action recognition with a large number of classes",
    counts=(
        Count("train", 200, is_checked=True, unit="videos"),
        Count("test", 212, is_checked=True, unit="videos"),
        Count("train", 3_007, is_checked=True, unit="annotations"),
        Count("test", 3_358, is_checked=True, unit="annotations"),
    ),
    class_count=20,
)


def entries(folder: SetFolder) -> Iterator[Entry | Skipped]:
    """The annotated spans of both subsets; labels of one span of a video are one clip: CliffDiving is Diving.

    Ambiguous spans are of no class: they are counted and none of the clips. Columns of a clip are its
    official subset, and `avoid`: whether the lists of videos to avoid name it for its class.
    """
    files = lists_of(
        folder,
        rf"({'|'.join((*CLASSES, AMBIGUOUS))})_({'|'.join(_PARTS)})\.txt",
        "BaseballPitch_val.txt, BaseballPitch_test.txt",
    )
    spans: dict[tuple[str, str, float, float], list[str]] = {}
    for path, match in files:
        ambiguous = 0
        for place, line in lines_of(path):
            span = _span(line)
            if span is None:
                yield Skipped(place, f"{line[:80]!r} is not a video, a start and a later end")
            elif match[1].casefold() == AMBIGUOUS.casefold():
                ambiguous += 1
            else:
                spans.setdefault((_NAMES[match[2].lower()], *span), []).append(match[1])
        if ambiguous:
            reason = f"{ambiguous} ambiguous spans, which are of no class and none of the clips"
            yield Skipped(path.name, reason, is_failure=False)
    durations, avoided = _durations(folder), _avoided(folder)
    for (subset, video, start, end), labels in spans.items():
        avoid = "yes" if any((video, label) in avoided for label in labels) else ""
        yield Entry(
            f"{video}.mp4",
            tuple(dict.fromkeys(labels)),
            (("", _PARTS[subset]),),
            (start, end),
            video,
            extra=(("subset", subset), ("avoid", avoid)),
            annotations=len(labels),
            video_s=durations.get(video),
        )


def _span(line: str) -> tuple[str, float, float] | None:
    video, *times = line.split()
    try:
        start, end = map(float, times)
    except ValueError:
        return None
    return (video_name(video), start, end) if 0 <= start <= end < 1e6 else None


def _durations(folder: SetFolder) -> dict[str, float]:
    """Length of each video in seconds: lists have a line with a path and one with the length."""
    known: dict[str, float] = {}
    for path, _ in lists_there(folder, rf"(?:th14_)?({'|'.join(_PARTS)})_durations\.txt"):
        lines = [line for _, line in lines_of(path)]
        for name, length in zip(lines[::2], lines[1::2], strict=False):
            if length.replace(".", "", 1).isdecimal():
                known[video_name(name)] = float(length)
    return known


def _avoided(folder: SetFolder) -> set[tuple[str, str]]:
    """Video and class of the lists of what to avoid."""
    found = set()
    for path, _ in lists_there(folder, rf"({'|'.join(_PARTS)})_avoid_videos\.txt"):
        for _, line in lines_of(path):
            video, _, label = line.partition(" ")
            found.add((video_name(video), label.strip()))
    return found


def _write_example(folder: Path) -> Path:
    known = {
        "validation": (("val", "Diving", "0000001  0.2 0.9"), ("val", "Billiards", "0000002  0.5 1.5")),
        "test": (
            ("test", "Diving", "0000001  0.2 0.9"),
            ("test", "CliffDiving", "0000001  0.2 0.9"),
            ("test", "Billiards", "0000003  0.0 1.0"),
            ("test", AMBIGUOUS, "0000003  1.2 1.6"),
        ),
    }
    for subset, lines in known.items():
        annotations = folder / "annotations" / f"temporal_annotations_{subset}"
        for ending, label, line in lines:
            write_lines(annotations / f"{label}_{ending}.txt", [f"video_{subset}_{line}"])
        videos = dict.fromkeys(f"video_{subset}_{line[:7]}.mp4" for _, _, line in lines)
        write_videos(folder / subset, videos, seconds=2)
        lengths = [text for video in videos for text in (video, "2.0")]
        write_lines(folder / "annotations" / f"{subset}_durations.txt", lengths)
    write_lines(folder / "annotations" / "test_avoid_videos.txt", ["video_test_0000003 Billiards"])
    return folder


DATASETS.add("thumos14", Dataset.listed(CARD, entries, _write_example))
