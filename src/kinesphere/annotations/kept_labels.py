"""What people have annotated is not written over."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.limits import brief

# Formats that count frames move a label by half a frame.
_SAME_S = 0.05


def refuse_to_lose(
    path: Path, written: TimedLabels | None = None, recordings: Recordings | None = None
) -> None:
    """Refuse to write over a file that holds labels of people which would not be in it again.

    Labels with scores are predictions and may be written over. WebVTT has no scores, so that nothing tells
    them apart there.

    Args:
        path: The file that is to be written.
        written: What will be in it; None is predictions alone.
        recordings: Where the videos lie, for files that count in frames.

    Raises:
        InvalidAnnotation: If labels would be lost; the message names the first.
    """
    if path.suffix.lower() == ".vtt" or not path.is_file():
        return
    try:
        there = read_timed(path, recordings)
    except (InvalidAnnotation, InvalidSetting):
        return  # no file of annotations, or of another tool
    again: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for label in () if written is None else written.labels:
        again[label.label].append((label.start_s, label.end_s))
    lost = [
        each
        for each in there.labels
        if not isinstance(each, Detection)
        and not any(
            abs(each.start_s - start_s) <= _SAME_S and abs(each.end_s - end_s) <= _SAME_S
            for start_s, end_s in again[each.label]
        )
    ]
    if lost:
        first = f"{brief(lost[0].label)} at {lost[0].start_s:g}–{lost[0].end_s:g} s"
        raise InvalidAnnotation(
            f"{path} holds {len(lost)} labels without scores, the first {first}, which somebody has made and "
            "which would be lost; name another file, or move that one away."
        )
