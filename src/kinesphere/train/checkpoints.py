"""What a run keeps while it runs: the state to resume from, and the best weights."""

from __future__ import annotations

import io
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO

from kinesphere.core.errors import InvalidCheckpoint, TrainingDiverged
from kinesphere.core.files import replacing
from kinesphere.core.signals import held
from kinesphere.models.checkpoint import save_model
from kinesphere.models.recogniser import Recogniser
from kinesphere.train.config import FORMER_METRICS
from kinesphere.train.loader import ResumableLoader
from kinesphere.train.module import RecognitionTask
from kinesphere.train.running_metrics import monitor_mode


class SafeCheckpointIO(CheckpointIO):
    """Writes whole files or none, and reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with held(), replacing(Path(path)) as temporary, temporary.open("wb") as file:
            sink = _Sink(file)
            try:
                torch.save(checkpoint, cast("BinaryIO", sink))
            except RuntimeError as error:
                # torch tells of a full disk in words of its own, about positions in its archive.
                raise sink.error or error from error
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class _Sink(io.RawIOBase):
    """A file for torch to write to that keeps what the system refuses."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise


def read_state(path: Path) -> dict[str, Any]:
    """The content of a training state; nothing in it is executed.

    Raises:
        InvalidCheckpoint: If the file is damaged or not ours.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "training_tally" in state:
            state = _of_now(state)
        state["loops"], state["callbacks"], state["training_metrics"]
    except Exception as error:  # torch.load raises a dozen kinds on damaged files
        raise InvalidCheckpoint(
            f"{path} is not the state of a training run ({type(error).__name__}: {error}); delete its folder "
            "and train again."
        ) from error
    assert isinstance(state, dict)
    return state


def _of_now(state: dict[str, Any]) -> dict[str, Any]:
    """A state of the version before, in which metrics had other names."""
    callbacks = state["callbacks"]
    for then, now in FORMER_METRICS.items():
        callbacks = {name.replace(f"'val/{then}'", f"'val/{now}'"): each for name, each in callbacks.items()}
    return {**state, "callbacks": callbacks, "training_metrics": state["training_tally"]}


class ResumeState(Checkpoint):
    """Saves everything that the run needs to continue as if it had never stopped.

    Saves after every epoch and, in between, when enough steps or minutes have passed; only where an
    optimiser step has just ended, since gradients under accumulation are not part of the state.

    Args:
        path: The file; replaced each time.
        loader: Its position is part of the state.
        every_steps: Optimiser steps between saves, or None.
        every_minutes: Minutes between saves, or None.
    """

    def __init__(
        self,
        path: Path,
        loader: ResumableLoader,
        every_steps: int | None = None,
        every_minutes: float | None = None,
    ) -> None:
        self.path = path
        self.finished = False
        """Whether training had ended when the state was saved."""
        self._loader = loader
        self._every_steps = every_steps
        self._every_s = None if every_minutes is None else 60 * every_minutes
        self._saved_step = 0
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self.finished, "position": self._loader.state_dict()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._saved_step = checkpoint["global_step"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.finished = state_dict["finished"]
        self._loader.load_state_dict(state_dict["position"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.finished:  # an ended run does not train on
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.is_last_batch and not trainer.should_stop and self._due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # With validation the epoch's last word falls after it, and validation precedes this hook.
        self.finished = trainer.should_stop
        self._save(trainer)

    def _due(self, trainer: pl.Trainer) -> bool:
        steps = trainer.global_step - self._saved_step
        late = self._every_s is not None and time.monotonic() - self._saved_at >= self._every_s
        if trainer.world_size > 1 and self._every_s is not None:  # clocks differ, and saving is collective
            late = trainer.strategy.reduce_boolean_decision(late, all=False)
        return late or (self._every_steps is not None and steps >= self._every_steps)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()


@dataclass(frozen=True)
class BestScore:
    """The validation that the kept weights come from.

    Attributes:
        value: Value of the monitored score.
        loss: Validation loss, which decides between equal scores.
        epoch: Counted from 1.
    """

    value: float
    loss: float
    epoch: int


class KeepBest(pl.Callback):
    """Writes the weights to `path` whenever the monitored validation score improves.

    Args:
        path: A `.safetensors` file.
        monitor: `loss`, or a metric of training.
        training_data: Fingerprint of the training samples, for the file's provenance.
    """

    def __init__(self, path: Path, monitor: str, training_data: str) -> None:
        self.path = path
        self.monitor = monitor
        self.best: BestScore | None = None
        self._training_data = training_data

    def state_dict(self) -> dict[str, Any]:
        best = self.best
        return {} if best is None else {"value": best.value, "loss": best.loss, "epoch": best.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = BestScore(**state_dict) if state_dict else None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, RecognitionTask)
        scores = pl_module.last_validation
        if scores is None:
            return
        now = BestScore(scores[self.monitor], scores["loss"], trainer.current_epoch + 1)
        if not (math.isfinite(now.value) and math.isfinite(now.loss)):  # `end_epoch` ends the run
            return
        if self.best is not None and not self._better(now, self.best):
            return
        self.best = now
        if trainer.is_global_zero:
            found = {f"val_{name}": value for name, value in scores.items()}
            keep(pl_module.scored, self.path, self._training_data, found)

    def _better(self, a: BestScore, b: BestScore) -> bool:
        sign = -1 if monitor_mode(self.monitor) == "min" else 1
        return (sign * a.value, -a.loss) > (sign * b.value, -b.loss)


def keep(recogniser: Recogniser, path: Path, training_data: str, scores: dict[str, float]) -> None:
    """Write a trained recogniser with where it comes from.

    Raises:
        TrainingDiverged: If a weight is not a number; the file stays as it was.
    """
    broken = [name for name, value in recogniser.net.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise TrainingDiverged(
            f"After the last step {len(broken)} tensors of weights hold what is not a number ({broken[0]}), "
            f"so {path} was not written. Lower optimizer.lr, add a warm-up (schedule.warmup_epochs) or set "
            "train.clip_norm."
        )
    provenance = replace(
        recogniser.provenance,
        origin="trained",
        training_data=training_data,
        scores=scores,
        sha256=None,
        rejection=None,  # it was measured with the weights of before
    )
    with held():
        save_model(recogniser, path, provenance=provenance)
