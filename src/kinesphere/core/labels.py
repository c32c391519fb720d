"""The ordered set of class names that data and models agree on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.registry import nearest


@dataclass(frozen=True)
class LabelSet:
    """K class names in the order of a model's outputs.

    Attributes:
        names: Unique, non-empty class names.
        mirror: Pairs of names that a horizontal flip exchanges, for example
            `("turn left", "turn right")`.
        multi: Whether a sample may carry several of them (sigmoid instead of softmax).
    """

    names: tuple[str, ...]
    mirror: tuple[tuple[str, str], ...] = ()
    multi: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidSetting("A label set needs at least one name; got none.")
        blank = [name for name in self.names if not name.strip()]
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if blank or repeated:
            raise InvalidSetting(
                f"Label names must be unique and not blank; repeated: {repeated}, blank: {len(blank)}."
            )
        object.__setattr__(self, "_index", {name: i for i, name in enumerate(self.names)})
        for pair in self.mirror:
            for name in pair:
                self.index(name)

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> LabelSet:
        """The sorted set of the labels that occur."""
        return cls(tuple(sorted(set(labels))))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def index(self, name: str) -> int:
        """Position of `name`.

        Raises:
            LabelMismatch: If the name is not in the set; the nearest ones are listed.
        """
        try:
            return self._index[name]
        except KeyError:
            close = nearest(name, self.names)
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise LabelMismatch(
                f"Label {name!r} is not among the {len(self.names)} labels of this set.{hint}"
            ) from None

    def flipped(self) -> tuple[int, ...]:
        """For each class the index of its mirror image (itself where there is no pair)."""
        order = list(range(len(self.names)))
        for a, b in self.mirror:
            i, j = self.index(a), self.index(b)
            order[i], order[j] = j, i
        return tuple(order)
