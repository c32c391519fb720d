"""The training of a detector on the features of recordings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, TrainingDiverged
from kinesphere.core.workers import refuse_in_workers
from kinesphere.data.loader import LoaderSettings, begin_worker
from kinesphere.localise.assembly import Truth, padded, targets_of
from kinesphere.localise.losses import DetectionLoss, cheapest
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.models.temporal.pyramid import OneStage
from kinesphere.models.temporal.temporalmaxer import TemporalMaxer
from kinesphere.models.temporal.tridet import TriDet
from kinesphere.train.callbacks import HearSignals
from kinesphere.train.checkpoints import SafeCheckpointIO
from kinesphere.train.config import OptimizerSection, ScheduleSection
from kinesphere.train.ema import AveragedWeights
from kinesphere.train.optim import ParameterGroup, optimizer_of
from kinesphere.train.schedule import make_schedule
from kinesphere.train.trainer import quiet_engine

Batch = tuple[Tensor, Tensor, list[Truth]]
Net = TypeVar("Net", bound=nn.Module)
Item = TypeVar("Item")
IOU_POWER = 0.2
"""TriDet weights the focal loss of right answers by tIoU to this power (its code; section 3.4)."""
_LEAST_INSIDE = 0.5
"""Of an action that a cut leaves less of, nothing is said."""


class Length(Protocol):
    """The length of a training and its seed."""

    @property
    def epochs(self) -> int: ...

    @property
    def clip_norm(self) -> float | None: ...

    @property
    def ema(self) -> float | None: ...

    @property
    def seed(self) -> int: ...


class Schooling(Protocol):
    """What recipes of detectors say of how networks learn."""

    @property
    def train(self) -> Length: ...

    @property
    def optimizer(self) -> OptimizerSection: ...

    @property
    def schedule(self) -> ScheduleSection: ...


def check_length(recipe: Schooling) -> None:
    """Refuse a warm-up that takes the whole training, before anything is made for it.

    Raises:
        InvalidSetting: If so.
    """
    warmup, epochs = recipe.schedule.warmup_epochs, recipe.train.epochs
    if warmup >= epochs:
        raise InvalidSetting(
            f"A warm-up of {warmup:g} epochs leaves nothing of a training of {epochs}; shorten "
            "schedule.warmup_epochs, or raise train.epochs."
        )


def fit(
    net: OneStage,
    rows: Sequence[Tensor],
    truths: Sequence[Truth],
    recipe: LocaliseRecipe,
    state: Path,
    progress: pl.Callback | None = None,
) -> None:
    """Train a network, from the state where there is one.

    Args:
        net: With fresh weights; it has the trained ones afterwards.
        rows: `(C, T)` of each video, as the network takes them.
        truths: The actions of each.
        recipe: Length, optimiser and seed.
        state: File of what is needed to go on, written after every epoch.
        progress: Told how far it is.

    Raises:
        TrainingDiverged: If the loss stops being a number.
    """
    fit_task(DetectionTask(net, rows, truths, recipe), recipe, state, progress)


def fit_task(
    task: NetworkTask[Any],
    recipe: Schooling,
    state: Path,
    progress: pl.Callback | None = None,
    device: str = "cpu",
) -> None:
    """`fit` of any task, on any device."""
    kind, _, number = device.partition(":")
    callbacks = [HearSignals(), KeepState(state), *([progress] if progress else [])]
    with quiet_engine():
        trainer = pl.Trainer(
            accelerator=kind,
            devices=[int(number)] if number else 1,
            max_epochs=recipe.train.epochs,
            gradient_clip_val=recipe.train.clip_norm,
            reload_dataloaders_every_n_epochs=1,
            logger=False,
            callbacks=callbacks,
            plugins=[StateIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        trainer.fit(task, ckpt_path=str(state) if state.is_file() else None, weights_only=True)
    if task.average is not None:
        task.net.load_state_dict(task.average.module.state_dict())
    task.net.eval()


class NetworkTask(pl.LightningModule, Generic[Net]):
    """The optimiser and the average of a network; what it learns from is told by its kinds.

    Args:
        net: With fresh weights.
        recipe: Length, optimiser and seed.
        steps: Of an epoch.
    """

    def __init__(self, net: Net, recipe: Schooling, steps: int) -> None:
        super().__init__()
        self.net = net
        self.average = AveragedWeights(self.net, recipe.train.ema) if recipe.train.ema else None
        self.curve: list[dict[str, float]] = []
        """A row for each epoch; it travels with the state."""
        self._recipe, self._steps = recipe, steps

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Any]:
        """Those of an epoch."""

    @abstractmethod
    def loss_of(self, batch: Any) -> Tensor:
        """The loss of a batch."""

    def learning(self) -> list[tuple[list[nn.Parameter], float]]:
        """What learns, and the factor of its learning rate."""
        return [(list(self.net.parameters()), 1.0)]

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches of the epoch, which are the same whether it is reached at once or resumed at."""
        return DataLoader(_Epoch(self, self.current_epoch, self._steps), batch_size=None)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Random numbers of a step do not depend on those before."""
        torch.manual_seed(self._recipe.train.seed * 100_003 + self.global_step)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Truths stay as they are."""
        return batch

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The loss of a batch."""
        total = self.loss_of(batch)
        if not total.isfinite():
            raise TrainingDiverged(
                f"The loss is {float(total)} in epoch {self.current_epoch + 1}; lower optimizer.lr."
            )
        self.log("loss", total.detach(), on_epoch=True, on_step=False, batch_size=len(batch[0]))
        return total

    def on_train_batch_end(self, *args: Any) -> None:
        """The average follows the weights."""
        if self.average is not None:
            self.average.update_parameters(self.net)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve goes on where it was."""
        checkpoint["curve"] = self.curve

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curve goes on where it was."""
        self.curve = list(checkpoint.get("curve", ()))

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule; vectors and scalars do not decay."""
        settings = self._recipe.optimizer
        groups = [
            ParameterGroup("all", tuple(chosen), settings.lr * rate, settings.weight_decay if decays else 0.0)
            for parameters, rate in self.learning()
            for decays in (True, False)
            if (chosen := [p for p in parameters if (p.dim() > 1) == decays])
        ]
        optimizer = optimizer_of(groups, settings)
        epochs = self._recipe.train.epochs
        schedule = make_schedule(optimizer, self._recipe.schedule, self._steps * epochs, self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Epoch(IterableDataset[Any]):
    """The batches of an epoch, each made when it is asked for."""

    def __init__(self, task: NetworkTask[Any], epoch: int, steps: int) -> None:
        self._task, self._epoch, self._steps = task, epoch, steps

    def __iter__(self) -> Iterator[Any]:
        return self._task.batches(self._epoch)

    def __len__(self) -> int:
        return self._steps


def clip_loader(dataset: Dataset[Any], loading: LoaderSettings, work: str, **how: Any) -> DataLoader[Any]:
    """A loader whose workers read videos, under the rules of all loaders of clips.

    Args:
        dataset: Reads what is asked for.
        loading: Workers, and how they are started.
        work: What is done, for the error of scripts that lack their guard.
        how: What else `DataLoader` is told: batches, their order, how they are put together.
    """
    if loading.workers:
        refuse_in_workers(work)
    return DataLoader(
        dataset,
        num_workers=loading.workers,
        multiprocessing_context=loading.context,
        worker_init_fn=begin_worker,
        **how,
    )


class DrawnTask(NetworkTask[Net], Generic[Net, Item]):
    """A network that learns from items, some at a time, in an order that each epoch draws.

    Args:
        net: With fresh weights.
        items: What it learns from.
        recipe: Length, batches, optimiser and seed.
    """

    stream: tuple[int, ...] = ()
    """Tells the orders of tasks of one training apart."""

    def __init__(self, net: Net, items: Sequence[Item], recipe: LocaliseRecipe) -> None:
        super().__init__(net, recipe, -(-len(items) // recipe.train.batch_size))
        self._items, self._size = items, recipe.train.batch_size

    @abstractmethod
    def batch_of(self, drawn: list[Item]) -> Any:
        """A batch."""

    def batches(self, epoch: int) -> Iterator[Any]:
        """See `NetworkTask.batches`."""
        order = np.random.default_rng((self._recipe.train.seed, epoch, *self.stream))
        numbers = order.permutation(len(self._items))
        for first in range(0, len(numbers), self._size):
            yield self.batch_of([self._items[i] for i in numbers[first : first + self._size]])


class DetectionTask(NetworkTask[OneStage]):
    """One-stage detectors: all points of a few videos at a time."""

    def __init__(
        self, net: OneStage, rows: Sequence[Tensor], truths: Sequence[Truth], recipe: LocaliseRecipe
    ) -> None:
        super().__init__(net, recipe, -(-len(rows) // recipe.train.batch_size))
        self._settings = recipe.train
        power = IOU_POWER if isinstance(self.net, TriDet) else 0.0
        self.loss = DetectionLoss(recipe.train.smoothing, power)
        self._rows, self._truths = rows, truths

    def batches(self, epoch: int) -> Iterator[Batch]:
        """See `NetworkTask.batches`."""
        settings = self._settings
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
        order = torch.randperm(len(self._rows), generator=generator).tolist()
        for first in range(0, len(order), settings.batch_size):
            drawn = [
                cropped(self._rows[i], self._truths[i], settings.longest_rows, generator)
                for i in order[first : first + settings.batch_size]
            ]
            x, mask = padded([rows for rows, _ in drawn], self.net.multiple)
            yield x, mask, [truth for _, truth in drawn]

    def loss_of(self, batch: Batch) -> Tensor:
        """See `NetworkTask.loss_of`."""
        x, mask, truths = batch
        answers = self.net(x, mask)
        targets = [
            targets_of(
                answers.points,
                truth,
                self.net.classes,
                cost=cheapest(self.net, answers, i) if isinstance(self.net, TemporalMaxer) else None,
            )
            for i, truth in enumerate(truths)
        ]
        focal, ends = self.loss(self.net, answers, targets)
        total: Tensor = focal + ends
        return total


def cropped(rows_CT: Tensor, truth: Truth, longest: int, generator: torch.Generator) -> tuple[Tensor, Truth]:
    """A part of a long video drawn at random, with the actions that are in it for the greater part."""
    length = rows_CT.shape[1]
    if length <= longest:
        return rows_CT, truth
    first = int(torch.randint(0, length - longest + 1, (), generator=generator))
    low, high = float(first), float(first + longest)
    inside = truth.segments.clamp(low, high)
    kept = (inside[:, 1] - inside[:, 0]) >= _LEAST_INSIDE * (truth.segments[:, 1] - truth.segments[:, 0])
    return rows_CT[:, first : first + longest], Truth(inside[kept] - low, truth.labels[kept])


class KeepState(pl.Callback):
    """Saves what the run needs to go on, and a row of the curve, after every epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, NetworkTask)
        row = {
            "epoch": float(trainer.current_epoch + 1),
            "train_loss": float(trainer.callback_metrics["loss"]),
            "lr": max(float(group["lr"]) for group in trainer.optimizers[0].param_groups),
        }
        pl_module.curve.append(row)
        trainer.save_checkpoint(self._path)


class StateIO(SafeCheckpointIO):
    """Writes whole files or none, and reads tensors and plain values only."""

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises a dozen kinds on damaged files
            raise InvalidCheckpoint(
                f"{path} is not the state of a training ({type(error).__name__}); delete it and train again."
            ) from error
        return state
