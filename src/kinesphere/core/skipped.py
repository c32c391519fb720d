"""`Skipped`: something that was there and is not used, wholly or in part, and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kinesphere.core.errors import EmptySkeleton, KinesphereError


@dataclass(frozen=True)
class Skipped:
    """One file, folder, row or part that is left out, or used in part only.

    Attributes:
        path: What it is called: a path, a URL, a part, or a table with the row.
        reason: Why it is left out, or what of it is.
        is_failure: Whether something is lost by it; else it is merely not there, not meant for this, shows
            nobody, or is used all the same.
        index: Position of the sample in its manifest, where it is one.
    """

    path: str
    reason: str
    is_failure: bool = True
    index: int | None = field(default=None, compare=False)

    @classmethod
    def because(cls, path: str, error: KinesphereError) -> Skipped:
        """What reading refused."""
        return cls(path, str(error), is_failure=not isinstance(error, EmptySkeleton))

    def to_json(self) -> dict[str, str]:
        """The shape in every report: path and reason."""
        return {"path": self.path, "reason": self.reason}


def by_reason(skipped: Iterable[Skipped], most: int = 4) -> str:
    """`12 × hidden, 3 × no video suffix`: how often each reason occurs, the most frequent first."""
    counts = Counter(each.reason for each in skipped).most_common()
    parts = [f"{count} × {reason}" for reason, count in counts[:most]]
    rest = sum(count for _, count in counts[most:])
    return ", ".join([*parts, f"{rest} × something else"] if rest else parts)


def why_nothing(skipped: Sequence[Skipped]) -> str:
    """Why a folder gave nothing, as the end of a sentence."""
    if not skipped:
        return "check the folder"
    return f"{len(skipped)} were left out, the first, {skipped[0].path}: {skipped[0].reason.rstrip('.')}"
