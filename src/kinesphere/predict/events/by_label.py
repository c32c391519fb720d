"""`ByLabel`: what follows from a label, worked out once for each that comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# A stream may make up labels without end.
_MOST = 10_000


class ByLabel(dict[str, T]):
    """Values by label, computed at first sight and forgotten when there are too many.

    Args:
        of: The value of a label.
    """

    def __init__(self, of: Callable[[str], T]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, label: str) -> T:
        if len(self) >= _MOST:
            self.clear()
        value = self[label] = self._of(label)
        return value
