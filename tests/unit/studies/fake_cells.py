"""Run folders of a study that nothing was trained for: answers are drawn, right as often as is asked."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.protocol import Environment, Protocol
from kinesphere.evaluate.report import report_from_predictions
from kinesphere.studies.cell_run import Cost, Order, Record, digest_of_start

LABELS = LabelSet(("rise", "sink", "turn"))
CLIPS = 60
COLUMNS = ("id", "path", "label", "start", "end", "group", "split", "bytes", "content")


def answers(accuracy: float, seed: int, test: str = "test", clips: int = CLIPS) -> Predictions:
    """Answers to the clips of a test, about so many of them right; ten groups."""
    rng = np.random.default_rng(seed)
    targets = np.arange(clips) % len(LABELS)
    said = np.where(rng.random(clips) < accuracy, targets, (targets + 1) % len(LABELS))
    probabilities = np.full((clips, len(LABELS)), 0.15)
    probabilities[np.arange(clips), said] = 0.7
    return Predictions(
        LABELS, tuple(f"{test}/{i}" for i in range(clips)), tuple(f"/nowhere/{i}.mp4" for i in range(clips)),
        (None,) * clips, tuple(f"p{i % 10}" for i in range(clips)), targets, probabilities, (None,) * clips,
    )  # fmt: skip


class FakeTraining:
    """Trains orders by drawing their answers.

    Args:
        accuracy: Of each cell by name; others have a half.
        failing: Cells that fail, with what is raised.
    """

    def __init__(
        self, accuracy: Mapping[str, float] | None = None, failing: Mapping[str, Exception] | None = None
    ) -> None:
        self.accuracy, self.failing = accuracy or {}, failing or {}
        self.trained: list[tuple[str, int, str]] = []

    def __call__(self, order: Order) -> None:
        seed, start = order.recipe.train.seed, str(order.recipe.model.pretrained)
        self.trained.append((order.cell, seed, start))
        if order.cell in self.failing:
            raise self.failing[order.cell]
        write_run(order, self.accuracy.get(order.cell, 0.5))


def write_run(order: Order, accuracy: float) -> None:
    """The run folder that a training would leave."""
    files, seed = order.files, order.recipe.train.seed
    files.folder.mkdir(parents=True, exist_ok=True)
    table = answers(accuracy, 10 * seed + len(order.cell), Path(order.recipe.data.source[0]).stem)
    part = "test" if order.recipe.test.open else "val"
    protocol = Protocol("movements", "0123", part, "1x1", ("8x1x1",))
    report = report_from_predictions(table, protocol, Environment("fc_tiny", "1", "2", "cpu", "fp32", ""))
    order.recipe.dump(files.recipe)
    files.model.write_bytes(f"{order.cell} {seed}".encode())
    files.metrics.write_text(
        "epoch,train_top1,val_top1,train_loss,val_loss\n1,0.3,0.4,1,1\n2,0.6,0.5,0.6,0.8\n"
    )
    with files.splits.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for i, name in enumerate(table.ids):
            rows.writerow(
                [
                    name,
                    f"/nowhere/{i}.mp4",
                    LABELS.names[table.targets[i]],
                    "",
                    "",
                    f"p{i % 10}",
                    part,
                    1,
                    "a",
                ]
            )
        for i in range(12):
            label = LABELS.names[min(2, i // 2)]
            rows.writerow([f"train/{i}", f"/nowhere/t{i}.mp4", label, "", "", f"q{i}", "train", 1, "b"])
    answers(accuracy, seed, "val", 24).write(files.validation_predictions)
    table.write(files.predictions)
    report.write(files.report)
    Record(order.cell, order.settings(), digest_of_start(order), Cost(3.0, 1200, 34_000)).write(files.folder)


class Quiet:
    """Is told how a study goes, and remembers it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.problems: list[str] = []

    def begins(self, run: object, number: int, total: int) -> None:
        self.begun.append(f"{number} of {total}")

    def ended(self, outcome: object) -> None:
        problem = getattr(outcome, "problem", None)
        if problem is not None:
            self.problems.append(problem)
