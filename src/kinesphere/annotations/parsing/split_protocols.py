"""Protocols of data sets: which clips train and which test, by the names of the lists.

`xsub_train` and `xsub_val` are the parts of the protocol `xsub`; `train2` and `test2` of `split2`; `train`
and `test` of the set's only one, which has no name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kinesphere.core.errors import InvalidAnnotation

# More ways to split one set are no protocols.
_MOST = 100
_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
          "test": "test", "testing": "test"}  # fmt: skip
_PART = re.compile(rf"(?<![a-z])({'|'.join(sorted(_PARTS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)
# Columns that a manifest has anyway.
_TAKEN = frozenset({"id", "path", "label", "start", "end", "group", "split"})


def protocol_part(name: str) -> tuple[str, str] | None:
    """The protocol (empty where it has no name) and the part, `train`, `val` or `test`, of a list's name.

    None where the name tells no part, or several.
    """
    found = list(_PART.finditer(name))
    if len(found) != 1:
        return None
    before, after = name[: found[0].start()], name[found[0].end() :]
    protocol = "_".join(part for part in (before.strip("_-. "), after.strip("_-. ")) if part)
    if protocol.isdecimal():
        protocol = f"split{protocol}"
    if protocol in _TAKEN:
        protocol = f"{protocol}_split"
    return protocol, _PARTS[found[0][1].lower()]


class Protocols:
    """Which part of each protocol a clip belongs to.

    Args:
        lists: Names of the clips on each list.

    Raises:
        InvalidAnnotation: If there are far too many lists.
    """

    def __init__(self, lists: Mapping[str, Iterable[str]]) -> None:
        if len(lists) > _MOST:
            raise InvalidAnnotation(f"There are {len(lists)} lists of clips; a set has at most {_MOST}.")
        self.names: tuple[str, ...] = ()
        self.unknown: list[str] = []
        self._parts: dict[str, dict[str, set[str]]] = {}
        for name, clips in lists.items():
            found = protocol_part(name) if name.isprintable() else None
            if found is None:
                self.unknown.append(name)
                continue
            protocol, part = found
            self.names = tuple(dict.fromkeys((*self.names, protocol)))
            for clip in clips:
                self._parts.setdefault(clip, {}).setdefault(protocol, set()).add(part)

    @property
    def clips(self) -> Iterable[str]:
        """All clips on any list."""
        return self._parts.keys()

    def of(self, clip: str) -> tuple[tuple[str, str], ...]:
        """Every protocol with the clip's part, which is empty where it has none.

        A clip that a protocol both validates and tests on is tested.

        Raises:
            InvalidAnnotation: If a protocol trains on a clip that it also validates or tests on.
        """
        found = self._parts.get(clip, {})
        parts = []
        for protocol in self.names:
            several = found.get(protocol, set())
            if "train" in several and len(several) > 1:
                both = " and to ".join(sorted(several, reverse=True))
                raise InvalidAnnotation(
                    f"It belongs to {both} of {protocol or 'the split'} at once, which would test what was "
                    "trained; take it off one of the lists."
                )
            parts.append((protocol, "test" if len(several) > 1 else next(iter(several), "")))
        return tuple(parts)
