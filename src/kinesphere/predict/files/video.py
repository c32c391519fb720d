"""A timeline drawn into a copy of its video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere.core.files import make_folder
from kinesphere.predict.annotate import annotate
from kinesphere.predict.files.registry import TIMELINE_FILES, TimelineFile, TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.timeline import Timeline

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


def _write(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    make_folder(path.parent)
    annotate(timeline.source, path, timeline, rule=rule)


for _suffix in SUFFIXES:
    TIMELINE_FILES.add(_suffix, TimelineFile("annotated video", _write))
