"""`SampleTable`: samples kept by column, each made when it is asked for.

A million `Sample`s with their paths take a gigabyte and most of the time that a list takes to read; their
columns, in which equal texts are one object, take a fifth of that.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isnan, nan
from operator import itemgetter, truediv
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from kinesphere.data.sample import Sample, made

T = TypeVar("T")
Span = tuple[float, float]
# Of a table of which less than one row in so many is taken, these are copied.
_FEW = 8


class Column(Sequence[T]):
    """A column whose values are made of others when they are asked for."""

    def take(self, rows: Sequence[int]) -> Sequence[T]:
        """The values at `rows`, in that order."""
        raise NotImplementedError

    @classmethod
    def joined(cls, parts: Sequence[Sequence[T]]) -> Self:
        """The values of several columns, some of which may be plain lists."""
        raise NotImplementedError

    @overload
    def __getitem__(self, row: int) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[T]: ...
    def __getitem__(self, row: int | slice) -> T | Sequence[T]:
        if isinstance(row, slice):
            return self.take(range(len(self))[row])
        return self._value(row)

    def _value(self, row: int) -> T:
        raise NotImplementedError


class TakenColumn(Column[T]):
    """Some rows of a column, which stays whole and is shared.

    Args:
        column: The column.
        rows: Which of its rows; one object for all columns of a table.
    """

    def __init__(self, column: Sequence[T], rows: Sequence[int]) -> None:
        self.column, self.rows = column, rows

    def __len__(self) -> int:
        return len(self.rows)

    def _value(self, row: int) -> T:
        return self.column[self.rows[row]]

    def __iter__(self) -> Iterator[T]:
        return map(self.column.__getitem__, self.rows)

    def take(self, rows: Sequence[int]) -> Sequence[T]:
        """The values at `rows`."""
        return taken(self.column, taken(self.rows, rows))

    def own(self) -> Sequence[T]:
        """The values as a column of their own."""
        return taken(self.column, self.rows)


class FileColumn(Column[Path | None]):
    """Files as folders, one object for each, and names; None where a row has none.

    Args:
        folders: Of each row.
        names: Of each row; its path is `folder / name`.
    """

    def __init__(self, folders: list[Path | None], names: list[str]) -> None:
        self.folders, self.names = folders, names

    def __len__(self) -> int:
        return len(self.names)

    def _value(self, row: int) -> Path | None:
        folder = self.folders[row]
        return None if folder is None else folder / self.names[row]

    def __iter__(self) -> Iterator[Path | None]:
        if None in self.folders:
            return map(self._value, range(len(self)))
        return map(truediv, self.folders, self.names)

    def take(self, rows: Sequence[int]) -> FileColumn:
        """The files at `rows`."""
        return FileColumn(list(taken(self.folders, rows)), list(taken(self.names, rows)))

    @classmethod
    def joined(cls, parts: Sequence[Sequence[Path | None]]) -> FileColumn:
        """The files of several columns."""
        whole = cls([], [])
        for part in parts:
            if isinstance(part, FileColumn):
                whole.folders += part.folders
                whole.names += part.names
            else:
                whole.folders += (None if path is None else path.parent for path in part)
                whole.names += ("" if path is None else path.name for path in part)
        return whole

    def numbers(self) -> list[int]:
        """The number of each row's file, counted from 0 in order of appearance."""
        if len({*self.names}) == len(self.names):
            return list(range(len(self.names)))
        known: dict[Path | None, dict[str, int]] = {}
        count = 0
        found = []
        for folder, name in zip(self.folders, self.names, strict=True):
            names = known.get(folder)
            if names is None:
                names = known[folder] = {}
            number = names.setdefault(name, count)
            count += number == count
            found.append(number)
        return found


class SpanColumn(Column[Span | None]):
    """Spans as two numbers of eight bytes; None for a whole video.

    Args:
        starts: In seconds; not a number for a whole video.
        ends: In seconds.
    """

    def __init__(self, starts: array[float], ends: array[float]) -> None:
        self.starts, self.ends = starts, ends

    def __len__(self) -> int:
        return len(self.starts)

    def _value(self, row: int) -> Span | None:
        start = self.starts[row]
        return None if isnan(start) else (start, self.ends[row])

    def __iter__(self) -> Iterator[Span | None]:
        pairs = zip(self.starts, self.ends, strict=True)
        return (None if isnan(pair[0]) else pair for pair in pairs)

    def take(self, rows: Sequence[int]) -> SpanColumn:
        """The spans at `rows`."""
        return SpanColumn(array("d", taken(self.starts, rows)), array("d", taken(self.ends, rows)))

    @classmethod
    def joined(cls, parts: Sequence[Sequence[Span | None]]) -> SpanColumn:
        """The spans of several columns."""
        whole = cls(array("d"), array("d"))
        for part in parts:
            if isinstance(part, SpanColumn):
                whole.starts += part.starts
                whole.ends += part.ends
            else:
                whole.starts.extend(nan if span is None else span[0] for span in part)
                whole.ends.extend(nan if span is None else span[1] for span in part)
        return whole


class PairColumn(Column[tuple[tuple[str, T], ...]]):
    """Named values of each row, as `Sample.extra` and `Sample.sidecars` hold them.

    Args:
        columns: Values by name; None where a row has none of a name.
        rows: How many rows there are.
    """

    def __init__(self, columns: dict[str, Sequence[T | None]], rows: int) -> None:
        self.columns, self._rows = columns, rows

    def __len__(self) -> int:
        return self._rows

    def _value(self, row: int) -> tuple[tuple[str, T], ...]:
        values = ((name, column[row]) for name, column in self.columns.items())
        return tuple((name, value) for name, value in values if value is not None)

    def __iter__(self) -> Iterator[tuple[tuple[str, T], ...]]:
        if not self.columns:
            return iter([()] * self._rows)
        return map(self._value, range(self._rows))

    def take(self, rows: Sequence[int]) -> PairColumn[T]:
        """The pairs at `rows`."""
        return PairColumn({name: taken(each, rows) for name, each in self.columns.items()}, len(rows))

    @classmethod
    def joined(cls, parts: Sequence[Sequence[tuple[tuple[str, T], ...]]]) -> PairColumn[T]:
        """The pairs of several columns, all of which have the names of the first that is no list."""
        names = next(part.columns for part in parts if isinstance(part, PairColumn))
        columns = {name: joined([values_of(part, name) for part in parts]) for name in names}
        return cls(columns, sum(map(len, parts)))


Pairs = Sequence[tuple[tuple[str, T], ...]]
"""Named values of each row."""


def values_of(pairs: Pairs[T], name: str) -> Sequence[T | None]:
    """What each row has under a name; None where it has nothing."""
    pairs = owned(pairs)
    if isinstance(pairs, PairColumn):
        return pairs.columns.get(name, [None] * len(pairs))
    return [dict(own).get(name) for own in pairs]


def owned(column: Sequence[T]) -> Sequence[T]:
    """A column that shares no other's rows."""
    return column.own() if isinstance(column, TakenColumn) else column


def joined(parts: Sequence[Sequence[T]]) -> Sequence[T]:
    """The values of several columns as one."""
    parts = [owned(part) for part in parts]
    kind = next((type(part) for part in parts if isinstance(part, Column)), None)
    return list(chain.from_iterable(parts)) if kind is None else kind.joined(parts)


@dataclass(frozen=True, eq=False, repr=False)
class SampleTable(Sequence[Sample]):
    """N samples by column; see `Sample` for what each holds.

    Equal to any sequence of equal samples. Iterating makes a new `Sample` for every row and keeps none, so
    what needs one column of many rows should read that column.

    Attributes:
        ids: Of each row, and so on.
        paths: Files.
        labels: Class names; equal ones may be one object.
        spans: In seconds.
        groups: Groups.
        splits: Splits.
        extras: Further columns of the manifest.
        sidecars: Files that the manifest names.
    """

    ids: Sequence[str]
    paths: Sequence[Path]
    labels: Sequence[tuple[str, ...]]
    spans: Sequence[Span | None]
    groups: Sequence[str | None]
    splits: Sequence[str | None]
    extras: Pairs[str]
    sidecars: Pairs[Path]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> SampleTable:
        """The samples by column."""
        if isinstance(samples, SampleTable):
            return samples
        rows = samples if isinstance(samples, (tuple, list)) else tuple(samples)
        return cls(
            [s.id for s in rows],
            [s.path for s in rows],
            [s.labels for s in rows],
            [s.span for s in rows],
            [s.group for s in rows],
            [s.split for s in rows],
            [s.extra for s in rows],
            [s.sidecars for s in rows],
        )

    @classmethod
    def joined(cls, tables: Sequence[SampleTable]) -> SampleTable:
        """The samples of several tables, one after the other."""
        if len(tables) == 1:
            return tables[0]
        return cls(*map(joined, zip(*(table._columns for table in tables), strict=True)))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, row: int) -> Sample: ...
    @overload
    def __getitem__(self, row: slice) -> SampleTable: ...
    def __getitem__(self, row: int | slice) -> Sample | SampleTable:
        if isinstance(row, slice):
            return self.take(range(len(self))[row])
        return made(*(column[row] for column in self._columns))

    def __iter__(self) -> Iterator[Sample]:
        return map(made, *self._columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, list, SampleTable)):
            return NotImplemented
        return len(self) == len(other) and all(map(_equal, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    @property
    def _columns(self) -> tuple[Sequence, ...]:  # type: ignore[type-arg]
        return (
            self.ids, self.paths, self.labels, self.spans, self.groups, self.splits, self.extras,
            self.sidecars,
        )  # fmt: skip

    def take(self, rows: Iterable[int]) -> SampleTable:
        """The samples at `rows`, in that order; of many of them the columns are shared."""
        chosen: Sequence[int] = array("q", rows)
        if len(chosen) * _FEW < len(self):
            return SampleTable(*(taken(column, chosen) for column in self._columns))
        further: dict[int, Sequence[int]] = {}
        columns: list[TakenColumn[Any]] = []
        for column in self._columns:
            if not isinstance(column, TakenColumn):
                columns.append(TakenColumn(column, chosen))
                continue
            if id(column.rows) not in further:
                further[id(column.rows)] = array("q", taken(column.rows, chosen))
            columns.append(TakenColumn(column.column, further[id(column.rows)]))
        return SampleTable(*columns)

    def grouped(self, groups: Sequence[str | None]) -> SampleTable:
        """The samples with other groups, whose names are text."""
        return replace(self, groups=groups)

    def split_into(self, splits: Sequence[str | None]) -> SampleTable:
        """The samples with other splits, whose names are in their one form."""
        return replace(self, splits=splits)

    def file_numbers(self) -> list[int]:
        """The number of each row's file, counted from 0 in order of appearance; rows of one file have one."""
        paths = owned(self.paths)
        if isinstance(paths, FileColumn):
            return paths.numbers()
        known: dict[Path, int] = {}
        return [known.setdefault(path, len(known)) for path in paths]

    def file_names(self, rows: Sequence[int]) -> Sequence[str]:
        """The names of some rows' files, with their suffixes."""
        paths: Sequence[Path] = self.paths
        if isinstance(paths, TakenColumn):
            rows, paths = taken(paths.rows, rows), paths.column
        return (
            taken(paths.names, rows) if isinstance(paths, FileColumn) else [paths[row].name for row in rows]
        )


def _equal(one: Sample, other: object) -> bool:
    return one == other


def taken(column: Sequence[T], rows: Sequence[int]) -> Sequence[T]:
    """The values of a column at some rows, in their order."""
    if rows == range(len(column)):
        return column
    if isinstance(column, Column):
        return column.take(rows)
    if len(rows) < 2:
        return [column[row] for row in rows]
    pick: Callable[[Sequence[T]], tuple[T, ...]] = itemgetter(*rows)
    return list(pick(column))
