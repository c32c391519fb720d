"""Allen's thirteen relations between two spans of time.

James F. Allen, Maintaining Knowledge about Temporal Intervals, Communications of the ACM 26(11), 1983.

Exactly one of them holds between any two spans, also where a span has no length, and where ends that lie
within a tolerance of each other count as equal. A set of relations is an integer with bit `i` set for
`RELATIONS[i]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import nearest

RELATIONS = (
    "before", "meets", "overlaps", "starts", "during", "finishes", "equals",
    "after", "met-by", "overlapped-by", "started-by", "contains", "finished-by",
)  # fmt: skip
(
    BEFORE, MEETS, OVERLAPS, STARTS, DURING, FINISHES, EQUALS,
    AFTER, MET_BY, OVERLAPPED_BY, STARTED_BY, CONTAINS, FINISHED_BY,
) = range(13)  # fmt: skip
ALL = (1 << len(RELATIONS)) - 1
GROUPS: Mapping[str, tuple[int, ...]] = {
    "then": (BEFORE, MEETS),
    "together": (
        OVERLAPS, OVERLAPPED_BY, STARTS, STARTED_BY, DURING, CONTAINS, FINISHES, FINISHED_BY, EQUALS,
    ),
    "inside": (STARTS, DURING, FINISHES, EQUALS),
}  # fmt: skip
"""Names for several relations at once: one after the other; sharing time; within the other's span."""
_INVERSE = (
    AFTER, MET_BY, OVERLAPPED_BY, STARTED_BY, CONTAINS, FINISHED_BY, EQUALS,
    BEFORE, MEETS, OVERLAPS, STARTS, DURING, FINISHES,
)  # fmt: skip


def relation(a_start: float, a_end: float, b_start: float, b_end: float, tolerance: float = 0.0) -> int:
    """Index in `RELATIONS` of the one that holds from the span `a` to the span `b`.

    Starts are compared with starts and ends with ends first; only spans of which one starts and ends earlier
    than the other are told apart by the gap between them.
    """
    starts, ends = a_start - b_start, a_end - b_end
    if -tolerance <= starts <= tolerance:
        if -tolerance <= ends <= tolerance:
            return EQUALS
        return STARTS if ends < 0 else STARTED_BY
    if -tolerance <= ends <= tolerance:
        return FINISHES if starts > 0 else FINISHED_BY
    if starts > 0:
        if ends < 0:
            return DURING
        gap = a_start - b_end
        return AFTER if gap > tolerance else MET_BY if gap >= -tolerance else OVERLAPPED_BY
    if ends > 0:
        return CONTAINS
    gap = b_start - a_end
    return BEFORE if gap > tolerance else MEETS if gap >= -tolerance else OVERLAPS


def relation_set(names: Sequence[str]) -> int:
    """The set of some relations, each named as in `RELATIONS` or `GROUPS`.

    Raises:
        InvalidSetting: If a name is neither; the nearest are listed.
    """
    found = 0
    for name in names:
        plain = name.lower().replace("_", "-")
        if plain in GROUPS:
            found |= sum(1 << index for index in GROUPS[plain])
        elif plain in RELATIONS:
            found |= 1 << RELATIONS.index(plain)
        else:
            known = (*RELATIONS, *GROUPS)
            close = nearest(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
            raise InvalidSetting(f"{name!r} is no relation of two spans; {hint}")
    return found


def inverse(relations: int) -> int:
    """The relations from `b` to `a`, given those from `a` to `b`."""
    return sum(1 << _INVERSE[index] for index in range(len(RELATIONS)) if relations >> index & 1)


def can_hold(count: int, relations: Mapping[tuple[int, int], int]) -> bool:
    """Whether sets of relations between `count` spans leave a relation to each pair (path consistency).

    Args:
        count: Number of spans.
        relations: Sets of relations by pairs `(i, j)`; pairs that are not there may stand as they like.
    """
    known = [[ALL] * count for _ in range(count)]
    for (i, j), allowed in relations.items():
        known[i][j] &= allowed
        known[j][i] &= inverse(allowed)
    changed = True
    while changed:
        changed = False
        for k, i, j in product(range(count), repeat=3):
            if len({i, j, k}) < 3:
                continue
            narrowed = known[i][j] & _composed(known[i][k], known[k][j])
            if narrowed != known[i][j]:
                known[i][j], known[j][i] = narrowed, inverse(narrowed)
                changed = True
    return all(known[i][j] for i, j in product(range(count), repeat=2))


@cache
def _composed(first: int, second: int) -> int:
    """Relations from `a` to `c`, given `first` from `a` to `b` and `second` from `b` to `c`."""
    table = _compositions()
    found = 0
    for i, j in product(range(len(RELATIONS)), repeat=2):
        if first >> i & 1 and second >> j & 1:
            found |= table[i][j]
    return found


@cache
def _compositions() -> list[list[int]]:
    # Three spans have six ends, so that all their arrangements occur among the numbers 0 to 5.
    spans = [(start, end) for start in range(6) for end in range(start, 6)]
    table = [[0] * len(RELATIONS) for _ in RELATIONS]
    between = {(a, b): relation(*a, *b) for a in spans for b in spans}
    for a, b, c in product(spans, repeat=3):
        table[between[a, b]][between[b, c]] |= 1 << between[a, c]
    return table
