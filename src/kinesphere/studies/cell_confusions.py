"""Which classes a cell takes for which, over seeds, and whether it stays within their families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.evaluate.predictions import Predictions


@dataclass(frozen=True)
class Confused:
    """A pair of classes.

    Attributes:
        true: The class.
        predicted: What its clips are taken for.
        count: How many clips, over all seeds.
        of: Clips of the true class, over all seeds.
    """

    true: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True)
class Confusions:
    """All of a cell.

    Attributes:
        ranked: Mistakes, the most frequent first.
        never_predicted: Labels that the test holds, and that are the answer to no clip.
        outside: Answers outside of the true label's family; None where labels have no parents.
        clips: Answers in all.
    """

    ranked: tuple[Confused, ...]
    never_predicted: tuple[str, ...]
    outside: int | None
    clips: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ranked": [asdict(each) for each in self.ranked],
            "never_predicted": list(self.never_predicted),
            "outside_family": self.outside,
            "answers": self.clips,
        }


def confusions_of(tables: Sequence[Predictions]) -> Confusions:
    """The confusions of a cell from its answers, a table for each seed; none of several labels a clip.

    A label without a parent is a family of its own.
    """
    labels = tables[0].labels
    clips = sum(len(table) for table in tables)
    if labels.multi:
        expected = np.any([(table.targets > 0).any(0) for table in tables], axis=0)
        given = np.any([(table.probabilities > 0.5).any(0) for table in tables], axis=0)
        never = tuple(name for k, name in enumerate(labels.names) if expected[k] and not given[k])
        return Confusions((), never, None, clips)
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    for table in tables:
        np.add.at(matrix, (table.targets, table.probabilities.argmax(1)), 1)
    support, given = matrix.sum(1), matrix.sum(0)
    wrong = [(i, j) for i, j in zip(*np.nonzero(matrix), strict=True) if i != j]
    names = labels.names
    ranked = sorted(
        (Confused(names[i], names[j], int(matrix[i, j]), int(support[i])) for i, j in wrong),
        key=lambda each: -each.count,
    )
    never = tuple(name for k, name in enumerate(names) if support[k] and not given[k])
    outside, parents = None, dict(labels.parents)
    if parents:
        family = {name: parents.get(name, name) for name in names}
        outside = sum(each.count for each in ranked if family[each.true] != family[each.predicted])
    return Confusions(tuple(ranked), never, outside, clips)
