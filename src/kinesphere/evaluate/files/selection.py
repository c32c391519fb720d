"""Which videos and labels count, before anything is scored: lists of videos, subsets, what is not known."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Literal, TypeVar

from kinesphere.annotations.formats.activitynet import short_name
from kinesphere.annotations.parsing.text_lines import read_text
from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.text import named

Unknown = Literal["drop", "count"]
L = TypeVar("L", bound=TimedLabel)

# Of the 213 test videos of THUMOS14 that have a line of annotation, later codes left out: one that has only
# Ambiguous ones, one whose HammerThrow is a haircut and lies beyond its end, and one of CricketShot.
_LEFT_OUT = ("video_test_0001292", "video_test_0000270", "video_test_0001496")
THUMOS_LISTS = {"213": 0, "212": 1, "211": 2, "210": 3}
"""The lists of THUMOS14's test videos by their name, and how many of those videos each leaves out."""


@dataclass(frozen=True)
class VideoList:
    """Which videos are scored.

    Attributes:
        name: For people, such as `211 (THUMOS14 test)`.
        wanted: Whether a video is one of them.
        has_subsets: Whether the list itself told the videos of a subset.
    """

    name: str
    wanted: Callable[[str], bool]
    has_subsets: bool = False


def video_list(name: str | None, subset: str | None = None) -> VideoList:
    """The list of a name, or of a file.

    Args:
        name: 213, 212, 211 or 210 (THUMOS14's test lists), or a file with a video a line, or a CSV with the
            column `video` and perhaps `subset`; None for all videos of the annotations.
        subset: Of a CSV with subsets, which videos are meant.

    Raises:
        InvalidSetting: If it is neither.
        InvalidAnnotation: If the file is no such list.
    """
    if name is None:
        return VideoList("all of the annotations", lambda video: True)
    if name in THUMOS_LISTS:
        without = frozenset(_LEFT_OUT[: THUMOS_LISTS[name]])
        return VideoList(f"{name} (THUMOS14 test)", lambda video: video not in without)
    path = Path(name)
    if not path.exists():
        close = nearest(name, THUMOS_LISTS)
        raise InvalidSetting(
            f"--videos names one of THUMOS14's lists ({', '.join(THUMOS_LISTS)}) or a file of names; got "
            f"{name!r}{f', did you mean {close[0]}?' if close else '.'}"
        )
    names = _names_of(path, subset)
    return VideoList(
        f"{len(names)} of {path.name}{f', {subset}' if subset else ''}",
        names.__contains__,
        subset is not None,
    )


def _names_of(path: Path, subset: str | None) -> frozenset[str]:
    text = read_text(path)
    if path.suffix.lower() != ".csv":
        return frozenset(
            short_name(video_name(line.split()[0])) for line in text.splitlines() if line.strip()
        )
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise InvalidAnnotation(f"{path} is no table of videos: {error}.") from error
    if not rows or not rows[0].get("video") or (subset and rows[0].get("subset") is None):
        columns = ", ".join(map(brief, rows[0])) if rows else "none"
        wanted = "`video` and `subset`" if subset else "`video`"
        raise InvalidAnnotation(f"{path} needs the column {wanted}; its columns are {columns}.")
    chosen = (row["video"] or "" for row in rows if subset is None or row["subset"] == subset)
    return frozenset(short_name(video_name(video)) for video in chosen)


def of_subset(truth: TimedLabels, subset: str | None, listed: VideoList) -> tuple[TimedLabels, str]:
    """The annotations of the videos that are scored, and what the choice is called.

    Args:
        truth: Annotations of all videos.
        subset: Name of a subset; None for the only one, or for all where the file names none.
        listed: The videos that are meant.

    Raises:
        InvalidSetting: If the annotations have several subsets and none is named, or not this one; or if no
            video is left.
    """
    known = sorted(set(truth.subsets.values()))
    if subset is not None and not known and not listed.has_subsets:
        raise InvalidSetting(
            f"The annotations name no subsets, so there is no {subset!r}; leave --subset out, or name a CSV "
            "with the columns `video` and `subset` by --videos."
        )
    if known and subset is None:
        if len(known) > 1:
            raise InvalidSetting(
                f"The annotations have the subsets {named(known)}; say which one is scored with --subset."
            )
        subset = known[0]
    if known and subset not in known:
        raise InvalidSetting(f"The annotations have no subset {subset!r}, but {named(known)}.")

    def kept(video: str) -> bool:
        return (not known or truth.subsets.get(video) == subset) and listed.wanted(video)

    videos = tuple(video for video in truth.videos if kept(video))
    if not videos:
        raise InvalidSetting(
            f"No video is left to score of {len(truth.videos)} annotated ones ({listed.name})."
        )
    inside = frozenset(videos)
    labels = tuple(each for each in truth.labels if each.video in inside)
    chosen = f"{listed.name}, {subset}" if known and subset else listed.name
    return TimedLabels(labels, videos, truth.durations_s, truth.subsets, truth.notes), chosen


@dataclass(frozen=True)
class Sorted(Generic[L]):
    """Entries of results by what is known of their videos.

    Attributes:
        kept: Those that are scored, in their order.
        excluded: How many are of annotated videos that the list leaves out.
        unknown: How many are of videos that the annotations do not know.
        unknown_videos: These videos, in order.
    """

    kept: tuple[L, ...]
    excluded: int
    unknown: int
    unknown_videos: tuple[str, ...]


def sorted_out(
    results: Sequence[L], truth: TimedLabels, whole: TimedLabels, listed: VideoList, unknown: Unknown
) -> Sorted[L]:
    """Leave out what is not scored.

    Args:
        results: All entries.
        truth: Annotations of the videos that are scored.
        whole: All annotations.
        listed: The list of videos; what it leaves out is left out here too, whatever `unknown` says.
        unknown: Whether entries of unknown videos, those of another subset among them, count as wrong or are
            left out.
    """
    scored_videos, annotated = frozenset(truth.videos), frozenset(whole.videos)
    excluded = {video for video in annotated if not listed.wanted(video)}
    strange = {each.video for each in results} - scored_videos - excluded
    kept = tuple(
        each
        for each in results
        if each.video in scored_videos or (unknown == "count" and each.video in strange)
    )
    return Sorted(
        kept,
        sum(each.video in excluded for each in results),
        sum(each.video in strange for each in results),
        tuple(sorted(strange)),
    )


def same_single_video(results: TimedLabels, truth: TimedLabels) -> TimedLabels:
    """Results of a single video, called as the single video of the annotations, where either has no name."""
    ours, theirs = results.videos, truth.videos
    if len(ours) != 1 or len(theirs) != 1 or ours == theirs or (ours[0] and theirs[0]):
        return results
    labels = tuple(replace(each, video=theirs[0]) for each in results.labels)
    return TimedLabels(labels, theirs, notes=results.notes)
