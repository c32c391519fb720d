"""Files of timed labels, whatever their format: which one it is follows from their suffix and content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kinesphere.annotations.formats.activitynet import LARGEST, parse_activitynet
from kinesphere.annotations.formats.cvat import read_cvat
from kinesphere.annotations.formats.elan import read_elan
from kinesphere.annotations.formats.label_studio import is_label_studio, parse_label_studio
from kinesphere.annotations.formats.label_studio_document import CONFIGURATION
from kinesphere.annotations.formats.mot import read_mot
from kinesphere.annotations.formats.opensportslib import is_opensportslib, parse_opensportslib
from kinesphere.annotations.formats.thumos import read_thumos
from kinesphere.annotations.formats.timed_table import parse_segments, read_timed_parquet, read_timed_table
from kinesphere.annotations.formats.via import is_via, parse_via
from kinesphere.annotations.formats.web_vtt import read_web_vtt
from kinesphere.annotations.parsing.text_lines import read_text
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels, Track, video_name
from kinesphere.annotations.track_spans import track_labels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json

_READERS: Mapping[str, Callable[[Path], TimedLabels]] = {
    ".csv": read_timed_table, ".tsv": read_timed_table, ".parquet": read_timed_parquet, ".vtt": read_web_vtt,
}  # fmt: skip
_OF_ONE_VIDEO = frozenset({".csv", ".json", ".parquet", ".eaf", ".vtt", ".xml"})


def read_timed(path: Path, recordings: Recordings | None = None, *, dependents: bool = False) -> TimedLabels:
    """Timed labels of ActivityNet JSON, THUMOS14 text (a file, or a folder of classes), a table with a header
    (CSV, Parquet), ELAN, CVAT, VIA, Label Studio, OpenSportsLib, WebVTT, MOTChallenge, or the segments that
    Kinesphere writes as any of these, also of a folder with a file for each video.

    Args:
        path: The file or folder.
        recordings: Where the videos lie, for formats that count in frames.
        dependents: Whether tiers of ELAN that depend on others are read too.

    Raises:
        InvalidAnnotation: If it is none of these, or an entry is wrong; line or video are named.
    """
    recordings = Recordings() if recordings is None else recordings
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _read_json(path, recordings)
    if suffix == ".eaf":
        return read_elan(path, dependents=dependents)
    if suffix == ".xml":
        return read_cvat(path, recordings)
    if suffix in _READERS:
        return _READERS[suffix](path)
    if path.is_dir() and (files := sorted(each for each in path.iterdir() if _is_one(each))):
        return _joined([_named_after(file, recordings, dependents) for file in files])
    if tracked := _tracked(path):
        return _joined([_of_tracks(*each, recordings) for each in tracked])
    if suffix == ".txt" or path.is_dir():
        return read_thumos(path)
    raise InvalidAnnotation(
        f"{path} has none of the suffixes of timed labels: .json (ActivityNet, VIA, Label Studio, "
        "OpenSportsLib, segments), .csv, .parquet, .eaf (ELAN), .xml (CVAT), .vtt (WebVTT), .txt (THUMOS14, "
        "MOTChallenge), or a folder of THUMOS14's classes."
    )


def read_timed_files(paths: Sequence[Path], recordings: Recordings) -> TimedLabels:
    """The labels of several files and folders together, with those of tiers of ELAN that depend on others.

    Raises:
        InvalidAnnotation: As `read_timed`; also if there is no file.
    """
    if not paths:
        raise InvalidAnnotation("there is no file of timed labels; name at least one.")
    return _joined([_named_after(path, recordings, dependents=True) for path in paths])


def _is_one(path: Path) -> bool:
    """Whether a file of a folder is of timed labels; configurations of Label Studio are not."""
    return path.suffix.lower() in _OF_ONE_VIDEO and not path.name.endswith(CONFIGURATION)


def _tracked(path: Path) -> list[tuple[str, Path]]:
    """Files of MOTChallenge with the names of their videos: one file, or folders of sequences."""
    if path.is_dir():
        folders = [path, *sorted(each for each in path.iterdir() if each.is_dir())]
        files = [(each.name, each / "gt" / "gt.txt") for each in folders]
        return [(name, file) for name, file in files if file.is_file()]
    if path.suffix.lower() != ".txt" or not path.is_file():
        return []
    first = next((line for line in read_text(path).splitlines() if line.strip()), "")
    numbers = re.fullmatch(r"\s*[0-9.]+(\s*,\s*[-+0-9.eE]+){5,9},?\s*", first)
    name = path.parent.parent.name if path.name in ("gt.txt", "det.txt") else path.stem
    return [(name, path)] if numbers else []


def _of_tracks(video: str, path: Path, recordings: Recordings) -> TimedLabels:
    """Tracks of a file of MOTChallenge, and when they are there."""
    tracks = read_mot(path) if path.stat().st_size else ()  # empty where nobody is seen
    if not tracks:
        return TimedLabels((), (video,))
    clock = recordings.clock(video, path)
    labels = tuple(track_labels(video, tracks, clock))
    return TimedLabels(labels, (video,), tracks={video: tracks})


def _read_json(path: Path, recordings: Recordings) -> TimedLabels:
    """JSON of whatever program, known by its content."""
    content = read_json(path, InvalidAnnotation, LARGEST)
    if is_label_studio(content):
        return parse_label_studio(content, path, recordings)
    if is_opensportslib(content):
        return parse_opensportslib(content, path, recordings)
    if is_via(content):
        return parse_via(content, str(path))
    if isinstance(content, dict) and "segments" in content:
        return parse_segments(content, str(path))
    return parse_activitynet(content, str(path))


def _named_after(path: Path, recordings: Recordings, dependents: bool) -> TimedLabels:
    return _of_one_video(read_timed(path, recordings, dependents=dependents), video_name(path.stem))


def _of_one_video(found: TimedLabels, name: str) -> TimedLabels:
    """Labels whose video has no name in their file: it has the file's."""
    labels = tuple(each if each.video else replace(each, video=name) for each in found.labels)
    tracks = {each or name: own for each, own in found.tracks.items()}
    videos = tuple(each or name for each in found.videos) or (name,)
    subsets, groups, splits = (
        {each or name: said for each, said in of.items()}
        for of in (found.subsets, found.groups, found.splits)
    )
    return replace(
        found, labels=labels, videos=videos, tracks=tracks, subsets=subsets, groups=groups, splits=splits
    )


def _joined(parts: list[TimedLabels]) -> TimedLabels:
    labels: list[TimedLabel] = []
    videos: dict[str, None] = {}
    durations: dict[str, float] = {}
    subsets: dict[str, str] = {}
    groups: dict[str, str] = {}
    splits: dict[str, str] = {}
    tracks: dict[str, tuple[Track, ...]] = {}
    for part in parts:
        labels += part.labels
        videos |= dict.fromkeys(part.videos)
        durations |= part.durations_s
        for known, said, what in (
            (subsets, part.subsets, "subset"),
            (groups, part.groups, "group"),
            (splits, part.splits, "split"),
        ):
            _take(known, said, what)
        tracks |= part.tracks
    notes = tuple(note for part in parts for note in part.notes)
    return TimedLabels(tuple(labels), tuple(videos), durations, subsets, notes, tracks, groups, splits)


def _take(known: dict[str, str], said: Mapping[str, str], what: str) -> None:
    """Add what a file says of its videos.

    Raises:
        InvalidAnnotation: If another one contradicts it.
    """
    for video, value in said.items():
        if known.setdefault(video, value) != value:
            raise InvalidAnnotation(
                f"the video {brief(video)} is in the {what} {brief(known[video])} by one file of labels and "
                f"in {brief(value)} by another; name one of them, or correct it."
            )
