"""Boundary-matching networks: all proposals of a window on a map, times a classifier of what is in them.

Of `model` in a recipe, `levels` means nothing; `arguments` are `length` (rows of a window: no action is
longer) and `samples` (of a proposal).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from kinesphere.core.labels import LabelSet
from kinesphere.localise.boundaries import (
    ALPHA,
    HIGH,
    LOW,
    boundary_labels,
    matched_proposals,
    matching_map,
)
from kinesphere.localise.matching import MatchTargets, matching_loss
from kinesphere.localise.methods.registry import METHODS, Method
from kinesphere.localise.proposing import ProposalDetector, Window, checked_arguments
from kinesphere.localise.recordings import Recording
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.training import DrawnTask, fit_task
from kinesphere.models.temporal.bmn import BMN

NAME = "bmn"
_LIMITS = {"length": (8, 400), "samples": (4, 128), "width": (8, 4096)}
Batch = tuple[Tensor, MatchTargets]


class MatchingProposer:
    """Proposes by boundaries and by the map; see `Proposer`."""

    def __init__(self, net: BMN) -> None:
        self.net, self.length, self.softening = net, net.length, (ALPHA, LOW, HIGH)

    def fit(
        self,
        windows: Sequence[Window],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """See `Proposer.fit`."""
        fit_task(MatchingTask(self.net, windows, recipe), recipe, state, progress)

    def propose(self, rows_CT: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """See `Proposer.propose`."""
        found = self.net(rows_CT[None])
        maps = (found.starts, found.ends, found.classified, found.regressed)
        starts, ends, sure, good = (each[0].double().numpy() for each in maps)
        return matched_proposals(starts, ends, sure, good)


class MatchingTask(DrawnTask[BMN, Window]):
    """Windows, some at a time, with their boundaries and maps."""

    def batch_of(self, drawn: list[Window]) -> Batch:
        """See `DrawnTask.batch_of`."""
        return torch.stack([each.rows for each in drawn]), match_targets(drawn, self.net.length)

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        x, wanted = batch
        return matching_loss(self.net(x), wanted, torch.rand_like(wanted.matches))


def match_targets(windows: Sequence[Window], T: int) -> MatchTargets:
    """What a network should answer about windows."""
    edges = [boundary_labels(each.truth, T) for each in windows]
    starts, ends = (torch.from_numpy(np.stack([each[side] for each in edges])).float() for side in (0, 1))
    matches = np.stack([matching_map(each.truth, T) for each in windows])
    return MatchTargets(starts, ends, torch.from_numpy(matches).float())


def build(features: int, arguments: dict[str, Any]) -> MatchingProposer:
    """A proposer.

    Raises:
        InvalidSetting: If it has no such argument, or a value is wrong.
    """
    checked_arguments(NAME, arguments, _LIMITS)
    return MatchingProposer(BMN(features, **arguments))


def fresh(recipe: LocaliseRecipe, recordings: Sequence[Recording], labels: LabelSet) -> ProposalDetector:
    """A detector with fresh weights; see `Method.fresh`."""
    arguments = {"width": recipe.model.width, **recipe.model.arguments}
    return ProposalDetector.fresh(NAME, build, arguments, recipe, recordings, labels)


METHODS.add(NAME, Method(fresh, partial(ProposalDetector.load, build)))
