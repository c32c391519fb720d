"""Files of timed labels, whatever their format: which one it is follows from their suffix and content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from kinesphere.annotations.formats.activitynet import LARGEST, parse_activitynet
from kinesphere.annotations.formats.elan import read_elan
from kinesphere.annotations.formats.thumos import read_thumos
from kinesphere.annotations.formats.timed_table import parse_segments, read_timed_parquet, read_timed_table
from kinesphere.annotations.formats.web_vtt import read_web_vtt
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.structured import read_json

_READERS: Mapping[str, Callable[[Path], TimedLabels]] = {
    ".csv": read_timed_table, ".tsv": read_timed_table, ".parquet": read_timed_parquet, ".eaf": read_elan,
    ".vtt": read_web_vtt,
}  # fmt: skip
_OF_ONE_VIDEO = frozenset({".csv", ".json", ".parquet", ".eaf", ".vtt"})


def read_timed(path: Path) -> TimedLabels:
    """Timed labels of ActivityNet JSON, THUMOS14 text (a file, or a folder of classes), a table with a header
    (CSV, Parquet), ELAN, WebVTT, or the segments that Kinesphere writes as any of these, also of a folder
    with a file for each video.

    Raises:
        InvalidAnnotation: If it is none of these, or an entry is wrong; line or video are named.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        content = read_json(path, InvalidAnnotation, LARGEST)
        if isinstance(content, dict) and "segments" in content:
            return parse_segments(content, str(path))
        return parse_activitynet(content, str(path))
    if suffix in _READERS:
        return _READERS[suffix](path)
    if path.is_dir() and (
        files := sorted(each for each in path.iterdir() if each.suffix.lower() in _OF_ONE_VIDEO)
    ):
        return _joined([_of_one_video(read_timed(file), video_name(file.stem)) for file in files])
    if suffix == ".txt" or path.is_dir():
        return read_thumos(path)
    raise InvalidAnnotation(
        f"{path} has none of the suffixes of timed labels: .json (ActivityNet, segments), .csv, .parquet, "
        ".eaf (ELAN), .vtt (WebVTT), .txt (THUMOS14), or a folder of THUMOS14's classes."
    )


def _of_one_video(found: TimedLabels, name: str) -> TimedLabels:
    """Labels whose video has no name in their file: it has the file's."""
    labels = tuple(each if each.video else replace(each, video=name) for each in found.labels)
    return replace(found, labels=labels, videos=tuple(each or name for each in found.videos) or (name,))


def _joined(parts: list[TimedLabels]) -> TimedLabels:
    labels: list[TimedLabel] = []
    videos: dict[str, None] = {}
    durations: dict[str, float] = {}
    subsets: dict[str, str] = {}
    for part in parts:
        labels += part.labels
        videos |= dict.fromkeys(part.videos)
        durations |= part.durations_s
        subsets |= part.subsets
    notes = tuple(note for part in parts for note in part.notes)
    return TimedLabels(tuple(labels), tuple(videos), durations, subsets, notes)
