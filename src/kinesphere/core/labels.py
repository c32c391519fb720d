"""The ordered set of class names that data and models agree on."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kinesphere.core.errors import InvalidSetting, LabelMismatch
from kinesphere.core.registry import nearest
from kinesphere.core.text import is_utf8, spelled

# All spaces (the last is U+3000), and signs of no width that spreadsheets and web pages leave behind.
_UNSEEN = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u00ad\u200b\u200e\u200f\u2060\ufeff"


def normal(name: str) -> str:
    """A class name in its one form: canonically composed (Unicode NFC), without spaces around it.

    Signs around it that nobody sees (of no width, byte order marks) go with the spaces.

    The same text typed on different systems differs in code points; as a class it is one.
    """
    return unicodedata.normalize("NFC", name).strip(_UNSEEN)


def nearly_same(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in nothing but case, spaces, hyphens, underscores, width or signs that nobody sees.

    Returns:
        Sets of two or more such names, in order of appearance.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        plain = re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())
        plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
        alike[plain or name].append(name)
    return [tuple(each) for each in alike.values() if len(each) > 1]


@dataclass(frozen=True)
class LabelSet:
    """K class names in the order of a model's outputs.

    Attributes:
        names: Unique, non-empty class names, each in its `normal` form.
        mirror: Pairs of names that a horizontal flip exchanges, for example
            `("turn left", "turn right")`.
        multi: Whether a sample may carry several of them (sigmoid instead of softmax).
        ordered: Whether somebody stated the order (little, medium, max); tables then keep it.
        parents: Classes with the wider one that each belongs to, `("walk fast", "walk")`. Classes of one
            parent are a family; a parent may be a class as well, and then belongs to its own family.
        graded: Whether the classes of each family, or all of them where there are no parents, are grades,
            from low to high in their order here.
    """

    names: tuple[str, ...]
    mirror: tuple[tuple[str, str], ...] = ()
    multi: bool = False
    ordered: bool = False
    parents: tuple[tuple[str, str], ...] = ()
    graded: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidSetting("A label set needs at least one name; got none.")
        names = tuple(map(normal, self.names))
        blank = sum(not name for name in names)
        repeated = sorted(name for name, count in Counter(names).items() if count > 1 and name)
        if blank or repeated:
            raise InvalidSetting(
                f"Label names must be unique and not blank; repeated: {repeated}, blank: {blank}."
            )
        foreign = [name for name in self.names if not is_utf8(name)]
        if foreign:
            raise InvalidSetting(
                f"Label names are text in UTF-8, which model files hold; {spelled(foreign[0])!r} is not "
                f"({len(foreign)} such names). Rename the folders or write the labels anew."
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "mirror", tuple((normal(a), normal(b)) for a, b in self.mirror))
        object.__setattr__(self, "_index", {name: i for i, name in enumerate(names)})
        for pair in self.mirror:
            for name in pair:
                self.index(name, f"In the list of mirrored labels, pair {' / '.join(pair)}")
        object.__setattr__(self, "parents", tuple((normal(a), normal(b)) for a, b in self.parents))
        self._check_parents()

    def _check_parents(self) -> None:
        given = dict(self.parents)
        if len(given) < len(self.parents):
            raise InvalidSetting(f"A class has one parent; some have several in {list(self.parents)[:20]}.")
        for name, parent in self.parents:
            self.index(name, f"In the list of parents, {name} of {parent}")
            if not parent or parent == name or parent in given:
                raise InvalidSetting(
                    f"The parent of {name!r} is another, wider class without a parent of its own; got "
                    f"{parent!r}. Families are one level deep."
                )
        if self.graded and self.multi:
            raise InvalidSetting(
                "Grades exclude one another, so a sample has one; these have several labels."
            )

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> LabelSet:
        """The sorted set of the labels that occur."""
        return cls(tuple(sorted(set(map(normal, labels)))))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = {
            "names": self.names, "mirror": self.mirror, "multi": self.multi, "ordered": self.ordered,
        }  # fmt: skip
        if self.parents:
            plain["parents"] = self.parents
        if self.graded:
            plain["graded"] = True
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> LabelSet:
        """Inverse of `to_json`; files of before state no order and no families."""
        mirror, parents = (
            tuple((a, b) for a, b in pairs) for pairs in (plain["mirror"], plain.get("parents", ()))
        )
        return cls(
            tuple(plain["names"]), mirror, plain["multi"], plain.get("ordered", False), parents,
            plain.get("graded", False),
        )  # fmt: skip

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families in the order of their first classes; a class alone is one of its own."""
        return tuple(dict.fromkeys(self._family(name) for name in self.names))

    @property
    def family_indices(self) -> tuple[int, ...]:
        """For each class, the number of its family."""
        number = {family: i for i, family in enumerate(self.families)}
        return tuple(number[self._family(name)] for name in self.names)

    @property
    def scales(self) -> tuple[int, ...]:
        """For each class, the number of its scale of grades: that of its family, or one for all classes."""
        return self.family_indices if self.parents else (0,) * len(self)

    @property
    def grades(self) -> tuple[int, ...]:
        """For each class, its place among the classes of its scale, from 0."""
        seen: Counter[int] = Counter()
        places = []
        for scale in self.scales:
            places.append(seen[scale])
            seen[scale] += 1
        return tuple(places)

    def _family(self, name: str) -> str:
        return dict(self.parents).get(name, name)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def index(self, name: str, where: str = "") -> int:
        """Position of `name`.

        Args:
            name: A label.
            where: The row, file or list that it stands in, for the message.

        Raises:
            LabelMismatch: If the name is not in the set; the nearest ones are listed.
        """
        found = self._index.get(name)
        if found is None:
            found = self._index.get(normal(name))
        if found is None:
            close = nearest(name, self.names)
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            place = f"{where}: label" if where else "Label"
            raise LabelMismatch(
                f"{place} {name!r} is not among the {len(self.names)} labels of this set.{hint}"
            )
        return found

    def flipped(self) -> tuple[int, ...]:
        """For each class the index of its mirror image (itself where there is no pair)."""
        order = list(range(len(self.names)))
        for a, b in self.mirror:
            i, j = self.index(a), self.index(b)
            order[i], order[j] = j, i
        return tuple(order)
