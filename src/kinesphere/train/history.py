"""What metrics.csv tells of a training, epoch by epoch, without what trains."""

from __future__ import annotations

import csv
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.train.config import FORMER_METRICS

Row = dict[str, float | int | None]
"""Epochs count from 1; `lr` is the highest of the groups; `waiting` is the fraction of the epoch's training
time that was spent waiting for data. Scores that were not measured in an epoch are empty."""


def read_history(path: Path) -> list[Row]:
    """The rows of a metrics.csv, empty cells as None.

    Raises:
        InvalidSetting: If it is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                renamed({key: float(text) if text else None for key, text in row.items()})
                for row in csv.DictReader(file)
            ]
    except (ValueError, TypeError, csv.Error) as error:
        raise InvalidSetting(f"{path} is no table of a training's epochs ({error}).") from error


def renamed(row: Row) -> Row:
    """A row of before under the names of now."""
    former = {f"val_{then}": f"val_{now}" for then, now in FORMER_METRICS.items()}
    return {former.get(key, key): value for key, value in row.items()}
