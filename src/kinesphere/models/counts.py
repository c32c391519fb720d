"""Parameters and multiply-adds of the zoo's models: measured once, kept in `zoo/counts.csv`.

`make counts` writes the table anew; the contract tests measure every line again.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.models.runtime.measure import count_multiply_adds, count_parameters

TABLE = Path(__file__).parent / "zoo" / "counts.csv"


@cache
def table() -> dict[str, tuple[int, int]]:
    """The table's parameters and multiply-adds of each model."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {
            row["model"]: (int(row["parameters"]), int(row["multiply_adds"])) for row in csv.DictReader(file)
        }


def measure(builder: Callable[..., nn.Module], classes: int, inputs: tuple[ClipSpec, ...]) -> tuple[int, int]:
    """Parameters and multiply-adds of one view; no weight is made and nothing is computed."""
    with torch.device("meta"):
        net = builder(classes)
    return count_parameters(net), count_multiply_adds(net, inputs)


def write() -> None:
    """Measure every model of the zoo and write the table."""
    from kinesphere.models.registry import MODELS

    rows = []
    for name in MODELS:
        architecture = MODELS.get(name)
        card = architecture.card
        rows.append((name, *measure(architecture.builder, card.classes, card.inputs)))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("model", "parameters", "multiply_adds"), *rows])
