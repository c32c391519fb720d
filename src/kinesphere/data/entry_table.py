"""`EntryTable`: the clips of long official lists kept by column, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import eq
from typing import Any, TypeVar, overload

from kinesphere.core.skipped import Skipped
from kinesphere.data.official import Entry, Origin
from kinesphere.data.sample_table import Column, Span, joined, taken

T = TypeVar("T")


class MadeColumn(Column[T]):
    """A column whose values follow from others, and are made when they are asked for.

    Args:
        make: Makes a value of those of the others.
        columns: The others, one or more.
    """

    def __init__(self, make: Callable[..., T], *columns: Sequence[Any]) -> None:
        self.make, self.columns = make, columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def _value(self, row: int) -> T:
        return self.make(*(column[row] for column in self.columns))

    def __iter__(self) -> Iterator[T]:
        return map(self.make, *self.columns)

    def take(self, rows: Sequence[int]) -> MadeColumn[T]:
        """The values at `rows`."""
        return MadeColumn(self.make, *(taken(column, rows) for column in self.columns))

    @classmethod
    def joined(cls, parts: Sequence[Sequence[T]]) -> Sequence[T]:  # type: ignore[override]
        """The values of several columns; those that are not made alike are made now."""
        alike = [part for part in parts if isinstance(part, MadeColumn)]
        if len(alike) < len(parts) or any(part.make != alike[0].make for part in alike):
            return [value for part in parts for value in part]
        return MadeColumn(alike[0].make, *map(joined, zip(*(part.columns for part in alike), strict=True)))


@dataclass(frozen=True, eq=False, repr=False)
class EntryTable(Sequence[Entry]):
    """N clips of official lists by column; see `Entry` for what each holds.

    Attributes:
        video: Of each clip, and so on; all columns have one length.
        labels: Classes; equal ones may be one object.
        parts: Parts; equal ones may be one object.
        span: Spans within the file.
        group: Groups.
        also: Further names.
        origin: Where the videos come from.
        extra: Further columns of the manifest.
        annotations: Lines of the list.
        video_s: Lengths of the whole videos.
        timed: What happens when.
    """

    video: Sequence[str]
    labels: Sequence[tuple[str, ...]]
    parts: Sequence[tuple[tuple[str, str], ...]]
    span: Sequence[Span | None]
    group: Sequence[str | None]
    also: Sequence[tuple[str, ...]]
    origin: Sequence[Origin | None]
    extra: Sequence[tuple[tuple[str, str], ...]]
    annotations: Sequence[int | None]
    video_s: Sequence[float | None]
    timed: Sequence[tuple[tuple[str, float, float], ...]]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> EntryTable:
        """The clips by column."""
        return cls(*([getattr(entry, each.name) for entry in entries] for each in fields(Entry)))

    @classmethod
    def of_videos(
        cls,
        video: Sequence[str],
        labels: Sequence[tuple[str, ...]],
        parts: Sequence[tuple[tuple[str, str], ...]],
        *,
        group: Sequence[str | None] | None = None,
        also: Sequence[tuple[str, ...]] | None = None,
        origin: Sequence[Origin | None],
    ) -> EntryTable:
        """Clips that are whole files of sets that are lists of URLs."""
        nothing, none = [()] * len(video), [None] * len(video)
        return cls(
            video, labels, parts, none, none if group is None else group, nothing if also is None else also,
            origin, nothing, none, none, nothing,
        )  # fmt: skip

    @classmethod
    def joined(cls, tables: Sequence[EntryTable]) -> EntryTable:
        """The clips of several tables, one after the other."""
        if len(tables) == 1:
            return tables[0]
        return cls(*map(joined, zip(*(table._columns for table in tables), strict=True)))

    def __len__(self) -> int:
        return len(self.video)

    @overload
    def __getitem__(self, row: int) -> Entry: ...
    @overload
    def __getitem__(self, row: slice) -> EntryTable: ...
    def __getitem__(self, row: int | slice) -> Entry | EntryTable:
        if isinstance(row, slice):
            return self.take(range(len(self))[row])
        return Entry(*(column[row] for column in self._columns))

    def __iter__(self) -> Iterator[Entry]:
        return map(Entry, *self._columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, list, EntryTable)):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    @property
    def _columns(self) -> tuple[Sequence[Any], ...]:
        return tuple(getattr(self, each.name) for each in fields(Entry))

    @cached_property
    def stems(self) -> Sequence[str]:
        """The names of the files without folder and suffix."""
        text = "\n".join(self.video)
        return (
            self.video if "/" not in text and "." not in text else [Entry(video).stem for video in self.video]
        )

    @cached_property
    def ids(self) -> Sequence[str]:
        """The names of the clips, the same wherever the files lie."""
        if all(span is None for span in self.span):
            return self.stems
        return [Entry(video, span=span).id for video, span in zip(self.video, self.span, strict=True)]

    def take(self, rows: Iterable[int]) -> EntryTable:
        """The clips at `rows`, in that order."""
        chosen = rows if isinstance(rows, range) else list(rows)
        return EntryTable(*(taken(column, chosen) for column in self._columns))


class Listed:
    """What is read of a set's lists: clips, each with an id of its own, and what is none.

    Attributes:
        wrong: Lines that name no clip, and clips that were listed before.
    """

    def __init__(self) -> None:
        self.wrong: list[Skipped] = []
        self._tables: list[EntryTable] = []
        self._entries: list[Entry] = []
        self._taken: set[str] = set()

    def add(self, item: Entry | EntryTable | Skipped) -> None:
        """The next of them."""
        if isinstance(item, Skipped):
            self.wrong.append(item)
        elif isinstance(item, Entry):
            if self._is_new(item.id):
                self._entries.append(item)
        else:
            ids = item.ids
            if not self._taken.isdisjoint(ids) or len({*ids}) < len(ids):
                item = item.take([row for row, own in enumerate(ids) if self._is_new(own)])
            self._taken.update(ids)
            self._close()
            self._tables.append(item)

    def _is_new(self, own: str) -> bool:
        if own in self._taken:
            self.wrong.append(Skipped(own, "on the lists more than once; the first counts"))
            return False
        self._taken.add(own)
        return True

    def _close(self) -> None:
        if self._entries:
            self._tables.append(EntryTable.of(self._entries))
            self._entries = []

    def clips(self) -> EntryTable:
        """The clips, in their order."""
        self._close()
        self._tables = [EntryTable.joined(self._tables) if self._tables else EntryTable.of(())]
        return self._tables[0]
