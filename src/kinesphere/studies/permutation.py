"""Permutation of what clips belong to, in whole recordings or people, to tell an effect from chance."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

_WAYS = 4999


def chance(found: float, drawn: Callable[[np.random.Generator], float]) -> float:
    """Probability of a value at least as large as the one found, by as many draws as there are ways."""
    rng = np.random.default_rng(0)
    above = sum(drawn(rng) >= found - 1e-12 for _ in range(_WAYS))
    return (1 + above) / (1 + _WAYS)


def mixed_units(rows: np.ndarray, units: Sequence[Hashable]) -> set[Hashable]:
    """The units that hold several values."""
    first: dict[Hashable, int] = {}
    return {
        unit for unit, row in zip(units, rows.tolist(), strict=True) if first.setdefault(unit, row) != row
    }


def within(rows: np.ndarray, units: Sequence[Hashable]) -> Callable[[np.random.Generator], np.ndarray]:
    """Values exchanged between the clips of each unit."""
    index = _numbered(units)
    places = np.argsort(index, kind="stable")

    def shuffled(rng: np.random.Generator) -> np.ndarray:
        result = np.empty_like(rows)
        result[places] = rows[np.lexsort((rng.random(len(rows)), index))]
        return result

    return shuffled


def between(rows: np.ndarray, units: Sequence[Hashable]) -> Callable[[np.random.Generator], np.ndarray]:
    """Values exchanged between units, each of which has one."""
    return of_blocks(rows, units, [0] * len(rows))


def of_blocks(
    rows: np.ndarray, blocks: Sequence[Hashable], units: Sequence[Hashable]
) -> Callable[[np.random.Generator], np.ndarray]:
    """Values exchanged between the blocks of each unit, each of which has one."""
    index = _numbered(blocks)
    firsts = np.unique(index, return_index=True)[1]
    exchanged = within(rows[firsts], [units[i] for i in firsts.tolist()])

    def shuffled(rng: np.random.Generator) -> np.ndarray:
        result: np.ndarray = exchanged(rng)[index]
        return result

    return shuffled


def _numbered(units: Sequence[Hashable]) -> np.ndarray:
    """The number of each clip's unit, in the order in which they occur."""
    numbers = {unit: k for k, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units])
