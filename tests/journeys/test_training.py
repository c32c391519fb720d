"""Training as a program of its own: killed at any moment, in several processes, on damaged data."""

from __future__ import annotations

import csv
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinesphere.evaluate import Report
from kinesphere.train import Recipe, train
from kinesphere.train.checkpoints import read_state
from kinesphere.train.history import read_history
from kinesphere.train.run_folder import RunFiles
from kinesphere.video import VideoWriter

FORKED = multiprocessing.get_context("fork")
"""Processes that need import nothing anew: that takes longer than these trainings."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten short, small videos: a square that moves right, or left."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for label, direction in (("rightwards", 1), ("leftwards", -1)):
        (root / label).mkdir()
        for number in range(10):
            top, phase = rng.integers(0, 24, 2)
            with VideoWriter(root / label / f"{number}.mp4", (32, 32), 8) as writer:
                for frame in range(8):
                    picture = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                    left = (phase + 3 * direction * frame) % 24
                    picture[top : top + 8, left : left + 8] = 230
                    writer.write(picture)
    return root


def write_recipe(folder: Path, source: Path, name: str, *overrides: str) -> Path:
    settings = {
        "data": {"source": str(source), "val": 0.2, "test": 0.2},
        "model": {"name": "fc_tiny"},
        "augment": {"preset": "strong", "flip": 0.0},
        "train": {"epochs": 4, "batch_size": 3, "ema": 0.9, "checkpoint_steps": 1},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 1},
        "log": {"tensorboard": False},
        "out": str(folder / name),
    }
    path = folder / f"{name}.yaml"
    Recipe.build(settings).override(*overrides).dump(path)
    return path


def run_through(recipe: Path) -> None:
    torch.set_num_threads(1)
    train(Recipe.load(recipe), resume=True)


def start(recipe: Path) -> ForkProcess:
    process = FORKED.Process(target=run_through, args=(recipe,))
    process.start()
    return process


def finish(recipe: Path) -> RunFiles:
    process = start(recipe)
    process.join(600)
    assert process.exitcode == 0  # what it said is among the captured errors
    return RunFiles(Path(str(Recipe.load(recipe).out)))


def rows_of(files: RunFiles) -> list[dict[str, str]]:
    with files.metrics.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_weights(one: RunFiles, other: RunFiles) -> None:
    for path, twin in ((one.model, other.model), (one.last, other.last)):
        a, b = load_file(path), load_file(twin)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_at_random_moments_and_resume_to_identical_weights(videos: Path, tmp_path: Path) -> None:
    whole = finish(write_recipe(tmp_path, videos, "whole"))
    recipe = write_recipe(tmp_path, videos, "killed")
    files, chance, kills = RunFiles(tmp_path / "killed"), random.Random(0), 0
    for _ in range(3):
        process = start(recipe)
        before = files.state.stat().st_mtime_ns if files.state.is_file() else 0
        while process.is_alive() and (not files.state.is_file() or files.state.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills >= 2  # else nothing was shown
    assert_same_weights(whole, finish(recipe))
    assert len(read_history(files.metrics)) == 4
    assert not [path for path in files.state.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_one_model_and_resume_wherever_they_are_stopped(
    videos: Path, tmp_path: Path
) -> None:
    settings = (
        "compute.processes=2", "compute.workers=0", "model.name=r3d_tiny", "clip.sampling=4x1x1",
        "train.batch_size=1", "train.epochs=3",
    )  # fmt: skip
    whole = finish(write_recipe(tmp_path, videos, "whole", *settings))
    assert len(read_history(whole.metrics)) == 3
    assert Report.read(whole.report).clips == 4
    recipe, files = write_recipe(tmp_path, videos, "stopped", *settings), RunFiles(tmp_path / "stopped")
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        told, code = stopped_after_a_step(recipe, files, number)
        if number == signal.SIGKILL:
            counts = read_state(files.state)["training_metrics"]
            assert counts.shape[0] == 2
            assert counts[:, 0].all()  # clips of either process: the state is one within an epoch
            assert not counts[0].equal(counts[1])
            time.sleep(1)  # the workers end with the process that launched them
            continue
        assert code == 128 + number, told
        assert "Traceback" not in told
        assert told.count(f"Go on with: kinesphere train {files.folder} --resume") == 1
        assert not (files.folder / ".lock").exists()
    assert_same_weights(whole, finish(recipe))
    columns = ("epoch", "train_loss", "train_top1", "val_loss", "val_top1")
    then, now = ([[row[column] for column in columns] for row in rows_of(each)] for each in (whole, files))
    assert now == then


def stopped_after_a_step(recipe: Path, files: RunFiles, number: signal.Signals) -> tuple[str, int]:
    """What a training told that got a signal when it had written its next state, and its exit code."""
    before = files.state.stat().st_mtime_ns if files.state.is_file() else 0
    words = [sys.executable, "-m", "kinesphere", "train", str(recipe), "--resume"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and (not files.state.is_file() or files.state.stat().st_mtime_ns == before):
        time.sleep(0.002)
    if number == signal.SIGINT:  # as a terminal does it: to all of them
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, told = process.communicate(timeout=120)  # ends when the last of the processes has let go of it
    return told, process.returncode


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_two_processes_train_in_mixed_precision(videos: Path, tmp_path: Path, precision: str) -> None:
    settings = (
        "compute.processes=2", "compute.workers=0", "model.name=r3d_tiny", "clip.sampling=4x1x1",
        f"compute.precision={precision}", "train.clip_norm=0.05", "train.ema=0.9", "augment.mixup=0.8",
        "train.epochs=2",
    )  # fmt: skip
    files = finish(write_recipe(tmp_path, videos, "pair", *settings))
    assert len(read_history(files.metrics)) == 2
    assert all(value.isfinite().all() for value in load_file(files.last).values())
    assert Report.read(files.report).clips == 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_folder_of_which_a_tenth_is_damaged(videos: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "videos"
    for number, path in enumerate(sorted(videos.glob("*/*.mp4"))):
        target = damaged / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        target.write_bytes(data[: len(data) // 10] if number % 10 == 0 else data)
    files = finish(write_recipe(tmp_path, damaged, "run"))
    listed = {each.path for each in Report.read(files.report).skipped}
    for table in (files.unreadable, files.damaged):
        if table.is_file():
            with table.open(newline="") as file:
                listed |= {row["path"] for row in csv.DictReader(file)}
    assert {"/".join(Path(path).parts[-2:]) for path in listed} == {"leftwards/0.mp4", "rightwards/0.mp4"}
