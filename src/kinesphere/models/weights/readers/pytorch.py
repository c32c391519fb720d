"""PyTorch and Caffe2 checkpoint files, of every age, without executing anything in them.

Four containers are told apart by their first bytes: the zip archive (PyTorch ≥ 1.6), the stream of pickles
followed by raw storages (0.1.12 to 1.5), the tar archive (before), and a plain pickle of arrays
(Caffe2 exports) or of tensors. All go through `unpickle`, within one budget for what the file may take.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.limits import Budget, brief
from kinesphere.core.unpickle import GROWTH, Storage, StorageType, Unpickler, settle
from kinesphere.models.weights.readers.foreign import Content

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST_SIDES = 32
_CHUNK_BYTES = 16 << 20


def read_pytorch(path: Path) -> Content:
    """What a `.pth`, `.pt`, `.tar` or `.pkl` file holds.

    Raises:
        InvalidCheckpoint: If the file is damaged, or claims more than it has.
        UnsafeFile: If it asks for code to be called.
    """
    budget = Budget.of(path, InvalidCheckpoint, GROWTH)
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                content, inert, size = _read_zip(file, budget)
            else:
                file.seek(0)
                first = file.read(512)
                file.seek(0)
                is_tar = first[257:262] == b"ustar"
                content, inert = _read_tar(file, budget) if is_tar else _read_stream(file, budget)
                size = budget.size
            return Content(settle(content, path.name, size), tuple(sorted(inert)))
    except KinesphereError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise InvalidCheckpoint(
            f"{path.name} is damaged or no PyTorch checkpoint ({type(error).__name__}: {error})."
        ) from error


def _read_zip(file: BinaryIO, budget: Budget) -> tuple[Any, set[str], int]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        root = next((name.removesuffix("data.pkl") for name in entries if name.endswith("data.pkl")), None)
        if root is None or f"{root}constants.pkl" in entries:
            raise InvalidCheckpoint(
                "This zip archive is no saved state (TorchScript?); save its state_dict() with torch.save."
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise InvalidCheckpoint("The archive is compressed, which torch.save never does; refused.")
        content_bytes = Budget(budget.name, budget.size, InvalidCheckpoint, growth=1)

        def member(name: str) -> Tensor:
            """The bytes of a member; together they are no more than the file's, however they overlap."""
            if name not in entries:
                raise InvalidCheckpoint(f"The archive lacks its member {brief(name)}.")
            size = content_bytes.take(entries[name].file_size, f"its member {brief(name)}")
            if size > budget.size:
                raise InvalidCheckpoint(f"The archive claims {size} bytes for {brief(name)}; it is smaller.")
            content = torch.empty(size, dtype=torch.uint8)
            view, done = content.numpy(), 0
            with archive.open(entries[name]) as part:
                while chunk := part.read(_CHUNK_BYTES):
                    view[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
                    done += len(chunk)
            if done != size:
                raise InvalidCheckpoint(f"The archive's member {brief(name)} is cut short.")
            return content

        big = f"{root}byteorder" in entries and member(f"{root}byteorder").numpy().tobytes() == b"big"
        storages: dict[str, Storage] = {}

        def storage(pid: Any) -> Storage:
            dtype, key = _storage_id(pid)[:2]
            if key not in storages:
                storages[key] = Storage(_whole(member(f"{root}data/{key}"), dtype, big), dtype)
            return storages[key]

        program = member(f"{root}data.pkl").numpy().tobytes()
        reader = Unpickler(io.BytesIO(program), storage, budget)
        return reader.load(), reader.inert, len(program)


def _read_stream(file: BinaryIO, budget: Budget, *, nested: bool = False) -> tuple[Any, set[str]]:
    """Either a plain pickle or magic, protocol, system, object, storage keys, storages.

    Args:
        file: Where to read.
        budget: What the content may take.
        nested: Whether this is a storage within a plain pickle, which holds no further one.
    """

    def storage_of(raw: bytes) -> object:
        return _read_stream(io.BytesIO(raw), budget, nested=True)[0]

    reader = Unpickler(file, budget=budget, nested=None if nested else storage_of)
    first = reader.load()
    if type(first) is not int or first != _MAGIC:
        return first, reader.inert
    protocol = Unpickler(file, budget=budget).load()
    if protocol != _PROTOCOL:
        raise InvalidCheckpoint(f"The file has PyTorch protocol {brief(protocol)}; known is {_PROTOCOL}.")
    system = Unpickler(file, budget=budget).load()
    big = isinstance(system, dict) and system.get("little_endian") is False
    here = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(here)
    storages: dict[str, Storage] = {}
    views: dict[str, Storage] = {}
    claimed = 0

    def storage(pid: Any) -> object:
        nonlocal claimed
        dtype, key, count, view = _storage_id(pid)
        if key not in storages:
            claimed += max(count, 0) * dtype.itemsize
            if count < 0 or claimed > size:
                raise InvalidCheckpoint(f"Storage {key} claims {count} values; the file is smaller.")
            storages[key] = Storage(torch.zeros(count * dtype.itemsize, dtype=torch.uint8), dtype)
        whole = storages[key]
        if view is None:
            return whole
        name, start, length = view
        if not all(type(part) is int and 0 <= part < 1 << 48 for part in (start, length)):
            raise InvalidCheckpoint(f"A view of storage {key} lies outside of it.")
        start_b, end_b = start * dtype.itemsize, (start + length) * dtype.itemsize
        if end_b > len(whole.content):
            raise InvalidCheckpoint(f"A view of storage {key} lies outside of it.")
        return views.setdefault(brief(name), Storage(whole.content[start_b:end_b], dtype))

    reader = Unpickler(file, storage, budget)
    content = reader.load()
    keys = Unpickler(file, budget=budget).load()
    if not isinstance(keys, list):
        raise InvalidCheckpoint("The file lacks the list of its storages.")
    for key in keys:
        whole = storages[str(key) if isinstance(key, int) else key]
        (count,) = struct.unpack("<q", file.read(8))
        raw = file.read(len(whole.content))
        if count * whole.dtype.itemsize != len(whole.content) or len(raw) != len(whole.content):
            raise InvalidCheckpoint(f"Storage {key} is cut short: {len(raw)} of {len(whole.content)} bytes.")
        whole.content.copy_(_whole(_bytes(raw), whole.dtype, big))
    return content, reader.inert


def _read_tar(file: BinaryIO, budget: Budget) -> tuple[Any, set[str]]:
    """Members `storages`, `tensors` and `pickle`; the pickle refers to tensors by number."""
    with tarfile.open(fileobj=file, mode="r:") as archive:

        def member(name: str) -> io.BytesIO:
            entry = archive.getmember(name)
            if not entry.isreg() or entry.issparse():
                raise InvalidCheckpoint(f"The tar archive's member {name!r} is no plain file.")
            handle = archive.extractfile(entry)
            assert handle is not None
            return io.BytesIO(handle.read(budget.take(entry.size, f"its member {name!r}")))

        def load(part: io.BytesIO) -> Any:
            return Unpickler(part, budget=budget).load()

        found: dict[Any, Storage | Tensor] = {}
        part = member("storages")
        for _ in range(_count(load(part))):
            key, _location, kind = load(part)
            (count,) = struct.unpack("<q", part.read(8))
            raw = part.read(_count(count) * kind.dtype.itemsize)
            found[_name(key)] = Storage(_whole(_bytes(raw), kind.dtype, big_endian=False), kind.dtype)
        for target, source, offset, count in load(part):
            whole = _stored(found, source)
            item = whole.dtype.itemsize
            start, end = _count(offset) * item, (_count(offset) + _count(count)) * item
            found[_name(target)] = Storage(whole.content[start:end], whole.dtype)
        part = member("tensors")
        for _ in range(_count(load(part))):
            key, source, _kind = load(part)
            (rank,) = struct.unpack("<i4x", part.read(8))
            if not 0 <= rank <= _MOST_SIDES:
                raise InvalidCheckpoint(f"A tensor in the file has {rank} dimensions.")
            size = struct.unpack(f"<{rank}q", part.read(8 * rank))
            stride = struct.unpack(f"<{rank}q", part.read(8 * rank))
            (offset,) = struct.unpack("<q", part.read(8))
            budget.take(1000, "tensors")
            found[_name(key)] = _stored(found, source).tensor(offset, size, stride)

        def lookup(pid: Any) -> object:
            return pid[0] if isinstance(pid, tuple) else found[int(_name(pid))]

        reader = Unpickler(member("pickle"), lookup, budget)
        return reader.load(), reader.inert


def _count(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 48:
        raise InvalidCheckpoint(f"The file counts {brief(number)} parts.")
    return number


def _name(key: Any) -> Any:
    if not isinstance(key, str | int):
        raise InvalidCheckpoint(f"The file calls a part {brief(key)}.")
    return key


def _stored(found: dict[Any, Storage | Tensor], source: Any) -> Storage:
    storage = found.get(_name(source))
    if not isinstance(storage, Storage):
        raise InvalidCheckpoint(f"The file has no storage {brief(source)}.")
    return storage


def _storage_id(pid: Any) -> tuple[torch.dtype, str, int, Any]:
    """Type, key, size and view of a persistent id `("storage", type, key, location, size[, view])`."""
    if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
        raise pickle.UnpicklingError(f"unknown persistent id {brief(pid)}")
    kind, key, view = pid[1], pid[2], pid[5] if len(pid) == 6 else None
    if not isinstance(kind, StorageType):
        raise InvalidCheckpoint("The file has a storage of unknown type (quantised); save it in floats.")
    if not isinstance(key, str | int) or (
        view is not None and not (isinstance(view, tuple) and len(view) == 3)
    ):
        raise InvalidCheckpoint(f"The file has a storage called {brief(key)}.")
    return kind.dtype, str(key), _count(pid[4]), view


def _bytes(raw: bytes) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)


def _whole(content: Tensor, dtype: torch.dtype, big_endian: bool) -> Tensor:
    """Raw storage in this machine's order, as many bytes as make whole elements."""
    item = dtype.itemsize
    content = content[: len(content) // item * item]
    if big_endian and item > 1:
        part = item // 2 if dtype.is_complex else item
        swapped = np.ascontiguousarray(content.numpy().reshape(-1, part)[:, ::-1])
        return torch.from_numpy(swapped.reshape(-1))
    return content
