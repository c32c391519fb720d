"""Every setting of training in every arithmetic, on any processor (torch emulates what it lacks) and GPU."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from kinesphere.train import Recipe, train, trainer
from kinesphere.train.checkpoints import read_state
from kinesphere.train.history import read_history
from kinesphere.train.run_folder import RunFiles

PRECISIONS = ("fp32", "bf16", "fp16")
SETTINGS = {
    "plain": (),
    "sgd, clipped": ("optimizer.name=sgd", "optimizer.momentum=0", "train.clip_norm=0.05"),
    "clipped, accumulated": ("train.clip_norm=0.05", "train.accumulate=2"),
    "averaged, mixed": ("train.ema=0.9", "augment.mixup=0.8", "augment.cutmix=1.0"),
    "frozen, activations again": ("model.freeze=layer1", "compute.checkpoint_activations=true"),
    "adam, focal, scheduled": (
        "optimizer.name=adam", "loss.name=focal", "loss.label_smoothing=0.1", "schedule.name=cosine",
    ),
    "all together": (
        "train.clip_norm=0.05", "train.accumulate=2", "train.ema=0.9", "augment.mixup=0.8",
        "augment.cutmix=1.0", "model.freeze=stem", "compute.checkpoint_activations=true",
    ),
}  # fmt: skip


QUICK = ("plain", "all together")
"""What runs with every change; the settings one by one are `slow`."""


@pytest.fixture
def norms() -> Iterator[list[float]]:
    """Norms of the gradients with which optimisers stepped while the test ran.

    Read after the step, so they are those only of optimisers that leave gradients alone: SGD with Nesterov's
    momentum adds to them in place on a GPU.
    """
    found: list[float] = []

    def measure(optimizer: torch.optim.Optimizer, *_: object) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        found.append(float(torch.nn.utils.get_total_norm(grads)))

    handle = register_optimizer_step_post_hook(measure)
    yield found
    handle.remove()


GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
)


@pytest.fixture(params=["cpu", GPU])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small(recipe: Recipe, device: str) -> Recipe:
    """Three optimiser steps of a small residual network."""
    return recipe.override(
        f"compute.device={device}",
        "model.name=r3d_tiny", "clip.sampling=4x1x1", "clip.size=24", "clip.short_side_px=24", "data.test=0",
        "augment.preset=none", "train.epochs=1", "train.batch_size=6", "optimizer.lr=0.002",
    )  # fmt: skip


def trained(recipe: Recipe, precision: str, folder: Path, *settings: str, resume: bool = False) -> RunFiles:
    recipe = recipe.override(f"compute.precision={precision}", f"out={folder}", *settings)
    return train(recipe, resume=resume, console=Console(file=io.StringIO())).files


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
)
def test_every_setting_trains_in_every_precision(
    small: Recipe, name: str, tmp_path: Path, norms: list[float]
) -> None:
    losses = {}
    for precision in PRECISIONS:
        norms.clear()
        files = trained(small, precision, tmp_path / precision, *SETTINGS[name])
        rows = read_history(files.metrics)
        losses[precision] = torch.tensor([[float(row["train_loss"]), float(row["val_loss"])] for row in rows])
        assert losses[precision].isfinite().all()
        for path in (files.model, files.last):
            assert all(value.isfinite().all() for value in load_file(path).values())
        assert norms
        if any(setting.startswith("train.clip_norm") for setting in SETTINGS[name]):
            assert max(norms) <= 0.0501
            assert max(norms) > 0.0499  # the limit was in force
        else:
            assert max(norms) < 100  # and no gradient is still scaled
    # fp16 leaves out the steps in which its first scales overflow, so only its beginning is the same.
    torch.testing.assert_close(losses["bf16"][0, 0], losses["fp32"][0, 0], rtol=0.1, atol=0)
    torch.testing.assert_close(losses["fp16"][0, 0], losses["fp32"][0, 0], rtol=0.1, atol=0)


class Stop(pl.Callback):
    """Stands for a kill in the second epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_resumes_to_the_same_weights_and_scale(
    small: Recipe, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit; on a GPU with the kernels of cuDNN that add in a fixed order."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    settings = (*SETTINGS["all together"], "train.epochs=2", "train.batch_size=3", "train.checkpoint_steps=1")
    whole = trained(small, precision, tmp_path / "whole", *settings)
    make = trainer._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_callbacks", lambda *a: [Stop(), *make(*a)])
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(small, precision, tmp_path / "broken", *settings)
    resumed = trained(small, precision, tmp_path / "broken", *settings, resume=True)
    for one, other in ((whole.model, resumed.model), (whole.last, resumed.last)):
        torch.testing.assert_close(load_file(other), load_file(one), rtol=0, atol=0)
    scales = [read_state(files.state).get("MixedPrecision") for files in (whole, resumed)]
    assert scales[0] == scales[1]
    assert bool(scales[0]) == (precision == "fp16")
