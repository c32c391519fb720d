"""MOTChallenge text: a line for each box of a frame, `frame,id,left,top,width,height,confidence,…`.

Leal-Taixé et al.: "MOTChallenge 2015: towards a benchmark for multi-target tracking", 2015. Frames
count from 1. In annotations the confidence says whether a box counts (0: it does not). Annotations go on
with the number of a class and the visible fraction (Milan et al.: "MOT16: a benchmark for multi-object
tracking", 2016); results with -1 three times. What the classes are called stands in `labels.txt` beside the
file, one name a line from class 1 on, as CVAT exports it; without that file they are MOT16's.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.timed import FURTHEST, Track
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief

CLASS_NAMES = "labels.txt"
PERSON = "person"
_LAST_FRAME, _LAST_IDENTITY, _LAST_CLASS = 100_000_000, 1 << 31, 100_000
_ANNOTATED_COLUMNS = 9
# Table 4 of the MOT16 paper, in the order of the numbers.
_MOT16 = (
    PERSON, "person on vehicle", "car", "bicycle", "motorbike", "non motorised vehicle", "static person",
    "distractor", "occluder", "occluder on the ground", "occluder full", "reflection", "crowd",
)  # fmt: skip

_Box = tuple[float, float, float, float, float]


def read_mot(path: Path) -> tuple[Track, ...]:
    """The tracks of one video, by their numbers. A track is of the class of most of its boxes.

    Raises:
        InvalidAnnotation: If a line is wrong or gives a person two boxes in a frame; it is named.
    """
    tracks: dict[int, dict[int, _Box]] = {}
    labels: dict[int, Counter[str]] = {}
    for where, frame, identity, box, label in mot_lines(path):
        boxes = tracks.setdefault(identity, {})
        if frame in boxes and identity == -1:
            raise InvalidAnnotation(
                f"{where}: boxes of identity -1 are detections that no tracker has followed; tracks give "
                "each person a number."
            )
        if frame in boxes:
            raise InvalidAnnotation(f"{where}: {identity} has a box in frame {frame} already; keep one.")
        boxes[frame] = box
        labels.setdefault(identity, Counter())[label] += 1
    return tuple(
        _track(identity, tracks[identity], labels[identity].most_common(1)[0][0])
        for identity in sorted(tracks)
    )


def mot_lines(path: Path) -> Iterator[tuple[str, int, int, _Box, str]]:
    """The boxes of a file in its order: where they stand, frame, identity, left, top, right, bottom and
    confidence, class name.

    Raises:
        InvalidAnnotation: If a line is wrong; it is named.
    """
    text = read_text(path)
    names = _names_beside(path)
    first = next(line for line in text.splitlines() if line.strip())
    comma = "," in first
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="," if comma else " ", skipinitialspace=True)
    try:
        for row in reader:
            if row and any(row):
                where = f"{path}, line {reader.line_num}"
                yield where, *_line(_values(row, comma=comma), names, where)
    except csv.Error as error:
        raise InvalidAnnotation(f"{path}, line {reader.line_num}: {error}.") from error


def _values(row: Sequence[str], *, comma: bool) -> list[str]:
    """The numbers of a line: spaces may be several in a row, but nothing between commas is one that lacks."""
    if not comma:
        return [each for each in row if each]
    last = max(place for place, each in enumerate(row) if each)
    return list(row[: last + 1])


def _names_beside(path: Path) -> tuple[str, ...]:
    """Names of the classes from 1 on; none where there is no file of them."""
    beside = path.with_name(CLASS_NAMES)
    if not beside.is_file():
        return ()
    names = tuple(line.strip() for line in read_text(beside).splitlines())
    while not names[-1]:
        names = names[:-1]
    if not all(names):
        raise InvalidAnnotation(
            f"{beside}, line {names.index('') + 1}: a class has no name; write one a line."
        )
    return names


def _line(row: Sequence[str], names: Sequence[str], where: str) -> tuple[int, int, _Box, str]:
    try:
        if len(row) < 6:
            raise ValueError
        frame, identity, left, top, width, height = (number_of(each) for each in row[:6])
        confidence = number_of(row[6]) if len(row) > 6 else 1.0
        classed = len(row) > 7 and (bool(names) or len(row) == _ANNOTATED_COLUMNS)
        number = number_of(row[7]) if classed else -1.0
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
    box = (left, top, left + width, top + height, confidence)
    return int(frame), int(identity), box, _class_name(number, names, where)


def _class_name(number: float, names: Sequence[str], where: str) -> str:
    if number != number or not -1 <= number <= _LAST_CLASS or number != int(number):
        raise InvalidAnnotation(f"{where}: a class is a number from 1 on, -1 for none; got {number:g}.")
    if number < 1:
        return PERSON
    if number <= len(names or _MOT16):
        return (names or _MOT16)[int(number) - 1]
    if names:
        raise InvalidAnnotation(
            f"{where}: class {number:g} has no name, {CLASS_NAMES} beside it has {len(names)}; add the rest."
        )
    return f"class {number:g}"


def _track(identity: int, boxes: dict[int, _Box], label: str) -> Track:
    frames = sorted(boxes)
    values = np.array([boxes[frame] for frame in frames], np.float64)
    return Track(identity, np.array(frames, np.int64), values[:, :4], values[:, 4], label)


def write_tracks(
    target: str | Path, tracks: Sequence[Track], *, visible: Sequence[np.ndarray] | None = None
) -> None:
    """Write the tracks of one video, ordered by frame.

    Args:
        target: A `.txt` file, as results have it; or a folder, in which `gt/gt.txt` and `gt/labels.txt` are
            made, with the classes.
        tracks: Frames count from 1.
        visible: The fraction of each box that is visible, an array `(N,)` for each track, for the last column
            of a folder's file; without it all are.

    Raises:
        InvalidSetting: If tracks of a class other than `person` are to go to a file, which names none.
    """
    target = Path(target)
    names = list(dict.fromkeys([PERSON, *(track.label for track in tracks)]))
    alone = target.suffix == ".txt"
    if alone and len(names) > 1:
        raise InvalidSetting(
            f"{target} has no room for class names ({', '.join(names[1:4])}); name a folder, in which "
            f"{CLASS_NAMES} is written as well."
        )
    seen = [np.ones(len(track), int) for track in tracks] if visible is None else visible
    rows = sorted(
        (int(frame), track.identity, *map(float, (*box[:2], *(box[2:] - box[:2]), score)),
         *((-1, -1, -1) if alone else (names.index(track.label) + 1, part.item())))
        for track, parts in zip(tracks, seen, strict=True)
        for frame, box, score, part in zip(track.frames, track.boxes, track.scores, parts, strict=True)
    )  # fmt: skip
    path = target if alone else target / "gt" / "gt.txt"
    write_text(path, "".join(",".join(map(str, row)) + "\n" for row in rows))
    if not alone:
        write_text(path.with_name(CLASS_NAMES), "".join(f"{name}\n" for name in names))


def write_example(path: Path) -> None:
    """Two people in three frames."""
    lines = ("1,1,10,20,30,60,1,-1,-1,-1", "2,1,11,20,30,60,1,-1,-1,-1", "2,2,90,20,30,60,0.5,-1,-1,-1")
    path.write_text("\n".join(lines), encoding="utf-8")


FORMATS.add(
    "mot",
    Format(
        "MOTChallenge text",
        (".txt",),
        "boxes of people and things over frames",
        read_mot,
        write_example,
        lambda tracks, path: write_tracks(path, tracks),
    ),
)
