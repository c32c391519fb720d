"""`Skipped`: something that was there and is not used, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kinesphere.core.errors import EmptySkeleton, KinesphereError
from kinesphere.core.text import spelled


@dataclass(frozen=True)
class Skipped:
    """One file, folder, row or part that is left out.

    Attributes:
        name: What it is called: a path, a part, or a table with the row. Text, whatever a file's name is.
        reason: Why it is left out.
        is_failure: Whether something is wrong with it; else it is merely not there, not meant for this, or
            shows nobody.
    """

    name: str
    reason: str
    is_failure: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", spelled(self.name))
        object.__setattr__(self, "reason", spelled(self.reason))

    @classmethod
    def because(cls, name: str, error: KinesphereError) -> Skipped:
        """What reading refused."""
        return cls(name, str(error), is_failure=not isinstance(error, EmptySkeleton))


def by_reason(skipped: Iterable[Skipped], most: int = 4) -> str:
    """`12 × hidden, 3 × no video suffix`: how often each reason occurs, the most frequent first."""
    counts = Counter(each.reason for each in skipped).most_common()
    told = [f"{count} × {reason}" for reason, count in counts[:most]]
    rest = sum(count for _, count in counts[most:])
    return ", ".join([*told, f"{rest} × something else"] if rest else told)


def why_nothing(skipped: Sequence[Skipped]) -> str:
    """Why a folder gave nothing, as the end of a sentence."""
    if not skipped:
        return "check the folder"
    return f"{len(skipped)} were left out, the first, {skipped[0].name}: {skipped[0].reason.rstrip('.')}"
