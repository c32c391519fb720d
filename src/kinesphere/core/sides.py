"""Which labels name a side, and which one becomes which in a mirror.

Sides are left and right, as words (`turn_left`, `SwipeLeft`), within one (`lefthand`, `leftwards`,
`turnleft`) or as a letter beside other words (`turn_L`, `l_arm`), and the senses of rotation (`clockwise`,
`anti-clockwise`, `ccw`), which a mirror exchanges as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinesphere.core.labels import LabelSet

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_SIDES = {"left": -1, "right": 1, "lh": -1, "rh": 1}
_LETTERS = {"l": -1, "r": 1}
_ROTATIONS = {"clockwise": 1, "cw": 1, "counterclockwise": -1, "anticlockwise": -1, "ccw": -1, "acw": -1}
_AGAINST = ("counter", "anti", "contra")
_NO_SIDE = re.compile(
    r"leftovers?|right(eous|ful|ly|s$).*|.*(c)left.*|.*[bfw]right.*|(up|out|down|al|birth|forth|copy|a)right.*"
)
_WITHIN = re.compile(r"^(left|right)(.+)$|^(.+)(left|right)$")

Key = tuple[str | tuple[str, int], ...]


def side_key(name: str) -> Key:
    """The words of a label; those that name a side as their kind and direction (-1 or 1)."""
    words = [word.lower() for word in _WORDS.findall(name)]
    is_described = any(len(word) > 1 and word.isalpha() for word in words)
    key: list[str | tuple[str, int]] = []
    for word in words:
        if word in _SIDES:
            key.append(("side", _SIDES[word]))
        elif word in _LETTERS and is_described:
            key.append(("letter", _LETTERS[word]))
        elif word in _ROTATIONS:
            against = bool(key) and key[-1] in _AGAINST
            if against:
                key.pop()
            key.append(("rotation", -1 if against else _ROTATIONS[word]))
        elif (within := _WITHIN.match(word)) and not _NO_SIDE.fullmatch(word):
            first, rest, begin, last = within.groups()
            key += [("side", _SIDES[first]), rest] if first else [begin, ("side", _SIDES[last])]
        else:
            key.append(word)
    return tuple(key)


def names_side(name: str) -> bool:
    """Whether a mirror image of what the label names is, by its words, something else."""
    return any(isinstance(part, tuple) for part in side_key(name))


def partners(labels: LabelSet) -> dict[str, str]:
    """For each label with a mirror partner, declared or by its words, the name of that partner."""
    declared = {a: b for pair in labels.mirror for a, b in (pair, pair[::-1])}
    by_key: dict[Key, list[str]] = {}
    for name in labels.names:
        by_key.setdefault(side_key(name), []).append(name)
    found = dict(declared)
    for name in labels.names:
        others = by_key.get(_mirrored(side_key(name)), [])
        # The only one of its words, and on the other side: else which of several is meant is not known.
        if name not in declared and names_side(name) and len(others) == 1 and others[0] not in declared:
            found[name] = others[0]
    return {name: other for name, other in found.items() if found.get(other) == name}


def unpaired(labels: LabelSet) -> tuple[str, ...]:
    """Labels that name a side and have no mirror partner in the set."""
    known = partners(labels)
    return tuple(name for name in labels.names if names_side(name) and name not in known)


def mirror_order(labels: LabelSet) -> tuple[int, ...]:
    """For each class the index of what it becomes in a mirror: its partner, or itself."""
    known = partners(labels)
    return tuple(labels.index(known.get(name, name)) for name in labels.names)


def suggested(names: Sequence[str], labels: LabelSet) -> str:
    """Pairs that the words of some labels suggest, as a recipe writes them; empty if there are none."""
    known = partners(labels)
    pairs = dict.fromkeys(tuple(sorted((name, known[name]))) for name in names if name in known)
    return ", ".join(f"[{a}, {b}]" for a, b in pairs)


def _mirrored(key: Key) -> Key:
    return tuple((part[0], -part[1]) if isinstance(part, tuple) else part for part in key)
