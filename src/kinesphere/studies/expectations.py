"""Answers to clips without labels: histograms by group, stated expectations, and the effect of a factor.

Whether a group is answered as expected oftener than the rest, and whether a factor goes with the answers, is
tested by permutation of whole recordings, as windows of one are not independent. Where recordings hold
several groups, or groups several values, these are exchanged within them, which so explain nothing of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.registry import nearest

_WAYS = 4999
MET = 0.05
"""A rule is met, a factor has an effect, below this probability of chance."""


@dataclass(frozen=True)
class Rule:
    """What was expected of a group.

    Attributes:
        group: Name of the group.
        labels: That its answers should be of.
        fraction: Of its answers that are.
        elsewhere: Of the other groups' answers that are, too; None where there is no other group.
        p: Probability of so much more than elsewhere by chance; None where there is no other group.
    """

    group: str
    labels: tuple[str, ...]
    fraction: float
    elsewhere: float | None
    p: float | None

    @property
    def is_met(self) -> bool:
        """Whether these answers are more frequent here than elsewhere, beyond chance."""
        return self.p is not None and self.p < MET

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "met": self.is_met}


@dataclass(frozen=True)
class FactorEffect:
    """Whether answers go with the values of a column.

    Attributes:
        factor: Name of the column.
        table: Answers by value and label.
        association: Cramér's V, from 0 to 1.
        p: Probability of such an association by chance.
        within: Whether values were exchanged within groups, which so explain nothing of it.
    """

    factor: str
    table: Mapping[str, Mapping[str, int]]
    association: float
    p: float
    within: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "effect": self.p < MET}


def histogram(answers: Sequence[str], groups: Sequence[str]) -> dict[str, dict[str, int]]:
    """Answers by group, the most frequent first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer, group in zip(answers, groups, strict=True):
        counts[group][answer] += 1
    return {group: dict(counts[group].most_common()) for group in sorted(counts)}


def rules(
    expected: Mapping[str, Sequence[str]],
    answers: Sequence[str],
    groups: Sequence[str],
    recordings: Sequence[str],
    known: Sequence[str],
) -> list[Rule]:
    """Which expectations are met.

    Args:
        expected: Labels by group.
        answers: `(N,)` labels.
        groups: Group of each clip.
        recordings: File of each clip.
        known: All labels of the model.

    Raises:
        InvalidSetting: If a group or a label is not there.
    """
    found = []
    for group, labels in expected.items():
        _check(group, sorted(set(groups)), "group")
        for label in labels:
            _check(label, known, "label")
        hits = np.array([answer in labels for answer in answers], float)
        own = np.array([each == group for each in groups])
        if own.all():
            found.append(Rule(group, tuple(labels), float(hits.mean()), None, None))
            continue
        p = _permuted(own, recordings, hits)
        found.append(Rule(group, tuple(labels), float(hits[own].mean()), float(hits[~own].mean()), p))
    return found


def factor_effect(
    factor: str, values: Sequence[str], answers: Sequence[str], groups: Sequence[str | None]
) -> FactorEffect:
    """Whether the values of a column go with the answers.

    Values are exchanged between clips of one group where groups hold several, else between whole groups.

    Args:
        factor: Name of the column.
        values: Of each clip.
        answers: Of each clip.
        groups: Of each clip; a clip without one stands alone.

    Raises:
        InvalidSetting: If all clips have the same value.
    """
    if len(set(values)) < 2:
        raise InvalidSetting(
            f"The factor {factor} has the same value for all {len(values)} clips, so it can have no effect."
        )
    units = [group if group is not None else f"\0{i}" for i, group in enumerate(groups)]
    rows, given = np.unique(values, return_inverse=True)[1], np.unique(answers, return_inverse=True)[1]
    within = _is_mixed(rows, units)
    table = _counts(rows, given)
    # Sums of rows and columns stay under permutation, so this orders tables as chi-square does.
    weight = table.sum() / (table.sum(1, keepdims=True) * table.sum(0, keepdims=True))

    def statistic(exchanged: np.ndarray) -> float:
        return float((np.square(_counts(exchanged, given)) * weight).sum())

    shuffled = _within(rows, units) if within else _between(rows, units)
    p = _chance(statistic(rows), lambda rng: statistic(shuffled(rng)))
    return FactorEffect(factor, histogram(answers, values), _association(table), p, within)


def _chance(found: float, drawn: Callable[[np.random.Generator], float]) -> float:
    """Probability of a value at least as large as the one found, by as many draws as there are ways."""
    rng = np.random.default_rng(0)
    above = sum(drawn(rng) >= found - 1e-12 for _ in range(_WAYS))
    return (1 + above) / (1 + _WAYS)


def _counts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How often each pair of numbers occurs."""
    table = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def _association(table: np.ndarray) -> float:
    """Cramér's V; 0 where all answers are the same."""
    from scipy.stats.contingency import association

    return float(association(table, method="cramer")) if min(table.shape) > 1 else 0.0


def _is_mixed(rows: np.ndarray, units: Sequence[str]) -> bool:
    """Whether some unit holds several values."""
    first: dict[str, int] = {}
    return any(first.setdefault(unit, row) != row for unit, row in zip(units, rows.tolist(), strict=True))


def _within(rows: np.ndarray, units: Sequence[str]) -> Callable[[np.random.Generator], np.ndarray]:
    index = _numbered(units)
    places = np.argsort(index, kind="stable")

    def shuffled(rng: np.random.Generator) -> np.ndarray:
        result = np.empty_like(rows)
        result[places] = rows[np.lexsort((rng.random(len(rows)), index))]
        return result

    return shuffled


def _between(rows: np.ndarray, units: Sequence[str]) -> Callable[[np.random.Generator], np.ndarray]:
    index = _numbered(units)
    of_unit = rows[np.unique(index, return_index=True)[1]]

    def shuffled(rng: np.random.Generator) -> np.ndarray:
        result: np.ndarray = rng.permutation(of_unit)[index]
        return result

    return shuffled


def _numbered(units: Sequence[str]) -> np.ndarray:
    """The number of each clip's unit, in the order in which they occur."""
    numbers = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units])


def _lead(hits: np.ndarray, own: np.ndarray) -> float:
    """How much more frequent hits are in a part than in the rest."""
    if own.all() or not own.any():
        return 0.0
    return float(hits[own].mean() - hits[~own].mean())


def _permuted(own: np.ndarray, recordings: Sequence[str], hits: np.ndarray) -> float:
    """Probability of such a lead where recordings, or clips of one, belong to the group by chance."""
    rows = own.astype(np.int64)
    shuffled = _within(rows, recordings) if _is_mixed(rows, recordings) else _between(rows, recordings)
    return _chance(_lead(hits, own), lambda rng: _lead(hits, shuffled(rng) > 0))


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean {' or '.join(close)}" if close else f"known: {', '.join(known[:20])}"
        raise InvalidSetting(f"expect names the {what} {name!r}, which is not there ({hint}).")
