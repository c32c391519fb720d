from __future__ import annotations

import errno
import importlib.util
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kinesphere.core.errors import MissingExtra, UnwritableFile
from kinesphere.train.loggers import make_loggers, naming_the_disk
from kinesphere.train.recipe import Recipe


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_missing_tracker_names_the_extra(
    tracker: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"log.{tracker} needs {tracker}.*kinesphere\[track\]"):
        make_loggers(recipe.override(f"log.{tracker}={tmp_path}"), tmp_path, 0)


@pytest.mark.slow
def test_mlflow_continues_its_run(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    recipe = recipe.override(f"log.mlflow={tmp_path / 'mlruns'}")
    first, again = (make_loggers(recipe, tmp_path, 0)[0] for _ in range(2))
    assert first.version == again.version
    assert (tmp_path / "mlflow-run-id").read_text() == first.version


def pipe(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def file_above(path: Path) -> None:
    path.parent.touch()


@pytest.mark.parametrize(
    ("lies_there", "match"),
    [
        (pipe, "hparams.yaml cannot be written: it is no file, and a tracker keeps one there; remove it"),
        (folder, "hparams.yaml cannot be written: it is no file"),
        (file_above, "tensorboard cannot be written: it is no folder; a file lies where a folder is needed"),
    ],
)
def test_what_a_tracker_would_open_and_is_no_file_is_refused(
    recipe: Recipe, tmp_path: Path, lies_there: Callable[[Path], None], match: str
) -> None:
    lies_there(tmp_path / "tensorboard" / "hparams.yaml")
    with pytest.raises(UnwritableFile, match=match):
        make_loggers(recipe.override("log.tensorboard=true"), tmp_path, 5)


def fail(error: OSError) -> None:
    raise error


def write_in_a_thread(error: OSError, again: bool) -> None:
    thread = threading.Thread(target=fail, args=(error,))
    thread.start()
    thread.join()
    if again:  # where the next write raises it, too
        raise error


@pytest.mark.parametrize("again", [False, True])
def test_a_full_disk_under_a_logger_is_told_once_by_the_name_of_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], again: bool
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    match = rf"{tmp_path} cannot be written: No space left on device; free some space"
    with pytest.raises(UnwritableFile, match=match), naming_the_disk(tmp_path):
        write_in_a_thread(full, again)
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_other_errors_of_threads_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    with naming_the_disk(tmp_path):
        write_in_a_thread(FileNotFoundError(errno.ENOENT, "gone"), again=False)
    assert len(heard) == 1
    assert threading.excepthook == heard.append
