"""Rows and plain documents written as CSV, Parquet and JSON; for the scratch of a file that is replaced."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kinesphere.core.text import SPELLED


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A header and rows; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="", errors=SPELLED) as file:
        csv.writer(file).writerows([header, *rows])


def write_json(path: Path, plain: object, indent: int | None = None) -> None:
    """One document of plain values."""
    path.write_text(json.dumps(plain, ensure_ascii=False, indent=indent), encoding="utf-8", errors=SPELLED)


def write_parquet(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], kinds: Mapping[str, type]
) -> None:
    """A table.

    Args:
        path: The file.
        columns: Names in their order.
        rows: Values by column; one that lacks is null.
        kinds: `str` or `int` by column; all others are float64.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, types[kinds.get(name, float)]) for name in columns])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
