"""Samples of the rows of a table: columns at once where all of a block is plain, else row by row."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.errors import InvalidManifest
from kinesphere.core.text import spelled
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.sample import Sample, split_name
from kinesphere.data.sample_table import FileColumn, PairColumn, SampleTable, SpanColumn
from kinesphere.data.table_blocks import Block

KNOWN = ("id", "path", "start", "end", "group", "split")
"""Columns that every table may have beside its label."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d*)?)")
_TIMECODE = re.compile(r"\d+:\d+:\d+[:;]\d+")
# What `float` reads of these signs is a number as `_NUMBER` has it.
_DIGITS = re.compile(r"[0-9.eE+-]*")
# Between names that stand on lines of their own: nothing of these in them, and they need no second look.
_ODD_SIGNS = ("\\", "\0", "//", "/.", "\n.", "/\n", "\n\n")
_AT_ROOT = re.compile(r"\n/[^/\n]*\n")
_LONGEST_PLAIN = 255


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what; a table may have several of a kind."""

    label: str = "label"
    group: str = "group"
    split: str = "split"


class SampleRows:
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
        self._own = {*KNOWN, *files, columns.label}
        self._labels: dict[str, tuple[str, ...] | None] = {}
        self._texts: dict[str, str] = {}
        self._groups: dict[str, str | None] = {"": None}
        self._splits: dict[str, str | None] = {"": None}
        self._folders: dict[str, Path] = {"": root}

    def of(self, where: str, row: Mapping[str, str]) -> Sample:
        """The sample of a row.

        Raises:
            InvalidManifest: If it makes none.
            UnsafeFile: If it names a file outside the table's folder.
        """
        span = _span(where, row.get("start", ""), row.get("end", ""))
        labels = _labels_in(where, row[self._columns.label])
        text = row["path"]
        return Sample(
            id=row.get("id") or _own_id(text, span),
            path=resolve_path(where, text, self._root),
            labels=labels,
            span=span,
            group=row.get(self._columns.group) or None,
            split=row.get(self._columns.split) or None,
            sidecars=tuple(
                (modality, resolve_path(where, row[column], self._root))
                for column, modality in self._files.items()
                if row.get(column)
            ),
            extra=tuple((name, value) for name, value in row.items() if name not in self._own),
        )

    def of_block(self, block: Block) -> tuple[SampleTable, set[int]]:
        """The samples of a block, and which rows are to be looked at alone, where what it gives is void."""
        cells, count = block.cells, len(block.numbers)
        blank = [""] * count
        spans, odd = _spans(cells.get("start", blank), cells.get("end", blank))
        labels = self._labels_of(cells[self._columns.label])
        odd.update(i for i, each in enumerate(labels) if each is None)
        paths, odd_paths = self._files_of(cells["path"])
        odd |= odd_paths
        sidecars: dict[str, Sequence[Path | None]] = {}
        for column, modality in self._files.items():
            if column in cells:
                sidecars[modality], odd_paths = self._files_of(cells[column], may_lack=True)
                odd |= odd_paths
        ids = cells.get("id", blank)
        if not all(ids):
            ids = [
                given or _own_id(text, span)
                for given, text, span in zip(ids, cells["path"], spans, strict=True)
            ]
        table = SampleTable(
            ids if all(map(str.isascii, ids)) else list(map(spelled, ids)),
            paths,  # type: ignore[arg-type]  # None where a row is odd
            [each or () for each in labels],
            spans,
            _shared(cells.get(self._columns.group, blank), self._groups, spelled),
            _shared(cells.get(self._columns.split, blank), self._splits, split_name),
            PairColumn(
                {
                    name: [self._texts.setdefault(text, text) for text in texts]
                    for name, texts in cells.items()
                    if name not in self._own
                },
                count,
            ),
            PairColumn(sidecars, count),
        )
        return table, odd

    def _labels_of(self, cells: Sequence[str]) -> list[tuple[str, ...] | None]:
        """Labels of each row, None where they are wrong."""
        for cell in {*cells}.difference(self._labels):
            try:
                self._labels[cell] = Sample("", Path(), _labels_in("", cell)).labels
            except InvalidManifest:
                self._labels[cell] = None
        return list(map(self._labels.__getitem__, cells))

    def _files_of(self, texts: Sequence[str], *, may_lack: bool = False) -> tuple[FileColumn, set[int]]:
        """The files that plain names tell, as `resolve_path` would; other rows are named."""
        named = [text.removeprefix("./") for text in texts] if "./" in "\n".join(texts) else texts
        odd: set[int] = set()
        if not _are_plain(named):
            odd = {i for i, text in enumerate(named) if (text or not may_lack) and not _are_plain((text,))}
        heads, _, names = zip(*map(str.rpartition, named, repeat("/")), strict=True)
        known = self._folders
        for head in {*heads}.difference(known):
            known[head] = self._root / head
        folders: list[Path | None] = list(map(known.__getitem__, heads))
        if may_lack:
            folders = [folder if text else None for folder, text in zip(folders, texts, strict=True)]
        return FileColumn(folders, list(names)), odd


def file_columns() -> dict[str, str]:
    """Columns of sidecar files, with the modality of each."""
    return {f"{name}_file": name for name in MODALITIES if MODALITIES.get(name).sidecar is not None}


def _are_plain(texts: Sequence[str]) -> bool:
    """Whether nothing in some names needs a second look: no climbing, address, odd sign or long part."""
    lines = "\n".join(("", *texts, ""))
    return (
        lines.count("\n") == len(texts) + 1
        and not any(sign in lines for sign in _ODD_SIGNS)
        and max(map(len, texts)) <= (_LONGEST_PLAIN if lines.isascii() else _LONGEST_PLAIN // 4)
        and not ("\n/" in lines and _AT_ROOT.search(lines))
    )


def _shared(
    cells: Sequence[str], known: dict[str, str | None], form: Callable[[str], str]
) -> list[str | None]:
    """One copy of a text in its form that many rows hold; None for an empty one."""
    for cell in {*cells}.difference(known):
        known[cell] = form(cell)
    return list(map(known.__getitem__, cells))


def _own_id(text: str, span: tuple[float, float] | None) -> str:
    return text if span is None else f"{text}@{span[0]}-{span[1]}"


def _labels_in(where: str, cell: str) -> tuple[str, ...]:
    labels = tuple(name.strip() for name in cell.split("|")) if cell else ()
    if not all(labels) or len(set(labels)) != len(labels):
        raise InvalidManifest(f"{where}: labels {cell!r} are blank or repeated between the '|' signs.")
    return labels


def _spans(starts: Sequence[str], ends: Sequence[str]) -> tuple[SpanColumn, set[int]]:
    """The spans of rows, and which of them are to be looked at alone."""
    if not any(starts) and not any(ends):
        none = array("d", [math.nan]) * len(starts)
        return SpanColumn(none, none[:]), set()
    if _DIGITS.fullmatch("".join(starts)) and _DIGITS.fullmatch("".join(ends)):
        try:
            begin, end = np.array(list(map(float, starts))), np.array(list(map(float, ends)))
        except ValueError:
            pass
        else:
            wrong = ~((begin >= 0) & (begin < end) & (end < math.inf))
            begin[wrong] = math.nan
            return SpanColumn(array("d", begin), array("d", end)), set(np.flatnonzero(wrong).tolist())
    odd: set[int] = set()
    found = []
    for i, (start, end_) in enumerate(zip(starts, ends, strict=True)):
        try:
            found.append(_span("", start, end_))
        except InvalidManifest:
            found.append(None)
            odd.add(i)
    return SpanColumn.joined([found]), odd


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
