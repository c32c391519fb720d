"""A pickle reader that executes nothing.

A pickle is a program: it names functions and has them called. This reader answers every name itself. A few
names (tensors, arrays, containers, numbers) stand for rebuilding functions of this file; all others
become inert classes that only keep what is put into them. Names whose only use in a checkpoint is an attack
are refused aloud.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, UnsafeFile

_HOSTILE_MODULES = frozenset({
    "asyncio", "bdb", "code", "codeop", "commands", "ctypes", "importlib", "marshal", "multiprocessing", "nt",
    "os", "pdb", "pickle", "pip", "posix", "pty", "runpy", "shutil", "signal", "site", "socket", "ssl",
    "subprocess", "sys", "tempfile", "threading", "timeit", "urllib", "webbrowser",
})  # fmt: skip
_HOSTILE_BUILTINS = frozenset({
    "__import__", "apply", "breakpoint", "compile", "delattr", "eval", "exec", "execfile", "getattr",
    "globals", "input", "locals", "open", "setattr", "vars",
})  # fmt: skip
_DEPTH = 64

_DTYPES = {
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
}


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
        if not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in numbers) or len(size) != len(stride):
            raise InvalidCheckpoint(f"A tensor in the file has an impossible shape: {size}, {stride}.")
        count = int(np.prod([1, *size], dtype=object))
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and (count > len(flat) or last >= len(flat)):
            raise InvalidCheckpoint(f"A tensor of shape {size} does not fit its storage of {len(flat)}.")
        return flat.as_strided(size, stride, offset) if count else flat.new_empty(size)


class StorageType:
    """Stands for `torch.FloatStorage` and its like."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class Inert:
    """Stands for any class that we do not know: keeps nothing, does nothing."""

    def __new__(cls, *_arguments: object, **_named: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_arguments: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass

    def __setitem__(self, _key: object, _value: object) -> None:
        pass

    def append(self, _item: object) -> None:
        pass

    def extend(self, _items: object) -> None:
        pass


class _DType:
    """Stands for `numpy.dtype` while its byte order is still to come."""

    def __init__(self, code: object, *_flags: object) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else str(code)
        self.order = "="
        if text.lstrip("<>|=") not in {
            "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1",
        }:  # fmt: skip
            self.code = ""  # text, objects: kept as nothing
        else:
            self.code = text.lstrip("<>|=")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        self.order = order if order in ("<", ">", "=") else "="

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for `numpy.ndarray` while its content is still to come."""

    def __init__(self, *_arguments: object) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or not dtype.code:
            return
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(raw, dtype.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C").astype(flat.dtype.newbyteorder("="))


def _rebuild_tensor(storage: object, offset: int, size: Any, stride: Any, *_rest: object) -> Tensor:
    if not isinstance(storage, Storage):
        raise InvalidCheckpoint("A tensor in the file has no storage.")
    return storage.tensor(offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: object, *_rest: object) -> object:
    return data


def _scalar(dtype: object, raw: object = b"") -> object:
    if not isinstance(dtype, _DType) or not dtype.code:
        return None
    content = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(content, dtype.numpy())[0].item()  # type: ignore[call-overload]


def _array_of_buffer(buffer: object, dtype: object, shape: object, order: object = "C") -> object:
    """Stands for `numpy._frombuffer`, which protocol 5 rebuilds arrays with."""
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, _DType) or not dtype.code:
        return None
    if not isinstance(shape, tuple) or order not in ("C", "F"):
        raise InvalidCheckpoint(f"An array in the file has an impossible shape: {shape}, {order}.")
    flat = np.frombuffer(buffer, dtype.numpy())
    return flat.reshape(shape, order=order).astype(flat.dtype.newbyteorder("="))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise InvalidCheckpoint(f"The file encodes bytes as {encoding!r}; only latin1 is known.")
    return text.encode("latin1")


def _reconstructor(cls: object, *_rest: object) -> object:
    return cls() if isinstance(cls, type) and issubclass(cls, Inert | OrderedDict) else Inert()


def _nothing(*_arguments: object) -> None:
    return None


def _known() -> dict[tuple[str, str], Any]:
    """What each allowed name stands for; fresh objects, so that a file cannot reach into this module."""
    tensor, parameter, scalar = _Call(_rebuild_tensor), _Call(_rebuild_parameter), _Call(_scalar)
    known: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "Size"): tuple,
        ("torch", "device"): _Call(_nothing),
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
        ("torch.nn.parameter", "Parameter"): parameter,
        ("torch.serialization", "_get_layout"): _Call(_nothing),
        ("_codecs", "encode"): _Call(_encode),
        ("numpy", "dtype"): type("dtype", (_DType,), {}),
        ("numpy", "ndarray"): type("ndarray", (_Array,), {}),
    }
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known[core, "_reconstruct"] = type("array", (_Array,), {})
        known[core, "scalar"] = scalar
    for numeric in ("numpy.core.numeric", "numpy._core.numeric"):
        known[numeric, "_frombuffer"] = _Call(_array_of_buffer)
    for module in ("copyreg", "copy_reg"):
        known[module, "_reconstructor"] = _Call(_reconstructor)
    for module in ("builtins", "__builtin__"):
        known |= {(module, t.__name__): t for t in (dict, list, tuple, set, frozenset, int, float, bool, str)}
        known |= {(module, "object"): type("object", (Inert,), {}), (module, "long"): int}
        known |= {(module, "unicode"): str}
    for module in ("torch", "torch.cuda"):
        known |= {(module, name): StorageType(dtype) for name, dtype in _DTYPES.items()}
    return known


class _Call:
    """A function that a pickle may call but not alter."""

    __slots__ = ("_function",)
    _function: Callable[..., object]

    def __init__(self, function: Callable[..., object]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: object) -> None:
        raise InvalidCheckpoint(f"The file tries to change {name!r} of a reading function.")

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)


def _hostile(module: str, name: str) -> bool:
    if module in ("builtins", "__builtin__"):
        return name in _HOSTILE_BUILTINS
    parts = {*module.split("."), *name.split(".")[:-1]}  # os.system, torch's own import of os, …
    return not parts.isdisjoint(_HOSTILE_MODULES) and not module.startswith(("torch.nn", "torch.utils"))


class Unpickler(pickle.Unpickler):
    """Reads one pickle; `inert` collects the names that were not followed.

    Args:
        file: Where to read.
        storage: Answers a persistent id with a `Storage` (or whatever the container keeps there).
    """

    def __init__(self, file: BinaryIO, storage: Callable[[Any], object] | None = None) -> None:
        super().__init__(file, encoding="latin1")
        self._storage = storage
        self._names = _known()
        self.inert: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        key = (module, name)
        if key not in self._names:
            if _hostile(module, name):
                raise UnsafeFile(
                    f"The file asks to call {module}.{name}; nothing was executed. Do not use this file."
                )
            self.inert.add(f"{module}.{name}")
            self._names[key] = type(name.rpartition(".")[2] or "unnamed", (Inert,), {})
        return self._names[key]

    def persistent_load(self, pid: Any) -> object:
        if self._storage is None:
            raise InvalidCheckpoint("The pickle refers to data outside itself.")
        return self._storage(pid)


def settle(content: Any, depth: int = 0) -> Any:
    """Arrays in their final form, in nested mappings and sequences."""
    if isinstance(content, _Array):
        return content.value
    if depth > _DEPTH:
        return None
    if isinstance(content, Mapping):
        return {key: settle(value, depth + 1) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [settle(value, depth + 1) for value in content]
    return content
