"""`ProblemFiles`: which files could not be read, or not whole; too many stop the run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from kinesphere.core.errors import TooManyFailures
from kinesphere.core.files import replacing
from kinesphere.core.text import SPELLED
from kinesphere.data.dataset import Batch
from kinesphere.train.run_folder import RunFiles


class ProblemFiles(pl.Callback):
    """Collects the failures and notes of all batches, each file once, over all processes.

    Args:
        files: Its tables `unreadable` and `damaged` are written when there is something to write.
        samples: Number of samples in training and validation.
        allowed: Largest fraction of them that may be unreadable.
    """

    def __init__(self, files: RunFiles, samples: int, allowed: float) -> None:
        self.unreadable: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        self._failed: set[str] = set()
        self._world = 1
        self._files = files
        self._samples = samples
        self._allowed = allowed

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._world = trainer.world_size

    def state_dict(self) -> dict[str, Any]:
        if self._world > 1:  # what one process has seen within an epoch, the others do not know
            self._gather()
        return self._plain()

    def _plain(self) -> dict[str, Any]:
        return {"unreadable": self.unreadable, "damaged": self.damaged, "failed": sorted(self._failed)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.unreadable, self.damaged = dict(state_dict["unreadable"]), dict(state_dict["damaged"])
        self._failed = set(state_dict["failed"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.collect("train", batch)
        if trainer.world_size == 1:  # several processes must stop together, at the end of an epoch
            self.check()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self.collect("val", batch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:
            self._gather()
        if trainer.is_global_zero:
            self.write()
        self.check()

    def collect(self, part: str, batch: Batch) -> None:
        """Note the failures and notes of a batch of a part of the data."""
        for failure in batch.failures:
            self.unreadable.setdefault(failure.path, failure.reason)
            self._failed.add(f"{part}:{failure.index}")
        for note in batch.notes:
            self.damaged.setdefault(note.path, note.reason)

    def _gather(self) -> None:
        found: list[Any] = [None] * self._world
        torch.distributed.all_gather_object(found, self._plain())
        for each in found:
            self.unreadable = {**each["unreadable"], **self.unreadable}
            self.damaged = {**each["damaged"], **self.damaged}
            self._failed |= set(each["failed"])

    def check(self) -> None:
        """Stop the run if too many samples cannot be read.

        Raises:
            TooManyFailures: If they are more than is allowed; they are listed in a table.
        """
        if len(self._failed) > self._allowed * self._samples:
            self.write()
            path, reason = next(iter(self.unreadable.items()))
            raise TooManyFailures(
                f"{len(self._failed)} of {self._samples} samples cannot be read, more than the "
                f"{100 * self._allowed:g} % that data.max_unreadable allows; they are listed in "
                f"{self._files.unreadable}. The first: {path}: {reason}"
            )

    def write(self) -> None:
        """Write the tables of what was found."""
        for path, table in ((self._files.unreadable, self.unreadable), (self._files.damaged, self.damaged)):
            if table:
                _write_table(path, table)


def _write_table(path: Path, table: dict[str, str]) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=SPELLED) as file,
    ):
        rows = csv.writer(file)
        rows.writerow(("path", "reason"))
        rows.writerows(sorted(table.items()))
