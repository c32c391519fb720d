"""Manifests on disk: CSV and Parquet tables, and folders of classes."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.files import replacing
from kinesphere.core.parquet import parquet_rows
from kinesphere.core.paths import is_file, is_folder
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import spelled
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.folder import TABLES, contents, read_folder
from kinesphere.data.frame_lists import read_frame_list
from kinesphere.data.groups import GROUP_BY_FILE
from kinesphere.data.sample import Sample

_KNOWN = ("id", "path", "start", "end", "group", "split")
_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20
_LISTED_ROWS = 20
_COMPARED = 50
# A column of splits with more names than this holds something else.
_MOST_SPLITS = 100
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d*)?)")
# A name below the table's folder in which nothing needs a second look: no climbing, no address, no long part.
_PLAIN = re.compile(r"(?:[\w-][\w -]{0,60}/){0,20}[\w-][\w -]{0,60}(?:\.\w{1,8})?", re.ASCII)
_TIMECODE = re.compile(r"\d+:\d+:\d+[:;]\d+")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what; a table may have several of a kind."""

    label: str = "label"
    group: str = "group"
    split: str = "split"


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        number: Counted from 1, the header's.
        cells: Text by column; None for a row that has no such form.
        problem: What is wrong with its form.
    """

    number: int
    cells: dict[str, str] | None
    problem: str = ""


@dataclass
class Listing:
    """What a table or a folder lists.

    Attributes:
        root: Folder that relative paths count from.
        samples: The samples.
        unused: What the folder holds beside.
        wrong: Rows that make no sample.
        unsafe: Whether one of them names a file outside the table's folder.
        classes: The classes in their order, where what was read has one.
    """

    root: Path
    samples: list[Sample] = field(default_factory=list)
    unused: list[Skipped] = field(default_factory=list)
    wrong: list[Skipped] = field(default_factory=list)
    unsafe: bool = False
    classes: tuple[str, ...] = ()

    def refuse_wrong_rows(self, path: Path) -> None:
        """Raise one error for all rows that are wrong, if any is.

        Raises:
            UnsafeFile: If one of them names a file outside the table's folder.
            InvalidManifest: Otherwise.
        """
        if not self.wrong:
            return
        kind = UnsafeFile if self.unsafe else InvalidManifest
        if len(self.wrong) == 1:
            raise kind(f"{self.wrong[0].path}: {self.wrong[0].reason}.")
        listed = "; ".join(
            f"{row.path.rpartition(', ')[2]}: {row.reason}" for row in self.wrong[:_LISTED_ROWS]
        )
        more = len(self.wrong) - _LISTED_ROWS
        rest = f"; and {more} more, which `kinesphere check` lists" if more > 0 else ""
        raise kind(
            f"{path}: {len(self.wrong)} of {len(self.wrong) + len(self.samples)} rows are wrong. "
            f"{listed}{rest}. Correct them, or leave them out (wrong_rows=skip)."
        )


def read_listing(path: Path, columns: Columns) -> Listing:
    """What a table or folder lists, wrong rows and unused files among it.

    Raises:
        InvalidManifest: If it cannot be read as a whole.
    """
    if is_folder(path):
        for name in TABLES:
            if is_file(path / name):
                listing = read_listing(path / name, columns)
                listing.unused += _unlisted(path, listing)
                return listing
        samples, unused = read_folder(path)
        if columns.group not in ("group", GROUP_BY_FILE):
            raise InvalidManifest(
                f"{path} is a folder and has no group column {columns.group!r}; list its files in a table, "
                f"or make every file a group with {GROUP_BY_FILE!r}."
            )
        return Listing(path, samples, unused)
    if not is_file(path):
        raise InvalidManifest(f"{path} is neither a manifest file nor a folder; check the path.")
    if path.suffix.lower() == ".txt":
        samples, wrong, classes = read_frame_list(path)
        return Listing(path.parent, samples, wrong=wrong, classes=classes)
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    listing = _listing(path, rows, columns)
    splits = {sample.split for sample in listing.samples}
    if len(splits) > _MOST_SPLITS:
        raise InvalidManifest(
            f"{path}: the column {columns.split!r} holds {len(splits)} different names; it is for train, "
            "val and test. Name another column, or rename this one."
        )
    return listing


def _unlisted(folder: Path, listing: Listing) -> list[Skipped]:
    """Videos in the table's folder that the table does not list."""
    listed = {sample.path for sample in listing.samples}
    return [
        Skipped(str(video.relative_to(folder)), "not in the folder's table", is_failure=False)
        for video in contents(folder).videos
        if video not in listed
    ]


def _csv_rows(path: Path) -> Iterator[Row]:
    """Rows as text by column, each with its number in the file; blank lines are passed over."""
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            delimiter = _delimiter(file)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header: list[str] | None = None
            for cells in reader:
                if not any(map(str.strip, cells)):
                    continue
                if header is None:
                    header = [cell.strip() for cell in cells]
                    _check_header(path, header)
                    continue
                if len(cells) > len(header):
                    cells[len(header) :] = _without_blank_end(cells[len(header) :])
                if len(cells) != len(header):
                    yield Row(
                        reader.line_num,
                        None,
                        f"{len(cells)} fields under {len(header)} columns; put a field that holds "
                        f"{delimiter!r} in double quotes",
                    )
                else:
                    row = dict(zip(header, map(str.strip, cells), strict=True))
                    if delimiter != ",":  # where that is free, spreadsheets write 12,5
                        row |= {key: row[key].replace(",", ".") for key in ("start", "end") if key in row}
                    yield Row(reader.line_num, row)
    except UnicodeError as error:
        raise InvalidManifest(
            f"{path} is not a CSV table in UTF-8: {error}. Save it as UTF-8 (spreadsheets offer 'CSV UTF-8')."
        ) from error
    except csv.Error as error:
        raise InvalidManifest(f"{path} is not a CSV table in UTF-8: {error}.") from error
    except OSError as error:
        raise InvalidManifest(f"{path} cannot be read: {error.strerror}.") from error


def _without_blank_end(cells: list[str]) -> list[str]:
    """The cells up to the last that holds something: spreadsheets write columns that were emptied."""
    filled = max((i for i, cell in enumerate(cells, start=1) if cell.strip()), default=0)
    return cells[:filled]


def _parquet_rows(path: Path) -> Iterator[Row]:
    names, rows = parquet_rows(path)
    _check_header(path, names)
    for number, row in enumerate(rows, start=2):
        yield Row(number, row)


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


def _listing(path: Path, rows: Iterable[Row], columns: Columns) -> Listing:
    listing = Listing(path.parent)
    first_row: dict[str, int] = {}
    files = _file_columns()
    samples = _Samples(columns, files, path.parent)
    begins = f"{path}, row "
    for row in rows:
        where = f"{begins}{row.number}"
        if row.cells is None:
            listing.wrong.append(Skipped(where, row.problem))
            continue
        if not listing.samples:
            _check_columns(path, row.cells, columns, files)
        try:
            sample = samples.of(where, row.cells)
        except (InvalidManifest, UnsafeFile) as error:
            listing.unsafe |= isinstance(error, UnsafeFile)
            listing.wrong.append(Skipped(where, str(error).removeprefix(f"{where}: ").rstrip(".")))
            continue
        if sample.id in first_row:
            advice = (
                "ids must be unique"
                if row.cells.get("id")
                else "join several labels of one span with '|', or give the rows an id column"
            )
            problem = f"{sample.id!r} is already in row {first_row[sample.id]}; {advice}"
            listing.wrong.append(Skipped(where, problem))
            continue
        first_row[sample.id] = row.number
        listing.samples.append(sample)
    if not listing.samples and not listing.wrong:
        raise InvalidManifest(f"{path} lists no samples; add a row per clip under path,label.")
    return listing


def _check_columns(path: Path, cells: Mapping[str, str], columns: Columns, files: Mapping[str, str]) -> None:
    others = [name for name in cells if name not in _KNOWN and name not in files]
    _check_column(path, "label", columns.label, cells, others)
    if columns.group != "group":
        _check_column(path, "group", columns.group, cells, list(cells))
    if columns.split != "split":
        _check_column(path, "split", columns.split, cells, others)


def _check_column(
    path: Path, kind: str, column: str, cells: Mapping[str, str], candidates: Sequence[str]
) -> None:
    if column in cells:
        return
    close = nearest(column, candidates[:_COMPARED])
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise InvalidManifest(
        f"{path}: there is no {kind} column {column!r}; {hint}columns that could be: "
        f"{list(candidates[:_COMPARED])}."
    )


class _Samples:
    """Makes samples of rows; what many rows of a table share is one object.

    Args:
        columns: Which columns hold what.
        files: Columns of sidecar files, with the modality of each.
        root: Folder that relative paths count from.
    """

    def __init__(self, columns: Columns, files: Mapping[str, str], root: Path) -> None:
        self._columns = columns
        self._files = files
        self._root = root
        self._own = {*_KNOWN, *files, columns.label}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._texts: dict[str, str] = {}
        self._folders: dict[str, Path] = {"": root}

    def of(self, where: str, row: Mapping[str, str]) -> Sample:
        """The sample of a row.

        Raises:
            InvalidManifest: If it makes none.
            UnsafeFile: If it names a file outside the table's folder.
        """
        span = _span(where, row.get("start", ""), row.get("end", ""))
        cell = row[self._columns.label]
        labels = self._labels.get(cell)
        if labels is None:
            labels = self._labels.setdefault(cell, _labels_in(where, cell))
        text = row["path"]
        return Sample(
            id=row.get("id") or (text if span is None else f"{text}@{span[0]}-{span[1]}"),
            path=self._path(where, text),
            labels=labels,
            span=span,
            group=self._shared(row.get(self._columns.group)),
            split=self._shared(row.get(self._columns.split)),
            sidecars=tuple(
                (modality, self._path(where, row[column]))
                for column, modality in self._files.items()
                if row.get(column)
            ),
            extra=tuple(
                (name, self._shared(value) or "") for name, value in row.items() if name not in self._own
            ),
        )

    def _shared(self, text: str | None) -> str | None:
        """One copy of a text that many rows hold; None for an empty one."""
        return self._texts.setdefault(text, text) if text else None

    def _path(self, where: str, text: str) -> Path:
        """`resolve_path`, which a plain name passes unchanged."""
        if not _PLAIN.fullmatch(text):
            return resolve_path(where, text, self._root)
        folder, _, name = text.rpartition("/")
        known = self._folders.get(folder)
        if known is None:
            known = self._folders.setdefault(folder, self._root / folder)
        return known / name


def _labels_in(where: str, cell: str) -> tuple[str, ...]:
    labels = tuple(name.strip() for name in cell.split("|")) if cell else ()
    if not all(labels) or len(set(labels)) != len(labels):
        raise InvalidManifest(f"{where}: labels {cell!r} are blank or repeated between the '|' signs.")
    return labels


def _file_columns() -> dict[str, str]:
    """Columns of sidecar files, with the modality of each."""
    return {f"{name}_file": name for name in MODALITIES if MODALITIES.get(name).sidecar is not None}


def _span(where: str, start: str, end: str) -> tuple[float, float] | None:
    if not start and not end:
        return None
    if not start or not end:
        raise InvalidManifest(f"{where}: start and end come together; got start {start!r}, end {end!r}.")
    span = (_seconds(where, start), _seconds(where, end))
    if not 0 <= span[0] < span[1] < math.inf:
        raise InvalidManifest(
            f"{where}: a span runs from start to a later end, in seconds from 0; got {start} to {end}."
        )
    return span


def _seconds(where: str, text: str) -> float:
    """Seconds from `12.5`, or from a clock time, `1:02.5` or `0:01:02.5`."""
    clock = _CLOCK.fullmatch(text.replace(",", "."))
    if clock is not None:
        hours, minutes, seconds = clock.groups()
        if float(seconds) < 60 and (hours is None or int(minutes) < 60):
            return 3600.0 * float(hours or 0) + 60.0 * float(minutes) + float(seconds)
    elif _NUMBER.fullmatch(text) or text.lower() in ("nan", "inf"):
        return float(text)
    what = "a timecode that counts frames" if _TIMECODE.fullmatch(text) else "neither"
    raise InvalidManifest(
        f"{where}: start and end are seconds such as 12.5 or clock times such as 1:02.5; {text[:40]!r} "
        f"is {what}."
    )


def write_samples(samples: Sequence[Sample], path: Path, label_column: str) -> None:
    """Write the table that `read_listing` reads back to equal samples."""
    root = path.parent
    extra = list(dict.fromkeys(name for sample in samples for name, _ in sample.extra))
    named = {modality for sample in samples for modality, _ in sample.sidecars}
    files = {column: name for column, name in _file_columns().items() if name in named}
    columns = ["id", "path", label_column, "start", "end", "group", "split", *files, *extra]
    rows = []
    for sample in samples:
        start, end = sample.span or ("", "")
        fixed = [sample.id, written_path(sample.path, root), "|".join(sample.labels), start, end]
        fixed += [sample.group or "", sample.split or ""]
        own = [sample.sidecar(name) for name in files.values()]
        fixed += [written_path(file, root) if file is not None else "" for file in own]
        others = dict(sample.extra)
        rows.append([*map(str, fixed), *(others.get(k, "") for k in extra)])
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            _write_parquet(temporary, columns, rows)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([columns, *rows])


def written_path(path: Path, root: Path) -> str:
    """A file as a table in `root` names it: as seen from there where it lies below, else from anywhere.

    A name with bytes that are no text is written as a URL, `file:///…%FF`, since a table holds text.
    """
    here, base = path.absolute(), root.absolute()
    if spelled(str(here)) != str(here):
        return here.as_uri()
    return (here.relative_to(base) if here.is_relative_to(base) else here).as_posix()


def _write_parquet(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = list(zip(*rows, strict=True))
    pq.write_table(pa.table({name: pa.array(cells[i], pa.string()) for i, name in enumerate(columns)}), path)
