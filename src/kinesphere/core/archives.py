"""Data sets in archives: unpacked to a temporary folder, within bounds."""

from __future__ import annotations

import lzma
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Self

from kinesphere.core.errors import InvalidAnnotation, UnsafeFile
from kinesphere.core.limits import Budget
from kinesphere.core.paths import is_there

# Numbers as text pack to a quarter or a tenth of their bytes; a hundredth is a trap.
_RATIO = 100
# A file takes at least a header, which packs to a few bytes.
_BYTES_PER_FILE, _FREE_FILES = 16, 1000
_TAR_SUFFIXES = frozenset({".tar", ".tgz", ".txz", ".tbz", ".tbz2"})
# Members that say something of the next one: a long name, or notes of many kinds.
_HEADERS_OF_HEADERS = frozenset(
    {
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    }
)
_LONGEST_HEADER = 64 << 10
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(ValueError, ArithmeticError, LookupError, RuntimeError, NotImplementedError, MemoryError),
)


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """A folder or file as it is; an archive unpacked to a temporary folder.

    Raises:
        InvalidAnnotation: If it is missing or damaged.
        UnsafeFile: If a member would leave the folder, is a link or a device, or all are larger than any
            skeletons that pack to a file of that size.
    """
    if not is_there(source):
        raise InvalidAnnotation(f"There is nothing at {source}; check the path.")
    is_tar = not _TAR_SUFFIXES.isdisjoint(suffix.lower() for suffix in source.suffixes)
    is_zip = source.suffix.lower() == ".zip"
    if source.is_dir() or not (is_tar or is_zip):
        yield source
        return
    if not source.is_file():
        raise InvalidAnnotation(f"{source} is no regular file; name an archive or a folder.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            (_unpack_zip if is_zip else _unpack_tar)(source, folder)
        except tarfile.FilterError as error:
            raise UnsafeFile(f"{source} would write outside its folder: {error}.") from error
        except _BROKEN as error:
            raise InvalidAnnotation(f"{source} is not a readable archive ({error}); get it again.") from error
        inside = list(folder.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


class _Count:
    """How much an archive of its size may unpack to."""

    def __init__(self, source: Path) -> None:
        self._bytes = Budget.of(source, UnsafeFile, growth=_RATIO)
        self._files = _FREE_FILES + self._bytes.size // _BYTES_PER_FILE
        self._source = source

    def take(self, size: int) -> None:
        """Count a member of so many bytes before it is unpacked."""
        self._bytes.take(size, "what it unpacks to")
        self._files -= 1
        if self._files < 0:
            raise UnsafeFile(f"{self._source} holds more files than one of its size can; refused.")


class _Member(tarfile.TarInfo):
    """A header of a tar archive; headers that go before another one are read whole and must be short."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _HEADERS_OF_HEADERS and header.size > _LONGEST_HEADER:
            raise UnsafeFile(
                f"The archive states a name or notes of {header.size} bytes for one member; names have up to "
                f"{_LONGEST_HEADER}. It is damaged or made to do harm; get it again."
            )
        return header


def _unpack_tar(source: Path, folder: Path) -> None:
    budget = _Count(source)
    with tarfile.open(source, tarinfo=_Member) as archive:
        for member in archive:
            budget.take(member.size)
            if member.issparse() or not (member.isreg() or member.isdir()):
                raise UnsafeFile(
                    f"{source}: {member.name!r:.200} is no plain file or folder; unpack the archive yourself "
                    "and name the folder."
                )
            archive.extract(member, folder, filter="data")


def _unpack_zip(source: Path, folder: Path) -> None:
    budget = _Count(source)
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            budget.take(entry.file_size)
            place = PurePosixPath(entry.filename.replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts:
                raise UnsafeFile(f"{source} would write outside its folder: {entry.filename!r:.200}.")
            target = folder / place
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
