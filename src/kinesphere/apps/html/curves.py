"""Training curves from a run's metrics.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from kinesphere.apps.html.charts import Series
from kinesphere.core.errors import InvalidSetting

Curves = dict[str, tuple[tuple[float, float], ...]]


def read_curves(path: str | Path) -> Curves:
    """Columns of a metrics.csv as points (epoch, value).

    Empty cells and numbers that are not finite have no point; columns without points are left out. A
    file without a column `epoch` counts its rows.

    Raises:
        InvalidSetting: If the file cannot be read or holds something that is not a number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found: dict[str, list[tuple[float, float]]] = {}
        for i, row in enumerate(rows):
            epoch = float(row.get("epoch") or i + 1)
            for name, text in row.items():
                if name not in ("epoch", None) and text and math.isfinite(value := float(text)):
                    found.setdefault(name, []).append((epoch, value))
    except (OSError, ValueError, TypeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidSetting(f"Cannot read training curves from {path}: {reason}.") from error
    return {name: tuple(points) for name, points in found.items()}


def chosen(curves: Curves, names: dict[str, str]) -> list[Series]:
    """The columns that exist among `names`, under the names that people read."""
    return [Series(shown, curves[name]) for name, shown in names.items() if name in curves]
