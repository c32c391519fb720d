"""What reading a file may cost: in proportion to its bytes, and asked for before memory is.

A file claims sizes, counts and shapes, and compressed or shared parts expand to more than is there. A
`Budget` stands between a claim and the memory: a reader takes from it what it is about to allocate, and a
file that asks for more than its size makes plausible is refused. docs/limits.md lists the bounds of all
readers.
"""

from __future__ import annotations

import math
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from kinesphere.core.errors import KinesphereError

FREE_BYTES = 64 << 20
"""What the smallest file may take."""
GROWTH = 16
"""How many times its own bytes a file may take besides."""
DEEPEST = 64
"""How deep lists and mappings of a file may lie in each other."""
FREE_NODES = 100_000
"""Values that the smallest file of lists and mappings may hold, counted wherever they are shared."""
_CHUNK_BYTES = 1 << 20
_LEAVES = frozenset({int, float, str, bytes, bool, type(None)})
_SHOWN = 80


class Budget:
    """Memory that the content of one file may take.

    Args:
        name: Name of the file, for messages.
        size: Its bytes, as they lie on the disk.
        error: What its reader raises.
        growth: How many times its bytes the content may take, beside `FREE_BYTES`.
    """

    def __init__(
        self, name: str, size: int, error: type[KinesphereError] = KinesphereError, growth: float = GROWTH
    ) -> None:
        self.name, self.size, self.error = name, size, error
        self.allowed = FREE_BYTES + int(growth * size)
        self.left = self.allowed

    @classmethod
    def of(cls, path: Path, error: type[KinesphereError] = KinesphereError, growth: float = GROWTH) -> Budget:
        """The budget of a file on the disk.

        Raises:
            KinesphereError: `error`, if it is no file that can be read.
        """
        return cls(path.name, file_size(path, error), error, growth)

    def take(self, count: int, what: str) -> int:
        """Set aside `count` bytes before they are allocated, and return them.

        Args:
            count: Bytes; any integer that a file can state.
            what: What they are for, as a noun: "an array of shape (3, 4)".

        Raises:
            KinesphereError: The budget's `error`, if so many are negative or not left.
        """
        if not 0 <= count <= self.left:
            raise self.error(
                f"{self.name} has {self.size} bytes and claims {brief(count)} for {what}; "
                f"files of this size may take {self.allowed}. It is damaged or made to do harm; get it again."
            )
        self.left -= count
        return count

    def array(self, shape: Iterable[int], itemsize: int, what: str = "an array") -> int:
        """Set aside an array's bytes, its sides multiplied without wrapping around.

        Raises:
            KinesphereError: As `take`; also if a side is negative.
        """
        sides = tuple(int(side) for side in shape)
        count = -1 if any(side < 0 for side in sides) else math.prod(sides) * itemsize
        return self.take(count, f"{what} of shape {brief(sides)}")

    def read(self, stream: BinaryIO, what: str = "its content", most: int | None = None) -> bytes:
        """Everything that a (decompressing) stream gives, paid for piece by piece.

        Args:
            stream: Where to read.
            what: As for `take`.
            most: Bytes that are expected at most, where the file states them; more are refused.

        Raises:
            KinesphereError: The budget's `error`, if there is more than is left.
            OSError: And whatever else the stream raises.
        """
        parts, found = [], 0
        while part := stream.read(_CHUNK_BYTES):
            found += self.take(len(part), what)
            if most is not None and found > most:
                raise self.error(f"{self.name} holds more bytes of {what} than the {most} it states.")
            parts.append(part)
        return b"".join(parts)

    def inflate(self, data: bytes, what: str = "its content") -> bytes:
        """Decompress zlib's format, never further than the budget allows.

        Raises:
            KinesphereError: The budget's `error`, if the data are damaged, cut short, or unpack to more.
        """
        engine = zlib.decompressobj()
        try:
            whole = engine.decompress(data, self.left + 1)
        except zlib.error as error:
            raise self.error(f"{self.name} holds damaged compressed data ({what}): {error}.") from error
        self.take(len(whole), what)
        if not engine.eof:
            raise self.error(f"{self.name} is cut short in {what}.")
        return whole


def file_size(path: Path, error: type[KinesphereError] = KinesphereError) -> int:
    """Bytes of a regular file; pipes, devices and folders, which have no size or no end, are refused.

    Raises:
        KinesphereError: `error`.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as reason:
        raise error(f"Cannot read {path}: {reason}.") from reason
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path} is no regular file; name the file itself.")
    return status.st_size


def file_bytes(path: Path, error: type[KinesphereError], largest: int) -> bytes:
    """The bytes of a regular file of at most `largest`.

    Raises:
        KinesphereError: `error`.
    """
    size = file_size(path, error)
    if size > largest:
        raise error(f"{path} has {size} bytes; files of its kind are read up to {largest}.")
    try:
        with path.open("rb") as file:
            return file.read(largest)
    except OSError as reason:
        raise error(f"Cannot read {path}: {reason}.") from reason


def count_nodes(
    root: object,
    parts: Callable[[object], Iterable[object]],
    name: str,
    error: type[KinesphereError],
    *,
    most: int = FREE_NODES,
    deepest: int = DEEPEST,
) -> int:
    """Number of values that `parts` takes a structure apart into, counted for every way that leads there.

    Parts that are shared, or that contain themselves, let a few bytes stand for a structure without end, and
    every later walk would go through all of it. What `parts` gives lives as long as the structure.

    Raises:
        KinesphereError: `error`, if there are more than `most`, deeper than `deepest`, or without end.
    """
    counted: dict[int, int] = {}
    heights: dict[int, int] = {}
    open_nodes: set[int] = set()

    def count(node: object, depth: int) -> int:
        inner = tuple(parts(node))
        if not inner:
            return 1
        key = id(node)
        if key in open_nodes:
            raise error(f"{name} holds a part that contains itself; refused.")
        known = counted.get(key)
        if depth + heights.get(key, 1) > deepest:
            raise error(f"{name} nests its content deeper than {deepest} levels; refused.")
        if known is None:
            open_nodes.add(key)
            known = 1
            for part in inner:
                known += 1 if type(part) in _LEAVES else count(part, depth + 1)
                if known > most:
                    raise error(
                        f"{name} unfolds to more than {most} values (shared parts count wherever they are "
                        "used); refused."
                    )
            open_nodes.discard(key)
            counted[key] = known
            heights[key] = 1 + max(heights.get(id(part), 0) for part in inner)
        return known

    return count(root, 0)


def brief(value: object) -> str:
    """A value for a message: bounded in length and in the work of writing it, whatever it holds."""
    text = _brief(value, 2)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _brief(value: object, depth: int) -> str:
    if isinstance(value, str | bytes | bytearray):
        return repr(value[:_SHOWN])
    if isinstance(value, int) and not -(10**18) < value < 10**18:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, int | float | complex):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = islice(value.items(), 4 if depth else 0)
        shown = [f"{_brief(key, 0)}: {_brief(part, depth - 1)}" for key, part in pairs]
        return "{" + ", ".join(shown) + (", …" if len(value) > len(shown) else "") + "}"
    if isinstance(value, list | tuple):
        shown = [_brief(part, depth - 1) for part in value[:4]] if depth else []
        inner = ", ".join(shown) + (", …" if len(value) > len(shown) else "")
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return f"a {type(value).__name__}"
