"""Counts per class before and after, as the verbs of `kinesphere data` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinesphere.apps.cli.console import console
from kinesphere.core.errors import InvalidSetting

if TYPE_CHECKING:
    from kinesphere.data import Manifest

Counts = Mapping[str, int]
TABLES = (".csv", ".parquet")
"""Suffixes of manifests that are written."""


def print_counts(title: str, columns: Mapping[str, Counts]) -> None:
    """A table of classes, the most frequent first, with a column of numbers for each set of counts."""
    from rich.table import Table
    from rich.text import Text

    total = {name: sum(counts.values()) for name, counts in columns.items()}
    last = [*columns.values()][-1]
    names = dict.fromkeys(name for counts in columns.values() for name in counts)
    table = Table("class", *columns, title=title, title_justify="left")
    for name in sorted(names, key=lambda name: -last.get(name, 0)):
        table.add_row(Text(name), *(str(counts.get(name, 0)) for counts in columns.values()))
    table.add_row("all", *map(str, total.values()), style="bold")
    console().print(table)


def by_split(manifest: Manifest) -> dict[str, Counts]:
    """Samples per class in each split."""
    return {split: manifest.where(split=split).counts() for split in manifest.splits}


def pairs(option: str, texts: Sequence[str], what: str = "OLD=NEW") -> dict[str, str]:
    """What was given as `OLD=NEW`, several times.

    Raises:
        InvalidSetting: If one has another form, or stands twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        left, sign, right = text.partition("=")
        if not (sign and left.strip() and right.strip()):
            raise InvalidSetting(f"{option} takes {what}; got {text!r}.")
        if left.strip() in found:
            raise InvalidSetting(f"{option} names {left.strip()!r} twice; keep one.")
        found[left.strip()] = right.strip()
    return found


def listed(text: str | None) -> tuple[str, ...]:
    """Names that commas separate, or the lines of a file that is called `@FILE`."""
    if text is None:
        return ()
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            raise InvalidSetting(f"{path} is no list of names, one a line: {error}.") from error
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(part.strip() for part in text.split(",") if part.strip())
