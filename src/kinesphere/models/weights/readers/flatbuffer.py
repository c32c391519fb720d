"""A bounds-checked reader of FlatBuffers (https://flatbuffers.dev/internals): tables, vectors, strings.

Every offset in a file is a claim; one that points outside of the file is refused before it is followed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kinesphere.core.errors import InvalidCheckpoint

_LONGEST_TEXT = 1 << 14


@dataclass(frozen=True, eq=False)
class Table:
    """One table of a FlatBuffer; fields are numbered in the order of the schema.

    Attributes:
        data: The whole file.
        start: Position of the table.
        name: Name of the file, for messages.
    """

    data: memoryview
    start: int
    name: str

    @classmethod
    def root(cls, data: bytes | memoryview, identifier: bytes, name: str) -> Table:
        """The root table of a file that carries `identifier` in its bytes 4 to 8.

        Raises:
            InvalidCheckpoint: If it is too short, or of another format.
        """
        view = memoryview(data)
        if bytes(view[4:8]) != identifier:
            raise InvalidCheckpoint(
                f"{name} is no {identifier.decode()} FlatBuffer: its bytes 4 to 8 are {bytes(view[4:8])!r}."
            )
        return cls(view, 0, name)._follow(0)

    def number(self, field: int, form: str, default: int = 0) -> int:
        """An integer field; `form` is its `struct` letter (`b`, `B`, `h`, `i`, `I`, `q`, `Q`)."""
        place = self._place(field)
        return default if place is None else int(self._unpack(form, place))

    def text(self, field: int) -> str:
        """A string field; empty if absent."""
        place = self._place(field)
        return "" if place is None else self._text(self._target(place))

    def table(self, field: int) -> Table | None:
        """A table field."""
        place = self._place(field)
        return None if place is None else self._follow(place)

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables."""
        place = self._place(field)
        if place is None:
            return
        start, count = self._vector(place, 4)
        for i in range(count):
            yield self._follow(start + 4 * i)

    def array(self, field: int, dtype: str) -> np.ndarray:
        """A vector of numbers, without copying; `dtype` is NumPy's, such as `<i4`."""
        place = self._place(field)
        if place is None:
            return np.zeros(0, dtype)
        size = np.dtype(dtype).itemsize
        start, count = self._vector(place, size)
        return np.frombuffer(self.data[start : start + count * size], dtype)

    def _place(self, field: int) -> int | None:
        """Where a field lies, or None if the table leaves it at its default."""
        vtable = self.start - self._unpack("i", self.start)
        if 4 + 2 * field + 2 > self._unpack("H", vtable):
            return None
        offset = self._unpack("H", vtable + 4 + 2 * field)
        return self.start + offset if offset else None

    def _vector(self, place: int, size: int) -> tuple[int, int]:
        """Position of the first element and number of elements, which all lie within the file."""
        start = self._target(place)
        count = self._unpack("I", start)
        if count * size > len(self.data) - start - 4:
            raise self._damage(f"a vector of {count} elements at byte {start}")
        return start + 4, count

    def _follow(self, place: int) -> Table:
        return Table(self.data, self._target(place), self.name)

    def _target(self, place: int) -> int:
        """Where an offset points; offsets only point forward, so following them ends."""
        offset = self._unpack("I", place)
        if offset == 0:
            raise self._damage(f"an offset of 0 at byte {place}")
        return place + offset

    def _text(self, start: int) -> str:
        count = self._unpack("I", start)
        if count > min(_LONGEST_TEXT, len(self.data) - start - 4):
            raise self._damage(f"a text of {count} bytes at byte {start}")
        return bytes(self.data[start + 4 : start + 4 + count]).decode("utf-8", "replace")

    def _unpack(self, form: str, place: int) -> int:
        if place < 0 or place + struct.calcsize(f"<{form}") > len(self.data):
            raise self._damage(f"an offset to byte {place}")
        value: int = struct.unpack_from(f"<{form}", self.data, place)[0]
        return value

    def _damage(self, what: str) -> InvalidCheckpoint:
        return InvalidCheckpoint(
            f"{self.name} is damaged: it claims {what}, but has {len(self.data)} bytes. Fetch it again."
        )
