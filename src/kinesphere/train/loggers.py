"""Where curves go besides metrics.csv: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import errno
import importlib.util
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from kinesphere.core.errors import MissingExtra, UnwritableFile
from kinesphere.core.files import OF_THE_DISK, unwritable, write_text
from kinesphere.core.paths import is_file, is_folder, is_there
from kinesphere.train.recipe import Recipe


def make_loggers(recipe: Recipe, folder: Path, step: int) -> list[Logger]:
    """The loggers that a recipe asks for.

    Args:
        recipe: Its `log` section decides; all settings are recorded.
        folder: The run folder.
        step: Optimiser steps done before (a resumed run continues its curves from there).

    Raises:
        MissingExtra: If a tracker is asked for but not installed.
        UnwritableFile: If something lies in the run folder where a tracker writes its files.
    """
    settings = recipe.log
    loggers: list[Logger] = []
    if settings.tensorboard:
        _check_files(folder / "tensorboard")
        loggers.append(
            TensorBoardLogger(folder, name="", version="tensorboard", purge_step=step if step else None)
        )
    if settings.wandb is not None:
        _require("wandb", "log.wandb")
        _check_files(folder / "wandb")
        loggers.append(
            WandbLogger(
                name=folder.name,
                save_dir=folder,
                project=settings.wandb,
                offline=settings.wandb_offline,
                version=_identity(folder / "wandb-run-id"),
                resume="allow",
            )
        )
    if settings.mlflow is not None:
        _require("mlflow", "log.mlflow")
        loggers.append(_mlflow(settings.mlflow, folder))
    for logger in loggers:
        logger.log_hyperparams(recipe.to_dict())
    return loggers


@contextmanager
def naming_the_disk(folder: Path) -> Iterator[None]:
    """Within the block, a disk that refuses what a logger writes is told once, with the folder's name.

    TensorBoard writes in a thread of its own, whose error Python prints, and raises it again, without a name,
    at the next write, if there is one.

    Raises:
        UnwritableFile: In place of an error of the disk without a name.
    """
    before, refused = threading.excepthook, []

    def hear(failed: threading.ExceptHookArgs) -> None:
        if isinstance(failed.exc_value, OSError) and failed.exc_value.errno in OF_THE_DISK:
            refused.append(failed.exc_value)
        else:
            before(failed)

    threading.excepthook = hear
    try:
        yield
    except OSError as error:
        if error.errno not in OF_THE_DISK or error.filename is not None:
            raise
        raise unwritable(folder, error) from error
    finally:
        threading.excepthook = before
    if refused:
        raise unwritable(folder, refused[0])


def _check_files(folder: Path) -> None:
    """Refuse what a tracker would open in its folder as a file of its own, and is none.

    Trackers ask no questions: opening a pipe to write waits for a reader for ever.
    """
    if is_there(folder) and not is_folder(folder):
        raise unwritable(folder, NotADirectoryError(errno.ENOTDIR, "it is no folder"))
    for place, folders, files in os.walk(folder):
        odd = [name for name in files if is_there(path := Path(place, name)) and not is_file(path)]
        odd += [name for name in folders if name == TensorBoardLogger.NAME_HPARAMS_FILE]
        if odd:
            raise UnwritableFile(
                f"{Path(place, odd[0])} cannot be written: it is no file, and a tracker keeps one there; "
                "remove it."
            )


def _mlflow(url: str, folder: Path) -> MLFlowLogger:
    uri = url if "://" in url else Path(url).resolve().as_uri()
    known = folder / "mlflow-run-id"
    run_id = known.read_text(encoding="utf-8") if known.is_file() else None
    logger = MLFlowLogger(experiment_name="kinesphere", run_name=folder.name, tracking_uri=uri, run_id=run_id)
    if run_id is None:
        write_text(known, str(logger.run_id))
    return logger


def _identity(path: Path) -> str:
    """A random name that stays with the run folder."""
    if not path.is_file():
        write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8")


def _require(module: str, setting: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(
            f"{setting} needs {module}, which is not installed: pip install 'kinesphere[track]'."
        )
