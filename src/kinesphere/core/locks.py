"""Locks that end with the process that holds them, however that ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_held: set[int] = set()


def lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file or folder that exists, for this process alone.

    Children do not inherit the lock: what a process forks may outlive it without keeping others out.

    Args:
        path: What to lock.
        wait: Whether to wait for another holder to let go.

    Returns:
        A descriptor for `unlock`; None if another process holds the lock.

    Raises:
        OSError: If there is nothing at `path`, it cannot be opened, or the file system has no locks.
    """
    folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    _held.add(descriptor)
    try:
        got = _take(descriptor, wait)
    except BaseException:
        unlock(descriptor)
        raise
    if not got:
        unlock(descriptor)
        return None
    return descriptor


def unlock(descriptor: int) -> None:
    """Let go of what `lock` gave."""
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)


def is_same(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one that `path` names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int, wait: bool) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(descriptor: int, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _leave_to_parent() -> None:
        for descriptor in list(_held):
            unlock(descriptor)

    os.register_at_fork(after_in_child=_leave_to_parent)
