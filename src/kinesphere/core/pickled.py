"""What the names in a pickle stand for: tensors, arrays and containers are rebuilt, all else stays inert."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import Budget, brief

_NUMERIC = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
_TEXT = re.compile(r"[US]([0-9]{1,6})")
_MOST_SIDES = 32
_MOST_REPEATED = 1 << 20
"""Elements that a tensor with a stride of 0 may show beyond its storage."""
_LARGEST_KEY = 1 << 53
_LONGEST_NUMBER = 400
# Bytes that objects take beside what they hold.
_ENTRY_BYTES, _TENSOR_BYTES = 100, 1000
_RECORDS = frozenset({"Namespace", "SimpleNamespace"})

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_MORE_DTYPES = (torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)


class Storage:
    """Bytes that tensors look into; they may be filled after the tensors are made."""

    def __init__(self, content: Tensor, dtype: torch.dtype) -> None:
        self.content = content
        self.dtype = dtype

    def tensor(self, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """A strided view.

        Raises:
            InvalidCheckpoint: If it does not lie within the storage.
        """
        flat = self.content.view(self.dtype)
        numbers = (offset, *size, *stride)
        is_possible = len(size) == len(stride) <= _MOST_SIDES and all(
            type(n) is int and 0 <= n < 1 << 48 for n in numbers
        )
        if not is_possible:
            raise InvalidCheckpoint(
                f"A tensor in the file has an impossible shape: {brief(size)}, {brief(stride)}."
            )
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and (count > max(len(flat), _MOST_REPEATED) or last >= len(flat)):
            raise InvalidCheckpoint(f"A tensor of shape {size} does not fit its storage of {len(flat)}.")
        return flat.as_strided(size, stride, offset) if count else flat.new_empty(size)


class StorageType:
    """Stands for `torch.FloatStorage` and its like."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class Inert:
    """Stands for an object of any class that we do not know: does nothing.

    Attributes:
        items: What was put into it as into a mapping; many toolkits keep settings in kinds of dictionaries.
        record: The attributes of a namespace of settings.
    """

    items: dict[Any, Any] | None = None
    record: dict[Any, Any] | None = None

    def put(self, key: object, value: object) -> None:
        """Keep an item."""
        if self.items is None:
            self.items = {}
        self.items[key] = value

    def build(self, state: object) -> None:
        """Keep the attributes of a namespace; forget those of anything else."""
        if type(self).__name__ in _RECORDS and isinstance(state, dict):
            self.record = state

    def settings(self) -> dict[Any, Any] | None:
        """Of a mapping or a namespace what it holds, else None."""
        if self.items is None and self.record is None:
            return None
        return {**(self.record or {}), **(self.items or {})}


class DType:
    """Stands for `numpy.dtype` while its byte order is still to come.

    Attributes:
        code: `f4` and the like, `U7` or `S7` for texts, `O` for objects, empty for what is kept as nothing.
    """

    def __init__(self, code: object = "", *_flags: object) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code if isinstance(code, str) else ""
        text = text[:16].lstrip("<>|=")
        text = "O" if text in ("O4", "O8") else text
        self.order = "="
        self.code = text if text in _NUMERIC or text == "O" or _TEXT.fullmatch(text) else ""

    @property
    def is_numeric(self) -> bool:
        """Whether arrays of it are numbers."""
        return self.code in _NUMERIC

    def build(self, state: object) -> None:
        """Take the byte order."""
        mark = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        mark = mark.decode("latin1") if isinstance(mark, bytes) else mark
        self.order = mark if mark in ("<", ">", "=") else "="

    def array(self, raw: bytes | bytearray, shape: object, order: str, budget: Budget) -> Any:
        """An array of numbers, or a list of texts, from bytes.

        Raises:
            InvalidCheckpoint: If shape and bytes do not agree.
        """
        sides = shape if isinstance(shape, tuple) else (shape,)
        is_possible = len(sides) <= _MOST_SIDES and all(type(n) is int and 0 <= n < 1 << 48 for n in sides)
        size = 4 * int(self.code[1:]) if self.code[0] == "U" else int(self.code[1:])
        if not is_possible or math.prod(sides) * size != len(raw):
            raise InvalidCheckpoint(
                f"An array in the file has an impossible shape: {brief(shape)} for {len(raw)} bytes."
            )
        budget.take(_ENTRY_BYTES + 2 * len(raw), "an array")
        if not self.is_numeric:
            order_of = "utf-32-be" if self.order == ">" else "utf-32-le"
            return [
                bytes(raw[at : at + size]).decode(order_of if self.code[0] == "U" else "latin1").rstrip("\0")
                for at in range(0, len(raw) if size else 0, max(size, 1))
            ]
        flat = np.frombuffer(raw, np.dtype(self.order + self.code))
        fortran = order == "F"
        return flat.reshape(sides, order="F" if fortran else "C").astype(flat.dtype.newbyteorder("="))


class Array:
    """Stands for `numpy.ndarray` while its content is still to come."""

    def __init__(self) -> None:
        self.value: Any = None

    def build(self, state: object, budget: Budget) -> None:
        """Take shape, type and content."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise InvalidCheckpoint("An array in the file is incomplete.")
        _version, shape, dtype, fortran, raw = state
        if not isinstance(dtype, DType) or not dtype.code:
            return
        if dtype.code == "O":
            self.value = raw if isinstance(raw, list) else None
            return
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(raw, bytes | bytearray):
            raise InvalidCheckpoint(f"An array in the file has no bytes, but {brief(raw)}.")
        self.value = dtype.array(raw, shape, "F" if fortran else "C", budget)


class Call:
    """A function that a pickle may call but not alter."""

    __slots__ = ("_function",)
    _function: Callable[..., object]

    def __init__(self, function: Callable[..., object]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: object) -> None:
        raise InvalidCheckpoint(f"The file tries to change {name!r} of a reading function.")

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)


def check_key(key: object) -> None:
    """Refuse what is no name or number of an entry: hashing it may take for ever, or meet all others.

    Raises:
        InvalidCheckpoint: If it is another kind of object, or a tuple of such.
    """
    if isinstance(key, str | bytes) or key is None:
        return None
    if isinstance(key, int | float) and -_LARGEST_KEY < key < _LARGEST_KEY:
        return None
    if isinstance(key, tuple) and len(key) <= 8 and not any(isinstance(part, tuple) for part in key):
        return check_keys(key)
    raise InvalidCheckpoint(f"The file has an entry under {brief(key)}; names and numbers are read.")


class Functions:
    """The functions that a pickle may call; each pays for what it makes.

    Args:
        budget: What it pays from.
        nested: Reads a storage that was pickled by itself, as `pickle.dump` does with tensors.
    """

    def __init__(self, budget: Budget, nested: Callable[[bytes], object] | None = None) -> None:
        self._budget = budget
        self._nested = nested

    def known(self) -> dict[tuple[str, str], Any]:
        """What each allowed name stands for; fresh objects, so that a file cannot reach into this module."""
        tensor, parameter, scalar = Call(self.tensor), Call(_first), Call(self.scalar)
        mapping, dtype = Call(self.mapping), Call(DType)
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): mapping,
            ("collections", "Counter"): mapping,
            ("collections", "defaultdict"): Call(self.default),
            ("torch", "Size"): Call(self.sequence(tuple)),
            ("torch", "device"): Call(_nothing),
            ("torch._utils", "_rebuild_tensor"): tensor,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_tensor_v3"): Call(self.retyped),
            ("torch._utils", "_rebuild_parameter"): parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): parameter,
            ("torch._tensor", "_rebuild_from_type_v2"): Call(self.rebuilt),
            ("torch.nn.parameter", "Parameter"): parameter,
            ("torch.serialization", "_get_layout"): Call(_nothing),
            ("torch.storage", "_load_from_bytes"): Call(self.storage),
            ("torch.storage", "UntypedStorage"): StorageType(torch.uint8),
            ("_codecs", "encode"): Call(self.encode),
            ("numpy", "dtype"): dtype,
            ("numpy", "ndarray"): Call(self.array),
        }
        for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
            known[core, "_reconstruct"] = Call(self.array)
            known[core, "scalar"] = scalar
        for numeric in ("numpy.core.numeric", "numpy._core.numeric"):
            known[numeric, "_frombuffer"] = Call(self.array_of_buffer)
        for module in ("copyreg", "copy_reg"):
            known[module, "_reconstructor"] = Call(self.reconstructed)
        for module in ("builtins", "__builtin__"):
            known |= {(module, t.__name__): Call(self.sequence(t)) for t in (list, tuple, set, frozenset)}
            known |= {(module, t.__name__): Call(_number(t)) for t in (int, float, bool, str)}
            known |= {(module, "long"): Call(_number(int)), (module, "unicode"): Call(_number(str))}
            known |= {(module, name): Call(self.raw) for name in ("bytes", "bytearray")}
            known |= {(module, "dict"): mapping, (module, "object"): type("object", (Inert,), {})}
        for module in ("torch", "torch.cuda"):
            known |= {(module, name): StorageType(kind) for name, kind in DTYPES.items()}
        kinds = {*DTYPES.values(), *_MORE_DTYPES}
        known |= {("torch", str(kind).removeprefix("torch.")): kind for kind in kinds}
        return known

    def tensor(self, storage: object, offset: int, size: Any, stride: Any, *_rest: object) -> Tensor:
        """A view into a storage."""
        if not isinstance(storage, Storage):
            raise InvalidCheckpoint("A tensor in the file has no storage.")
        if not isinstance(size, tuple | list) or not isinstance(stride, tuple | list):
            raise InvalidCheckpoint(f"A tensor in the file has an impossible shape: {brief(size)}.")
        self._budget.take(_TENSOR_BYTES, "tensors")
        made = storage.tensor(offset, tuple(size), tuple(stride))
        beyond = made.numel() - len(storage.content.view(storage.dtype))
        if beyond > 0:
            self._budget.take(beyond * made.element_size(), f"a tensor of shape {tuple(made.shape)}")
        return made

    def retyped(self, storage: object, *parts: Any) -> Tensor:
        """The same into an untyped storage, whose type comes behind gradient and hooks."""
        dtype = parts[5] if len(parts) > 5 else None
        if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
            raise InvalidCheckpoint("A tensor in the file has no storage or type.")
        return self.tensor(Storage(storage.content, dtype), *parts[:3])

    def rebuilt(self, function: object, _type: object, arguments: object, *_state: object) -> object:
        """A tensor of a derived class as a plain one."""
        if not isinstance(function, Call) or not isinstance(arguments, tuple):
            return Inert()
        return function(*arguments)

    def storage(self, raw: object) -> object:
        """A storage within a plain pickle."""
        if self._nested is None or not isinstance(raw, bytes):
            raise InvalidCheckpoint("The pickle holds a tensor where none can be read.")
        self._budget.take(len(raw), "a storage")
        return self._nested(raw)

    def array(self, *_arguments: object) -> Array:
        """An array still to be filled."""
        self._budget.take(_ENTRY_BYTES, "arrays")
        return Array()

    def array_of_buffer(self, buffer: object, dtype: object, shape: object, order: object = "C") -> object:
        """Stands for `numpy._frombuffer`, which protocol 5 rebuilds arrays with."""
        if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, DType):
            return None
        if not isinstance(shape, tuple) or order not in ("C", "F"):
            raise InvalidCheckpoint(f"An array in the file has an impossible shape: {brief(shape)}.")
        return dtype.array(buffer, shape, str(order), self._budget) if dtype.code not in ("", "O") else None

    def scalar(self, dtype: object, raw: object = b"") -> object:
        """A number or text of NumPy's as one of Python's."""
        if not isinstance(dtype, DType) or dtype.code in ("", "O"):
            return None
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if not isinstance(content, bytes | bytearray):
            return None
        (value,) = dtype.array(content, (1,), "C", self._budget)
        return value.item() if dtype.is_numeric else value

    def mapping(self, pairs: object = (), *_rest: object) -> dict[Any, Any]:
        """A dictionary of pairs."""
        if isinstance(pairs, Mapping):
            self._budget.take(_ENTRY_BYTES * (1 + len(pairs)), "mappings")
            return dict(pairs)
        if not isinstance(pairs, list | tuple):
            raise InvalidCheckpoint(f"A mapping in the file is made of {brief(pairs)}.")
        self._budget.take(_ENTRY_BYTES * (1 + len(pairs)), "mappings")
        found = {}
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise InvalidCheckpoint(f"A mapping in the file is made of {brief(pair)}.")
            check_key(pair[0])
            found[pair[0]] = pair[1]
        return found

    def default(self, _factory: object = None, pairs: object = (), *_rest: object) -> dict[Any, Any]:
        """A `defaultdict` without its function."""
        return self.mapping(pairs)

    def sequence(self, kind: type) -> Callable[..., object]:
        """What copies a container into one of this kind."""

        def make(content: object = ()) -> object:
            if not isinstance(content, list | tuple | set | frozenset | dict):
                raise InvalidCheckpoint(f"A {kind.__name__} in the file is made of {brief(content)}.")
            self._budget.take(_ENTRY_BYTES * (1 + len(content)), f"a {kind.__name__}")
            if kind in (set, frozenset):
                check_keys(content)
            return kind(content)

        return make

    def raw(self, content: object = b"", encoding: object = "latin-1") -> bytes:
        """Bytes of bytes, or of a text that stands for them."""
        if isinstance(content, str):
            return self.encode(content, encoding)
        if not isinstance(content, bytes | bytearray):
            raise InvalidCheckpoint(f"The file asks for bytes made of {brief(content)}; refused.")
        self._budget.take(len(content), "bytes")
        return bytes(content)

    def encode(self, text: object, encoding: object = "latin1") -> bytes:
        """How Python 3 writes bytes for Python 2."""
        if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
            raise InvalidCheckpoint(f"The file encodes bytes as {brief(encoding)}; only latin1 is known.")
        self._budget.take(len(text), "bytes")
        return text.encode("latin1")

    def reconstructed(self, cls: object, base: object = None, state: object = None, *_rest: object) -> object:
        """An object of a class that its own program made; of a kind of dictionary what it holds."""
        if isinstance(cls, type) and issubclass(cls, Inert):
            made = cls()
            if isinstance(state, dict):
                made.items = state
            return made
        return {} if isinstance(cls, Call) else Inert()


def check_keys(keys: Iterable[object]) -> None:
    """`check_key` of each."""
    for key in keys:
        check_key(key)


def _number(kind: type) -> Callable[..., object]:
    def make(value: object = 0) -> object:
        is_plain = isinstance(value, str | bytes | int | float) or value is None
        if not is_plain or (
            isinstance(value, str | bytes) and kind is not str and len(value) > _LONGEST_NUMBER
        ):
            raise InvalidCheckpoint(f"A {kind.__name__} in the file is made of {brief(value)}.")
        if isinstance(value, int) and value.bit_length() > 8 * _LONGEST_NUMBER:
            raise InvalidCheckpoint(f"The file holds {brief(value)}; refused.")
        return value if kind is str and isinstance(value, str) else kind(value)

    return make


def _first(data: object, *_rest: object) -> object:
    return data


def _nothing(*_arguments: object) -> None:
    return None
