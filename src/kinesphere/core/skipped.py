"""`Skipped`: something that was there and is not used, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """One file, folder or row that is left out.

    Attributes:
        name: What it is called: a path, or a table with the row.
        reason: Why it is left out, without a full stop.
    """

    name: str
    reason: str


def by_reason(skipped: Iterable[Skipped], most: int = 4) -> str:
    """`12 × hidden, 3 × no video suffix`: how often each reason occurs, the most frequent first."""
    counts = Counter(each.reason for each in skipped).most_common()
    told = [f"{count} × {reason}" for reason, count in counts[:most]]
    rest = sum(count for _, count in counts[most:])
    return ", ".join([*told, f"{rest} × something else"] if rest else told)
