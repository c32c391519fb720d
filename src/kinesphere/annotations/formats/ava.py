"""AVA's CSV: boxes of people with an action at single times, annotated or detected.

Gu et al.: "AVA: a video dataset of spatio-temporally localized atomic visual actions", CVPR 2018. Lines are
`video,time,x1,y1,x2,y2,action` with corners as fractions of the frame; results have a score as the eighth
field, annotations may have the number of the person there. A line of `video,time` alone is a frame in which
nobody does anything. The classes stand in a label map (`.pbtxt`, `.csv` or `.txt`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of, read_text
from kinesphere.annotations.timed import Detection
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.short_repr import short_repr

_ITEM = re.compile(r"(?:item|label)\s*\{([^{}]*)\}")
_NUMBER = re.compile(r"\b(?:id|label_id)\s*:\s*(\d{1,9})\b")
_NAME = re.compile(r"\bname\s*:\s*[\"']([^\"'\n]{1,1000})[\"']")
_LINE = re.compile(r"\s*(\d{1,9})\s*[:,]\s*([^\n]{1,1000}?)\s*")


@dataclass(frozen=True, eq=False, repr=False)
class AvaBoxes:
    """The content of a file.

    Attributes:
        boxes: Labelled by the number of their action; without an eighth field their score is 1.
        frames: Video and whole second of every line, those without a box among them, each once.
    """

    boxes: tuple[Detection, ...]
    frames: tuple[tuple[str, int], ...]

    __repr__ = short_repr

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class AvaLine:
    """A line of a file.

    Attributes:
        where: File and line, for messages.
        video: Name of the video.
        time_s: Seconds.
        box: Left, top, right, bottom, as fractions of the frame; None where the line names a frame alone.
        action: Number of the action; None where the field is empty.
        last: The eighth field: a score, or the number of a person; None without one.
    """

    where: str
    video: str
    time_s: float
    box: tuple[float, float, float, float] | None = None
    action: str | None = None
    last: float | None = None


def ava_lines(path: Path) -> Iterator[AvaLine]:
    """The lines of a file.

    Raises:
        InvalidAnnotation: If one is wrong; it is named.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for row in reader:
            if row and not (reader.line_num == 1 and row[0].strip() in ("video_id", "video")):
                yield _line(row, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise InvalidAnnotation(f"{path}, line {reader.line_num}: {error}.") from error


def _line(row: Sequence[str], where: str) -> AvaLine:
    if len(row) not in (2, 7, 8):
        raise InvalidAnnotation(
            f"{where}: lines are video, time, four corners, action, and perhaps a score, or video and time "
            f"alone; got {brief(list(row[:8]))}."
        )
    try:
        values = [number_of(each) for each in row[1:6]] + [number_of(each) for each in row[7:]]
        if not row[0] or not abs(values[0]) <= 1e7:
            raise ValueError
        if len(row) == 2:
            return AvaLine(where, row[0], values[0])
        action = str(int(row[6])) if row[6].strip() else None
    except (ValueError, OverflowError):
        raise InvalidAnnotation(
            f"{where}: times, corners and scores should be finite numbers, an action a whole one; got "
            f"{brief(list(row[:8]))}."
        ) from None
    left, top, right, bottom = values[1:5]
    last = values[5] if len(row) == 8 else None
    return AvaLine(where, row[0], values[0], (left, top, right, bottom), action, last)


def read_ava(path: Path) -> AvaBoxes:
    """Boxes of a file.

    Raises:
        InvalidAnnotation: If a line is wrong; it is named.
    """
    boxes: list[Detection] = []
    frames: dict[tuple[str, int], None] = {}
    for line in ava_lines(path):
        frames[line.video, int(line.time_s)] = None
        if line.box is None:
            continue
        if line.action is None:
            raise InvalidAnnotation(f"{line.where}: it names no action; write its number.")
        score = 1.0 if line.last is None else line.last
        try:
            boxes.append(
                Detection(line.video, line.action, line.time_s, line.time_s, score=score, box=line.box)
            )
        except InvalidAnnotation as error:
            raise InvalidAnnotation(f"{line.where}: {error}") from None
    return AvaBoxes(tuple(boxes), tuple(frames))


def read_label_map(path: Path) -> dict[str, str]:
    """Names of the classes by their number: a `.pbtxt`, or lines of `number: name` or `number,name`.

    Raises:
        InvalidAnnotation: If it is neither, or a number stands twice.
    """
    text = read_text(path)
    pairs: list[tuple[str, str]] = []
    for item in _ITEM.findall(text):
        number, name = _NUMBER.search(item), _NAME.search(item)
        if name is None:
            raise InvalidAnnotation(f"{path}: items have an id and a name; got {brief(item)}.")
        pairs.append((str(int(number[1])) if number else "0", name[1]))  # 0 is what is left out
    if not pairs:
        pairs = [
            (str(int(found[1])), found[2]) for line in text.splitlines() if (found := _LINE.fullmatch(line))
        ]
    names = dict(pairs)
    if not names or len(names) < len(pairs):
        wrong = "a number twice" if pairs else "no class"
        raise InvalidAnnotation(f"{path} is no label map: it holds {wrong}.")
    return names


def read_frames(path: Path) -> frozenset[tuple[str, int]]:
    """Lines of `video,time`: AVA's list of frames that are not scored.

    Raises:
        InvalidAnnotation: If a line is wrong.
    """
    return frozenset(read_ava(path).frames)


def write_example(path: Path) -> None:
    """Two boxes, and a frame without one."""
    lines = ("a,902,0.1,0.2,0.5,0.9,12,0.75", "a,902.0,0.1,0.2,0.5,0.9,80,0.5", "a,0903")
    path.write_text("\n".join(lines), encoding="utf-8")


FORMATS.add(
    "ava",
    Format(
        "AVA CSV",
        (".csv",),
        "boxes of people with actions, as fractions of the frame",
        read_ava,
        write_example,
    ),
)
