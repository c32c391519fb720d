"""`Recent`: what was read last stays in memory, up to a number of bytes.

Training comes back to its files in every epoch; unpacking a small one takes longer than all that follows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """What was added or asked for last, of one kind of value.

    Args:
        limit_bytes: Of the arrays of all values together; a value that is larger alone is not kept.
        arrays: The arrays that a value holds. They cannot be written to once it was added.
    """

    def __init__(self, limit_bytes: int, arrays: Callable[[Value], Sequence[np.ndarray]]) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._arrays = arrays
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value added under a key, if it is still there."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
        return value

    def add(self, key: Key, value: Value) -> None:
        """Keep a value; the ones asked for longest ago make room."""
        for array in self._arrays(value):
            array.flags.writeable = False
        with self._lock:
            if key in self._values or self._size(value) > self.limit_bytes:
                return
            self._values[key] = value
            self.bytes += self._size(value)
            while self.bytes > self.limit_bytes:
                self.bytes -= self._size(self._values.popitem(last=False)[1])

    def _size(self, value: Value) -> int:
        return sum(array.nbytes for array in self._arrays(value))
