"""Reading text files of numbers so that an error names the file and the line."""

from __future__ import annotations

import io
import re
from functools import cached_property
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief, file_bytes

# Longer files, an hour of motion capture, and longer lines are something else.
_LARGEST, _LONGEST_LINE = 1 << 29, 1 << 20
# Numbers further from zero are neither places nor angles.
_FURTHEST = 1e9
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_WITH_POINT = re.compile(r"(?:^|\s)[+-]?\d*\.\d", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:\.\d*)?)", re.ASCII)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InvalidAnnotation: If it is missing, too large, empty or no text.
    """
    try:
        content = file_bytes(path, InvalidAnnotation, _LARGEST)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        advice = " It is an archive; unpack it first." if content.startswith(b"PK") else ""
        raise InvalidAnnotation(f"{path} cannot be read as text: {error}.{advice}") from error
    if not text or text.isspace():
        raise InvalidAnnotation(f"{path} is empty; get it again.")
    return text


def number_of(word: str) -> float:
    """A number as files write it.

    Raises:
        ValueError: If it is none.
    """
    if "_" in word:  # which Python would pass over
        raise ValueError(f"{word[:40]!r} is no number")
    return float(word)


def seconds_of(word: str) -> float:
    """A time in seconds, `12.5`, `12,5`, or as a clock shows it, `1:02.5` or `0:01:02.5`.

    Raises:
        ValueError: If it is none, also if it counts frames (`00:01:02:12`).
    """
    clock = _CLOCK.fullmatch(word.replace(",", "."))
    if clock is None:
        return number_of(word.replace(",", "."))
    hours, minutes, seconds = clock.groups()
    if float(seconds) >= 60 or (hours is not None and int(minutes) >= 60):
        raise ValueError(f"{word[:40]!r} is no time of a clock")
    return 3600.0 * float(hours or 0) + 60.0 * float(minutes) + float(seconds)


class Lines:
    """The lines of a text file, one after the other.

    Args:
        path: The file.
        decimal_commas: Whether numbers may have a comma in place of the decimal point, as programs write them
            on computers of many countries; all those of a file, or none.

    Raises:
        InvalidAnnotation: If it cannot be read.
    """

    def __init__(self, path: Path, *, decimal_commas: bool = False) -> None:
        self._path = path
        self._decimal_commas = decimal_commas
        self._text = io.StringIO(read_text(path), newline=None)
        self._next = ""
        self.number = 0

    def error(self, message: str) -> InvalidAnnotation:
        """What is wrong with the line read last."""
        return InvalidAnnotation(f"{self._path}, line {self.number}: {message}")

    def more(self) -> bool:
        """Whether a line that is not blank follows.

        Raises:
            InvalidAnnotation: If it is far too long.
        """
        while not self._next:
            line = self._text.readline(_LONGEST_LINE)
            if not line:
                return False
            self.number += 1
            if len(line) == _LONGEST_LINE:
                raise self.error(f"lines have fewer than {_LONGEST_LINE} characters.")
            self._next = line.strip()
        return True

    def words(self) -> list[str]:
        """The next line that is not blank, split at white space.

        Raises:
            InvalidAnnotation: If there is none.
        """
        if not self.more():
            raise self.error("the file ends here, but more was announced; get it again.")
        line, self._next = self._next, ""
        return line.split()

    def value(self, word: str) -> float:
        """A word of the line read last as a number.

        Raises:
            ValueError: If it is none.
            InvalidAnnotation: If it has a decimal comma, and others of the file have points.
        """
        try:
            return number_of(word)
        except ValueError:
            if not (self._decimal_commas and _WITH_COMMA.fullmatch(word)):
                raise
        if self._has_points:
            raise self.error(
                f"{brief(word)} has a comma where other numbers of the file have a point; write all of them "
                "with decimal points."
            )
        return float(word.replace(",", "."))

    @cached_property
    def _has_points(self) -> bool:
        return _WITH_POINT.search(self._text.getvalue()) is not None

    def numbers(self, counts: tuple[int, ...], what: str, *, finite: bool = True) -> list[float]:
        """The next line as numbers.

        Args:
            counts: How many there may be.
            what: Their meaning, for the error.
            finite: Whether NaN, infinity, and what is far outside any measure are refused.

        Raises:
            InvalidAnnotation: If there are more or fewer, or they are no numbers.
        """
        words = self.words()
        if len(words) not in counts:
            wanted = " or ".join(map(str, counts))
            raise self.error(f"{what} should be {wanted} numbers; got {len(words)}: {_start(words)}.")
        try:
            values = [self.value(word) for word in words]
        except ValueError:
            raise self.error(f"{what} should be numbers; got {_start(words)}.") from None
        if finite and not all(-_FURTHEST <= value <= _FURTHEST for value in values):
            raise self.error(f"{what} should be finite numbers; got {_start(words)}.")
        return values

    def count(self, what: str, most: int = 1_000_000) -> int:
        """The next line as one whole number from 0 to `most`.

        Raises:
            InvalidAnnotation: If it is something else.
        """
        value = self.numbers((1,), what)[0]
        if value != int(value) or not 0 <= value <= most:
            raise self.error(f"{what} should be a whole number from 0 to {most}; got {value:g}.")
        return int(value)


def _start(words: list[str]) -> str:
    return brief(" ".join(words[:20])[:60])
