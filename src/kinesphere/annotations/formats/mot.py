"""MOTChallenge text: a line for each box of a frame, `frame,id,left,top,width,height,confidence,…`.

Leal-Taixé et al.: "MOTChallenge 2015: towards a benchmark for multi-target tracking", 2015. Frames
count from 1. In annotations the confidence says whether a box counts (0: it does not).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.timed import FURTHEST, Track
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

_LAST_FRAME, _LAST_IDENTITY = 100_000_000, 1 << 31


def read_mot(path: Path) -> tuple[Track, ...]:
    """The tracks of one video, by their numbers.

    Raises:
        InvalidAnnotation: If a line is wrong or gives a person two boxes in a frame; it is named.
    """
    tracks: dict[int, dict[int, Sequence[float]]] = {}
    text = read_text(path)
    first = next(line for line in text.splitlines() if line.strip())
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter="," if "," in first else " ", skipinitialspace=True
    )
    try:
        for row in reader:
            if row and any(row):
                where = f"{path}, line {reader.line_num}"
                frame, identity, values = _line([each for each in row if each], where)
                boxes = tracks.setdefault(identity, {})
                if frame in boxes:
                    raise InvalidAnnotation(
                        f"{where}: {identity} has a box in frame {frame} already; keep one."
                    )
                boxes[frame] = values
    except csv.Error as error:
        raise InvalidAnnotation(f"{path}, line {reader.line_num}: {error}.") from error
    return tuple(_track(identity, tracks[identity]) for identity in sorted(tracks))


def _line(row: Sequence[str], where: str) -> tuple[int, int, tuple[float, ...]]:
    try:
        if len(row) < 6:
            raise ValueError
        frame, identity, left, top, width, height = (number_of(each) for each in row[:6])
        confidence = number_of(row[6]) if len(row) > 6 else 1.0
        whole = frame == int(frame) and identity == int(identity)
        if not whole or not 0 <= frame <= _LAST_FRAME or not -_LAST_IDENTITY <= identity <= _LAST_IDENTITY:
            raise ValueError
        bounded = all(-FURTHEST <= each <= FURTHEST for each in (left, top, width, height, confidence))
        if not bounded or width < 0 or height < 0:
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidAnnotation(
            f"{where}: lines are frame, id (whole numbers), left, top, width, height (not negative), "
            f"confidence; got {brief(list(row[:8]))}."
        ) from None
    return int(frame), int(identity), (left, top, left + width, top + height, confidence)


def _track(identity: int, boxes: dict[int, Sequence[float]]) -> Track:
    frames = sorted(boxes)
    values = np.array([boxes[frame] for frame in frames], np.float64)
    return Track(identity, np.array(frames, np.int64), values[:, :4], values[:, 4])


def write_mot(tracks: Sequence[Track], path: Path) -> None:
    """Write tracks, ordered by frame."""
    rows = sorted(
        (int(frame), track.identity, *map(float, (*box[:2], *(box[2:] - box[:2]), score)))
        for track in tracks
        for frame, box, score in zip(track.frames, track.boxes, track.scores, strict=True)
    )
    lines = [",".join(map(str, (*row, -1, -1, -1))) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_example(path: Path) -> None:
    """Two people in three frames."""
    lines = ("1,1,10,20,30,60,1,-1,-1,-1", "2,1,11,20,30,60,1,-1,-1,-1", "2,2,90,20,30,60,0.5,-1,-1,-1")
    path.write_text("\n".join(lines), encoding="utf-8")


FORMATS.add(
    "mot",
    Format("MOTChallenge text", (".txt",), "boxes of people over frames", read_mot, write_example, write_mot),
)
