"""Lines of tables and lists, read some at a time, and split together where nothing in them is quoted."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat

from kinesphere.core.errors import KinesphereError


class Lines:
    """Lines that are looked at some at a time before they are read.

    Args:
        lines: All lines.

    Attributes:
        ahead: Lines that were looked at and not read.
        passed: How many lines were read.
        failure: What keeps those after `ahead` from being read.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.ahead: deque[str] = deque()
        self.passed = 0
        self.failure: UnicodeError | OSError | KinesphereError | None = None
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[str]:
        while self.ahead or self.look_ahead(1):
            self.passed += 1
            yield self.ahead.popleft()

    def look_ahead(self, size: int) -> Sequence[str]:
        """The next `size` lines, fewer at the end.

        Raises:
            UnicodeError: If not even the first can be read.
            OSError: In the same case.
            KinesphereError: In the same case.
        """
        if self.failure is None:
            try:
                for line in islice(self._lines, size - len(self.ahead)):
                    self.ahead.append(line)
            except (UnicodeError, OSError, KinesphereError) as failure:
                self.failure = failure
        if self.failure is not None and not self.ahead:
            raise self.failure
        return self.ahead

    def pass_over(self) -> None:
        """All lines ahead are read."""
        self.passed += len(self.ahead)
        self.ahead.clear()


def plain_columns(
    lines: Sequence[str], delimiter: str, width: int, *, have_ends: bool
) -> list[list[str]] | None:
    """The cells of lines by column, as the `csv` module reads them; None unless that is plain to see.

    Args:
        lines: At least one.
        delimiter: What separates the columns; nothing else may have a meaning.
        width: How many columns each line must have.
        have_ends: Whether lines end with their line ends.
    """
    text = ("" if have_ends else "\n").join(lines)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if (
        '"' in text
        or "\r" in text
        or {*map(str.count, lines, repeat(delimiter))} != {width - 1}
        or max(map(len, lines)) > csv.field_size_limit()
    ):
        return None
    cells = text.removesuffix("\n").replace("\n", delimiter).split(delimiter)
    return [cells[i::width] for i in range(width)]
