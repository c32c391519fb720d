"""Tables of timed labels: CSV with a header, and the segments that Kinesphere writes as CSV and JSON.

Columns are known by the names that many tables have: `label`, `start_s`, `end_s`, and, where there are
several videos, tiers or scores, `path`, `tier` and `probability`. Kinesphere's own segments are of one video;
so are others without a column for it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of, read_text, seconds_of
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation, InvalidManifest
from kinesphere.core.limits import brief
from kinesphere.core.parquet import parquet_rows
from kinesphere.core.text import SPELLED

NAMES: dict[str, tuple[str, ...]] = {
    "video": ("video", "path", "source", "video-name", "video_name", "video-id", "video_id"),
    "label": ("label", "class", "type", "action", "activity"),
    "start": ("start_s", "start", "t-init", "t-start", "begin"),
    "end": ("end_s", "end", "t-end"),
    "score": ("score", "probability", "confidence"),
    "tier": ("tier",),
}
"""Names of the columns, in lower case; the first that a table has is taken."""
OF_VIDEOS = ("group", "split")
"""Columns that say something of a whole video."""
# Of Kinesphere's own segments and manifests, and of public tables: what they say besides is not asked.
KNOWN = frozenset({
    "runner_up", "runner_up_probability", *OF_VIDEOS, "type_idx", "startframe", "endframe", "f-init",
    "f-end", "video-duration", "frame-rate", "video-frames",
})  # fmt: skip
_WIDEST = 1000
_NAMED = 10


def read_timed_table(path: Path) -> TimedLabels:
    """A CSV with a header (comma, semicolon or tab).

    Columns of other names are not read, which a note says. Without a column of videos, the name of the video
    is empty. A group or a split holds for a video if all its rows that state one agree; a note counts others.

    Raises:
        InvalidAnnotation: If a column is missing or a row is wrong (its line is named).
    """
    text = read_text(path)
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(row for row in reader if row)]
        columns = _columns(header, path)
        paths: dict[str, str] = {}
        said = _OfVideos(header)
        labels = [
            said.heard(row, _row(row, columns, paths, len(header), f"{path}, line {reader.line_num}"))
            for row in reader
            if row
        ]
    except (csv.Error, StopIteration) as error:
        raise InvalidAnnotation(f"{path} is no table of timed labels: {error!r}.") from error
    return said.told(TimedLabels.of(labels, _unread(header, columns, path)), path)


def read_timed_parquet(path: Path) -> TimedLabels:
    """`read_timed_table` of a Parquet table.

    Raises:
        InvalidAnnotation: If it is no Parquet, a column is missing, or a row is wrong (it is named).
    """
    try:
        names, rows = parquet_rows(path)
        header = [name.strip().lower() for name in names]
        columns = _columns(header, path)
        paths: dict[str, str] = {}
        said = _OfVideos(header)
        labels = []
        for number, row in enumerate(rows, 1):
            cells = [row[name] for name in names]
            labels.append(
                said.heard(cells, _row(cells, columns, paths, len(header), f"{path}, row {number}"))
            )
    except (InvalidManifest, OSError) as error:
        raise InvalidAnnotation(f"{path} is no table of timed labels: {error}") from error
    return said.told(TimedLabels.of(labels, _unread(header, columns, path)), path)


def _unread(header: Sequence[str], columns: Mapping[str, int], path: Path) -> tuple[str, ...]:
    unread = [name for name in header if name not in KNOWN and header.index(name) not in columns.values()]
    more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
    return (f"{path}: columns not read: {', '.join(map(brief, unread[:_NAMED]))}{more}",) if unread else ()


class _OfVideos:
    """What the rows of a table say of whole videos: groups and splits."""

    def __init__(self, header: Sequence[str]) -> None:
        self.columns = {name: header.index(name) for name in OF_VIDEOS if name in header}
        self.values: dict[str, dict[str, set[str]]] = {name: {} for name in self.columns}

    def heard(self, row: Sequence[str], label: TimedLabel) -> TimedLabel:
        """The label, after what its row says of its video."""
        for name, at in self.columns.items():
            if value := row[at].strip():
                self.values[name].setdefault(label.video, set()).add(value)
        return label

    def told(self, labels: TimedLabels, path: Path) -> TimedLabels:
        """The labels, with the groups and splits in which all rows of a video agree."""
        agreed: dict[str, dict[str, str]] = {name: {} for name in OF_VIDEOS}
        notes = list(labels.notes)
        for name, by_video in self.values.items():
            agreed[name] = {video: next(iter(all_)) for video, all_ in by_video.items() if len(all_) == 1}
            if torn := [video for video in by_video if video not in agreed[name]]:
                several = ", ".join(sorted(by_video[torn[0]])[:3])
                notes.append(
                    f"{path}: {len(torn)} videos have several values in the column {name!r}, which is not "
                    f"read of them; the first is {brief(torn[0])} ({several})"
                )
        return replace(labels, groups=agreed["group"], splits=agreed["split"], notes=tuple(notes))


def _columns(header: Sequence[str], path: Path) -> dict[str, int]:
    """Where each column stands.

    Raises:
        InvalidAnnotation: If one is missing, or stands twice.
    """
    found: dict[str, int] = {}
    for what, names in NAMES.items():
        present = [name for name in names if name in header]
        if present and header.count(present[0]) > 1:
            raise InvalidAnnotation(f"{path} has the column {present[0]!r} twice; keep one.")
        if present:
            found[what] = header.index(present[0])
    if missing := [NAMES[what][0] for what in ("label", "start", "end") if what not in found]:
        hint = ""
        if {"start_s", "end_s"} <= {*header}:
            hint = " A table of windows with a column for each label holds no segments: write those."
        raise InvalidAnnotation(
            f"{path} is no table of timed labels: it lacks {' and '.join(missing)}; its columns are "
            f"{', '.join(map(brief, header[:12]))}.{hint}"
        )
    if len(header) > _WIDEST:
        raise InvalidAnnotation(f"{path} has {len(header)} columns; tables are read up to {_WIDEST}.")
    return found


def _row(
    row: Sequence[str], columns: Mapping[str, int], paths: dict[str, str], width: int, where: str
) -> TimedLabel:
    if len(row) != width:
        raise InvalidAnnotation(f"{where}: {len(row)} fields where the header has {width}.")
    cells = {what: row[at].strip() for what, at in columns.items()}
    try:
        start_s, end_s = seconds_of(cells["start"]), seconds_of(cells["end"])
        score = number_of(cells["score"]) if "score" in cells else None
    except ValueError:
        raise InvalidAnnotation(
            f"{where}: times are seconds (12.5) or those of a clock (0:01:02.5), not timecodes that count "
            f"frames, and scores are numbers; got {brief(list(cells.values()))}."
        ) from None
    if not cells["label"]:
        raise InvalidAnnotation(f"{where}: the label is empty.")
    written = cells.get("video", "")
    video = video_name(written)
    if paths.setdefault(video, written) != written:
        raise InvalidAnnotation(
            f"{where}: {brief(written)} and {brief(paths[video])} are both the video "
            f"{brief(video)}; name them apart."
        )
    try:
        if score is None:
            return TimedLabel(video, cells["label"], start_s, end_s, cells.get("tier", ""))
        return Detection(video, cells["label"], start_s, end_s, cells.get("tier", ""), score=score)
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{where}: {error}") from None


def parse_segments(content: Mapping[str, Any], name: str) -> TimedLabels:
    """Kinesphere's own JSON of the segments of one video.

    Raises:
        InvalidAnnotation: If it holds something else.
    """
    source, segments = content.get("source", ""), content.get("segments")
    if not isinstance(source, str) or not isinstance(segments, list):
        raise InvalidAnnotation(f"{name} holds no segments of a source, but {brief(content)}.")
    labels: list[TimedLabel] = []
    for number, each in enumerate(segments):
        where = f"{name}, segment {number}"
        if not isinstance(each, dict) or not isinstance(each.get("label"), str):
            raise InvalidAnnotation(f"{where}: segments hold a label and times; got {brief(each)}.")
        times = [each.get("start_s"), each.get("end_s"), each.get("probability", 1.0)]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in times):
            raise InvalidAnnotation(f"{where}: times and probability should be numbers; got {brief(times)}.")
        try:
            start_s, end_s, score = map(float, times)
            labels.append(Detection(video_name(source), each["label"], start_s, end_s, score=score))
        except (InvalidAnnotation, OverflowError) as error:
            raise InvalidAnnotation(f"{where}: {error}") from None
    return TimedLabels(tuple(labels), (video_name(source),))


def write_timed_table(found: TimedLabels, path: Path) -> None:
    """Write a CSV with `path`, `label`, `start_s`, `end_s`, and `tier` and `score` where there are some."""
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    tiers = any(each.tier for each in found.labels)
    header = [
        "path",
        "label",
        "start_s",
        "end_s",
        *(["tier"] if tiers else []),
        *(["score"] if scored else []),
    ]
    with path.open("w", encoding="utf-8", errors=SPELLED, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for each in found.labels:
            scores = [each.score] if scored and isinstance(each, Detection) else []
            tier = [each.tier] if tiers else []
            writer.writerow([each.video, each.label, each.start_s, each.end_s, *tier, *scores])


def write_example(path: Path) -> None:
    """Three labels of two videos."""
    rows = (
        "path,label,start_s,end_s,score",
        "a.mp4,run,0,1.5,0.9",
        "a.mp4,walk,2,3,0.5",
        "b/c.mp4,run,1,1,0.2",
    )
    path.write_text("\n".join(rows), encoding="utf-8")


FORMATS.add(
    "timed_table",
    Format(
        "CSV of timed labels",
        (".csv",),
        "timed labels, with or without scores",
        read_timed_table,
        write_example,
        write_timed_table,
    ),
)
