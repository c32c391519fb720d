"""What a reader of a data set leaves out, and why."""

from __future__ import annotations

from dataclasses import dataclass

from kinesphere.core.errors import EmptySkeleton, KinesphereError


@dataclass(frozen=True)
class Skipped:
    """Something that was left out.

    Attributes:
        name: File or part.
        reason: Why.
        is_failure: Whether something is wrong with it; else it is merely not there, or not for training:
            a file on the authors' list of missing ones, a clip without a label, one that shows nobody.
    """

    name: str
    reason: str
    is_failure: bool = True

    def __post_init__(self) -> None:
        for name in ("name", "reason"):  # names of files need not be text
            text = getattr(self, name).encode("utf-8", "backslashreplace").decode()
            object.__setattr__(self, name, text)

    @classmethod
    def because(cls, name: str, error: KinesphereError) -> Skipped:
        """What reading refused."""
        return cls(name, str(error), is_failure=not isinstance(error, EmptySkeleton))
