"""Boundary-sensitive networks: rows that start, hold and end an action, proposals between them, and a judge.

The judge of proposals is trained after the rows' network, on what that proposes. Of `model` in a recipe,
`levels` means nothing; `arguments` are `length` (rows of a window: no action is longer).
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
from kinesphere.localise.boundaries import between, boundary_features, boundary_labels, inside_labels
from kinesphere.localise.matching import boundary_loss, match_regression
from kinesphere.localise.methods.registry import METHODS, Method
from kinesphere.localise.proposing import ProposalDetector, Window, checked_arguments
from kinesphere.localise.recordings import Recording
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.suppression import tiou
from kinesphere.localise.training import DrawnTask, fit_task
from kinesphere.models.temporal.bsn import BSN, BoundaryModule, ProposalModule

NAME = "bsn"
_LIMITS = {"length": (8, 1000), "width": (8, 4096)}
_LENGTH = 100
_INSIDE_WEIGHT = 2.0
"""Of rows within an action, where starts and ends weigh 1 (Lin et al. 2018, lambda of the loss of rows)."""
_HIGH, _LOW, _MOST_LOW = 0.6, 0.2, 2.0
"""Proposals match well, less, and badly; twice as many bad ones as good ones count (the authors' code)."""
_SOFTENING = (0.75, 0.65, 0.9)
"""Alpha, low and high of the soft suppression of proposals (the authors' code)."""
_BOUNDARY = 0.1
"""Of an action, around its start and its end (the authors' code)."""
Batch = tuple[Tensor, Tensor]


class BoundaryProposer:
    """Proposes between likely boundaries; see `Proposer`."""

    def __init__(self, net: BSN, length: int) -> None:
        self.net, self.length, self.softening = net, length, _SOFTENING

    def fit(
        self,
        windows: Sequence[Window],
        recipe: LocaliseRecipe,
        state: Path,
        progress: pl.Callback | None = None,
    ) -> None:
        """See `Proposer.fit`."""
        fit_task(BoundaryTask(self.net.boundaries, windows, recipe), recipe, state, progress)
        judged = [self._judged(each) for each in windows]
        judged = [each for each in judged if len(each[1])]
        second = state.with_name(f"{state.stem}_proposals{state.suffix}")
        if judged:
            fit_task(ProposalTask(self.net.proposals, judged, recipe), recipe, second, progress)

    def propose(self, rows_CT: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """See `Proposer.propose`."""
        segments, scores, features = self._proposed(rows_CT)
        judged = self.net.proposals(torch.from_numpy(features).float())[:, 0].double().numpy()
        return segments, scores * judged

    @torch.no_grad()
    def _proposed(self, rows_CT: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inside, starts, ends = self.net.boundaries(rows_CT[None])[0].double().numpy()
        segments, scores = between(starts, ends)
        return segments, scores, boundary_features(inside, segments)

    def _judged(self, window: Window) -> Batch:
        """What is known of the proposals of a window, and their tIoU with an action."""
        segments, _, features = self._proposed(window.rows)
        overlaps = tiou(segments, window.truth).max(1, initial=0.0)
        return torch.from_numpy(features).float(), torch.from_numpy(overlaps).float()


class BoundaryTask(DrawnTask[BoundaryModule, Window]):
    """Windows, some at a time, with which rows start, hold and end an action."""

    def batch_of(self, drawn: list[Window]) -> Batch:
        """See `DrawnTask.batch_of`."""
        wanted = [row_targets(each) for each in drawn]
        return torch.stack([each.rows for each in drawn]), torch.from_numpy(np.stack(wanted)).float()

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        x, wanted_B3T = batch
        inside, starts, ends = (
            boundary_loss(found, wanted)
            for found, wanted in zip(self.net(x).unbind(1), wanted_B3T.unbind(1), strict=True)
        )
        return _INSIDE_WEIGHT * inside + starts + ends


class ProposalTask(DrawnTask[ProposalModule, Batch]):
    """Proposals of windows, those of some at a time, with their tIoU."""

    stream = (1,)

    def batch_of(self, drawn: list[Batch]) -> Batch:
        """See `DrawnTask.batch_of`."""
        return torch.cat([features for features, _ in drawn]), torch.cat([wanted for _, wanted in drawn])

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        features, wanted = batch
        asked = torch.ones_like(wanted, dtype=torch.bool)
        return match_regression(
            self.net(features)[:, 0], wanted, asked, torch.rand_like(wanted),
            high=_HIGH, low=_LOW, most_low=_MOST_LOW, apart=True,
        )  # fmt: skip


def row_targets(window: Window) -> np.ndarray:
    """How much of each row lies in an action, at a start and at an end: `(3, T)`."""
    T = window.rows.shape[1]
    edges = boundary_labels(window.truth, T, _BOUNDARY)
    return np.stack((inside_labels(window.truth, T), *edges))


def build(features: int, arguments: dict[str, Any]) -> BoundaryProposer:
    """A proposer.

    Raises:
        InvalidSetting: If it has no such argument, or a value is wrong.
    """
    checked_arguments(NAME, arguments, _LIMITS)
    given = dict(arguments)
    return BoundaryProposer(BSN(features, int(given["width"])), int(given.get("length", _LENGTH)))


def fresh(recipe: LocaliseRecipe, recordings: Sequence[Recording], labels: LabelSet) -> ProposalDetector:
    """A detector with fresh weights; see `Method.fresh`."""
    arguments = {"width": recipe.model.width, **recipe.model.arguments}
    return ProposalDetector.fresh(NAME, build, arguments, recipe, recordings, labels)


METHODS.add(NAME, Method(fresh, partial(ProposalDetector.load, build)))
