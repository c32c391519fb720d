"""A pickle reader that executes nothing, and that a file cannot exhaust.

A pickle is a program: it names functions and has them called. This reader answers every name itself. A few
names (tensors, arrays, containers, numbers) stand for the functions of `core.pickled`; all others become
inert objects that only keep what is put into them. Names whose only use in a checkpoint is an attack are
refused aloud.

It is also a program that can loop through what it made: copy a list in every step, give a part to itself,
share parts until a walk never ends. What it makes is paid from a budget in proportion to the file's bytes,
entries go under names and numbers alone, and `settle` counts what the content unfolds to.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError, UnsafeFile
from kinesphere.core.limits import DEEPEST, FREE_NODES, Budget, brief, count_nodes
from kinesphere.core.pickled import (
    Array,
    Call,
    DType,
    Functions,
    Inert,
    Storage,
    StorageType,
    check_key,
    check_keys,
)

__all__ = ["Inert", "Storage", "StorageType", "Unpickler", "read_pickle", "settle"]

GROWTH = 32
"""Objects of Python take more than they do in a file: this many times the file's bytes, at most."""

_HOSTILE_MODULES = frozenset({
    "asyncio", "bdb", "code", "codeop", "commands", "ctypes", "importlib", "marshal", "multiprocessing", "nt",
    "os", "pdb", "pickle", "pip", "posix", "pty", "runpy", "shutil", "signal", "site", "socket", "ssl",
    "subprocess", "sys", "tempfile", "threading", "timeit", "urllib", "webbrowser",
})  # fmt: skip
_HOSTILE_BUILTINS = frozenset({
    "__import__", "apply", "breakpoint", "compile", "delattr", "eval", "exec", "execfile", "getattr",
    "globals", "input", "locals", "open", "setattr", "vars",
})  # fmt: skip
# What is paid for; making a class also takes time, and no file has many.
_CLASS_BYTES, _OBJECT_BYTES, _SET_BYTES, _ENTRY_BYTES = 8192, 120, 216, 100
_LONGEST_NUMBER = 1024


# Python's own machine, the one written in Python: every step of it can be replaced.
_Machine: Any = pickle._Unpickler


def _hostile(module: str, name: str) -> bool:
    if module in ("builtins", "__builtin__"):
        return name in _HOSTILE_BUILTINS
    parts = {*module.split("."), *name.split(".")[:-1]}  # os.system, torch's own import of os, …
    return not parts.isdisjoint(_HOSTILE_MODULES) and not module.startswith(("torch.nn", "torch.utils"))


class Unpickler(_Machine):
    """Reads one pickle; `inert` collects the names that were not followed.

    Args:
        file: Where to read; it can be asked for its length.
        storage: Answers a persistent id with a `Storage` (or whatever the container keeps there).
        budget: What the content may take; None allows for the bytes of `file`.
        nested: Reads a storage that was pickled by itself.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {**_Machine.dispatch}

    def __init__(
        self,
        file: BinaryIO,
        storage: Callable[[Any], object] | None = None,
        budget: Budget | None = None,
        nested: Callable[[bytes], object] | None = None,
    ) -> None:
        limited = _Limited(file)
        super().__init__(limited, encoding="latin1")
        self._storage = storage
        self._budget = budget or Budget("The file", limited.size, InvalidCheckpoint, GROWTH)
        self._names = Functions(self._budget, nested).known()
        self.inert: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        key = (module, name)
        if key not in self._names:
            if _hostile(module, name):
                raise UnsafeFile(
                    f"The file asks to call {module}.{name}; nothing was executed. Do not use this file."
                )
            self._budget.take(_CLASS_BYTES, "names of classes")
            self.inert.add(f"{module}.{name}")
            self._names[key] = type(name.rpartition(".")[2] or "unnamed", (Inert,), {})
        return self._names[key]

    def persistent_load(self, pid: Any) -> object:
        """What lies outside of the pickle."""
        if self._storage is None:
            raise InvalidCheckpoint("The pickle refers to data outside itself.")
        return self._storage(pid)

    def get_extension(self, code: int) -> None:
        """Registered numbers for names, which no file of others can know."""
        raise InvalidCheckpoint(f"The pickle refers to a registered name by its number {code}.")

    # --- objects ---

    def _called(self, function: object, arguments: object) -> object:
        if not isinstance(arguments, tuple | list):
            raise InvalidCheckpoint(f"The file calls a name with {brief(arguments)}.")
        if isinstance(function, Call):
            return function(*arguments)
        self._budget.take(_OBJECT_BYTES, "objects")
        if isinstance(function, type) and issubclass(function, Inert):
            return function()
        return Inert()

    def _instantiate(self, klass: object, arguments: list[object]) -> None:
        self.append(self._called(klass, arguments))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments)

    def _newobj(self) -> None:
        arguments = self.stack.pop()
        self.append(self._called(self.stack.pop(), arguments))

    def _newobj_ex(self) -> None:
        self.stack.pop()
        self._newobj()

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, Array):
            made.build(state, self._budget)
        elif isinstance(made, DType | Inert):
            made.build(state)
        elif isinstance(made, Call):
            parts = state if isinstance(state, tuple) else (state,)
            names = [name for part in parts if isinstance(part, dict) for name in part]
            raise InvalidCheckpoint(f"The file tries to change {brief(names[0])} of a reading function.")
        elif not isinstance(made, dict):
            raise InvalidCheckpoint(f"The file tries to change {brief(made)}.")

    # --- containers ---

    def _put_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise InvalidCheckpoint("A mapping in the file has a key without a value.")
        self._budget.take(_ENTRY_BYTES * (len(items) // 2), "entries")
        put = target.__setitem__ if isinstance(target, dict) else getattr(target, "put", None)
        if not isinstance(target, dict | Inert) or put is None:
            raise InvalidCheckpoint(f"The file puts entries into {brief(target)}.")
        for i in range(0, len(items), 2):
            check_key(items[i])
            put(items[i], items[i + 1])

    def _setitem(self) -> None:
        value = self.stack.pop()
        self._put_items([self.stack.pop(), value])

    def _setitems(self) -> None:
        self._put_items(self.pop_mark())

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._put_items(items)

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Inert):
            raise InvalidCheckpoint(f"The file appends to {brief(target)}.")

    def _append(self) -> None:
        value = self.stack.pop()
        self._extend([value])

    def _appends(self) -> None:
        self._extend(self.pop_mark())

    def _additems(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        check_keys(items)
        self._budget.take(_ENTRY_BYTES * len(items), "entries")
        if isinstance(target, set):
            target.update(items)
        elif not isinstance(target, Inert):
            raise InvalidCheckpoint(f"The file adds to {brief(target)}.")

    def _frozenset(self) -> None:
        items = self.pop_mark()
        check_keys(items)
        self._budget.take(_SET_BYTES + _ENTRY_BYTES * len(items), "sets")
        self.append(frozenset(items))

    def _empty_list(self) -> None:
        self._budget.take(_OBJECT_BYTES, "lists")
        self.append([])

    def _empty_dict(self) -> None:
        self._budget.take(_OBJECT_BYTES, "mappings")
        self.append({})

    def _empty_set(self) -> None:
        self._budget.take(_SET_BYTES, "sets")
        self.append(set())

    def _mark(self) -> None:
        self._budget.take(_OBJECT_BYTES, "marks")
        super().load_mark()

    # --- numbers, bytes, and what is remembered ---

    def _bytearray8(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(count)))

    def _long4(self) -> None:
        (count,) = struct.unpack("<i", self.read(4))
        if not 0 <= count <= _LONGEST_NUMBER:
            raise InvalidCheckpoint(f"The file holds a number of {count} bytes; refused.")
        self.append(int.from_bytes(self.read(count), "little", signed=True))

    def _remember(self, place: int) -> None:
        self._budget.take(_ENTRY_BYTES, "remembered parts")
        self.memo[place] = self.stack[-1]

    def _memoize(self) -> None:
        self._remember(len(self.memo))

    def _put(self) -> None:
        self._remember(int(self.readline()[:-1]))

    def _binput(self) -> None:
        self._remember(self.read(1)[0])

    def _long_binput(self) -> None:
        self._remember(struct.unpack("<I", self.read(4))[0])

    dispatch |= {
        code[0]: function
        for code, function in (
            (pickle.REDUCE, _reduce), (pickle.NEWOBJ, _newobj), (pickle.NEWOBJ_EX, _newobj_ex),
            (pickle.BUILD, _build), (pickle.SETITEM, _setitem), (pickle.SETITEMS, _setitems),
            (pickle.DICT, _dict), (pickle.APPEND, _append), (pickle.APPENDS, _appends),
            (pickle.ADDITEMS, _additems), (pickle.FROZENSET, _frozenset), (pickle.EMPTY_LIST, _empty_list),
            (pickle.EMPTY_DICT, _empty_dict), (pickle.EMPTY_SET, _empty_set), (pickle.MARK, _mark),
            (pickle.BYTEARRAY8, _bytearray8), (pickle.LONG4, _long4), (pickle.MEMOIZE, _memoize),
            (pickle.PUT, _put), (pickle.BINPUT, _binput), (pickle.LONG_BINPUT, _long_binput),
        )
    }  # fmt: skip


class _Limited:
    """A file that is never asked for more bytes than it has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        here = file.tell()
        self.size = file.seek(0, io.SEEK_END)
        file.seek(here)
        self.readline = file.readline
        self.readinto = file.readinto  # type: ignore[attr-defined]

    def read(self, count: int) -> bytes:
        if count > 4096 and count > self.size - self._file.tell():
            raise InvalidCheckpoint(f"The file claims a part of {count} bytes, but has {self.size}.")
        return self._file.read(count)


def settle(content: Any, name: str, size: int) -> Any:
    """Arrays in their final form, in nested mappings and sequences; what is shared stays shared.

    Args:
        content: What an `Unpickler` gave.
        name: Name of the file, for messages.
        size: Its bytes.

    Raises:
        InvalidCheckpoint: If the content contains itself, is nested too deep, or unfolds to more values than
            a file of this size can mean.
    """
    count_nodes(content, _parts, name, InvalidCheckpoint, most=FREE_NODES + 8 * size, deepest=DEEPEST)
    settled: dict[int, Any] = {}

    def walk(node: Any) -> Any:
        if not isinstance(node, Inert | Array | Mapping | list | tuple):
            return node
        if id(node) not in settled:
            settled[id(node)] = form(node)
        return settled[id(node)]

    def form(node: Any) -> Any:
        if isinstance(node, Inert):
            kept = node.settings()
            return node if kept is None else {key: walk(part) for key, part in kept.items()}
        if isinstance(node, Array):
            return walk(node.value) if isinstance(node.value, list) else node.value
        if isinstance(node, Mapping):
            return {key: walk(part) for key, part in node.items()}
        return [walk(part) for part in node]

    return walk(content)


def _parts(node: object) -> tuple[object, ...]:
    if isinstance(node, Inert):
        return (*(node.record or {}).values(), *(node.items or {}).values())
    if isinstance(node, Array):
        return tuple(node.value) if isinstance(node.value, list) else ()
    if isinstance(node, Mapping):
        return tuple(node.values())
    return tuple(node) if isinstance(node, list | tuple) else ()


def read_pickle(path: Path, error: type[KinesphereError] = InvalidCheckpoint) -> Any:
    """The content of a pickle: plain values and arrays, `Inert` for all else.

    Raises:
        KinesphereError: `error`, if it is damaged, or asks for more than its size makes plausible.
        UnsafeFile: If it asks for code to be called.
    """
    budget = Budget.of(path, error, GROWTH)
    try:
        with path.open("rb") as file:
            return settle(Unpickler(file, budget=budget).load(), path.name, budget.size)
    except (UnsafeFile, error):
        raise
    except KinesphereError as reason:
        raise error(f"{path} is not a readable pickle ({reason}); get it again.") from reason
    except Exception as reason:  # a damaged pickle can raise nearly anything
        raise error(
            f"{path} is not a readable pickle ({type(reason).__name__}: {reason}); get it again."
        ) from reason
