"""`History`: one row per epoch, in metrics.csv."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from kinesphere.core.files import replacing
from kinesphere.evaluate.metrics import metrics_for
from kinesphere.train.history import Row, renamed
from kinesphere.train.loader import ResumableLoader
from kinesphere.train.module import RecognitionTask


class History(pl.Callback):
    """Collects the rows and rewrites the table after every epoch.

    The rows travel with the resume state, so a resumed run's table has each epoch once.
    """

    def __init__(self, path: Path, loader: ResumableLoader) -> None:
        self.path = path
        self.rows: list[Row] = []
        self._loader = loader
        self._clips = 0
        self._began = 0.0
        self._ended = 0.0
        self._waited_before = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [renamed(row) for row in state_dict["rows"]]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()  # a run resumed within an epoch does not start one

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restart()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._ended = time.perf_counter()
        self._clips += len(batch.indices) * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, RecognitionTask)
        training, validation = pl_module.end_epoch()
        seconds = max(self._ended - self._began, 1e-9)
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
                **{f"train_{name}": (training or {}).get(name) for name in pl_module.training_scores},
                **{
                    f"val_{name}": (validation or {}).get(name) for name in ("loss", *metrics_for("training"))
                },
                **{f"val_{name}": value for name, value in (validation or {}).items() if "/" in name},
                "seconds": round(seconds, 3),
                "clips_per_s": round(self._clips / seconds, 3),
                "waiting": round(min(1.0, (self._loader.waited_s - self._waited_before) / seconds), 4),
            }
        )
        if trainer.is_global_zero:
            self._write()

    def _restart(self) -> None:
        self._clips = 0
        self._began = self._ended = time.perf_counter()
        self._waited_before = self._loader.waited_s

    def _write(self) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, dict.fromkeys(key for row in self.rows for key in row))
            table.writeheader()
            table.writerows(self.rows)
