"""Of settings that were drawn, those that do best on validation; their test alone is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesphere.evaluate.intervals import Units
from kinesphere.evaluate.metrics import Answers, Use, metrics_for
from kinesphere.evaluate.predictions import Predictions
from kinesphere.evaluate.report import Report
from kinesphere.train.run import open_test
from kinesphere.train.run_folder import RunFiles


@dataclass(frozen=True)
class Choice:
    """What was chosen for a cell.

    Attributes:
        cell: Name of the cell.
        draw: Name of the draw that was chosen; None where none is finished.
        score: Name of the score that chose, the primary one.
        scores: Mean over seeds of each finished draw's score on validation.
        clips: Validation clips of a run.
        before: Other draws whose test is open, chosen before the study had the draws that it has now.
    """

    cell: str
    draw: str | None
    score: str
    scores: Mapping[str, float]
    clips: int
    before: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "cell": self.cell, "chosen": self.draw, "by": self.score, "validation": dict(self.scores),
            "validation_clips": self.clips, "opened_before": list(self.before),
        }  # fmt: skip


def choose(cell: str, draws: Mapping[str, Sequence[Path]]) -> Choice:
    """Choose among the draws of a cell, the first of equals, and open the test of the best one's runs.

    Args:
        cell: Name of the cell.
        draws: Run folders of each finished draw, by its name; validation answers lie in them.

    Raises:
        InvalidSetting: If a run's files are damaged.
    """
    scores: dict[str, float] = {}
    name, clips = "top1", 0
    for draw, folders in draws.items():
        values = []
        for folder in folders:
            table = Predictions.read(RunFiles(folder).validation_predictions)
            name, value = primary_score(table)
            clips = len(table)
            values.append(value)
        scores[draw] = sum(values) / len(values)
    best = max(scores, key=lambda draw: scores[draw], default=None)
    before = tuple(draw for draw, folders in draws.items() if draw != best and any(map(_is_open, folders)))
    for folder in () if best is None else draws[best]:
        open_test(folder)
    return Choice(cell, best, name, scores, clips, before)


def _is_open(folder: Path) -> bool:
    """Whether the test samples of a finished run have been scored."""
    return Report.read(RunFiles(folder).report).protocol.split == "test"


def primary_score(table: Predictions) -> tuple[str, float]:
    """Name and value of the score that leads a report on a table of answers."""
    use: Use = "multi_label" if table.labels.multi else "single_label"
    name, metric = next(iter(metrics_for(use).items()))
    return name, float(metric.point(Answers(table.probabilities, table.targets, Units.of(table.groups))))
