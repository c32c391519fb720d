"""Timelines as data: JSON with windows and segments; tables, WebVTT and files of tools of segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesphere.predict.files.registry import TIMELINE_FILES, TimelineFile, TimelineRow
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import below, segments
from kinesphere.predict.timeline import Timeline
from kinesphere.predict.timeline_files import write_segments, write_whole


def _segments(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    write_segments(segments(timeline, rule), path, source=timeline.source, coverage=below(timeline, rule))


def _whole(timeline: Timeline, path: Path, rule: SegmentRule, rows: Sequence[TimelineRow]) -> None:
    write_whole(timeline, segments(timeline, rule), path, coverage=below(timeline, rule), rule=str(rule))


TIMELINE_FILES.add(".json", TimelineFile("JSON", _whole))
for _suffix, _title in (
    (".csv", "CSV"),
    (".parquet", "Parquet"),
    (".eaf", "ELAN"),
    (".vtt", "WebVTT"),
    (".xml", "CVAT"),
    (".via.json", "VIA"),
    (".label_studio.json", "Label Studio"),
):
    TIMELINE_FILES.add(_suffix, TimelineFile(_title, _segments))
