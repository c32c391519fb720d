"""Signals and refusing disks, verb by verb."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.progress import Progress

from kinesphere.core import files, signals
from kinesphere.core.errors import UnwritableFile
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, save_model

Words = tuple[object, ...]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return save_model(create_model("r3d_tiny", LabelSet(("fall", "get up", "wave"))), path)


def words(verb: str, data: Path, model: Path, out: Path) -> Words:
    some = data / "videos"
    return {
        "check": ("check", data, "--preview", out / "preview.png"),
        "evaluate": ("evaluate", model, data, "--split", "test", "--out", out, "--device", "cpu"),
        "predict": ("predict", some, "--model", model, "--out", out / "said.jsonl", "--device", "cpu"),
        "extract": ("extract", "flow", some, "--out", out, "--workers", 1),
        "train": ("train", data, "model.name=r3d_tiny", "train.epochs=1", f"out={out / 'run'}",
                  "compute.workers=0", "log.tensorboard=false"),
        "demo": ("demo", "--out", out, "--clips-per-class", 10, "--epochs", 1),
    }[verb]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["check", "evaluate", "predict", "extract", "demo"])
def test_a_signal_ends_every_verb_with_a_sentence(
    verb: str, number: int, mannequins: Path, model: Path, tmp_path: Path,
    kinesphere: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sent = []

    def update(self: Progress, *_: object, **__: object) -> None:
        if not sent:
            sent.append(number)
            signal.raise_signal(number)

    monkeypatch.setattr(Progress, "update", update)
    code, _, told = kinesphere(*words(verb, mannequins, model, tmp_path))
    assert code == 128 + number
    assert signals._state.announced
    goes_on = signals._state.advice == "What is finished is kept; the same command goes on from there."
    assert goes_on == (verb in ("predict", "extract", "demo"))
    assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["check", "evaluate", "predict", "extract", "train", "demo"])
def test_a_full_disk_ends_every_verb_with_its_reason(
    verb: str, mannequins: Path, model: Path, tmp_path: Path,
    kinesphere: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_locked_folder", full)
    code, _, told = kinesphere(*words(verb, mannequins, model, tmp_path))
    assert code == 2, told
    assert "cannot be written: No space left on device; free some space" in " ".join(told.split())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size == 0]


def test_a_full_disk_ends_explaining_at_the_first_video(
    mannequins: Path, model: Path, tmp_path: Path,
    kinesphere: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked = []

    def full(_asked: object, source: object, *_: object, **__: object) -> None:
        asked.append(source)
        raise UnwritableFile("The picture cannot be written: No space left on device; free some space.")

    monkeypatch.setattr("kinesphere.explain.folder.explain_video", full)
    code, _, told = kinesphere("explain", mannequins / "videos", "--model", model, "--out", tmp_path)
    assert (code, len(asked)) == (2, 1)
    assert "No space left on device" in told
