"""Timed labels from one format into another, with counts before and after and all that is lost on the way."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kinesphere.annotations.kept_labels import refuse_to_lose
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.spelling import likely_misspelt
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed_files
from kinesphere.annotations.timed_targets import TIMED_TARGETS, TimedTarget
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import make_folder
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.text import enumerated, named, spelled

_LONGEST_NAME, _MOST_FOLDERS = 200, 20
"""Bytes of the name of a file that is written, and folders that it lies in."""


@dataclass(frozen=True)
class ClassCount:
    """How often a class is annotated.

    Attributes:
        labels: Spans.
        seconds: Their lengths together.
    """

    labels: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        files: What was written.
        before: Counts by class as they were read, the most frequent first.
        after: Counts by class in the written files, read again.
        notes: What of the files was not read, what is not written as it was, and names that look misspelt.
        lost: Labels that are not in the written files; empty where all were carried over.
    """

    files: tuple[Path, ...]
    before: dict[str, ClassCount]
    after: dict[str, ClassCount]
    notes: tuple[str, ...]
    lost: tuple[str, ...]


def convert(paths: Sequence[Path], to: str, out: Path, recordings: Recordings | None = None) -> Conversion:
    """Write the labels of files of timed labels in another format.

    Args:
        paths: Files, or folders with a file for each video.
        to: Name of the format, among `TIMED_TARGETS`.
        out: A file; or a folder for a file for each video, where the format holds one video.
        recordings: Where the videos lie, if not beside the files or below their folders; needed where a
            format counts in frames and does not say their rate.

    Raises:
        InvalidSetting: If there is no such format, or several videos are to go to one file of a format that
            holds one.
        InvalidAnnotation: If a file cannot be read, a video's name is none for a file, or nothing says the
            frame rate.
    """
    recordings = Recordings() if recordings is None else recordings
    if recordings.folder is None:
        near = dict.fromkeys(path if path.is_dir() else path.parent for path in paths)
        recordings = replace(recordings, near=tuple(near))
    target = timed_target(to)
    found = read_timed_files(paths, recordings)
    files, notes = write_timed(found, target, out, recordings)
    again = read_timed_files(files, recordings)
    before, after = class_counts(found.labels), class_counts(again.labels)
    lost = [
        f"{spelled(label)}: {count.labels} before, {after.get(label, ClassCount()).labels} after"
        for label, count in before.items()
        if count.labels != after.get(label, ClassCount()).labels
    ]
    lost += [f"{label}: not there before" for label in after if label not in before]
    every = (*found.notes, *_misspelt(before), *_not_kept(found, target), *notes)
    return Conversion(tuple(files), before, after, every, tuple(lost))


def timed_target(name: str) -> TimedTarget:
    """A format by its name.

    Raises:
        InvalidSetting: If there is none.
    """
    if name not in TIMED_TARGETS:
        close = nearest(name, TIMED_TARGETS)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InvalidSetting(f"Timed labels are written as {enumerated(TIMED_TARGETS)}; got {name!r}{hint}")
    return TIMED_TARGETS[name]


def write_timed(
    found: TimedLabels, target: TimedTarget, out: Path, recordings: Recordings
) -> tuple[list[Path], list[str]]:
    """Write labels, a file for each video where the format holds one.

    Returns:
        The files, and what is not in them as it was.

    Raises:
        InvalidSetting: If several videos are to go to one such file.
        InvalidAnnotation: If a file is there that holds labels of people which would be lost, or a video's
            name is none that a file below the folder can have.
    """
    is_file = bool(target.suffix) and out.suffix.lower() == target.suffix
    if not target.one_video:
        path = out if is_file else out / f"annotations{target.suffix}"
        refuse_to_lose(path, found, recordings)
        make_folder(path.parent)
        return [path], [*target.write(found, path, recordings)]
    if is_file and len(found.videos) > 1:
        raise InvalidSetting(
            f"A file of {target.title} is of one video, and there are {len(found.videos)} "
            f"({named(found.videos)}); name a folder."
        )
    of_video: dict[str, list[TimedLabel]] = {video: [] for video in found.videos}
    for each in found.labels:
        of_video[each.video].append(each)
    parts: dict[Path, TimedLabels] = {}
    for video, own in of_video.items():
        path = out if is_file else out / _file_of(video, target)
        parts[path] = replace(found, labels=tuple(own), videos=(video,))
        refuse_to_lose(path, parts[path], recordings)
    notes: list[str] = []
    for path, part in parts.items():
        make_folder(path.parent)
        notes += target.write(part, path, recordings)
    return list(parts), notes


def _file_of(video: str, target: TimedTarget) -> str:
    """The file of a video below the folder that is written, with its folders where its name has some.

    Raises:
        InvalidAnnotation: If no file below that folder can have the name.
    """
    name = f"{video or 'annotations'}{target.suffix}"
    parts = spelled(name).split("/")
    if {"", ".", ".."} & {*parts} or any(ord(sign) < ord(" ") for sign in name):
        raise InvalidAnnotation(
            f"the video {brief(video)} has no name for a file below the folder that is written; rename it in "
            "the annotations."
        )
    if max(len(os.fsencode(part)) for part in parts) > _LONGEST_NAME or len(parts) > _MOST_FOLDERS:
        raise InvalidAnnotation(
            f"the name of the video {brief(video)} is too long for a file; shorten it in the annotations."
        )
    return "/".join(parts)


def class_counts(labels: Iterable[TimedLabel]) -> dict[str, ClassCount]:
    """How often each class is annotated, the most frequent first."""
    spans: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for each in labels:
        spans[each.label] += 1
        seconds[each.label] = seconds.get(each.label, 0.0) + max(each.end_s - each.start_s, 0.0)
    return {label: ClassCount(count, seconds[label]) for label, count in spans.most_common()}


def _misspelt(counts: Mapping[str, ClassCount]) -> list[str]:
    return likely_misspelt({label: count.labels for label, count in counts.items()})


def _not_kept(found: TimedLabels, target: TimedTarget) -> list[str]:
    """What the format has no place for."""
    notes: list[str] = []
    tiers = {each.tier for each in found.labels} - {""}
    if tiers and not target.keeps_tiers:
        notes.append(
            f"{target.title} has no tiers; labels of {len(tiers)} lie together: {named(sorted(tiers))}"
        )
    scored = sum(isinstance(each, Detection) for each in found.labels)
    if scored and not target.keeps_scores:
        notes.append(f"{target.title} has no scores; those of {scored} labels are left out")
    if found.tracks and not target.keeps_tracks:
        count = sum(map(len, found.tracks.values()))
        notes.append(f"{target.title} has no boxes; of {count} tracks only the times are written")
    if 0 < scored < len(found.labels):
        notes.append(f"{scored} of {len(found.labels)} labels have scores, which are left out")
    if any(isinstance(each, Detection) and each.end_s < each.start_s for each in found.labels):
        raise InvalidAnnotation(
            "Detections that end before they start are no annotations; correct or drop them."
        )
    return notes
