"""Names of classes that are likely one name, misspelt: by how alike they are and how often each occurs."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping

from kinesphere.core.labels import nearly_same

# A name that occurs so seldom and looks so much like one that occurs so much more often is likely a slip.
_SELDOM, _TIMES_MORE, _ALIKE = 2, 5, 0.75
_COMPARED = 300


def likely_misspelt(counts: Mapping[str, int]) -> list[str]:
    """What looks like one class under two names, a sentence for each.

    Args:
        counts: How often each name occurs.
    """
    found = [
        f"{' and '.join(f'{name!r} ({counts[name]})' for name in names)} differ by case or spaces alone; "
        "rename them if they are one class"
        for names in nearly_same(counts)
    ]
    common = [name for name, _ in Counter(counts).most_common(_COMPARED)]
    for name, count in counts.items():
        if count > _SELDOM:
            continue
        often = {
            other.casefold(): other
            for other in reversed(common)  # of names that differ by case the commonest counts
            if counts[other] >= _TIMES_MORE * count and other != name
        }
        close = difflib.get_close_matches(name.casefold(), often, 1, _ALIKE)
        if close and not nearly_same([name, close[0]]):
            meant = often[close[0]]
            found.append(f"{name!r} ({count}) may be a slip for {meant!r} ({counts[meant]}); rename it if so")
    return found
