"""Recordings that are known by the numbers in their files' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped


def check_numbers(*numbered: tuple[str, int, int]) -> None:
    """Refuse what a set's own numbering does not know: kind of number, its value, and the highest."""
    for kind, number, most in numbered:
        if not 1 <= number <= most:
            raise InvalidAnnotation(f"The set has {kind}s 1 to {most}, not {number}. Rename or remove it.")


def named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The text files whose names are recordings'."""
    return sorted(path for path in folder.rglob("*.txt") if pattern.fullmatch(path.name))


def unnamed(
    folder: Path,
    pattern: re.Pattern[str],
    ending: str,
    example: str,
    others: Collection[str] = (),
    *,
    is_failure: bool = True,
) -> Iterator[Skipped]:
    """Files that end like recordings, but whose names tell no number; `others` are none."""
    for path in sorted(folder.rglob(f"*{ending}")):
        if not pattern.fullmatch(path.name) and path.name not in others:
            yield Skipped(path.name, f"its name is not such as {example}", is_failure=is_failure)
