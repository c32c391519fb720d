"""Blocks of rows of CSV and Parquet tables, as text by column."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from kinesphere.core.errors import InvalidManifest
from kinesphere.core.parquet import parquet_columns, rows_at_a_time
from kinesphere.data.line_blocks import Lines, plain_columns

_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20


class Misshapen(NamedTuple):
    """A row that has not the form of the others.

    Attributes:
        number: Counted from 1, the header's.
        problem: What is wrong with its form.
    """

    number: int
    problem: str


@dataclass(frozen=True)
class Block:
    """Some rows that follow each other.

    Attributes:
        numbers: Of the rows, counted from 1, the header's.
        cells: Texts by column, without spaces around them; the rows of all columns are the same.
    """

    numbers: Sequence[int]
    cells: dict[str, list[str]]

    def row(self, index: int) -> dict[str, str]:
        """One row, by column."""
        return {name: texts[index] for name, texts in self.cells.items()}


def csv_blocks(path: Path) -> Iterator[Block | Misshapen]:
    """The rows of a CSV table in their order; blank lines are passed over.

    Raises:
        InvalidManifest: If it is no table in UTF-8 with a column `path`; also while the rows are read.
    """
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            yield from _blocks(path, file)
    except UnicodeError as error:
        raise InvalidManifest(
            f"{path} is not a CSV table in UTF-8: {error}. Save it as UTF-8 (spreadsheets offer 'CSV UTF-8')."
        ) from error
    except csv.Error as error:
        raise InvalidManifest(f"{path} is not a CSV table in UTF-8: {error}.") from error
    except OSError as error:
        raise InvalidManifest(f"{path} cannot be read: {error.strerror}.") from error


def parquet_blocks(path: Path) -> Iterator[Block]:
    """The rows of a Parquet table in their order.

    Raises:
        InvalidManifest: If it is no readable table with a column `path`; also while the rows are read.
    """
    names, blocks = parquet_columns(path)
    _check_header(path, names)
    first = 2
    for cells in blocks:
        count = len(next(iter(cells.values())))
        yield Block(range(first, first + count), cells)
        first += count


def _blocks(path: Path, file: IO[str]) -> Iterator[Block | Misshapen]:
    delimiter = _delimiter(file)
    lines = Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = next((cells for cells in reader if not _is_blank(cells)), None)
    if header is None:
        return
    header = [cell.strip() for cell in header]
    _check_header(path, header)
    size = rows_at_a_time(len(header))
    while lines.look_ahead(size):
        block = None if lines.failure else _plain_block(lines, header, delimiter)
        if block is None:
            yield from _read_blocks(reader, lines, header, delimiter, size)
        else:
            lines.pass_over()
            yield block


def _plain_block(lines: Lines, header: Sequence[str], delimiter: str) -> Block | None:
    """The lines ahead as a block, if each is a row and nothing in them has a meaning but the delimiter."""
    columns = plain_columns(lines.ahead, delimiter, len(header), have_ends=True)
    if columns is None:
        return None
    numbers = range(lines.passed + 1, lines.passed + 1 + len(lines.ahead))
    block = _block(header, columns, numbers, delimiter)
    return block if all(block.cells["path"]) else None  # a line of blank cells is no row


def _read_blocks(
    reader: Iterator[list[str]], lines: Lines, header: Sequence[str], delimiter: str, size: int
) -> Iterator[Block | Misshapen]:
    """The rows of the lines ahead, read one by one, and of those that fill the last block with them."""
    width = len(header)
    rows: list[list[str]] = []
    numbers: list[int] = []
    for cells in reader:
        if _is_blank(cells):
            continue
        if len(cells) > width:
            cells[width:] = _without_blank_end(cells[width:])
        if len(cells) == width:
            rows.append(cells)
            numbers.append(lines.passed)
            if len(rows) < size:
                continue
        if rows:
            yield _block(header, zip(*rows, strict=True), numbers, delimiter)
            rows, numbers = [], []
        if len(cells) != width:
            yield Misshapen(
                lines.passed,
                f"{len(cells)} fields under {width} columns; put a field that holds {delimiter!r} in double "
                "quotes",
            )
        if not lines.ahead:
            return
    if rows:
        yield _block(header, zip(*rows, strict=True), numbers, delimiter)


def _block(
    header: Sequence[str], columns: Iterable[Sequence[str]], numbers: Sequence[int], delimiter: str
) -> Block:
    cells = {name: list(map(str.strip, column)) for name, column in zip(header, columns, strict=True)}
    if delimiter != ",":  # where that is free, spreadsheets write 12,5
        for name in ("start", "end"):
            if name in cells:
                cells[name] = [text.replace(",", ".") for text in cells[name]]
    return Block(numbers, cells)


def _is_blank(cells: Sequence[str]) -> bool:
    return not (cells and cells[0].strip()) and not any(map(str.strip, cells))


def _without_blank_end(cells: list[str]) -> list[str]:
    """The cells up to the last that holds something: spreadsheets write columns that were emptied."""
    filled = max((i for i, cell in enumerate(cells, start=1) if cell.strip()), default=0)
    return cells[:filled]


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _delimiter(file: IO[str]) -> str:
    """What separates the columns: a comma, unless another sign makes the header name a path."""
    header = ""
    while not header.strip():
        header = file.readline(_LONGEST_HEADER)
        if not header:
            break
    file.seek(0)
    for sign in _DELIMITERS:
        names = next(csv.reader([header], delimiter=sign), [])
        if "path" in (name.strip() for name in names) and len(names) > 1:
            return sign
    return ","


def _check_header(path: Path, header: Sequence[str]) -> None:
    # Columns without a name are what spreadsheets leave where some were emptied.
    repeated = sorted(name for name, count in Counter(header).items() if count > 1 and name)
    if repeated:
        raise InvalidManifest(f"{path}, row 1: columns {repeated[:20]} appear twice; rename one.")
    if "path" not in header:
        raise InvalidManifest(
            f"{path}, row 1: there is no column 'path'; the header reads {list(header[:20])}. "
            "Write path,label[,start,end,group,split,id], separated by commas, semicolons or tabs."
        )
