"""Motions with Laban Effort factors in their names, each in every grade of space, weight, time and flow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.skipped import Skipped
from kinesphere.data.catalogue import DATASETS, Captured, Dataset, DatasetCard, Labelled
from kinesphere.datasets.bvh import captured, write_examples

_NAME = re.compile(r"([A-Za-z]+)_(-?\d)_(-?\d)_(-?\d)_(-?\d)\.bvh")
_FACTORS, _GRADES = ("space", "weight", "time", "flow"), frozenset({"-1", "0", "1"})
CARD = DatasetCard(
    title="motions with Laban Effort factors in their names",
    content="motion capture",
    size="any",
    licence="that of the files; those of the source state none",
    source="https://github.com/pablobendiksen/motion-similarity",
    layout="<action>_<space>_<weight>_<time>_<flow>.bvh, each -1, 0 or 1",
    groups="grades",
    columns=_FACTORS,
)


def read(folder: Path) -> Iterator[Captured | Skipped]:
    """The motions of a folder."""
    return captured(folder, _described)


def _described(path: Path) -> tuple[Labelled, str] | None:
    """`walking_-1_0_1_0.bvh`: an action, then Space, Weight, Time and Flow, each -1, 0 or 1."""
    match = _NAME.fullmatch(path.name)
    if not match:
        return None
    action, *grades = match.groups()
    if not {*grades} <= _GRADES:
        raise InvalidAnnotation(f"The set grades by -1, 0 and 1; this says {', '.join(grades)}. Rename it.")
    # The same grades of another action, or played again, are the same motion's neighbours.
    return Labelled(action.lower(), extra=tuple(zip(_FACTORS, grades, strict=True))), "_".join(grades)


DATASETS.add(
    "laban_effort",
    Dataset(
        CARD, read, lambda folder: write_examples(folder, "walking_-1_0_1_0.bvh", "pointing_0_1_0_-1.bvh")
    ),
)
