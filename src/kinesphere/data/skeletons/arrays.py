"""Arrays of NumPy archives (`.npz`), unpacked within a budget and with nothing executed."""

from __future__ import annotations

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import Budget

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError, EOFError, OSError),
    *(ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, SyntaxError, MemoryError),
)


def read_arrays(path: Path, names: Iterable[str], what: str) -> dict[str, np.ndarray]:
    """Arrays of an archive by their names.

    Args:
        path: The file.
        names: Of the arrays that are needed; others are not looked at.
        what: The file should be, for errors.

    Raises:
        InvalidAnnotation: If it lacks one, is damaged, or claims far more than it holds.
    """
    budget = Budget.of(path, InvalidAnnotation)
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, name, budget) for name in names}
    except _BROKEN as error:
        raise InvalidAnnotation(f"{path} is not {what} ({error}); get it again.") from error


def _array(archive: zipfile.ZipFile, name: str, budget: Budget) -> np.ndarray:
    with archive.open(f"{name}.npy") as packed:
        data = budget.read(cast(BinaryIO, packed), f"the array {name!r}")
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"arrays of format {version} are not read")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    count = 1
    for side in shape:
        count *= int(side)
    if count * max(dtype.itemsize, 1) > len(data):
        raise ValueError(f"{name!r} claims the shape {shape}, but holds {len(data)} bytes")
    stream.seek(0)
    array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array
