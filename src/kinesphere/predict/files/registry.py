"""`TIMELINE_FILES`: what a timeline can be written as, by suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.annotations.timed import TimedLabel, TimedLabels, video_name
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import Registry
from kinesphere.predict.segment_rule import SegmentRule

if TYPE_CHECKING:  # timelines write themselves through this registry
    from kinesphere.predict.segmentation import Segment
    from kinesphere.predict.timeline import Timeline


@dataclass(frozen=True)
class TimelineRow:
    """A row of segments beside those of a timeline: annotations, or what one person does.

    Attributes:
        name: What it is called, for people.
        segments: Ordered by start; those that overlap are shown below each other.
        notes: What is said of each segment beside its label; of those without a note it is empty. Pages mark
            segments with one.
    """

    name: str
    segments: tuple[Segment | TimedLabel, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimelineFile:
    """A kind of file.

    Attributes:
        title: Full name.
        write: Writes a timeline with its segments by a rule, and further rows where it `takes_rows`.
        takes_rows: Whether it shows rows of segments beside those of the timeline.
    """

    title: str
    write: Callable[[Timeline, Path, SegmentRule, Sequence[TimelineRow]], None]
    takes_rows: bool = False


TIMELINE_FILES: Registry[TimelineFile] = Registry(
    "kind of timeline file",
    TimelineFile,
    package="kinesphere.predict.files",
    group="kinesphere.timeline_files",
)
"""By suffix, in lower case with its point; a kind may have two, as `.via.json`."""


def write_file(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    """Write a timeline as what the suffix says.

    Raises:
        UnknownName: If nothing is written with such a suffix.
        InvalidSetting: If there are rows, and the file takes none.
    """
    kind = TIMELINE_FILES.get(_ending(path))
    if rows and not kind.takes_rows:
        able = ", ".join(name for name in TIMELINE_FILES if TIMELINE_FILES.get(name).takes_rows)
        raise InvalidSetting(
            f"{kind.title} ({path.suffix}) holds the segments of the timeline alone, and {len(rows)} rows "
            f"are to be beside them; write {able}."
        )
    kind.write(timeline, path, rule, rows)


def _ending(path: Path) -> str:
    """What stands at the end of a file's name for its kind: one suffix, or two where these are one kind."""
    both = "".join(path.suffixes[-2:]).lower()
    return both if both in TIMELINE_FILES else path.suffix.lower()


def annotation_row(found: TimedLabels, source: str, name: str = "annotation") -> TimelineRow | None:
    """The labels of one video as a row; None where the file has none of it.

    Args:
        found: A file of annotations; where it names no videos, all of it is of this one.
        source: The video, as the user named it.
        name: What the row is called.
    """
    video = video_name(source)
    own = [each for each in found.labels if each.video in (video, "")]
    own.sort(key=lambda each: (each.start_s, each.end_s))
    return TimelineRow(name, tuple(own)) if own or video in found.videos else None
