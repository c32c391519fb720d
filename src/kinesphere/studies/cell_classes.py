"""Recall of each class by a cell, over seeds: right at once, among the first two, among the first three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.evaluate.predictions import Predictions

RANKS = (1, 2, 3)


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        label: Its name.
        clips: Test clips of it, of one seed.
        top: Fraction of them whose true class is first, among the first two, among the first three; of
            several labels, the recall at one half, thrice.
    """

    label: str
    clips: int
    top: tuple[float, float, float]


@dataclass(frozen=True)
class ClassRows:
    """All classes that the test holds, in the order of the labels."""

    rows: tuple[ClassRow, ...]

    @property
    def always(self) -> tuple[str, ...]:
        """Classes of which every clip is answered rightly, with every seed."""
        return tuple(row.label for row in self.rows if row.top[0] == 1)

    @property
    def never(self) -> tuple[str, ...]:
        """Classes of which no clip is answered rightly, with any seed."""
        return tuple(row.label for row in self.rows if row.top[0] == 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "always_right": list(self.always),
            "never_right": list(self.never),
        }


def class_rows(tables: Sequence[Predictions]) -> ClassRows:
    """The classes of a cell from its answers, a table for each seed."""
    names = tables[0].labels.names
    found = [_recalls(table) for table in tables]
    clips = np.mean([count for count, _ in found], axis=0)
    with np.errstate(invalid="ignore"):
        top = (
            np.sum([hits for _, hits in found], axis=0)
            / np.sum([count for count, _ in found], axis=0)[:, None]
        )
    rows = [
        ClassRow(name, round(float(clips[k])), (float(top[k, 0]), float(top[k, 1]), float(top[k, 2])))
        for k, name in enumerate(names)
        if clips[k] > 0
    ]
    return ClassRows(tuple(rows))


def _recalls(table: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Clips of each class `(K,)`, and how many of them are right by rank `(K, 3)`."""
    p, y = table.probabilities, table.targets
    if table.labels.multi:
        hits = ((p > 0.5) & (y > 0)).sum(0).astype(np.float64)
        return (y > 0).sum(0).astype(np.float64), np.repeat(hits[:, None], len(RANKS), axis=1)
    own = p[np.arange(len(p)), y]
    ahead = (p > own[:, None]).sum(1)
    # Of equal probabilities the first class is the answer, as everywhere.
    ahead += ((p == own[:, None]) & (np.arange(p.shape[1]) < y[:, None])).sum(1)
    counts = np.bincount(y, minlength=p.shape[1]).astype(np.float64)
    by_rank = [np.bincount(y[ahead < rank], minlength=p.shape[1]) for rank in RANKS]
    return counts, np.stack(by_rank, axis=1).astype(np.float64)
