from __future__ import annotations

import csv
import io
import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from kinesphere.clips.modalities.mask.file import SUFFIX, write_masks
from kinesphere.clips.sidecar import Extracts
from kinesphere.core.errors import (
    InvalidCheckpoint,
    InvalidSetting,
    TooManyFailures,
    TrainingDiverged,
    UnknownName,
)
from kinesphere.core.threads import UsableThreads
from kinesphere.evaluate import Report
from kinesphere.models import load_model
from kinesphere.train import Recipe, cross_validate, open_run, train, trainer
from kinesphere.train.history import read_history
from kinesphere.train.module import RecognitionTask
from kinesphere.train.run_folder import RunFiles


class Interrupted(Exception):
    """Stands for a kill."""


class Interrupt(pl.Callback):
    """Raises at one moment of a run: (hook, epoch, batch)."""

    def __init__(self, moment: tuple[str, int, int]) -> None:
        self.moment = moment

    def _at(self, hook: str, epoch: int, batch: int = 0) -> None:
        if (hook, epoch, batch) == self.moment:
            raise Interrupted

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        self._at("batch", trainer.current_epoch, int(str(args[-1])))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._at("validation", trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._at("epoch", trainer.current_epoch)


def quiet() -> Console:
    return Console(file=io.StringIO())


def interrupted(recipe: Recipe, moment: tuple[str, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    original = trainer._callbacks
    with monkeypatch.context() as patch:
        patch.setattr(
            trainer, "_callbacks", lambda *a: [*original(*a)[:0], *_with(original(*a), Interrupt(moment))]
        )
        with pytest.raises(Interrupted):
            train(recipe, console=quiet())


def _with(callbacks: list[pl.Callback], extra: pl.Callback) -> Iterator[pl.Callback]:
    yield from callbacks[:-1]
    yield extra
    yield callbacks[-1]  # saving the state comes last


def weights(folder: Path) -> dict[str, torch.Tensor]:
    files = RunFiles(folder)
    last = {f"last.{key}": value for key, value in load_file(files.last).items()}
    return {**load_file(files.model), **last}


def assert_same(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    timings = {"seconds", "clips_per_s", "waiting"}
    rows = [
        [{k: v for k, v in row.items() if k not in timings} for row in read_history(RunFiles(f).metrics)]
        for f in (one, other)
    ]
    assert rows[0] == rows[1]


def test_a_run_leaves_everything_in_its_folder(recipe: Recipe) -> None:
    run = train(recipe.override("log.tensorboard=true", "train.ema=0.9"), console=quiet())
    files = run.files
    for path in (
        files.recipe,
        files.model,
        files.last,
        files.state,
        files.metrics,
        files.report,
        files.predictions,
    ):
        assert path.is_file(), path
    assert list(run.folder.glob("tensorboard/events*"))
    assert not files.unreadable.exists()
    model = load_model(run.folder)
    assert model.labels.names == ("bright", "dark", "striped")
    assert model.provenance.origin == "trained"
    assert model.provenance.training_data is not None
    assert "val_top1" in model.provenance.scores
    assert run.report is not None
    assert (run.report.clips, run.report.protocol.split) == (6, "test")
    assert len(read_history(files.metrics)) == 3
    assert isinstance(open_run(run.folder).report, Report)


def test_it_learns_and_training_the_resolved_recipe_again_reproduces_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    settings = (
        "train.epochs=12", "model.arguments={dropout: 0.0}", "augment.preset=none", "optimizer.lr=0.01",
    )  # fmt: skip
    run = train(recipe.override(*settings), console=quiet())
    assert run.report is not None
    assert run.report.scores["top1"].value == 1.0
    again = train(Recipe.load(run.folder, [f"out={tmp_path / 'again'}"]), console=quiet())
    assert_same(run.folder, again.folder)


SHAPES = {
    "plain": ("train.checkpoint_steps=1", "train.epochs=2"),
    "averaged, mixed, accumulated": (
        "train.ema=0.9", "augment.preset=strong", "augment.still_mix=0.5", "train.accumulate=2",
        "train.checkpoint_steps=1",
    ),
    "by steps, without validation": (
        "train.epochs=null", "train.steps=7", "data.val=0", "train.checkpoint_steps=2",
    ),
}  # fmt: skip
MOMENTS = {
    "plain": [("batch", 0, 0), ("batch", 1, 1), ("epoch", 1, 0)],
    "averaged, mixed, accumulated": [("batch", 1, 0), ("batch", 1, 2), ("validation", 1, 0)],
    "by steps, without validation": [("batch", 0, 3), ("batch", 1, 1), ("epoch", 0, 0)],
}


@pytest.mark.parametrize(
    "shape", ["plain", *(pytest.param(each, marks=pytest.mark.slow) for each in list(SHAPES)[1:])]
)
def test_an_interrupted_run_resumes_to_the_same_weights(
    recipe: Recipe, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.override(*SHAPES[shape])
    whole = train(recipe, console=quiet())
    for number, moment in enumerate(MOMENTS[shape]):
        broken = recipe.override(f"out={tmp_path / str(number)}")
        interrupted(broken, moment, monkeypatch)
        resumed = train(broken, resume=True, console=quiet())
        assert_same(whole.folder, resumed.folder)


@pytest.mark.slow
def test_people_before_other_backgrounds_are_the_same_whoever_reads_them(
    recipe: Recipe, videos: Path, tmp_path: Path
) -> None:
    masks = np.zeros((8, 32, 32), np.uint8)
    masks[:, 8:24, 8:24] = 255
    place = Extracts(tmp_path / "masks", videos)
    for path in videos.glob("*/*.mp4"):
        file = place.place(path, SUFFIX)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_masks(file, masks, size=(32, 32), origin="a square")
    pasted = recipe.override(
        f"data.extracts={tmp_path / 'masks'}", "augment.background=[replace]",
        "augment.background_label=area",
        "train.epochs=1",
    )  # fmt: skip
    runs = [
        train(pasted.override(f"compute.workers={count}", f"out={tmp_path / str(count)}"), console=quiet())
        for count in (0, 1)
    ]
    assert_same(runs[0].folder, runs[1].folder)
    assert not (runs[0].folder / "unreadable.csv").exists()


@pytest.mark.slow
def test_a_run_computes_with_its_threads_and_keeps_them_when_it_is_resumed(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    used: list[int] = []
    step = RecognitionTask.training_step

    def counting(*args: Any) -> Any:
        used.append(torch.get_num_threads())
        return step(*args)

    monkeypatch.setattr(RecognitionTask, "training_step", counting)
    monkeypatch.setattr(UsableThreads, "here", lambda: UsableThreads(8, stated=False))
    recipe, before = recipe.override("train.epochs=1"), torch.get_num_threads()
    with caplog.at_level("INFO", "kinesphere"):
        train(recipe.override("compute.threads=3"), console=quiet())
    assert "cpu, fp32, 3 threads;" in caplog.text
    resumed = train(recipe.override("train.epochs=2"), resume=True, console=quiet())
    assert resumed.recipe.compute.threads == open_run(resumed.folder).recipe.compute.threads == 3
    assert set(used) == {3}
    train(recipe.override("train.epochs=3", "compute.threads=4"), resume=True, console=quiet())
    assert used[-1] == 4
    monkeypatch.setattr(UsableThreads, "here", lambda: UsableThreads(2, stated=False))
    train(recipe.override("train.epochs=4"), resume=True, console=quiet())
    assert used[-1] == 2
    assert torch.get_num_threads() == before


def test_resuming_an_early_stopped_run_does_not_train_on(recipe: Recipe) -> None:
    recipe = recipe.override(
        "train.early_stopping=1", "train.epochs=20", "optimizer.lr=1e-9", "train.monitor=top1"
    )
    run = train(recipe, console=quiet())
    rows = len(read_history(run.files.metrics))
    assert rows < 20
    run.files.report.unlink()  # killed before it was scored
    again = train(recipe, resume=True, console=quiet())
    assert again.report is not None
    assert len(read_history(run.files.metrics)) == rows


def test_the_processes_that_load_end_with_the_run(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[BaseProcess] = []
    monkeypatch.setattr(BaseProcess, "terminate", killed.append)  # after five seconds without an answer
    train(recipe.override("compute.workers=1", "train.epochs=1"), console=quiet())
    assert multiprocessing.active_children() == []
    assert not killed


def test_a_folder_is_not_used_twice_and_resumes_only_its_own_recipe(recipe: Recipe) -> None:
    run = train(recipe.override("train.epochs=1"), console=quiet())
    with pytest.raises(InvalidSetting, match="already holds a run; resume it"):
        train(recipe, console=quiet())
    with pytest.raises(InvalidSetting, match=r"other settings \(now / then\): optimizer.lr: 0.5 / 0.001"):
        train(recipe.override("optimizer.lr=0.5"), resume=True, console=quiet())
    with pytest.raises(InvalidSetting, match="Resuming needs the run's folder"):
        train(recipe.override("out=null"), resume=True, console=quiet())
    with pytest.raises(InvalidSetting, match="is no run folder"):
        open_run(run.folder.parent)
    finished = train(recipe.override("train.epochs=1", "log.every_steps=3"), resume=True, console=quiet())
    assert finished.report is not None


def test_a_damaged_state_is_refused(recipe: Recipe) -> None:
    run = train(recipe.override("train.epochs=1"), console=quiet())
    run.files.report.unlink()
    state = run.files.state.read_bytes()
    run.files.state.write_bytes(state[: len(state) // 2])
    with pytest.raises(InvalidCheckpoint, match="is not the state of a training run"):
        train(recipe.override("train.epochs=1"), resume=True, console=quiet())


def test_unreadable_files_are_listed_and_too_many_stop_the_run(
    recipe: Recipe, videos: Path, tmp_path: Path
) -> None:
    rows = [(path, path.parent.name) for path in sorted(videos.glob("*/*.mp4"))]
    bad = []
    for number in range(3):
        bad.append(tmp_path / f"bad{number}.mp4")
        bad[-1].write_bytes(b"not a video")
    table = tmp_path / "data.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows((path, label, "train" if i % 3 else "val") for i, (path, label) in enumerate(rows))
        writer.writerows((path, "dark", "train") for path in bad)
    recipe = recipe.override(f"data.source={table}", "data.val=val", "data.test=0")
    run = train(recipe, console=quiet())
    with run.files.unreadable.open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["path"] for row in listed] == [str(path) for path in bad]
    assert all(row["reason"] for row in listed)
    strict = recipe.override("data.max_unreadable=0.05", f"out={tmp_path / 'strict'}")
    with pytest.raises(TooManyFailures, match=r"\d of 27 samples cannot be read, more than the 5 %"):
        train(strict, console=quiet())


def test_a_loss_that_is_no_number_stops_the_run(recipe: Recipe) -> None:
    with pytest.raises(TrainingDiverged, match=r"lower optimizer\.lr"):
        train(recipe.override("optimizer.name=sgd", "optimizer.lr=1e12"), console=quiet())


def test_a_loss_that_nobody_knows_is_refused_before_data_are_read(tmp_path: Path) -> None:
    wrong = Recipe.build(
        {"data": {"source": "nowhere.csv"}, "loss": {"name": "focall"}, "out": str(tmp_path / "run")}
    )
    with pytest.raises(UnknownName, match="no loss called 'focall'; did you mean focal"):
        train(wrong)
    with pytest.raises(UnknownName, match="no loss called 'focall'; did you mean focal"):
        cross_validate(wrong, 2)


def test_finetuning_a_run_on_other_labels_says_which_tensors_are_fresh(
    recipe: Recipe, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train(recipe.override("train.epochs=1"), console=quiet())
    table = tmp_path / "two.csv"
    chosen = [path for label in ("bright", "dark") for path in sorted((videos / label).glob("*.mp4"))]
    lines = [f"{path},{path.parent.name}" for path in chosen]
    table.write_text("\n".join(["path,label", *lines]))
    tuned = recipe.override(
        f"data.source={table}", f"model.pretrained={first.folder}", "model.freeze=hidden1",
        f"out={tmp_path / 'two'}", "train.epochs=1",
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "kinesphere.train"):
        run = train(tuned, console=quiet())
    assert "reset: fc.weight, fc.bias. Labels: 2 shared (bright, dark), 0 new" in caplog.text
    assert "Frozen: 4 tensors up to stage hidden1" in caplog.text
    before, after = load_model(first.folder).net.state_dict(), load_file(run.files.last)
    assert torch.equal(before["hidden1.0.weight"], after["hidden1.0.weight"])
    assert after["fc.weight"].shape[0] == 2
    with pytest.raises(InvalidSetting, match=r"holds a fc_tiny, but model\.name is r3d_tiny"):
        train(tuned.override("model.name=r3d_tiny", f"out={tmp_path / 'no'}"), console=quiet())


@pytest.mark.slow
def test_offline_wandb_keeps_its_files_with_the_run(recipe: Recipe) -> None:
    pytest.importorskip("wandb")
    run = train(
        recipe.override("train.epochs=1", "log.wandb=test", "log.wandb_offline=true"), console=quiet()
    )
    assert list((run.folder / "wandb").glob("offline-run-*"))
    assert (run.folder / "wandb-run-id").is_file()


def test_progress_without_a_terminal_is_a_line_per_epoch(recipe: Recipe) -> None:
    text = io.StringIO()
    train(recipe.override("train.epochs=2"), console=Console(file=text, width=200))
    lines = [line for line in text.getvalue().splitlines() if line.startswith("epoch")]
    assert len(lines) == 2  # a busy machine may add what helps against waiting
    assert lines[0].startswith("epoch 1/2  loss ")
    for word in ("top-1", "val loss", "clips/s", "waiting", "left"):
        assert word in lines[0]


def test_progress_on_a_terminal_shows_a_bar(recipe: Recipe) -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=160)
    train(recipe.override("train.epochs=2"), console=console)
    assert "epoch 2/2" in text.getvalue()
    assert "waiting" in text.getvalue()


@pytest.mark.slow
def test_cross_validation_pools_every_sample_once_and_resumes(recipe: Recipe, tmp_path: Path) -> None:
    recipe = recipe.override("train.epochs=1", "data.val=auto", f"out={tmp_path / 'cv'}")
    result = cross_validate(recipe, 3, console=quiet())
    assert result.report.clips == 24
    assert [fold.clips for fold in result.report.folds] == [8, 8, 8] or len(result.report.folds) == 3
    assert result.report.protocol.split == "3-fold"
    assert all(run.recipe.data.val == 0 for run in result.runs)
    before = {run.folder: run.files.model.stat().st_mtime_ns for run in result.runs}
    RunFiles(result.runs[-1].folder).report.unlink()
    again = cross_validate(recipe, 3, resume=True, console=quiet())
    assert before[result.runs[0].folder] == again.runs[0].files.model.stat().st_mtime_ns
    assert again.report.scores["top1"] == result.report.scores["top1"]
    with pytest.raises(InvalidSetting, match="already holds a cross-validation; resume it"):
        cross_validate(recipe, 3, console=quiet())
    with pytest.raises(InvalidSetting, match="needs a folder for its runs"):
        cross_validate(recipe.override("out=null"), 3, console=quiet())


@pytest.mark.slow
def test_checkpointed_activations_train_to_the_same_weights(recipe, tmp_path):
    folders = []
    for name, value in (("kept", "false"), ("again", "true")):
        folder = tmp_path / name
        train(
            recipe.override(
                "model.name=r3d_tiny", f"compute.checkpoint_activations={value}", f"out={folder}"
            ),
            console=quiet(),
        )
        folders.append(folder)
    assert_same(*folders)


def test_an_epoch_that_the_steps_cut_short_is_validated(recipe: Recipe) -> None:
    run = train(recipe.override("train.epochs=null", "train.steps=5"), console=quiet())
    rows = read_history(run.files.metrics)
    assert [row["step"] for row in rows] == [4, 5]
    assert all(row["val_top1"] is not None for row in rows)
