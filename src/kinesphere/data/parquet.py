"""Parquet tables read as text, within bounds that their size on disk makes plausible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidManifest

# Rows that a file may claim: every row has an id of its own, which costs at least about a bit.
_ROWS_PER_BYTE = 8
_FEW_ROWS = 10_000
_MOST_COLUMNS = 10_000
_LONGEST_CELL = 64 << 10
_ROWS_AT_A_TIME = 4096


def parquet_rows(path: Path) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Names of the columns, and the rows as CSV would hold them.

    Raises:
        InvalidManifest: If it is no readable Parquet table, or claims more than its size makes plausible;
            also while the rows are read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = path.stat().st_size
    try:
        # Repeated texts stay references to one copy, so that a small file cannot unpack to a huge table.
        file = pq.ParquetFile(path, thrift_string_size_limit=max(size, 1 << 20))
        names = file.schema_arrow.names
        texts = [
            file.schema.column(i).path
            for i in range(len(file.schema))
            if file.schema.column(i).physical_type == "BYTE_ARRAY"
        ]
        file = pq.ParquetFile(path, read_dictionary=texts, thrift_string_size_limit=max(size, 1 << 20))
        rows = file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if rows > _FEW_ROWS + _ROWS_PER_BYTE * size or len(names) > _MOST_COLUMNS:
        raise InvalidManifest(
            f"{path} claims {rows} rows and {len(names)} columns in {size} bytes; that is no table of "
            "samples."
        )
    return names, _rows(path, file, len(names))


def _rows(path: Path, file: Any, columns: int) -> Iterator[dict[str, str]]:
    import pyarrow as pa

    try:
        for batch in file.iter_batches(batch_size=max(1, _ROWS_AT_A_TIME // (1 + columns // 16))):
            for column in batch.columns:
                _check_cells(path, column)
            for row in batch.to_pylist():
                yield {name: text(value) for name, value in row.items()}
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _unreadable(path, error) from error


def _check_cells(path: Path, column: Any) -> None:
    """Refuse texts and lists longer than any label or path."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.dictionary if isinstance(column, pa.DictionaryArray) else column
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        longest = pc.max(pc.list_value_length(values)).as_py() or 0
        _check_cells(path, values.flatten())
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        longest = pc.max(pc.binary_length(values)).as_py() or 0
    elif pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise InvalidManifest(
            f"{path} holds a column of {values.type}; a manifest holds texts, numbers and lists of texts."
        )
    else:
        return
    if longest > _LONGEST_CELL:
        raise InvalidManifest(f"{path} holds a cell of {longest} signs; that is no table of samples.")


def _unreadable(path: Path, error: Exception) -> InvalidManifest:
    return InvalidManifest(f"{path} is not a readable Parquet table: {str(error)[:300]}.")


def text(value: object) -> str:
    """A cell as CSV would hold it: nothing for null, lists of labels joined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple)):
        return "|".join(map(str, value))
    return str(value).strip()
