"""Whether methods agree: how alike the maps are that they make of one answer.

Two maps that differ cannot both tell what the answer rests on, however plausible each looks. Krishna et al.:
"The Disagreement Problem in Explainable Machine Learning", TMLR 2024, https://arxiv.org/abs/2202.01602,
section 3, with cells of a clip as features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.attribution import Attribution
from kinesphere.explain.faithfulness import Work, in_cells

HOTTEST = 0.1
"""Share of the cells that are the hottest ones."""


@dataclass(frozen=True)
class Agreement:
    """How alike two methods' maps of the same answers are.

    Attributes:
        model: Name of the model, of a fusion those of its networks.
        methods: Names of the two.
        ranks: Spearman's rank correlation of the heat of cells, from -1 to 1: 0 for maps that have nothing to
            do with each other. None where no map could be held against another.
        shared: Share of one map's hottest tenth of cells that is in the other's, too; by chance a tenth.
        maps: Number of pairs of maps (views, inputs, windows), whose mean this is; maps that are even, or
            whose method says nothing of an input, do not count.
    """

    model: str
    methods: tuple[str, str]
    ranks: float | None
    shared: float | None
    maps: int

    def __str__(self) -> str:
        one, other = self.methods
        if self.ranks is None or self.shared is None:
            return f"{one} and {other}: no heat that could be held against the other's."
        return (
            f"{one} and {other}: rank correlation {self.ranks:.2f}, {100 * self.shared:.0f} % of the hottest "
            f"tenth of the cells in common ({100 * HOTTEST:.0f} % by chance)."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def agreements(
    methods: Sequence[Sequence[Attribution]],
    work: Work = Work(),  # noqa: B008 (frozen)
) -> dict[tuple[int, int], Agreement]:
    """Hold every method's maps against every other's.

    Heat is averaged over cells, as faithfulness does. Of two methods with a sign all heat is ranked; else
    what is below zero counts as none: a method without a sign does not tell what speaks against a class.

    Args:
        methods: For each method its attributions of the same model's answers: one, or one for each window.
            One window of each is in memory at a time.
        work: `grid` is how many cells there are.

    Returns:
        Of each pair of places in `methods`.

    Raises:
        InvalidSetting: If there are fewer than two methods, or they explain different classes.
    """
    if len(methods) < 2:
        raise InvalidSetting("Agreement is between methods: name at least two of them for the same model.")
    pairs = list(combinations(range(len(methods)), 2))
    found: dict[tuple[int, int], list[tuple[float, float]]] = {pair: [] for pair in pairs}
    names: list[str] = []
    model = ""
    for window in zip(*methods, strict=True):
        if len({attribution.title for attribution in window}) > 1:
            titles = ", ".join(f"{each.title} by {each.method}" for each in window)
            raise InvalidSetting(
                f"Agreement is about one answer, and these explain different classes: {titles}."
            )
        names = [attribution.method for attribution in window]
        model = " + ".join(dict.fromkeys(heat.model for heat in window[0].heats))
        for one, other in pairs:
            found[one, other] += _of_maps(window[one], window[other], work)
    return {
        (one, other): Agreement(model, (names[one], names[other]), *_means(values), len(values))
        for (one, other), values in found.items()
    }


def _of_maps(one: Attribution, other: Attribution, work: Work) -> Iterator[tuple[float, float]]:
    """Rank correlation and overlap of each input and view that both have heat of."""
    from scipy.stats import spearmanr  # takes half a second to load

    theirs = {(heat.model, heat.spec, heat.view): heat for heat in other.heats}
    for heat in one.heats:
        twin = theirs.get((heat.model, heat.spec, heat.view))
        if twin is None:
            continue
        maps = [
            in_cells(torch.from_numpy(each.values), heat.spec, work.grid).flatten() for each in (heat, twin)
        ]
        if not (heat.signed and twin.signed):
            maps = [each.clamp(min=0) for each in maps]
        if all(np.ptp(each.numpy()) > 0 for each in maps):
            count = max(1, round(HOTTEST * len(maps[0])))
            first, second = (set(each.topk(count).indices.tolist()) for each in maps)
            yield float(spearmanr(*maps).statistic), len(first & second) / count


def _means(values: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    ranks, shared = np.mean(values, 0)
    return float(ranks), float(shared)
