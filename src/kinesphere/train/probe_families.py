"""Kinds of probes: what they look at, how they are fitted, and the recogniser that each becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

import torch
from torch import Tensor, nn

from kinesphere.core.labels import LabelSet
from kinesphere.models.probe_head import (
    MOST_ROWS,
    NeighbourProbe,
    ProbeForm,
    coarse_grid,
    directions,
    grid_of,
    positions,
)
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.runtime.frozen import FrozenSplit, Head
from kinesphere.models.runtime.measure import input_shape
from kinesphere.train.config import cells_of
from kinesphere.train.features import Features
from kinesphere.train.losses import LossFunction
from kinesphere.train.probe_trainer import Candidate, Neighbours, Probe, ProbeTrainer
from kinesphere.train.recipe import Recipe

Read = Callable[[FrozenSplit], dict[str, Features]]
_AT_ONCE = 256
"""Clips whose means over positions are taken together."""


@dataclass(frozen=True, eq=False)
class Family(ABC):
    """Probes of a kind on the same features.

    Attributes:
        candidates: Their settings.
        trainer: Trains and scores heads.
        features: What they look at, by part: `train` and, where some validate, `val`.
    """

    candidates: tuple[Candidate, ...]
    trainer: ProbeTrainer
    features: dict[str, Features]

    @abstractmethod
    def fit(self, candidates: Sequence[Candidate], rows: Sequence[int] | None = None) -> list[nn.Module]:
        """A head for each of some settings, from some of the training samples; None takes all."""

    @abstractmethod
    def finished(self, head: nn.Module) -> Recogniser:
        """The recogniser that answers by a head."""


@dataclass(frozen=True, eq=False)
class TrainedFamily(Family):
    """Probes that learn: the layers behind the frozen ones, or an attentive probe.

    Attributes:
        split: Where the network is cut.
    """

    split: FrozenSplit

    def fit(self, candidates: Sequence[Candidate], rows: Sequence[int] | None = None) -> list[nn.Module]:
        """See `Family`."""
        settings = [each for each in candidates if isinstance(each, Probe)]
        return list(self.trainer.train(settings, self.features["train"], rows))

    def finished(self, head: nn.Module) -> Recogniser:
        """See `Family`."""
        assert isinstance(head, Head)
        self.split.take(head)
        return self.split.recogniser


@dataclass(frozen=True, eq=False)
class PooledFamily(Family):
    """Linear layers on one coarse grid.

    Attributes:
        recogniser: Without a probe.
        form: Of the probes.
    """

    recogniser: Recogniser
    form: ProbeForm

    def fit(self, candidates: Sequence[Candidate], rows: Sequence[int] | None = None) -> list[nn.Module]:
        """See `Family`."""
        settings = [each for each in candidates if isinstance(each, Probe)]
        return list(self.trainer.train(settings, self.features["train"], rows))

    def finished(self, head: nn.Module) -> Recogniser:
        """See `Family`."""
        assert isinstance(head, Head)
        return self.recogniser.probed(head.layers[0], self.form)


@dataclass(frozen=True, eq=False)
class NeighbourFamily(Family):
    """Votes of the nearest training clips.

    Attributes:
        recogniser: Without a probe.
        multi: Whether samples have several labels.
    """

    recogniser: Recogniser
    multi: bool

    def fit(self, candidates: Sequence[Candidate], rows: Sequence[int] | None = None) -> list[nn.Module]:
        """See `Family`."""
        bank, targets = self._remembered(range(len(self.features["train"])) if rows is None else rows)
        count, width = bank.shape
        forms = [
            ProbeForm("knn", width, count, min(each.k, count), each.temperature, self.multi)
            for each in candidates
            if isinstance(each, Neighbours)
        ]
        return [NeighbourProbe(bank, targets, form) for form in forms]

    def finished(self, head: nn.Module) -> Recogniser:
        """See `Family`."""
        assert isinstance(head, NeighbourProbe)
        return self.recogniser.probed(head, head.form)

    @torch.no_grad()
    def _remembered(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A bank `(N, C)` of every view of some training samples, and targets `(K, N)`.

        Of more rows than a bank holds, as many are drawn.
        """
        means, targets = [], []
        for begin in range(0, len(rows), _AT_ONCE):
            x, labels = self.features["train"].of(rows[begin : begin + _AT_ONCE])
            means.append(directions(x.flatten(0, 1)))
            targets.append(labels.repeat_interleave(x.shape[1], 0))
        bank, known = torch.cat(means), torch.cat(targets)
        if len(bank) > MOST_ROWS:
            order = torch.Generator().manual_seed(self.trainer.recipe.train.seed)
            drawn = torch.randperm(len(bank), generator=order)[:MOST_ROWS].sort().values
            bank, known = bank[drawn], known[drawn]
        device = self.trainer.device
        return bank.to(device), known.T.contiguous().to(device)


def families_of(
    recipe: Recipe, recogniser: Recogniser, loss: LossFunction, labels: LabelSet, read: Read
) -> list[Family]:
    """The families that a recipe asks for, with their features.

    Args:
        recipe: Resolved.
        recogniser: At its start; with a linear probe, frozen up to it.
        loss: Logits (B, K) and targets (B, K) to a scalar.
        labels: Of the data.
        read: Computes the features behind a cut, or finds them.

    Raises:
        InvalidSetting: If the layers that learn are no plain sequence on the frozen ones, or the network has
            not one last grid for the other kinds.
    """
    kinds, probe = recipe.probe.kinds, recipe.probe
    decays = probe.weight_decay or (recipe.optimizer.weight_decay,)

    def trained(kind: str, split: FrozenSplit, features: dict[str, Features]) -> Family:
        candidates = tuple(Probe(lr, decay, kind) for lr, decay in product(probe.lr, decays))
        return TrainedFamily(candidates, ProbeTrainer(recipe, split.head(), loss, labels), features, split)

    found: dict[str, list[Family]] = {}
    if "linear" in kinds:
        split = FrozenSplit(recogniser)
        features = read(split)  # tells where the head begins
        found["linear"] = [trained("linear", split, features)]
    if "pooled" in kinds:
        found["pooled"] = _pooled(recipe, recogniser, loss, labels, read)
    if set(kinds) & {"attentive", "knn"}:
        split = FrozenSplit(_attentive(recogniser, recipe.train.seed, len(labels)))
        features = read(split)
        if "attentive" in kinds:
            found["attentive"] = [trained("attentive", split, features)]
        if "knn" in kinds:
            settings = tuple(Neighbours(k, t) for k, t in product(probe.k, probe.temperature))
            trainer = ProbeTrainer(recipe, split.head(), loss, labels)
            found["knn"] = [NeighbourFamily(settings, trainer, features, recogniser, labels.multi)]
    return [family for kind in kinds for family in found[kind]]


def _pooled(
    recipe: Recipe, recogniser: Recogniser, loss: LossFunction, labels: LabelSet, read: Read
) -> list[Family]:
    """A family for each coarse grid; one pass through the network gives what all of them see."""
    probe, clips = recipe.probe, _blank(recogniser)
    with torch.no_grad():
        grids, widths = zip(
            *(
                coarse_grid(recogniser.net, recogniser.card, stage, cells_of(cells), clips)
                for stage, cells in product(probe.stages or ("",), probe.cells)
            ),
            strict=True,
        )
    ends = list(accumulate(widths))
    whole = ProbeForm("pooled", ends[-1], grids=grids)
    features = read(FrozenSplit(recogniser.probed(whole.build(len(labels)).to(clips[0].device), whole)))
    families: list[Family] = []
    for grid, width, end in zip(grids, widths, ends, strict=True):
        form = ProbeForm("pooled", width, grids=(grid,))
        torch.manual_seed(recipe.train.seed)
        head = Head([form.build(len(labels)).to(clips[0].device)], parts=False)
        candidates = tuple(
            Probe(lr, decay, "pooled", grid)
            for lr, decay in product(probe.lr, probe.weight_decay or (recipe.optimizer.weight_decay,))
        )
        own = {part: replace(each, columns=slice(end - width, end)) for part, each in features.items()}
        trainer = ProbeTrainer(recipe, head, loss, labels)
        families.append(PooledFamily(candidates, trainer, own, recogniser, form))
    return families


def _attentive(recogniser: Recogniser, seed: int, classes: int) -> Recogniser:
    """The network under a fresh attentive probe."""
    clips = _blank(recogniser)
    with torch.no_grad():
        width = positions(recogniser.net, grid_of(recogniser.card), clips).shape[-1]
    form = ProbeForm("attentive", width)
    torch.manual_seed(seed)
    return recogniser.probed(form.build(classes).to(clips[0].device), form)


def _blank(recogniser: Recogniser) -> tuple[Tensor, ...]:
    """A clip of zeros as the network takes it, on its device."""
    device = next(recogniser.parameters()).device
    return tuple(torch.zeros(input_shape(spec, batch=1), device=device) for spec in recogniser.specs)
