"""Whether a factor goes with the answers to clips, people, recordings and labels apart.

A factor that changes within people is exchanged between the recordings of each of them, who so explain
nothing of it; one that does not, between people. Where there are labels, it is exchanged within each label.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.studies.expectations import MET, histogram
from kinesphere.studies.permutation import between, chance, mixed_units, of_blocks, within


@dataclass(frozen=True)
class FactorEffect:
    """Whether answers go with the values of a column.

    Attributes:
        factor: Name of the column.
        table: Answers by value and label.
        association: Cramér's V, from 0 to 1; where clips have labels, its mean over them by their clips.
        p: Probability of such an association by chance.
        within: Whether values were exchanged within groups, which so explain nothing of it.
        groups: Number of groups.
        mixed: Number of groups that hold several values; the others tell nothing where `within`.
        right: Where clips have labels, the fraction of answers that is right by value.
        alike: Whether values were exchanged between recordings of the same label or part, of whatever group.
    """

    factor: str
    table: Mapping[str, Mapping[str, int]]
    association: float
    p: float
    within: bool
    groups: int = 0
    mixed: int = 0
    right: Mapping[str, float] | None = None
    alike: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "effect": self.p < MET}


def factor_effect(
    factor: str,
    values: Sequence[str],
    answers: Sequence[str],
    groups: Sequence[str | None],
    recordings: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
) -> FactorEffect:
    """Whether the values of a column go with the answers.

    Values are exchanged between the recordings of one group, whole, where groups hold several values, else
    between whole groups; between clips of one recording where recordings hold several.

    Args:
        factor: Name of the column.
        values: Of each clip.
        answers: Of each clip.
        groups: Of each clip, such as its performer; a clip without one stands alone.
        recordings: File of each clip; None where each clip is one.
        labels: What each clip shows, which so explains nothing of the effect; None where nobody knows.
        parts: Part of the data that each clip is of, in place of labels: it explains nothing either, unless
            each part has one value.

    Raises:
        InvalidSetting: If all clips have the same value, or it follows from the label.
    """
    if len(set(values)) < 2:
        raise InvalidSetting(
            f"The factor {factor} has the same value for all {len(values)} clips, so it can have no effect."
        )
    people = [group if group is not None else f"\0{i}" for i, group in enumerate(groups)]
    files = list(recordings) if recordings is not None else [str(i) for i in range(len(values))]
    rows, said = (np.unique(each, return_inverse=True)[1] for each in (values, answers))
    if labels is not None:
        parts = labels
    elif parts is None or not mixed_units(rows, parts):
        parts = [""] * len(values)
    part = np.unique(parts, return_inverse=True)[1]
    exchange = _exchange(factor, rows, people, files, parts)
    statistic, association = _dependence(said, part)
    mixed = mixed_units(rows, people)
    p = chance(statistic(rows), lambda rng: statistic(exchange.shuffled(rng)))
    right = None
    if labels is not None:
        hits = np.array([label == answer for label, answer in zip(labels, answers, strict=True)])
        right = {name: float(hits[rows == k].mean()) for k, name in enumerate(sorted(set(values)))}
    return FactorEffect(
        factor, histogram(answers, values), association(rows), p, exchange.within, len(set(people)),
        len(mixed), right, exchange.alike,
    )  # fmt: skip


@dataclass(frozen=True)
class _Exchange:
    shuffled: Callable[[np.random.Generator], np.ndarray]
    within: bool
    alike: bool = False


def _exchange(
    factor: str,
    rows: np.ndarray,
    people: Sequence[str],
    files: Sequence[str],
    parts: Sequence[str],
) -> _Exchange:
    """How values are exchanged so that neither people nor recordings nor parts explain their effect.

    Where most people show a part once or with one value, values are exchanged between people who show the
    same: few of them would tell little.

    Raises:
        InvalidSetting: If each part has one value only.
    """
    if not mixed_units(rows, people):
        return _Exchange(between(rows, people), within=False)
    blocks: list[Hashable] = list(zip(files, parts, strict=True))
    if mixed_units(rows, blocks):  # it changes within a recording
        return _Exchange(within(rows, blocks), within=True)
    own = list(zip(people, parts, strict=True))
    told = mixed_units(rows, own)
    if sum(each in told for each in own) >= len(own) / 2:
        return _Exchange(of_blocks(rows, blocks, own), within=True)
    if mixed_units(rows, parts):
        return _Exchange(of_blocks(rows, blocks, parts), within=False, alike=True)
    raise InvalidSetting(
        f"The factor {factor} has one value for each label, so its effect cannot be told from the label's."
    )


def _dependence(
    said: np.ndarray, part: np.ndarray
) -> tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], float]]:
    """A statistic that orders tables of values and answers as chi-square does, and Cramér's V of one.

    Both are summed over parts of the clips, which explain nothing of it.
    """
    answers, parts = int(said.max()) + 1, int(part.max()) + 1

    def counts(rows: np.ndarray) -> np.ndarray:
        table = np.zeros((parts, int(rows.max()) + 1, answers), np.int64)
        np.add.at(table, (part, rows, said), 1)
        return table

    def statistic(rows: np.ndarray) -> float:
        table = counts(rows)
        margins = table.sum(2, keepdims=True) * table.sum(1, keepdims=True)
        sums = np.divide(np.square(table), margins, out=np.zeros(table.shape), where=margins > 0)
        return float((sums.sum((1, 2)) * table.sum((1, 2))).sum())

    def association(rows: np.ndarray) -> float:
        table = counts(rows)
        return float(np.average([_association(each) for each in table], weights=table.sum((1, 2))))

    return statistic, association


def _association(table: np.ndarray) -> float:
    """Cramér's V; 0 where all answers, or all values, are the same."""
    from scipy.stats.contingency import association

    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    return float(association(table, method="cramer")) if min(table.shape) > 1 else 0.0
