"""Official lists of data sets: the clips that a set consists of, whoever has which of them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from kinesphere.annotations.parsing.text_lines import number_of
from kinesphere.annotations.timed import FURTHEST_S
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import file_bytes
from kinesphere.data.folder import VIDEO_SUFFIXES
from kinesphere.data.line_blocks import Lines, plain_columns
from kinesphere.data.media import SetFolder

LARGEST_LIST = 512 << 20
"""Bytes of the longest list that is read: Sports-1M's has 1.1 million lines."""
_MOST_DIGITS, _LONGEST_LINE = 9, 1 << 16
_LINES_AT_A_TIME = 4096


Unit = Literal["clips", "videos", "annotations"]


@dataclass(frozen=True)
class Count:
    """How much a set has in one part.

    Attributes:
        split: The part, such as `train`; empty for all parts together.
        number: How many there are.
        protocol: The protocol that the part belongs to; empty for a set's only one.
        is_checked: Whether a test counts them in the official list; else the number is as published.
        source: Where else the number was read or counted, if it was; a test counts it nowhere.
        unit: What is counted. A clip is a span of a video, or all of it; one clip may have several
            annotations, and annotations of one span are one clip.
    """

    split: str
    number: int
    protocol: str = ""
    is_checked: bool = False
    unit: Unit = "clips"
    source: str = ""

    @property
    def where(self) -> str:
        """The part in words."""
        return f"{self.protocol} {self.split}".strip() or "in all"

    def __str__(self) -> str:
        number = f"{self.number}" if self.unit == "clips" else f"{self.number} {self.unit}"
        if self.is_checked:
            return f"{self.where} {number}"
        checked = f"also {self.source}" if self.source else "checked against no list"
        return f"{self.where} {number} (as published, {checked})"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the video of a clip comes from.

    Attributes:
        url: Where a downloader finds it.
        stem: Name, without suffix, of the uncut video.
        span: `(start_s, end_s)` of the clip in the uncut video; None for all of it.
    """

    url: str
    stem: str
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip on an official list.

    Attributes:
        video: Its file as the list names it, with or without folder and suffix.
        labels: Its classes; empty where the list keeps them back.
        parts: For each protocol its name, and `train`, `val`, `test` or nothing; the first is the set's usual
            one, and an empty name is that of a set's only protocol.
        span: `(start_s, end_s)` within the file, or None for all of it; lists hold spans without length, too,
            which are counted and make no sample.
        group: What must not straddle two splits.
        also: Further names, without suffix, that the file goes by.
        origin: Where the video comes from, for sets that are lists of URLs.
        extra: Further columns of the manifest.
        annotations: Lines of the list that the clip stands for; None is as many as it has classes.
        video_s: Length of the whole video in seconds, where the lists tell.
        timed: What happens when in a clip that is a whole video: class, start and end in seconds.
    """

    video: str
    labels: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    span: tuple[float, float] | None = None
    group: str | None = None
    also: tuple[str, ...] = ()
    origin: Origin | None = None
    extra: tuple[tuple[str, str], ...] = ()
    annotations: int | None = None
    video_s: float | None = None
    timed: tuple[tuple[str, float, float], ...] = ()

    @property
    def suffix(self) -> str:
        """The suffix that the list gives to the file; empty where it gives none."""
        _, dot, ending = self.video.rpartition(".")
        return dot + ending if dot and dot + ending.lower() in VIDEO_SUFFIXES else ""

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix."""
        return self.video.rpartition("/")[2].removesuffix(self.suffix)

    @property
    def id(self) -> str:
        """The clip's name, the same wherever the file lies."""
        return self.stem if self.span is None else f"{self.stem}@{self.span[0]:g}-{self.span[1]:g}"


def lists_of(folder: SetFolder, pattern: str, what: str) -> list[tuple[Path, re.Match[str]]]:
    """The files of a set whose names fit, in order of their names; of equal names the first.

    Args:
        folder: Where they lie, at any depth.
        pattern: Regular expression of the whole name; case does not count.
        what: How a message names them.

    Raises:
        InvalidAnnotation: If there is none.
    """
    found = lists_there(folder, pattern)
    if not found:
        raise InvalidAnnotation(
            f"{folder.root} holds none of the set's official lists ({what}). Put them below that folder, or "
            "name the folder where they lie (--lists)."
        )
    return found


def lists_there(folder: SetFolder, pattern: str) -> list[tuple[Path, re.Match[str]]]:
    """`lists_of` for lists that not everybody has."""
    found: dict[str, tuple[Path, re.Match[str]]] = {}
    for path in folder.files:
        match = re.fullmatch(pattern, path.name, re.IGNORECASE)
        if match is not None:
            found.setdefault(path.name.casefold(), (path, match))
    return [found[name] for name in sorted(found)]


class ListedLines(NamedTuple):
    """Some lines of a list that follow each other and hold something, without spaces around them.

    Attributes:
        numbers: Of each, counted from 1, those that hold nothing among them.
        lines: The lines.
    """

    numbers: Sequence[int]
    lines: Sequence[str]


class ListedCells(NamedTuple):
    """Some rows of a list in CSV that follow each other, by column.

    Attributes:
        path: The list.
        first: Number of the first row's line.
        cells: Texts of each column; all have as many.
    """

    path: Path
    first: int
    cells: Mapping[str, Sequence[str]]

    def rows(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Row by row, each after its place for messages."""
        for number, row in enumerate(zip(*self.cells.values(), strict=True), self.first):
            yield place_in(self.path, number), dict(zip(self.cells, row, strict=True))


def line_blocks(path: Path) -> Iterator[ListedLines]:
    """The lines of a list that hold something, some at a time.

    Raises:
        InvalidAnnotation: If the file cannot be read as text, or a line is far too long; what stands before
            that is given first.
    """
    try:
        text = file_bytes(path, InvalidAnnotation, LARGEST_LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidAnnotation(f"{path} is no list in UTF-8 ({error}); get it again.") from error
    every = text.splitlines()
    del text
    for first in range(0, len(every), _LINES_AT_A_TIME):
        some = every[first : first + _LINES_AT_A_TIME]
        long = next((row for row, line in enumerate(some) if len(line) > _LONGEST_LINE), None)
        lines = list(map(str.strip, some[:long]))
        numbers: Sequence[int] = range(first + 1, first + 1 + len(lines))
        if not all(lines):
            numbers = [number for number, line in zip(numbers, lines, strict=True) if line]
            lines = list(filter(None, lines))
        if lines:
            yield ListedLines(numbers, lines)
        if long is not None:
            raise InvalidAnnotation(
                f"{path}, line {first + 1 + long} has {len(some[long])} characters, where lists have at most "
                f"{_LONGEST_LINE}; get it again."
            )


def lines_of(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that hold something, each after its place for messages: `list.txt, line 7`.

    Raises:
        InvalidAnnotation: If the file cannot be read as text, or a line is far too long.
    """
    for numbers, lines in line_blocks(path):
        for number, line in zip(numbers, lines, strict=True):
            yield place_in(path, number), line


def place_in(path: Path, number: int) -> str:
    """A line of a list for messages: `list.txt, line 7`."""
    return f"{path.name}, line {number}"


def table_of(path: Path) -> tuple[Sequence[str], Iterator[tuple[str, Mapping[str, str]]]]:
    """The columns of a list in CSV, and its rows, each after its place for messages; cells that a row lacks
    are empty.

    Raises:
        InvalidAnnotation: If the file cannot be read as text, or, in going through the rows, as a table.
    """
    columns, parts = table_blocks_of(path)

    def rows() -> Iterator[tuple[str, Mapping[str, str]]]:
        for part in parts:
            if isinstance(part, ListedCells):
                yield from part.rows()
            else:
                yield part

    return columns, rows()


def table_blocks_of(
    path: Path,
) -> tuple[Sequence[str], Iterator[ListedCells | tuple[str, Mapping[str, str]]]]:
    """`table_of` with rows that follow each other by column, where nothing in them is quoted or lacking."""
    lines = Lines(chain.from_iterable(block.lines for block in line_blocks(path)))
    reader = csv.DictReader(lines, restval="")

    def parts() -> Iterator[ListedCells | tuple[str, Mapping[str, str]]]:
        while lines.look_ahead(_LINES_AT_A_TIME):
            cells = plain_columns(lines.ahead, ",", len(columns), have_ends=False)
            if cells is not None and not lines.failure:
                first = lines.passed + 1
                lines.pass_over()
                yield ListedCells(path, first, dict(zip(columns, cells, strict=True)))
                continue
            try:
                for row in reader:
                    yield place_in(path, lines.passed), row
                    if not lines.ahead:
                        break
            except csv.Error as error:
                raise _no_table(path, error) from error

    try:
        columns = tuple(reader.fieldnames or ())
    except csv.Error as error:
        raise _no_table(path, error) from error
    return columns, parts()


def _no_table(path: Path, error: csv.Error) -> InvalidAnnotation:
    return InvalidAnnotation(f"{path} is no table ({error}); get it again.")


def whole(text: str) -> int | None:
    """A whole number as lists write it; None where it is none, or has more than nine digits."""
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) <= _MOST_DIGITS else None


def seconds(value: object) -> float | None:
    """Seconds that a list gives as a number or as text; None where it gives none, or more than months."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = number_of(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= FURTHEST_S else None
