"""NumPy archives (`.npz`) read with nothing executed, in memory that their size on disk makes plausible."""

from __future__ import annotations

import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from threading import Lock
from tokenize import TokenError
from typing import IO

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import Budget

# Joints of people who are mostly away compress to a fiftieth.
_GROWTH = 100
_MOST_ARRAYS = 100_000
_HEADER_BYTES = 4096
# NumPy has Python parse a header, and Python 3.11 counts the depth of what its threads parse together: they
# would stop each other with a SystemError (https://github.com/python/cpython/issues/106905).
_PARSING = Lock()
# What stands before an entry: its signature, and the lengths of its name and of what follows that.
_LOCAL = struct.Struct("<4s22xHH")
# Truth values, numbers and text; anything else would be Python objects.
_KINDS = "biufU"

BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    EOFError,
    SyntaxError,
    RuntimeError,  # encrypted, or nested without end
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What reading a damaged archive, or making sense of its content, may raise."""


class BrokenArchive(ValueError):
    """A file is no archive of plain arrays."""


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an archive, read-only.

    Args:
        path: The file.
        names: Those to read, as far as they are there; None for all.

    Raises:
        BrokenArchive: If it is damaged, encrypted or of another kind.
        InvalidAnnotation: If it unpacks to more than its budget.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            budget = Budget.of(path, InvalidAnnotation, growth=_GROWTH)
            budget.take(sum(entry.file_size for entry in entries), "its arrays")
            _check(entries)
            named = [(entry.filename.removesuffix(".npy"), entry) for entry in entries]
            return {name: _array(archive, entry) for name, entry in named if names is None or name in names}
    except BrokenArchive:
        raise
    except BROKEN as error:
        raise BrokenArchive(str(error) or type(error).__name__) from error


def entries_of(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Where the arrays of an archive lie, by name, for `read_entry`.

    Raises:
        BrokenArchive: If it is damaged, encrypted or of another kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        _check(entries)
    except BROKEN as error:
        raise BrokenArchive(str(error) or type(error).__name__) from error
    return {entry.filename.removesuffix(".npy"): entry for entry in entries}


def read_entry(path: Path, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array, read-only; the rest of the archive is not looked at.

    Args:
        path: The archive.
        entry: As `entries_of` gave it.

    Raises:
        BrokenArchive: If there is another one by now, or it is damaged.
    """
    try:
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            signature, name_bytes, extra_bytes = _LOCAL.unpack(file.read(_LOCAL.size))
            if signature != b"PK\x03\x04":
                raise BrokenArchive(f"its {entry.filename[:40]!r} is not where it was")
            file.seek(name_bytes + extra_bytes, 1)
            data = file.read(min(entry.compress_size, path.stat().st_size))
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size + 1)
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise BrokenArchive(f"its {entry.filename[:40]!r} is not what was written")
        return _content(io.BytesIO(data), entry)
    except BrokenArchive:
        raise
    except BROKEN as error:
        raise BrokenArchive(str(error) or type(error).__name__) from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    names = {entry.filename for entry in entries}
    if len(entries) > _MOST_ARRAYS or len(names) != len(entries):
        raise BrokenArchive(f"it has {len(entries)} entries under {len(names)} names")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise BrokenArchive(f"its {entry.filename[:40]!r} is encrypted or compressed in a foreign way")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as stream:
        return _content(stream, entry)


def _content(stream: IO[bytes], entry: zipfile.ZipInfo) -> np.ndarray:
    shape, is_fortran, dtype = _header(stream)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise BrokenArchive(f"its {entry.filename[:40]!r} could be read by pickle only, which runs code")
    wanted = math.prod(shape) * dtype.itemsize
    # Empty texts take no bytes, but numbers made of them would.
    if min(shape, default=0) < 0 or max(wanted, math.prod(shape)) > entry.file_size:
        raise BrokenArchive(f"its {entry.filename[:40]!r} says {shape} in {entry.file_size} bytes")
    # One byte more, so that the end is reached and the checksum compared.
    data = stream.read(wanted + 1)
    if len(data) != wanted:
        raise BrokenArchive(f"its {entry.filename[:40]!r} holds {len(data)} bytes of {wanted}")
    return np.ndarray(shape, dtype, buffer=data, order="F" if is_fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(stream))
    if read is None:
        raise BrokenArchive("it holds records, which none of our files do")
    try:
        with _PARSING:
            return read(stream, max_header_size=_HEADER_BYTES)
    except (
        MemoryError,
        TokenError,
    ) as error:  # how Python's parsers say "nested without end" and "cut short"
        raise BrokenArchive("the head of an array cannot be made out") from error
