"""Heads trained on features, each as if it were alone, with the batches and random numbers of all.

B samples of a batch, V views, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinesphere.core.labels import LabelSet
from kinesphere.core.signals import raise_if_stopped
from kinesphere.core.threads import UsableThreads, computing_with
from kinesphere.data.sampler import EpochSampler
from kinesphere.models.probe_head import CoarseGrid
from kinesphere.models.runtime.frozen import Head, logits_of
from kinesphere.models.runtime.measure import multiply_adds
from kinesphere.train.features import Features
from kinesphere.train.losses import LossFunction, loss_at
from kinesphere.train.module import mean_over_views, seed_step
from kinesphere.train.optim import ParameterGroup, optimizer_of
from kinesphere.train.recipe import Recipe
from kinesphere.train.running_metrics import RunningMetrics, Scores
from kinesphere.train.schedule import make_schedule
from kinesphere.train.set_heads import heads_of, shares_of
from kinesphere.train.trainer import run_length

_AT_ONCE = 16
"""Heads that share their work on a batch, whose intermediate results are held together."""


@dataclass(frozen=True)
class Probe:
    """Settings that one probe is trained with.

    Attributes:
        lr: Peak learning rate.
        weight_decay: Of weights; biases and norms have none.
        kind: `linear`, the layers that `model.freeze` leaves, `attentive` or `pooled`.
        grid: What a pooled one sees.
    """

    lr: float
    weight_decay: float
    kind: str = "linear"
    grid: CoarseGrid | None = None

    @property
    def said(self) -> str:
        """The settings in words."""
        where = "" if self.grid is None else f"{self.grid}, "
        how = f"{where}learning rate {self.lr:g}, weight decay {self.weight_decay:g}"
        return how if self.kind == "linear" else f"{self.kind}, {how}"


@dataclass(frozen=True)
class Neighbours:
    """Settings of a vote of nearest training clips.

    Attributes:
        k: How many vote.
        temperature: Of their weights.
    """

    k: int
    temperature: float
    kind: str = "knn"

    @property
    def said(self) -> str:
        """The settings in words."""
        return f"{self.k} nearest neighbours, temperature {self.temperature:g}"


Candidate = Probe | Neighbours


def finite(scores: Scores | None) -> Scores | None:
    """The scores, if their loss is a number."""
    return scores if scores is not None and math.isfinite(scores["loss"]) else None


class ProbeTrainer:
    """Trains heads on features; each as if it were alone, with the batches and random numbers of all.

    Args:
        recipe: Resolved; its batches, length, schedule, optimiser and seed hold for every probe.
        start: The head that all start from.
        loss: Logits (B, K) and targets (B, K) to a scalar.
        labels: Of the data.
    """

    def __init__(self, recipe: Recipe, start: Head, loss: LossFunction, labels: LabelSet) -> None:
        # Features are small: a step's samples pass at once, however many passes a recipe divides them into.
        batch_size = recipe.train.batch_size * recipe.train.accumulate
        whole = recipe.train.model_copy(update={"batch_size": batch_size, "accumulate": 1})
        self.recipe = recipe.model_copy(update={"train": whole})
        self._start = start
        self._loss = loss
        self._labels = labels
        self._heads = heads_of(recipe, labels)
        self.device = next(start.parameters()).device

    def train(
        self, probes: Sequence[Probe], features: Features, rows: Sequence[int] | None = None
    ) -> list[Head]:
        """A trained head for each probe.

        Args:
            probes: Settings.
            features: What they learn from.
            rows: The samples of it; None takes all.
        """
        epoch_of = self._batches(features, range(len(features)) if rows is None else rows)
        length = run_length(self.recipe, len(epoch_of(0)))
        heads = [self._start.copy().train() for _ in probes]
        optimizers = [self._optimizer(head, probe) for head, probe in zip(heads, probes, strict=True)]
        schedules = [
            make_schedule(each, self.recipe.schedule, length.steps, length.steps_per_epoch)
            for each in optimizers
        ]
        at_once = _AT_ONCE if self._start.shares_work else 1
        steps = 0
        with computing_with(self._threads(features)):
            for epoch in range(length.epochs):
                for number, chosen in enumerate(epoch_of(epoch)[: length.steps - steps]):
                    raise_if_stopped()
                    x, targets = self._batch(features, chosen)
                    loss = loss_at(self._loss, steps / length.steps)
                    for first in range(0, len(heads), at_once):
                        seed_step(self.recipe.train.seed, epoch, number)  # each draws as it would alone
                        these = slice(first, first + at_once)
                        self._step(heads[these], optimizers[these], x, targets, loss)
                    for schedule in schedules:
                        schedule.step()
                    steps += 1
        return [head.eval() for head in heads]

    def metrics(self) -> RunningMetrics:
        """Counts of no sample yet."""
        return RunningMetrics(len(self._labels), self._labels.multi, self._heads)

    def scores(self, heads: Sequence[nn.Module], features: Features) -> list[Scores | None]:
        """The scores of each head on all samples; None where its loss is no number."""
        metrics = [self.metrics() for _ in heads]
        self.count(metrics, heads, features, range(len(features)))
        return [finite(each.compute()) for each in metrics]

    @torch.no_grad()
    def count(
        self,
        metrics: Sequence[RunningMetrics],
        heads: Sequence[nn.Module],
        features: Features,
        rows: Sequence[int],
    ) -> None:
        """Count the answers of each head to some samples, each the mean over its views."""
        size = self.recipe.train.batch_size
        for begin in range(0, len(rows), size):
            x, targets = features.of(rows[begin : begin + size])
            views = x.shape[1]
            clips = x.flatten(0, 1).to(self.device)
            for first in range(0, len(heads), _AT_ONCE):
                these = slice(first, first + _AT_ONCE)
                for counted, each in zip(metrics[these], logits_of(heads[these], clips), strict=True):
                    logits = each.unflatten(0, (-1, views))
                    answers = mean_over_views(logits, self._labels.multi, self._heads).cpu()
                    counted.update(answers, targets, self._loss(answers, targets))

    def _batches(self, features: Features, rows: Sequence[int]) -> Callable[[int], list[list[int]]]:
        """The rows of each batch, by epoch; a last one less than half full is left out, as in training."""
        size, targets = self.recipe.train.batch_size, features.manifest.targets
        sampler = EpochSampler(
            [targets[row] for row in rows],
            size,
            shuffle=True,
            balance=self.recipe.data.balance,
            drop_last=len(rows) > size and 0 < len(rows) % size < size / 2,
            seed=self.recipe.train.seed,
            shares=shares_of(self.recipe, [features.manifest.samples[row] for row in rows]),
        )

        def of(epoch: int) -> list[list[int]]:
            sampler.epoch = epoch
            drawn = [rows[draw.index] for draw in sampler]
            return [drawn[begin : begin + size] for begin in range(0, len(drawn), size)]

        return of

    def _batch(self, features: Features, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Every view of the rows as a clip of its own."""
        x, targets = features.of(rows)
        views = x.shape[1]
        return x.flatten(0, 1).to(self.device), targets.repeat_interleave(views, 0).to(self.device)

    def _threads(self, features: Features) -> int | None:
        """How many threads suit a step of one head: all heads round as one alone, however many they are."""
        if self.device.type != "cpu" or not len(features):
            return None
        _, views, *shape = features.of([0])[0].shape
        work = multiply_adds(self._start.copy(), (self.recipe.train.batch_size * views, *shape))
        return UsableThreads.here().suiting(work, training=True)

    def _optimizer(self, head: Head, probe: Probe) -> torch.optim.Optimizer:
        """As in training: biases and norms do not decay, and the last layer has its own factor."""
        settings = self.recipe.optimizer
        last = set(head.layers[-1].parameters())
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}  # few: each is a call of its own
        for parameter in head.parameters():
            lr = probe.lr * (settings.head_lr if parameter in last else 1.0)
            decay = probe.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((lr, decay), []).append(parameter)
        parts = [ParameterGroup("probe", tuple(each), *rates) for rates, each in groups.items()]
        return optimizer_of(parts, settings)

    def _step(
        self,
        heads: Sequence[Head],
        optimizers: Sequence[torch.optim.Optimizer],
        x: Tensor,
        targets: Tensor,
        loss: LossFunction,
    ) -> None:
        values = [loss(logits, targets) for logits in logits_of(heads, x)]
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.stack(values).sum().backward()  # no head's loss depends on another's weights
        for head, optimizer in zip(heads, optimizers, strict=True):
            if self.recipe.train.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(head.parameters(), self.recipe.train.clip_norm)
            optimizer.step()
