"""The index of a frame cache: which files it holds, how large they are, and which must go.

SQLite gives many processes one consistent sum. When a file was last used is its time of change on
disk, so that reading an entry writes nothing here.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kinesphere.core.files import sweep

_SUFFIX = ".frames"
_WAIT_S = 60.0
# The sum of all entries, which need not be gone through for each new one. What replaces an entry counts as an
# insertion; it deletes nothing.
_TOTAL = (
    "CREATE TABLE total (bytes INTEGER)",
    "INSERT INTO total SELECT COALESCE(SUM(bytes), 0) FROM entries",
    """CREATE TRIGGER adding BEFORE INSERT ON entries BEGIN
        UPDATE total SET bytes =
            bytes + NEW.bytes - COALESCE((SELECT bytes FROM entries WHERE name = NEW.name), 0);
    END""",
    """CREATE TRIGGER dropping AFTER DELETE ON entries BEGIN
        UPDATE total SET bytes = bytes - OLD.bytes;
    END""",
)


class Ledger:
    """Files of one folder with their sizes; the folder is adopted as it is found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = folder / "index.sqlite"
        # Entries that were idle when they were all looked at last, longest unused first, with their last use.
        self._idle: deque[tuple[float, str]] = deque()
        self._remove_leftovers()
        try:
            self._create()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # damaged: the files themselves say what is there
            self._database.unlink()
            self._create()

    def path(self, name: str) -> Path:
        """Where the entry of this name lies."""
        return self._folder / name[:2] / f"{name}{_SUFFIX}"

    def totals(self) -> tuple[int, int]:
        """Number of entries and their bytes."""
        with self._transaction() as connection:
            query = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM entries"
            entries, total = connection.execute(query).fetchone()
        return int(entries), int(total)

    def reserve(self, name: str, need_bytes: int, limit_bytes: int, keep_s: float) -> bool:
        """Enter an entry that is about to be written, dropping unused ones if that makes it fit."""
        with self._transaction() as connection:
            own = self._row(connection, name)
            (total,) = connection.execute("SELECT bytes FROM total").fetchone()
            excess = int(total) - (own[0] if own else 0) + need_bytes - limit_bytes
            doomed = self._least_used(connection, name, excess, keep_s) if excess > 0 else []
            if doomed is None:
                return False
            for old in doomed:
                self._unlink(old)
                connection.execute("DELETE FROM entries WHERE name = ?", (old,))
            self._enter(connection, name, need_bytes)
        return True

    def confirm(self, name: str) -> None:
        """Enter an entry that has been written, with its true size; nothing if another process dropped it."""
        with self._transaction() as connection, suppress(FileNotFoundError):
            self._enter(connection, name, self.path(name).stat().st_size)

    def drop(self, name: str) -> None:
        """Delete an entry."""
        with self._transaction() as connection:
            self._unlink(name)
            connection.execute("DELETE FROM entries WHERE name = ?", (name,))

    def clear(self) -> None:
        """Delete every entry, and what is known of videos."""
        with self._transaction() as connection:
            for (name,) in connection.execute("SELECT name FROM entries").fetchall():
                self._unlink(name)
            for facts in self._folder.glob("??/*.json"):
                facts.unlink(missing_ok=True)
            connection.execute("DELETE FROM entries")

    def _least_used(
        self, connection: sqlite3.Connection, name: str, excess_bytes: int, keep_s: float
    ) -> list[str] | None:
        """Entries to drop, longest unused first, or None if those unused for `keep_s` do not suffice."""
        doomed, left = self._take(connection, name, excess_bytes, [])
        if left > 0:
            latest = time.time() - keep_s
            rows = connection.execute("SELECT name, entered FROM entries").fetchall()
            used = [(self._used(entry, entered), entry) for entry, entered in rows]
            taken = set(doomed)
            self._idle = deque(sorted(each for each in used if each[0] <= latest and each[1] not in taken))
            doomed, left = self._take(connection, name, left, doomed)
        if left > 0:
            self._idle.clear()
            return None
        return doomed

    def _take(
        self, connection: sqlite3.Connection, name: str, excess_bytes: int, doomed: list[str]
    ) -> tuple[list[str], int]:
        """Entries of those that were idle at the last look and are so still, and the bytes that they lack."""
        while excess_bytes > 0 and self._idle:
            used, entry = self._idle.popleft()
            row = self._row(connection, entry)
            if entry != name and row is not None and self._used(entry, row[1]) == used:
                doomed.append(entry)
                excess_bytes -= row[0]
        return doomed, excess_bytes

    def _row(self, connection: sqlite3.Connection, name: str) -> tuple[int, float] | None:
        """Bytes of an entry, and when it was entered."""
        row: tuple[int, float] | None = connection.execute(
            "SELECT bytes, entered FROM entries WHERE name = ?", (name,)
        ).fetchone()
        return row

    def _used(self, name: str, entered: float) -> float:
        try:
            return self.path(name).stat().st_mtime
        except FileNotFoundError:  # still being written, or its writer was killed
            return entered

    def _enter(self, connection: sqlite3.Connection, name: str, size_bytes: int) -> None:
        connection.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (name, size_bytes, time.time()))

    def _unlink(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete half-written files of processes that were killed."""
        for folder in self._folder.glob("??"):
            sweep(folder)

    def _create(self) -> None:
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                connection.execute(
                    "CREATE TABLE entries (name TEXT PRIMARY KEY, bytes INTEGER, entered REAL)"
                )
                for path in self._folder.glob(f"??/*{_SUFFIX}"):
                    self._enter(connection, path.name.removesuffix(_SUFFIX), path.stat().st_size)
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'total'").fetchone():
                for statement in _TOTAL:
                    connection.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # A connection per transaction: it may not outlive a fork, and transactions are rare.
        with closing(sqlite3.connect(self._database, timeout=_WAIT_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
