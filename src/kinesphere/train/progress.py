"""What people see of a run: a bar on a terminal, else a line per epoch."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kinesphere.train.history import Row
from kinesphere.train.loader import ResumableLoader
from kinesphere.train.metrics_csv import History
from kinesphere.train.module import RecognitionTask

_REFRESH_S = 0.5
# From this fraction of the time on, waiting for data is worth a word.
_MUCH = 0.5


class ShowProgress(pl.Callback):
    """Shows loss, top-1, clips/s, the fraction of time spent waiting for data, and the time left.

    Reading a loss from an accelerator waits for it, so the figures are read twice a second at most.

    Args:
        history: Its rows become the lines; it comes before this in the list of callbacks.
        loader: Knows how long training waited.
        console: Where to write; on a terminal a bar is drawn.
        cached: Whether decoded frames are kept, so that nothing is to be gained by that.
        decodes: Whether the network sees frames of videos; joints are read from files as they are.
    """

    def __init__(
        self,
        history: History,
        loader: ResumableLoader,
        console: Console | None = None,
        *,
        cached: bool = False,
        decodes: bool = True,
    ) -> None:
        self._advised = cached
        self._decodes = decodes
        self._history = history
        self._loader = loader
        self._console = console or Console(stderr=True, markup=False, emoji=False)
        self._bar: Progress | None = None
        self._began = self._shown = 0.0
        self._first_step = self._clips = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, RecognitionTask)
        self._began, self._first_step = time.perf_counter(), trainer.global_step
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[figures]}"),
                console=self._console, expand=True,
            )  # fmt: skip
            self._bar.add_task("training", total=pl_module.length.steps, figures="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None:
            return
        assert isinstance(pl_module, RecognitionTask)
        self._clips += len(batch.indices) * trainer.world_size
        now = time.perf_counter()
        if now - self._shown < _REFRESH_S:
            return
        self._shown = now
        seconds = now - self._began
        scores = pl_module.training_metrics.scores()
        parts = [] if scores is None else [f"loss {scores['loss']:.3f}"]
        if scores is not None and not pl_module.recogniser.labels.multi:
            parts.append(f"top-1 {100 * scores['top1']:.1f} %")
        parts += [
            f"{self._clips / seconds:.1f} clips/s",
            f"waiting for data {100 * min(1.0, self._loader.waited_s / seconds):.0f} %",
            f"{duration(self._left_s(trainer, pl_module, now))} left",
        ]
        self._bar.update(
            self._bar.task_ids[0],
            description=f"epoch {trainer.current_epoch + 1}/{pl_module.length.epochs}",
            completed=trainer.global_step,
            figures="  ".join(parts),
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, RecognitionTask)
        left_s = self._left_s(trainer, pl_module, time.perf_counter())
        line = describe(
            self._history.rows[-1], pl_module.length.epochs, multi=pl_module.recogniser.labels.multi
        )
        self._console.print(f"{line}  {duration(left_s)} left", highlight=False, soft_wrap=True)
        waiting = self._history.rows[-1]["waiting"] or 0
        if waiting >= _MUCH and not self._advised:
            self._advised = True
            waited = f"{100 * waiting:.0f} % of the epoch"
            faster = "compute.workers=N reads with more processes"
            self._console.print(
                f"Training waited for videos to be read and decoded for {waited}: data.cache=FOLDER keeps "
                f"decoded frames for the next ones, {faster}."
                if self._decodes
                else f"Training waited for its clips to be read for {waited}: {faster}.",
                highlight=False,
                soft_wrap=True,
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _left_s(self, trainer: pl.Trainer, task: RecognitionTask, now: float) -> float:
        done = max(1, trainer.global_step - self._first_step)
        return (now - self._began) / done * max(0, task.length.steps - trainer.global_step)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe(row: Row, epochs: int, *, multi: bool = False) -> str:
    """One row of the history as a line; what was not measured is left out.

    Args:
        row: The row.
        epochs: Number of epochs in all.
        multi: Whether clips may carry several labels, which top-1 does not measure.
    """
    parts = [f"epoch {row['epoch']}/{epochs}"]
    # Of clips with several labels, top-1 is the fraction whose likeliest class is one of them.
    second = ("val macro-F1", "val_macro_f1") if multi else ("val top-1", "val_top1")
    first = () if multi else (("top-1", "train_top1", True),)
    for name, key, percent in (
        ("loss", "train_loss", False), *first, ("val loss", "val_loss", False), (*second, True),
    ):  # fmt: skip
        value = row[key]
        if value is not None:
            parts.append(f"{name} {100 * value:.1f} %" if percent else f"{name} {value:.3f}")
    parts += [f"{row['clips_per_s']:.1f} clips/s", f"waiting for data {100 * (row['waiting'] or 0):.0f} %"]
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
