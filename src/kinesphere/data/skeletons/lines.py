"""Reading text files of numbers so that an error names the file and the line."""

from __future__ import annotations

import math
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InvalidAnnotation: If it is missing, empty or no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidAnnotation(f"{path} cannot be read as text: {error}.") from error
    if not text.strip():
        raise InvalidAnnotation(f"{path} is empty; get it again.")
    return text


class Lines:
    """The lines of a text file, one after the other.

    Args:
        path: The file.

    Raises:
        InvalidAnnotation: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = read_text(path).splitlines()
        self.number = 0

    def error(self, message: str) -> InvalidAnnotation:
        """What is wrong with the line read last."""
        return InvalidAnnotation(f"{self._path}, line {self.number}: {message}")

    def more(self) -> bool:
        """Whether a line that is not blank follows."""
        while self.number < len(self._lines) and not self._lines[self.number].strip():
            self.number += 1
        return self.number < len(self._lines)

    def words(self) -> list[str]:
        """The next line that is not blank, split at white space.

        Raises:
            InvalidAnnotation: If there is none.
        """
        if not self.more():
            raise self.error("the file ends here, but more was announced; get it again.")
        self.number += 1
        return self._lines[self.number - 1].split()

    def numbers(self, counts: tuple[int, ...], what: str, *, finite: bool = True) -> list[float]:
        """The next line as numbers.

        Args:
            counts: How many there may be.
            what: Their meaning, for the error.
            finite: Whether NaN and infinity are refused.

        Raises:
            InvalidAnnotation: If there are more or fewer, or they are no numbers.
        """
        words = self.words()
        if len(words) not in counts:
            wanted = " or ".join(map(str, counts))
            raise self.error(
                f"{what} should be {wanted} numbers; got {len(words)}: {' '.join(words)[:60]!r}."
            )
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.error(f"{what} should be numbers; got {' '.join(words)[:60]!r}.") from None
        if finite and not all(map(math.isfinite, values)):
            raise self.error(f"{what} should be finite numbers; got {' '.join(words)[:60]!r}.")
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
