"""When a run stops, when it validates, and that a signal is heard."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from kinesphere.core.signals import end_silently, raise_if_stopped, take_back
from kinesphere.train.module import RecognitionTask


class StopAfter(pl.Callback):
    """Ends the run after a number of optimiser steps, wherever in an epoch that falls.

    Lightning's own `max_steps` leaves an epoch that it cuts short without its validation.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step >= self.steps:
            trainer.should_stop = True


class Validate(pl.Callback):
    """Has every so many epochs validated, and the last one in any case.

    Args:
        every: Epochs between validations.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._plan(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._plan(trainer, pl_module)  # a run resumed within an epoch does not start one

    def _plan(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, RecognitionTask)
        last = trainer.current_epoch + 1 >= pl_module.length.epochs
        trainer.check_val_every_n_epoch = 1 if last else self.every


class HearSignals(pl.Callback):
    """Ends the run on a signal, also where something on the way has swallowed it; Lightning's handlers go."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # One of several processes has nothing to tell: the one that launched it does.
        (take_back if trainer.world_size == 1 else end_silently)()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning installs its handlers between the start of the fit and this. Among several processes they
        # wait for each other, in the midst of whatever else these were telling each other.
        self.on_fit_start(trainer, pl_module)

    def on_train_batch_start(self, *args: Any) -> None:
        raise_if_stopped()

    def on_train_batch_end(self, *args: Any) -> None:
        raise_if_stopped()

    def on_validation_batch_end(self, *args: Any) -> None:
        raise_if_stopped()

    def on_train_epoch_end(self, *args: Any) -> None:
        raise_if_stopped()
