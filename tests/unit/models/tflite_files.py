"""Tiny TensorFlow Lite files, written field by field."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9, "float64": 10}


class Flat:
    """A FlatBuffer under construction: a table is a dict from field number to value.

    Values are `(form, number)`, a text, an array, a dict (a table) or a list of dicts.
    """

    def __init__(self, root: dict[int, Any], identifier: bytes) -> None:
        self.data = bytearray(4) + identifier
        self._point(0, self._table(root))

    def _point(self, place: int, target: int) -> None:
        struct.pack_into("<I", self.data, place, target - place)

    def _align(self, size: int) -> int:
        self.data += bytes(-len(self.data) % size)
        return len(self.data)

    def _table(self, fields: dict[int, Any]) -> int:
        slots = max(fields, default=-1) + 1
        self._align(8)
        vtable = len(self.data)
        self.data += bytes(4 + 2 * slots)
        start = self._align(8)
        self.data += struct.pack("<i", start - vtable) + bytes(4 + 8 * slots)
        struct.pack_into("<HH", self.data, vtable, 4 + 2 * slots, 8 + 8 * slots)
        for number, value in fields.items():
            place = start + 8 + 8 * number
            struct.pack_into("<H", self.data, vtable + 4 + 2 * number, place - start)
            if isinstance(value, tuple):
                struct.pack_into(f"<{value[0]}", self.data, place, value[1])
            else:
                self._point(place, self._value(value))
        return start

    def _value(self, value: Any) -> int:
        if isinstance(value, dict):
            return self._table(value)
        if isinstance(value, list):
            start = self._align(4)
            self.data += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for i, item in enumerate(value):
                self._point(start + 4 + 4 * i, self._table(item))
            return start
        content = value.encode() if isinstance(value, str) else np.ascontiguousarray(value).tobytes()
        start = self._align(4)
        self.data += struct.pack("<I", len(value)) + content
        return start


@dataclass
class Graph:
    """A graph that is written down as it is built; methods return tensor numbers."""

    tensors: list[dict[int, Any]] = field(default_factory=list)
    buffers: list[dict[int, Any]] = field(default_factory=lambda: [{}])
    operators: list[dict[int, Any]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def activation(self, name: str) -> int:
        self.tensors.append({1: ("b", 0), 2: ("I", 0), 3: name})
        return len(self.tensors) - 1

    def constant(
        self, values: np.ndarray, *, scales: Sequence[float] = (), zeros: Sequence[int] = (), axis: int = 0
    ) -> int:
        self.buffers.append({0: np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)})
        tensor: dict[int, Any] = {
            0: np.array(values.shape, np.int32),
            1: ("b", TYPES[values.dtype.name]),
            2: ("I", len(self.buffers) - 1),
            3: f"constant {len(self.buffers)}",
        }
        if scales:
            tensor[4] = {2: np.array(scales, np.float32), 3: np.array(zeros, np.int64), 6: ("i", axis)}
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: Sequence[int], output: int | str) -> int:
        if code not in self.codes:
            self.codes.append(code)
        output = self.activation(output) if isinstance(output, str) else output
        self.operators.append(
            {
                0: ("I", self.codes.index(code)),
                1: np.array(inputs, np.int32),
                2: np.array([output], np.int32),
            }
        )
        return output

    def to_bytes(self, *, graphs: int = 1) -> bytes:
        codes = [{0: ("b", min(code, 127)), 3: ("i", code)} for code in self.codes]
        graph = {0: self.tensors, 3: self.operators}
        root = {0: ("I", 3), 1: codes, 2: [graph] * graphs, 4: self.buffers}
        return bytes(Flat(root, b"TFL3").data)
