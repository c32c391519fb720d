"""Files of timed labels, whatever their format: which one it is follows from their suffix and content."""

from __future__ import annotations

from pathlib import Path

from kinesphere.annotations.formats.activitynet import LARGEST, parse_activitynet
from kinesphere.annotations.formats.thumos import read_thumos
from kinesphere.annotations.formats.timed_table import parse_segments, read_timed_table
from kinesphere.annotations.timed import TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.structured import read_json


def read_timed(path: Path) -> TimedLabels:
    """Timed labels of ActivityNet JSON, THUMOS14 text (a file, or a folder of classes), a CSV with a header,
    or the segments that Kinesphere writes as CSV and JSON.

    Raises:
        InvalidAnnotation: If it is none of these, or an entry is wrong; line or video are named.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        content = read_json(path, InvalidAnnotation, LARGEST)
        if isinstance(content, dict) and "segments" in content:
            return parse_segments(content, str(path))
        return parse_activitynet(content, str(path))
    if suffix in (".csv", ".tsv"):
        return read_timed_table(path)
    if suffix == ".txt" or path.is_dir():
        return read_thumos(path)
    raise InvalidAnnotation(
        f"{path} has none of the suffixes of timed labels: .json (ActivityNet, segments), .csv, .txt "
        "(THUMOS14), or a folder of THUMOS14's classes."
    )
