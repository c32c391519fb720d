"""What a file holds, as distinct from what others hold, whatever it is called and wherever it lies."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from functools import lru_cache
from pathlib import Path

# Files up to this size are looked at whole; of larger ones as much, in pieces from the first byte to the
# last.
_WHOLE_BYTES = 8 * 2**20
_PIECE_BYTES = 64 * 2**10
_SETTLED_S = 2.0
# Of a folder's files, those up to this size are read: they state things, such as the rate of its images.
_NOTE_BYTES = 256

State = tuple[str, int, int, int, int]
"""Path, size, time of change, inode and device of a file."""


def settled_state(path: Path) -> State | None:
    """By what a file as it is now is known again: another version of it has another state.

    None where that cannot be told: it is not there, or was changed within the last two seconds. The clocks of
    file systems are coarse, so that it could be changed once more and look the same.
    """
    try:
        about = path.stat()
    except OSError:
        return None
    if time.time() - about.st_mtime < _SETTLED_S:
        return None
    return str(path.absolute()), about.st_size, about.st_mtime_ns, about.st_ino, about.st_dev


def content_key(path: Path) -> str:
    """A short text that files of the same bytes share; it is remembered while a file stays as it is.

    Folders, such as those of numbered images, share it if their files have the same names and sizes, and the
    first, the middle and the last of them, and the smallest ones, the same bytes.

    Raises:
        OSError: If the file or folder cannot be read, or is a device or a pipe.
    """
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        return _folder_key(path)
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return _key(str(path.absolute()), state.st_size, state.st_mtime_ns, state.st_ino)


def _folder_key(folder: Path) -> str:
    files = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(folder) if entry.is_file())
    digest = hashlib.blake2b(repr(files).encode("utf-8", "surrogateescape"), digest_size=16)
    looked_at = {0, len(files) // 2, len(files) - 1}
    for number, (name, size) in enumerate(files):
        if number in looked_at or size <= _NOTE_BYTES:
            with (folder / name).open("rb") as file:
                digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()


@lru_cache(maxsize=1 << 16)
def _key(path: str, size: int, changed_ns: int, inode: int) -> str:
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with Path(path).open("rb") as file:
        if size <= _WHOLE_BYTES:
            digest.update(file.read(_WHOLE_BYTES))
        else:
            pieces = _WHOLE_BYTES // _PIECE_BYTES
            for number in range(pieces):
                file.seek((size - _PIECE_BYTES) * number // (pieces - 1))
                digest.update(file.read(_PIECE_BYTES))
    return digest.hexdigest()
