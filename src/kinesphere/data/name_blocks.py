"""Names of many files looked at together: which begin or end with, or hold, what; which end in a range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

_FEWEST_DIGITS, _MOST_DIGITS = 3, 18  # more make no number of eight bytes
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ranges:
    """Names that end in two numbers of three digits or more and of one length, each after `_` or `-`.

    Attributes:
        rows: Which names they are.
        ends: Where the first of the two signs stands in each.
        ascend: Whether the second number is greater.
        unsure: Names that may be further ones: their numbers have more than 18 digits.
    """

    rows: Rows
    ends: Rows
    ascend: npt.NDArray[np.bool_]
    unsure: Rows


class NameBlock:
    """Names of files without their suffixes, N of them, as one text and its bytes.

    Args:
        files: Names in ASCII, with suffixes, without line ends.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._text = "\n".join(("", *files, ""))
        self._bytes = np.frombuffer(self._text.encode("ascii"), np.uint8)
        breaks = np.flatnonzero(self._bytes == ord("\n"))
        self._starts, self._line_ends = breaks[:-1] + 1, breaks[1:]

    @cached_property
    def _ends(self) -> Rows:
        """Where each name ends: at its last dot, unless that is its first or last sign."""
        dots = np.flatnonzero(self._bytes == ord("."))
        if not len(dots):
            return self._line_ends
        last = dots[np.maximum(np.searchsorted(dots, self._line_ends) - 1, 0)]
        is_suffix = (last > self._starts) & (last < self._line_ends - 1)
        return np.where(is_suffix, last, self._line_ends)

    @cached_property
    def _small(self) -> str:
        return self._text.lower()

    def ending_with(self, suffixes: Iterable[str]) -> Rows:
        """The files that end with one of some suffixes."""
        return self._holding(self._text, [f"{suffix}\n" for suffix in suffixes])

    def beginning_with(self, beginnings: Iterable[str]) -> Rows:
        """The names that begin with one of some texts."""
        return self._holding(self._text, [f"\n{begins}" for begins in beginnings])

    def with_any(self, texts: Iterable[str], *, small: bool = False) -> Rows:
        """The files whose names hold one of some texts; `small`: in small or capital letters."""
        return self._holding(self._small if small else self._text, texts)

    def _holding(self, text: str, wanted: Iterable[str]) -> Rows:
        found: list[int] = []
        for each in wanted:
            at = text.find(each)
            while at >= 0:
                found.append(at)
                at = text.find(each, at + 1)
        # A text that begins with the line end before a name is that name's.
        return np.unique(np.searchsorted(self._line_ends, np.array(found, np.intp), side="right"))

    def ranges(self) -> Ranges:
        """The names that end in a range."""
        signs, ends = self._bytes, self._ends
        marks = np.flatnonzero((signs == ord("_")) | (signs == ord("-")))
        last = np.searchsorted(marks, ends) - 1
        rows = np.flatnonzero(last >= 1)
        first, second = marks[last[rows] - 1], marks[last[rows]]
        length = ends[rows] - second - 1
        fit = np.flatnonzero(
            (length >= _FEWEST_DIGITS) & (second - first - 1 == length) & (first > self._starts[rows])
        )
        unsure = rows[fit[length[fit] > _MOST_DIGITS]]
        fit = fit[length[fit] <= _MOST_DIGITS]
        rows, length = rows[fit], length[fit]
        numbers = np.zeros((2, len(rows)), np.int64)
        are_digits = np.ones(len(rows), bool)
        for place in range(int(length.max(initial=0))):
            is_there = place < length
            for number, mark in zip(numbers, (first[fit], second[fit]), strict=True):
                digit = signs[np.where(is_there, mark + 1 + place, 0)].astype(np.int64) - ord("0")
                are_digits &= ~is_there | ((digit >= 0) & (digit <= 9))
                np.copyto(number, number * 10 + digit, where=is_there)
        found = first[fit] - self._starts[rows]
        ascend = numbers[0] < numbers[1]
        return Ranges(rows[are_digits], found[are_digits], ascend[are_digits], unsure)
