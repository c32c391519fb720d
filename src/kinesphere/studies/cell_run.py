"""One run of a study's cell: trained in a folder of its own, gone on with, or known to be finished."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.structured import read_json
from kinesphere.train.recipe import Recipe
from kinesphere.train.run_folder import RunFiles

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger("kinesphere.studies")

FILE_NAME = "cell.json"
"""In the run folder of a cell: which one it is, what it was made with, and what it cost."""
State = Literal["done", "begun", "to do", "other settings"]

# Settings that leave a cell's scores as they are, up to rounding.
_OF_NO_EFFECT = ("out", "log.", "compute.", "data.cache", "probe.cache", "train.checkpoint_", "test.open")


@dataclass(frozen=True)
class Cost:
    """What a cell takes.

    Attributes:
        seconds: Time of training.
        parameters: Number of learnable scalars.
        multiply_adds: Of one view; None where that cannot be counted.
    """

    seconds: float
    parameters: int
    multiply_adds: int | None


@dataclass(frozen=True)
class Order:
    """What is to be trained where.

    Attributes:
        cell: Name of the cell.
        folder: The run folder.
        recipe: What to follow; the seed, the folder and the weights to start from are set.
        start: Name of the cell that the weights come from, or None.
    """

    cell: str
    folder: Path
    recipe: Recipe
    start: str | None = None

    @property
    def files(self) -> RunFiles:
        """Paths in the folder."""
        return RunFiles(self.folder)

    def settings(self) -> dict[str, Any]:
        """The recipe as it is noted: without the folder, with the name of the cell that it starts from."""
        plain = self.recipe.to_dict()
        if self.start is not None:
            plain["model"]["pretrained"] = f"cell:{self.start}"
        return {**plain, "out": None}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cell": self.cell, "folder": str(self.folder), "recipe": self.recipe.to_dict(),
            "start": self.start,
        }  # fmt: skip

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Order:
        """Inverse of `to_json`."""
        return cls(plain["cell"], Path(plain["folder"]), Recipe.build(plain["recipe"]), plain["start"])


@dataclass(frozen=True)
class Record:
    """What lies in `cell.json`.

    Attributes:
        cell: Name of the cell.
        settings: See `Order.settings`.
        started_from: Digest of the weights of the cell that it starts from, or None.
        cost: Of a run that is finished, else None.
    """

    cell: str
    settings: Mapping[str, Any]
    started_from: str | None
    cost: Cost | None

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record of a run folder; None where nothing was begun.

        Raises:
            InvalidSetting: If it is damaged.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return None
        try:
            plain = read_json(path, InvalidSetting)
            cost = plain["cost"]
            return cls(
                str(plain["cell"]), dict(plain["settings"]), plain["started_from"],
                None if cost is None else Cost(**cost),
            )  # fmt: skip
        except (InvalidSetting, KeyError, TypeError, ValueError) as error:
            raise InvalidSetting(
                f"{path} does not say what was trained there ({error}); delete {folder} to train it anew."
            ) from error

    def write(self, folder: Path) -> None:
        """Write it.

        Raises:
            UnwritableFile: If the place takes no file.
        """
        write_text(folder / FILE_NAME, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def state_of(order: Order) -> State:
    """How far a run is; nothing is changed.

    Raises:
        InvalidSetting: If its record is damaged.
    """
    record = _record(order)
    if record is None:
        return "to do"
    if _changes(order, record):
        return "other settings"
    weights = order.files.weights(joint=bool(order.recipe.joint.sets))
    done = record.cost is not None and weights.is_file()
    return "done" if done else "begun"


def train_cell(order: Order, console: Console | None = None) -> None:
    """Train what is ordered, go on with it, or leave it as it is if it is finished.

    Args:
        order: What to train.
        console: Where the progress of the training goes; None shows none.

    Raises:
        InvalidSetting: If something else was trained in the folder, or it has no validation samples to choose
            by where it has to leave its test alone; and as `train`.
        KinesphereError: What `train` raises.
    """
    from rich.console import Console

    from kinesphere.train.fusion import validation_predictions
    from kinesphere.train.run import train

    check_record(order)
    if state_of(order) == "done":
        return
    digest = digest_of_start(order)
    Record(order.cell, order.settings(), digest, None).write(order.folder)
    began = time.monotonic()
    recipe = order.recipe.model_copy(update={"out": str(order.folder)})
    console = Console(quiet=True) if console is None else console
    run = train(recipe, resume=order.files.holds_a_run, console=console, advice=lambda: _ADVICE)
    joint = bool(run.recipe.joint.sets)
    if run.recipe.data.val and not joint:
        validation_predictions(run.files)
    elif not recipe.test.open and not joint:
        raise InvalidSetting(
            f"The cell {order.cell} has no validation samples, which a choice among settings needs; give "
            "data.val."
        )
    cost = _cost(run.files, time.monotonic() - began, joint=joint)
    Record(order.cell, order.settings(), digest, cost).write(order.folder)


_ADVICE = "Finished cells are kept, and the one at work goes on where it was: run the same command again."


def check_record(order: Order) -> None:
    """Refuse to take what lies in the folder for this run if it is another one.

    Raises:
        InvalidSetting: If it was made with other settings, or starts from weights that are others now.
    """
    record = _record(order)
    if record is None:
        return
    if changed := _changes(order, record):
        more = f"; and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise InvalidSetting(
            f"The cell {order.cell} was trained with other settings (now / then): "
            f"{'; '.join(changed[:5])}{more}. Choose another `out`, or delete {order.folder}."
        )
    if record.started_from != digest_of_start(order):
        raise InvalidSetting(
            f"The cell {order.cell} started from weights of the cell {order.start} that are others now. "
            f"Delete {order.folder} to train it from them."
        )


def _record(order: Order) -> Record | None:
    """What was trained in the folder; None where a start failed before anything was."""
    record = Record.read(order.folder)
    begun = record is not None and (record.cost is not None or order.files.holds_a_run)
    return record if begun else None


def _changes(order: Order, record: Record) -> list[str]:
    """What differs from what was trained, as `section.key: now / then`."""
    now = order.settings()
    then = Recipe.build(dict(record.settings), str(order.folder / FILE_NAME))
    lines = Recipe.build(now).differences(then)
    return [line for line in lines if not line.startswith(_OF_NO_EFFECT)]


def digest_of_start(order: Order) -> str | None:
    """Digest of the weights that another cell left; None where none is started from.

    Raises:
        InvalidSetting: If that cell has no model yet.
    """
    if order.start is None:
        return None
    from kinesphere.data.content import Content

    model = RunFiles(Path(str(order.recipe.model.pretrained))).model
    if not model.is_file():
        raise InvalidSetting(f"The cell {order.cell} starts from {order.start}, which has no model yet.")
    return Content.of(model).digest


def _cost(files: RunFiles, seconds: float, *, joint: bool) -> Cost:
    """Time by the epochs' table, which knows those of before a break; sizes from the model."""
    from kinesphere.models import load_model
    from kinesphere.models.runtime.measure import count_multiply_adds, count_parameters
    from kinesphere.train.history import read_history

    if files.metrics.is_file():
        seconds = sum(float(row.get("seconds") or 0) for row in read_history(files.metrics))
    recogniser = load_model(files.weights(joint=joint))
    parameters = count_parameters(recogniser.net)
    try:
        work = count_multiply_adds(recogniser.net, recogniser.specs)
    except (NotImplementedError, RuntimeError) as error:  # what computes on values, not on shapes
        log.info("%s: multiply-adds cannot be counted (%s).", files.folder, error)
        work = None
    return Cost(round(seconds, 3), parameters, work)
