"""`RecognitionTask`: what one training step, one validation step and one update do.

B batch, V views, T time, C channels, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.modality import MODALITIES
from kinesphere.core.bf16_convolution import sound_convolutions
from kinesphere.core.errors import InvalidCheckpoint, TrainingDiverged
from kinesphere.data.dataset import Batch
from kinesphere.models.recogniser import Recogniser
from kinesphere.train.config import OptimizerSection, ScheduleSection
from kinesphere.train.ema import AveragedWeights, recogniser_around
from kinesphere.train.losses import LossFunction, dense_targets, loss_at
from kinesphere.train.optim import make_optimizer
from kinesphere.train.running_metrics import RunningMetrics, Scores
from kinesphere.train.schedule import make_schedule, set_rates
from kinesphere.train.set_heads import SetHead, by_head


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        epochs: Epochs to begin; the last may be cut short by `steps`.
        steps: Optimiser steps in all.
        steps_per_epoch: Optimiser steps of one epoch.
    """

    epochs: int
    steps: int
    steps_per_epoch: int


class RecognitionTask(pl.LightningModule):
    """Ties a recogniser to a loss, an optimiser and a schedule.

    Randomness inside a step (dropout, mixing) depends on nothing but (seed, epoch, batch, process),
    so a resumed run draws what an unbroken one would.

    Args:
        recogniser: The model in training.
        loss: Logits (B, K) and targets (B,) or (B, K) to a scalar.
        optimizer: Settings.
        schedule: Settings.
        length: How long the run is.
        seed: Seed of the steps' randomness.
        ema: Decay of the averaged weights, or None.
        augment: Its mixup, CutMix and still frames are applied here; the rest happens while loading.
        heads: Those of a training on several data sets; none where there is one.
    """

    training_scores: tuple[str, ...] = ("loss", "top1")
    """Scores of an epoch's training clips that its row in metrics.csv holds."""

    def __init__(
        self,
        recogniser: Recogniser,
        loss: LossFunction,
        optimizer: OptimizerSection,
        schedule: ScheduleSection,
        length: Length,
        *,
        seed: int = 0,
        ema: float | None = None,
        augment: Augment | None = None,
        heads: tuple[SetHead, ...] = (),
    ) -> None:
        super().__init__()
        self.recogniser = recogniser.train()
        self.average = AveragedWeights(recogniser.net, ema) if ema is not None else None
        self.length = length
        classes, multi = len(recogniser.labels), recogniser.labels.multi
        self.training_metrics = RunningMetrics(classes, multi, heads)
        self.validation_metrics = RunningMetrics(classes, multi, heads)
        self.last_validation: Scores | None = None
        self._loss = loss
        self._optimizer = optimizer
        self._schedule = schedule
        self._seed = seed
        self._augment = augment
        self._heads = heads

    @property
    def scored(self) -> Recogniser:
        """The recogniser that validation scores and the run keeps: the averaged weights if there are any."""
        if self.average is None:
            return self.recogniser
        return recogniser_around(self.average.module, self.recogniser)

    def configure_optimizers(self) -> Any:
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        optimizer = make_optimizer(self.recogniser, self._optimizer, scaled=scaled)
        schedule = make_schedule(optimizer, self._schedule, self.length.steps, self.length.steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.recogniser.net)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning's own clipping refuses fused optimisers under any mixed precision, although without a
        # scale (bf16) there is nothing that they would undo; with one (fp16) ours are not fused.
        if gradient_clip_val is not None:
            learning = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(learning, gradient_clip_val)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return replace(
            batch,
            inputs=tuple(x.to(device, non_blocking=True) for x in batch.inputs),
            targets=batch.targets.to(device, non_blocking=True),
        )

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        generator = self._seed_step(batch_index)
        if not batch.indices:  # every file of the batch was unreadable, yet all processes must step
            return (
                sum((p.sum() for p in self.recogniser.parameters() if p.requires_grad), start=torch.zeros(()))
                * 0
            )
        rows = dense_targets(batch.targets, len(self.recogniser.labels))
        views = batch.inputs[0].shape[1]
        rows = rows.repeat_interleave(views, dim=0)
        inputs = tuple(x.flatten(0, 1) for x in batch.inputs)
        inputs = self._normalised(inputs)
        if self._augment is not None:
            inputs, rows = self._mixed(self._augment, inputs, rows, generator)
        with sound_convolutions(self.device):
            logits = self.recogniser(*inputs)
        loss = loss_at(self._loss, self.global_step / self.length.steps)(logits, rows)
        self.training_metrics.update(logits, rows, loss)
        return loss

    def _mixed(
        self, augment: Augment, inputs: tuple[Tensor, ...], rows: Tensor, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Clips of a batch mixed with one another, and their targets `(B, K)`."""
        specs = self.recogniser.specs
        stills = augment.stills(len(rows), generator)
        if stills is not None:
            inputs = tuple(stills.inputs(x, spec.modality) for x, spec in zip(inputs, specs, strict=True))
        mixing = augment.mixing(len(rows), specs, generator)
        if mixing is not None:
            inputs = tuple(mixing.inputs(x, spec.modality) for x, spec in zip(inputs, specs, strict=True))
            rows = mixing.targets(rows, rows.shape[-1])
        return inputs, rows

    def end_epoch(self) -> tuple[Scores | None, Scores | None]:
        """Scores of the epoch's training clips over all processes, and of its validation if it had one.

        Raises:
            TrainingDiverged: If the loss is no longer a number.
        """
        training, validation = self.training_metrics.compute(), self.last_validation
        self.training_metrics.reset()
        self.last_validation = None
        for name, scores in (("training", training), ("validation", validation)):
            self.check_finite(name, scores)
        return training, validation

    def check_finite(self, name: str, scores: Scores | None) -> None:
        """Refuse scores of an epoch whose loss is no number.

        Raises:
            TrainingDiverged: If it is not.
        """
        if scores is not None and not np.isfinite(scores["loss"]):
            raise TrainingDiverged(
                f"The {name} loss became {scores['loss']} in epoch {self.current_epoch + 1}; lower "
                "optimizer.lr, add a warm-up (schedule.warmup_epochs) or set train.clip_norm."
            )

    def on_validation_epoch_start(self) -> None:
        self.validation_metrics.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        # Where samples do not divide over the processes, the first ones come twice: count them once.
        own = [i for i, index in enumerate(batch.indices) if index % self._world == self.global_rank]
        if not own:
            return
        inputs = tuple(x[own] for x in batch.inputs)
        count, views = inputs[0].shape[:2]
        logits = self.scored(*self._normalised(tuple(x.flatten(0, 1) for x in inputs)))
        logits = mean_over_views(
            logits.unflatten(0, (count, views)), self.recogniser.labels.multi, self._heads
        )
        rows = dense_targets(batch.targets[own], logits.shape[-1])
        self.validation_metrics.update(logits, rows, self._loss(logits, rows))

    def on_validation_epoch_end(self) -> None:
        self.last_validation = self.validation_metrics.compute()
        for name, value in (self.last_validation or {}).items():
            self.log(f"val/{name}", value, rank_zero_only=False, sync_dist=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # A row per process: each goes on with its own counts.
        rows = self.all_gather(self.training_metrics.sums)
        assert isinstance(rows, Tensor)
        checkpoint["training_metrics"] = rows.reshape(self._world, -1).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        rows = torch.atleast_2d(checkpoint["training_metrics"])
        if rows.shape[1] != len(self.training_metrics.sums):
            raise InvalidCheckpoint(
                f"The run was begun with other metrics of training: its state holds {rows.shape[1]} sums, "
                f"these have {len(self.training_metrics.sums)}. Install the packages that it was begun with."
            )
        if self.global_rank < len(rows):
            self.training_metrics.sums = rows[self.global_rank].to(self.device)

    def on_train_start(self) -> None:
        # A state holds rates that follow from the length it was saved under; the run may be longer now.
        schedule = self.lr_schedulers()
        assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
        set_rates(schedule)

    @property
    def _world(self) -> int:
        return int(self.trainer.world_size)

    def _normalised(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(
            MODALITIES.get(spec.modality).normalise(x, spec, torch.float32)
            for x, spec in zip(inputs, self.recogniser.specs, strict=True)
        )

    def _seed_step(self, batch_index: int) -> torch.Generator:
        """Seed dropout's generator, and return one on the CPU for mixing."""
        return seed_step(self._seed, self.current_epoch, batch_index, self.global_rank)


def seed_step(seed: int, epoch: int, batch: int, rank: int = 0) -> torch.Generator:
    """Seed the generator of a step's dropout, and return one on the CPU of the same state."""
    state = int(np.random.SeedSequence((seed, epoch, batch, rank)).generate_state(1, np.uint64)[0]) >> 1
    torch.manual_seed(state)
    return torch.Generator().manual_seed(state)


def mean_over_views(logits: Tensor, multi: bool, heads: Sequence[SetHead] = ()) -> Tensor:
    """Logits (B, K) of the probabilities averaged over the views of (B, V, K), for each head by itself."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    if multi:
        return logits.float().sigmoid().mean(1).logit(eps=1e-6)

    def mean(own: Tensor) -> Tensor:
        return own.float().softmax(-1).mean(1).clamp(min=torch.finfo(torch.float32).tiny).log()

    return by_head(heads, mean, logits)
