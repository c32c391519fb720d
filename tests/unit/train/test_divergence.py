"""Weights that are no numbers never replace good ones."""

from __future__ import annotations

import io
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from kinesphere.core.errors import TrainingDiverged
from kinesphere.train import Recipe, train, trainer
from kinesphere.train.run_folder import RunFiles


class Break(pl.Callback):
    """Makes a weight no number after the last step of an epoch, whose loss was still one."""

    def __init__(self, epoch: int, value: float) -> None:
        self.epoch = epoch
        self.value = value

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: object) -> None:
        if trainer.current_epoch == self.epoch and trainer.is_last_batch:
            with torch.no_grad():
                next(pl_module.parameters()).view(-1)[0] = self.value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("monitor", ["top1", "loss"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_without_numbers_is_never_the_best(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, value: float, monitor: str, epoch: int
) -> None:
    make = trainer._callbacks
    monkeypatch.setattr(trainer, "_callbacks", lambda *a: [Break(epoch, value), *make(*a)])
    with pytest.raises(TrainingDiverged, match=rf"The validation loss became \S+ in epoch {epoch + 1}"):
        train(recipe.override(f"train.monitor={monitor}"), console=Console(file=io.StringIO()))
    model = RunFiles(Path(str(recipe.out))).model
    assert model.is_file() == (epoch > 0)
    if epoch:
        assert all(tensor.isfinite().all() for tensor in load_file(model).values())


def test_last_weights_without_numbers_are_not_written(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = trainer._callbacks
    monkeypatch.setattr(trainer, "_callbacks", lambda *a: [Break(2, float("nan")), *make(*a)])
    with pytest.raises(
        TrainingDiverged, match=r"tensors of weights hold what is not a number .* was not written"
    ):
        train(recipe.override("data.val=0"), console=Console(file=io.StringIO()))
    files = RunFiles(Path(str(recipe.out)))
    assert not files.model.exists()
    assert not files.last.exists()
