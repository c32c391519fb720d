"""TensorFlow Lite files: the constants of a graph, in the order of the graph, nothing executed.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
(a FlatBuffer with the identifier TFL3). Quantised constants become floats, `(q - zero point) * scale`
(https://ai.google.dev/edge/litert/models/quantization_spec), per tensor or per channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import Budget, file_bytes
from kinesphere.models.weights.keymap import StateDict
from kinesphere.models.weights.readers.flatbuffer import Table
from kinesphere.models.weights.readers.foreign import Content

Item = TypeVar("Item")

_IDENTIFIER = b"TFL3"
_CONV_2D, _DEPTHWISE_CONV_2D, _DEQUANTIZE, _FULLY_CONNECTED = 3, 4, 6, 9
_WEIGHTED = (_CONV_2D, _DEPTHWISE_CONV_2D, _FULLY_CONNECTED)
_ROLES = ("input", "weight", "bias")
_FLOATS = {0: "<f4", 1: "<f2", 10: "<f8"}
_INTEGERS = {2: "<i4", 3: "<u1", 4: "<i8", 7: "<i2", 9: "<i1"}
_MOST_DIMENSIONS = 8
_TABLE_BYTES = 256
_LARGEST_BYTES = 2 << 30
"""FlatBuffers cannot be larger."""


def read_tflite(path: Path) -> Content:
    """Constants of a `.tflite` file, named by what they are used for.

    An operator's constants carry the name of its output up to the first `;`: `NAME.weight` and `NAME.bias`
    of convolutions and fully connected layers, `NAME.constant` of every other operator with a float
    constant. Forms are TensorFlow Lite's: kernels as outputs, height, width, inputs; depthwise ones as 1,
    height, width, channels.

    Raises:
        InvalidCheckpoint: If the file is damaged, of another format, or holds no such constants.
    """
    data = file_bytes(path, InvalidCheckpoint, _LARGEST_BYTES)
    model = Table.root(data, _IDENTIFIER, path.name)
    budget = Budget(path.name, len(data), InvalidCheckpoint)
    graphs = list(_paid(model.tables(2), budget))
    if len(graphs) != 1:
        raise InvalidCheckpoint(f"{path.name} holds {len(graphs)} graphs; only files with one can be read.")
    graph = _Graph(
        path.name,
        tuple(max(code.number(0, "b"), code.number(3, "i")) for code in _paid(model.tables(1), budget)),
        tuple(_paid(model.tables(4), budget)),
        tuple(_paid(graphs[0].tables(0), budget)),
        {},
        budget,
    )
    state: StateDict = {}
    for operator in _paid(graphs[0].tables(3), budget):
        for key, tensor in graph.constants(operator):
            if key in state:
                raise InvalidCheckpoint(f"{path.name} names two constants alike: {key}.")
            state[key] = tensor
    if not state:
        raise InvalidCheckpoint(f"{path.name} holds no weights.")
    return Content(state)


def _paid(tables: Iterator[Table], budget: Budget) -> Iterator[Table]:
    """Tables of a vector, which may lead to one and the same table any number of times."""
    for table in tables:
        budget.take(_TABLE_BYTES, "tables")
        yield table


@dataclass(frozen=True, eq=False)
class _Graph:
    """The parts of a model that name and fill its constants.

    Attributes:
        name: Name of the file, for messages.
        codes: What kinds of operators there are.
        buffers: Bytes of the constants.
        tensors: Everything that flows or is constant.
        widened: Half-precision constants by the tensor that holds them in full precision.
        budget: What the constants may take.
    """

    name: str
    codes: tuple[int, ...]
    buffers: tuple[Table, ...]
    tensors: tuple[Table, ...]
    widened: dict[int, int]
    budget: Budget

    def constants(self, operator: Table) -> Iterator[tuple[str, Tensor]]:
        """Names and float values of what an operator takes besides activations."""
        code = self._at(self.codes, operator.number(0, "I"), "operator code")
        inputs, outputs = operator.array(1, "<i4"), operator.array(2, "<i4")
        if not len(outputs):
            return
        if code == _DEQUANTIZE and len(inputs):
            self.widened[int(outputs[0])] = int(inputs[0])
            return
        output = self._at(self.tensors, int(outputs[0]), "tensor")
        self.budget.take(_TABLE_BYTES * len(inputs), "inputs of operators")
        for i, index in enumerate(inputs):
            if index < 0:  # an optional input that is absent
                continue
            role = _ROLES[i] if code in _WEIGHTED and i < len(_ROLES) else "constant"
            source = self.widened.get(int(index), int(index))
            tensor = self._constant(self._at(self.tensors, source, "tensor"))
            if tensor is not None:
                yield f"{output.text(3).partition(';')[0]}.{role}", tensor

    def _constant(self, tensor: Table) -> Tensor | None:
        """Value of a tensor as float32; None if it is computed, or holds plain integers."""
        buffer = self._at(self.buffers, tensor.number(2, "I"), "buffer")
        data = buffer.array(0, "<u1")
        name, kind = tensor.text(3), tensor.number(1, "b")
        if buffer.number(1, "Q") > 1 or tensor.table(6) is not None:
            raise InvalidCheckpoint(
                f"{self.name} stores {name} sparsely or behind its tables, which cannot be read; "
                "convert it again."
            )
        quantisation = tensor.table(4)
        scales = quantisation.array(2, "<f4") if quantisation else np.zeros(0, "<f4")
        if not len(data) or (kind in _INTEGERS and not len(scales)):
            return None
        dtype = _FLOATS.get(kind) or _INTEGERS.get(kind)
        if dtype is None:
            raise InvalidCheckpoint(f"{self.name} stores {name} as type {kind}, which cannot be read.")
        sides = tensor.array(0, "<i4")
        shape = tuple(int(side) for side in sides[: _MOST_DIMENSIONS + 1])
        count = math.prod(shape)  # of Python's integers, which do not wrap around
        is_possible = len(shape) <= _MOST_DIMENSIONS and all(side > 0 for side in shape)
        if not is_possible or count * np.dtype(dtype).itemsize != len(data):
            raise InvalidCheckpoint(f"{self.name}: {name} of shape {shape} does not fit {len(data)} bytes.")
        self.budget.take(8 * count, f"the constant {name}")
        values = data.view(dtype).reshape(shape)
        if kind in _INTEGERS and quantisation is not None:
            values = self._dequantise(values, scales, quantisation, name)
        return torch.from_numpy(values.astype(np.float32))

    def _dequantise(
        self, values: np.ndarray, scales: np.ndarray, quantisation: Table, name: str
    ) -> np.ndarray:
        zeros = quantisation.array(3, "<i8")
        zeros = zeros if len(zeros) else np.zeros(len(scales), np.int64)
        form = [1] * values.ndim
        if len(scales) > 1:
            axis = quantisation.number(6, "i")
            if not 0 <= axis < values.ndim or values.shape[axis] != len(scales):
                raise InvalidCheckpoint(
                    f"{self.name}: {name} of shape {values.shape} has {len(scales)} scales along axis {axis}."
                )
            form[axis] = len(scales)
        if len(zeros) != len(scales) or not np.isfinite(scales).all():
            raise InvalidCheckpoint(f"{self.name}: the scales of {name} are no numbers, or lack zero points.")
        shifted = values.astype(np.int64) - zeros.reshape(form)
        real: np.ndarray = shifted.astype(np.float32) * scales.reshape(form)
        return real

    def _at(self, items: Sequence[Item], index: int, what: str) -> Item:
        if not 0 <= index < len(items):
            raise InvalidCheckpoint(f"{self.name} is damaged: it has no {what} {index}. Fetch it again.")
        return items[index]
