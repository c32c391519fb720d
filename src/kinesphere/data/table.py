"""Manifests on disk: CSV and Parquet tables, and folders of classes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.files import replacing
from kinesphere.core.paths import is_file, is_folder
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import spelled
from kinesphere.data.folder import TABLES, contents, read_folder
from kinesphere.data.frame_lists import read_frame_list
from kinesphere.data.groups import GROUP_BY_FILE
from kinesphere.data.sample import Sample
from kinesphere.data.sample_table import FileColumn, SampleTable, owned, values_of
from kinesphere.data.table_blocks import Block, Misshapen, csv_blocks, parquet_blocks
from kinesphere.data.table_samples import KNOWN, Columns, SampleRows, file_columns

_LISTED_ROWS = 20
_COMPARED = 50
# A column of splits with more names than this holds something else.
_MOST_SPLITS = 100


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
    samples: SampleTable = field(default_factory=lambda: SampleTable.of(()))
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
        return Listing(path, SampleTable.of(samples), unused)
    if not is_file(path):
        raise InvalidManifest(f"{path} is neither a manifest file nor a folder; check the path.")
    if path.suffix.lower() == ".txt":
        samples, wrong, classes = read_frame_list(path)
        return Listing(path.parent, SampleTable.of(samples), wrong=wrong, classes=classes)
    blocks = parquet_blocks(path) if path.suffix.lower() == ".parquet" else csv_blocks(path)
    listing = _listing(path, blocks, columns)
    splits = {*listing.samples.splits}
    if len(splits) > _MOST_SPLITS:
        raise InvalidManifest(
            f"{path}: the column {columns.split!r} holds {len(splits)} different names; it is for train, "
            "val and test. Name another column, or rename this one."
        )
    return listing


def _unlisted(folder: Path, listing: Listing) -> list[Skipped]:
    """Videos in the table's folder that the table does not list."""
    listed = {*listing.samples.paths}
    return [
        Skipped(str(video.relative_to(folder)), "not in the folder's table", is_failure=False)
        for video in contents(folder).videos
        if video not in listed
    ]


def _listing(path: Path, blocks: Iterable[Block | Misshapen], columns: Columns) -> Listing:
    files = file_columns()
    rows = _Rows(path, SampleRows(columns, files, path.parent))
    is_checked = False
    for block in blocks:
        if isinstance(block, Misshapen):
            rows.refuse(block.number, block.problem)
            continue
        if not is_checked:
            _check_columns(path, list(block.cells), columns, files)
            is_checked = True
        rows.add(block)
    if not rows.tables and not rows.listing.wrong:
        raise InvalidManifest(f"{path} lists no samples; add a row per clip under path,label.")
    return rows.listed()


class _Rows:
    """The rows of a table while they are read: samples, each with an id of its own, and what is wrong.

    Args:
        path: The table.
        samples: Makes samples of rows.
    """

    def __init__(self, path: Path, samples: SampleRows) -> None:
        self.listing = Listing(path.parent)
        self.tables: list[SampleTable] = []
        self._begins = f"{path}, row "
        self._samples = samples
        self._ids: set[str] = set()
        self._numbers: list[Sequence[int]] = []

    def refuse(self, number: int, problem: str) -> None:
        """A row that makes no sample."""
        self.listing.wrong.append(Skipped(f"{self._begins}{number}", problem))

    def add(self, block: Block) -> None:
        """The rows of a block: all at once if they are plain and new, else one by one."""
        table, odd = self._samples.of_block(block)
        if not odd and self._are_new(table.ids, block.numbers):
            self.tables.append(table)
            return
        first_row, ids = self._first_row, table.ids
        kept: list[int] = []
        for i, number in enumerate(block.numbers):
            sample = self._looked_at(number, block.row(i)) if i in odd else None
            if i in odd and sample is None:
                continue
            own = ids[i] if sample is None else sample.id
            if own in first_row:
                self._repeated(own, number, has_id=bool(block.cells.get("id", ("",) * number)[i]))
                continue
            first_row[own] = number
            if sample is None:
                kept.append(i)
                continue
            self.tables += [table.take(kept)] if kept else []
            self.tables.append(SampleTable.of((sample,)))
            kept = []
        self.tables += [table.take(kept)] if kept else []

    def _are_new(self, ids: Sequence[str], numbers: Sequence[int]) -> bool:
        """Whether no id of some rows occurs twice; then they count."""
        if "_first_row" not in vars(self):
            self._ids.update(ids)
            if len(self._ids) < sum(map(len, self._numbers)) + len(ids):
                return False
            self._numbers.append(numbers)
            return True
        if not self._first_row.keys().isdisjoint(ids) or len({*ids}) < len(ids):
            return False
        self._first_row.update(zip(ids, numbers, strict=True))
        return True

    @cached_property
    def _first_row(self) -> dict[str, int]:
        """The row of each id, which is asked for once one of them occurs twice or a row is odd."""
        self._ids = set()
        ids = chain.from_iterable(table.ids for table in self.tables)
        return dict(zip(ids, chain.from_iterable(self._numbers), strict=True))

    def _looked_at(self, number: int, row: Mapping[str, str]) -> Sample | None:
        where = f"{self._begins}{number}"
        try:
            return self._samples.of(where, row)
        except (InvalidManifest, UnsafeFile) as error:
            self.listing.unsafe |= isinstance(error, UnsafeFile)
            self.refuse(number, str(error).removeprefix(f"{where}: ").rstrip("."))
            return None

    def _repeated(self, name: str, number: int, *, has_id: bool) -> None:
        advice = (
            "ids must be unique"
            if has_id
            else "join several labels of one span with '|', or give the rows an id column"
        )
        self.refuse(number, f"{name!r} is already in row {self._first_row[name]}; {advice}")

    def listed(self) -> Listing:
        """What the table lists."""
        if self.tables:
            self.listing.samples = SampleTable.joined(self.tables)
        return self.listing


def _check_columns(path: Path, names: Sequence[str], columns: Columns, files: Mapping[str, str]) -> None:
    others = [name for name in names if name not in KNOWN and name not in files]
    _check_column(path, "label", columns.label, names, others)
    if columns.group != "group":
        _check_column(path, "group", columns.group, names, names)
    if columns.split != "split":
        _check_column(path, "split", columns.split, names, others)


def _check_column(
    path: Path, kind: str, column: str, names: Sequence[str], candidates: Sequence[str]
) -> None:
    if column in names:
        return
    close = nearest(column, candidates[:_COMPARED])
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise InvalidManifest(
        f"{path}: there is no {kind} column {column!r}; {hint}columns that could be: "
        f"{list(candidates[:_COMPARED])}."
    )


def write_samples(samples: SampleTable, path: Path, label_column: str) -> None:
    """Write the table that `read_listing` reads back to equal samples."""
    columns = _written_columns(samples, path.parent, label_column)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            _write_parquet(temporary, columns)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as out:
                rows = csv.writer(out)
                rows.writerow([name for name, _ in columns])
                rows.writerows(zip(*(texts for _, texts in columns), strict=True))


def _written_columns(samples: SampleTable, root: Path, label_column: str) -> list[tuple[str, Iterable[str]]]:
    """Names of columns with their texts."""
    columns: list[tuple[str, Iterable[str]]] = [
        ("id", samples.ids),
        ("path", written_paths(samples.paths, root)),
        (label_column, map("|".join, samples.labels)),
        ("start", ("" if span is None else str(span[0]) for span in samples.spans)),
        ("end", ("" if span is None else str(span[1]) for span in samples.spans)),
        ("group", (group or "" for group in samples.groups)),
        ("split", (split or "" for split in samples.splits)),
    ]
    named = {modality for own in samples.sidecars for modality, _ in own}
    for column, modality in file_columns().items():
        if modality in named:
            columns.append((column, written_paths(values_of(samples.sidecars, modality), root)))
    others = dict.fromkeys(name for own in samples.extras for name, _ in own)
    return columns + [(name, [value or "" for value in values_of(samples.extras, name)]) for name in others]


def written_paths(paths: Sequence[Path | None], root: Path) -> Iterator[str]:
    """`written_path` of many files, empty for None; what files of one folder share is found out once."""
    paths = owned(paths)
    if not isinstance(paths, FileColumn):
        yield from ("" if path is None else written_path(path, root) for path in paths)
        return
    known: dict[Path, str] = {}
    for folder, name in zip(paths.folders, paths.names, strict=True):
        if folder is None:
            yield ""
            continue
        begins = known.get(folder)
        if begins is None:
            begins = known[folder] = written_path(folder / "_", root)[:-1]
        is_plain = name.isascii() and begins.isascii() and name not in ("", "..")
        yield begins + name if is_plain else written_path(folder / name, root)


def written_path(path: Path, root: Path) -> str:
    """A file as a table in `root` names it: as seen from there where it lies below, else from anywhere.

    A name with bytes that are no text is written as a URL, `file:///…%FF`, since a table holds text.
    """
    here, base = path.absolute(), root.absolute()
    if spelled(str(here)) != str(here):
        return here.as_uri()
    return (here.relative_to(base) if here.is_relative_to(base) else here).as_posix()


def _write_parquet(path: Path, columns: Sequence[tuple[str, Iterable[str]]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: pa.array(list(texts), pa.string()) for name, texts in columns}), path)
