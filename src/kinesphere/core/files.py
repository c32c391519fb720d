"""Writing files so that a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kinesphere.core.errors import InUse, KinesphereError, UnusableName, UnwritableFile
from kinesphere.core.locks import is_same, lock, unlock
from kinesphere.core.text import SPELLED

log = logging.getLogger("kinesphere")

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Numbers of the errors that a disk gives, whatever is written to it."""

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_SCRATCH = ".kinesphere-"
# Folders in which this process has looked for what others left; they may hold very many files.
_SWEPT: set[Path] = set()
_ADVICE = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
    errno.EFBIG: "choose another place",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOTDIR: "a file lies where a folder is needed; choose another place",
    errno.EEXIST: "a file lies where a folder is needed; choose another place",
    errno.EISDIR: "a folder of this name is there; choose another name",
    errno.ENOTEMPTY: "a folder of this name is there; choose another name",
}


class Scratch:
    """A file in the making, in a hidden folder of its own beside its place.

    Whatever library writes it may put temporary files of its own beside it: all go with the folder. The
    folder is locked while its maker lives, so `sweep` can tell what a killed process left; the first file
    that a process makes somewhere sweeps there.

    Args:
        target: The file's place; its folders are made as needed.

    Raises:
        UnwritableFile: If nothing can be written there.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if (place := target.parent.absolute()) not in _SWEPT:
                sweep(place)
                _SWEPT.add(place)
            self._folder, self._lock = _locked_folder(target.parent)
        except OSError as error:
            raise unwritable(target, error) from error
        self.path = self._folder / target.name
        """Where to write."""

    def commit(self) -> None:
        """Give the file its name, in place of one that was there.

        Raises:
            UnwritableFile: If that is not possible.
        """
        try:
            self.path.replace(self._target)
        except OSError as error:
            raise unwritable(self._target, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what has been written, unless it has its name."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            unlock(self._lock)
            self._lock = None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends without an error.

    Folders are made as needed. Several processes and threads may write the same path at once; the
    last one to finish wins.

    Raises:
        UnwritableFile: If the folder, the disk or the name refuses.
    """
    scratch = Scratch(path)
    try:
        yield scratch.path
        scratch.commit()
    except OSError as error:
        if isinstance(error, KinesphereError):
            raise
        raise unwritable(path, error) from error
    finally:
        scratch.discard()


def write_text(path: Path, text: str) -> None:
    """Put a text in the place of a file, in UTF-8.

    Raises:
        UnwritableFile: If the folder, the disk or the name refuses.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=SPELLED)


def open_to_readers(path: Path) -> None:
    """Let those read a file who may read other new files beside it: some libraries let its owner alone.

    Raises:
        OSError: If the system refuses.
    """
    usual = Scratch(path)
    try:
        usual.path.touch()
        path.chmod(usual.path.stat().st_mode & 0o777)
    finally:
        usual.discard()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        UnwritableFile: If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def paths_ending(folder: Path, ending: str) -> list[Path]:
    """What lies below a folder under names that end so in whatever case (some write `.BVH`), sorted."""
    return sorted(path for path in folder.rglob("*") if path.name.lower().endswith(ending))


def check_place(path: Path) -> None:
    """Refuse a place that cannot be written to before there is something to write; nothing stays there.

    Args:
        path: Path of a file or a folder, whether it is there or not.

    Raises:
        UnwritableFile: If the folder, or the nearest one above it that is there, takes no files.
    """
    places = [path.absolute(), *path.absolute().parents] if path.is_dir() else list(path.absolute().parents)
    nearest = next(place for place in places if place.exists())
    try:
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=nearest))
        with suppress(FileNotFoundError):  # another process may have swept it
            made.rmdir()
    except OSError as error:
        raise unwritable(path, error) from error


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; what is being written stays."""
    with suppress(OSError):
        for left in folder.glob(f"{_SCRATCH}*"):
            _remove_left(left)


@contextmanager
def claiming(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from the same block for the same path.

    Args:
        path: A file for the lock; its folder exists. It is there while the block runs, and after a kill; a
            lock that a killed process left is free.
        what: What is claimed, for the message.
        wait: Whether to wait for another holder instead of raising.

    Raises:
        InUse: If another process holds it.
        UnwritableFile: If the file cannot be made.
    """
    while True:
        try:
            path.touch()
            descriptor = lock(path, wait=wait)
        except FileNotFoundError as error:  # its last holder removed it in between
            if path.parent.is_dir():
                continue
            raise unwritable(path, error) from error
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                log.warning("%s cannot be locked on its file system; start nothing twice there.", what)
                try:
                    yield
                finally:
                    with suppress(OSError):
                        path.unlink()
                return
            raise unwritable(path, error) from error
        if descriptor is None:
            raise InUse(
                f"{what} is in use by another process{_holder(path)}; wait until it ends, or choose another "
                "place."
            )
        if is_same(descriptor, path):
            break
        unlock(descriptor)
    with suppress(OSError):  # the name of the holder is a courtesy
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode())
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        unlock(descriptor)


def _holder(path: Path) -> str:
    try:
        name = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" ({name})" if name else ""


def unwritable(path: Path, error: OSError) -> UnwritableFile:
    """The error for a place that cannot be written to, from what the system says."""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ENAMETOOLONG or isinstance(error, UnusableName):
        return UnusableName(f"{path} cannot be written: {what}; choose a shorter name.")
    number = error.errno or _foreign_number(what)
    return UnwritableFile(f"{path} cannot be written: {what}; {_ADVICE.get(number, 'check the disk')}.")


def _foreign_number(text: str) -> int:
    """The system's number of an error that a library of another language tells in words."""
    found = re.search(r"os error (\d+)", text)
    return int(found[1]) if found else 0


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        try:
            descriptor = lock(folder, wait=True)
        except FileNotFoundError:  # swept before it was locked
            continue
        except OSError:  # no locks here: nothing is swept here either
            return folder, None
        if descriptor is None or is_same(descriptor, folder):
            return folder, descriptor
        unlock(descriptor)


def _remove_left(folder: Path) -> None:
    try:
        descriptor = lock(folder)
    except OSError:
        return
    if descriptor is not None:
        shutil.rmtree(folder, ignore_errors=True)
        unlock(descriptor)
