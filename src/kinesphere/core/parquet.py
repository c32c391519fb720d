"""Parquet tables read as text, within bounds that their size on disk makes plausible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidManifest, KinesphereError
from kinesphere.core.limits import Budget

# Rows that a file may claim: every row has an id of its own, which costs at least about a bit.
_ROWS_PER_BYTE = 8
_FEW_ROWS = 10_000
_MOST_COLUMNS = 10_000
_LONGEST_CELL = 64 << 10
_ROWS_AT_A_TIME = 4096
# Each batch of Arrow's brings a copy of all texts of its columns so far.
_BLOCKS_AT_A_TIME = 8
_GROWTH = 100


def parquet_columns(path: Path) -> tuple[list[str], Iterator[dict[str, list[str]]]]:
    """Names of the columns, and blocks of rows, by column, as CSV would hold them; no block is empty.

    Raises:
        InvalidManifest: If it is no readable Parquet table, or claims more than its size makes plausible;
            also while the rows are read.
    """
    import pyarrow as pa

    size = path.stat().st_size
    try:
        file = _opened(path)
        names = file.schema_arrow.names
        rows = file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if rows > _FEW_ROWS + _ROWS_PER_BYTE * size or len(names) > _MOST_COLUMNS:
        raise InvalidManifest(
            f"{path} claims {rows} rows and {len(names)} columns in {size} bytes; that is no table of "
            "samples."
        )
    return names, _blocks(path, file, len(names))


def parquet_rows(path: Path) -> tuple[list[str], Iterator[dict[str, str]]]:
    """`parquet_columns` row by row."""
    names, blocks = parquet_columns(path)
    return names, (
        dict(zip(block, row, strict=True)) for block in blocks for row in zip(*block.values(), strict=True)
    )


def rows_at_a_time(columns: int) -> int:
    """How many rows a block of a table has, which is the less the wider it is."""
    return max(1, _ROWS_AT_A_TIME // (1 + columns // 16))


def read_table(path: Path, error: type[KinesphereError]) -> Any:
    """A whole table of our own, with the metadata of its schema; repeated texts stay references to one copy.

    Args:
        path: The file.
        error: What is raised.

    Returns:
        A `pyarrow.Table`.

    Raises:
        KinesphereError: `error`, if it is no readable Parquet table, or claims more than its size makes
            plausible.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    budget = Budget.of(path, error, growth=_GROWTH)
    try:
        file = _opened(path)
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        values = sum(group.column(j).num_values for group in groups for j in range(group.num_columns))
        budget.take(8 * (values + file.metadata.num_rows), "its values")
        batches = []
        for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
            for column in batch.columns:
                texts = column.flatten() if pa.types.is_list(column.type) else column
                if isinstance(texts, pa.DictionaryArray) and pa.types.is_string(texts.type.value_type):
                    longest = pc.max(pc.binary_length(texts.dictionary)).as_py() or 0
                    budget.take(longest * len(texts), "its texts")
            batches.append(batch)
        return pa.Table.from_batches(batches, file.schema_arrow)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as reason:
        raise error(f"{path} is not a readable Parquet table: {str(reason)[:300]}.") from reason


def _opened(path: Path) -> Any:
    """The file, its texts as references: so a small file cannot unpack to a huge table."""
    import pyarrow.parquet as pq

    bound = max(path.stat().st_size, 1 << 20)
    file = pq.ParquetFile(path, thrift_string_size_limit=bound)
    texts = [
        file.schema.column(i).path
        for i in range(len(file.schema))
        if file.schema.column(i).physical_type == "BYTE_ARRAY"
    ]
    return pq.ParquetFile(path, read_dictionary=texts, thrift_string_size_limit=bound)


def _blocks(path: Path, file: Any, columns: int) -> Iterator[dict[str, list[str]]]:
    import pyarrow as pa

    size = rows_at_a_time(columns)
    try:
        for batch in file.iter_batches(batch_size=_BLOCKS_AT_A_TIME * size):
            for column in batch.columns:
                _check_cells(path, column)
            for first in range(0, batch.num_rows, size):
                part = batch.slice(first, size)
                yield dict(zip(part.schema.names, map(_texts, part.columns), strict=True))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _unreadable(path, error) from error


def _texts(column: Any) -> list[str]:
    """The cells of a column as CSV would hold them; equal ones are one text."""
    import pyarrow as pa

    # The dictionary is that of many batches: of a column of ids it is far longer than this one.
    if isinstance(column, pa.DictionaryArray) and len(column.dictionary) > len(column):
        column = column.dictionary_decode()
    if isinstance(column, pa.DictionaryArray):
        values = [*_texts(column.dictionary), ""]
        indices = column.indices.fill_null(len(values) - 1) if column.indices.null_count else column.indices
        return list(map(values.__getitem__, indices.to_numpy().tolist()))
    if column.null_count == 0 and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        # Without a scalar of Arrow's for each; texts that are none are told by the way below.
        with suppress(pa.ArrowException, UnicodeError):
            return list(map(str.strip, column.to_numpy(zero_copy_only=False).tolist()))
    return [text(value) for value in column.to_pylist()]


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
