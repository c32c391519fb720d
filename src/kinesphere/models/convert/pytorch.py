"""PyTorch and Caffe2 checkpoint files, of every age, without executing anything in them.

Four containers are told apart by their first bytes: the zip archive (PyTorch ≥ 1.6), the stream of pickles
followed by raw storages (0.1.12 to 1.5), the tar archive (before), and a plain pickle of arrays
(Caffe2 exports). Files that `torch.load(weights_only=True)` accepts are read by it; the others go through
`unpickle`.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.unpickle import Storage, StorageType, Unpickler, settle
from kinesphere.models.convert.foreign import Foreign, unwrap

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_pytorch(path: Path) -> Foreign:
    """Named tensors and class names of a `.pth`, `.pt`, `.tar` or `.pkl` file.

    Raises:
        InvalidCheckpoint: If the file is damaged or holds no tensors.
        UnsafeFile: If it asks for code to be called.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on the pickle's protocol
            content = torch.load(path, map_location="cpu", weights_only=True)
        inert: set[str] = set()
    except Exception:  # whatever it does not accept is read below, where the reason is found and told
        content, inert = _read_restricted(path)
    foreign = unwrap(content, path.name)
    return replace(foreign, inert=tuple(sorted(inert)))


def _read_restricted(path: Path) -> tuple[Any, set[str]]:
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                content, inert = _read_zip(file)
            else:
                file.seek(0)
                first = file.read(512)
                file.seek(0)
                content, inert = _read_tar(file) if first[257:262] == b"ustar" else _read_stream(file)
            return settle(content), inert
    except KinesphereError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise InvalidCheckpoint(
            f"{path.name} is damaged or no PyTorch checkpoint ({type(error).__name__}: {error})."
        ) from error


def _read_zip(file: BinaryIO) -> tuple[Any, set[str]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        root = next((name.removesuffix("data.pkl") for name in names if name.endswith("data.pkl")), None)
        if root is None or f"{root}constants.pkl" in names:
            raise InvalidCheckpoint(
                "This zip archive is no saved state (TorchScript?); save its state_dict() with torch.save."
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InvalidCheckpoint("The archive is compressed, which torch.save never does; refused.")
        big = f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big"
        storages: dict[str, Storage] = {}

        def storage(pid: Any) -> Storage:
            dtype, key = _storage_id(pid)[:2]
            if key not in storages:
                storages[key] = Storage(_bytes(archive.read(f"{root}data/{key}"), dtype, big), dtype)
            return storages[key]

        reader = Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")), storage)
        return reader.load(), reader.inert


def _read_stream(file: BinaryIO) -> tuple[Any, set[str]]:
    """Either a plain pickle or magic, protocol, system, object, storage keys, storages."""
    reader = Unpickler(file)
    first = reader.load()
    if first != _MAGIC:
        return first, reader.inert
    protocol = Unpickler(file).load()
    if protocol != _PROTOCOL:
        raise InvalidCheckpoint(f"The file has PyTorch protocol {protocol!r}; known is {_PROTOCOL}.")
    system = Unpickler(file).load()
    big = isinstance(system, dict) and system.get("little_endian") is False
    size = file.seek(0, io.SEEK_END) if (here := file.tell()) else 0
    file.seek(here)
    storages: dict[str, Storage] = {}
    views: dict[Any, Storage] = {}
    claimed = 0

    def storage(pid: Any) -> object:
        nonlocal claimed
        if isinstance(pid, tuple) and pid and pid[0] == "module":
            return pid[1]
        dtype, key, count, view = _storage_id(pid)
        if key not in storages:
            claimed += count * dtype.itemsize
            if count < 0 or claimed > size:
                raise InvalidCheckpoint(f"Storage {key} claims {count} values; the file is smaller.")
            storages[key] = Storage(torch.zeros(count * dtype.itemsize, dtype=torch.uint8), dtype)
        whole = storages[key]
        if view is None:
            return whole
        name, start, length = view
        start_b, end_b = start * dtype.itemsize, (start + length) * dtype.itemsize
        if not 0 <= start_b <= end_b <= len(whole.content):
            raise InvalidCheckpoint(f"A view of storage {key} lies outside of it.")
        return views.setdefault(name, Storage(whole.content[start_b:end_b], dtype))

    reader = Unpickler(file, storage)
    content = reader.load()
    for key in Unpickler(file).load():
        whole = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        raw = file.read(len(whole.content))
        if count * whole.dtype.itemsize != len(whole.content) or len(raw) != len(whole.content):
            raise InvalidCheckpoint(f"Storage {key} is cut short: {len(raw)} of {len(whole.content)} bytes.")
        whole.content.copy_(_bytes(raw, whole.dtype, big))
    return content, reader.inert


def _read_tar(file: BinaryIO) -> tuple[Any, set[str]]:
    """Members `storages`, `tensors` and `pickle`; the pickle refers to tensors by number."""
    with tarfile.open(fileobj=file, mode="r:") as archive:

        def member(name: str) -> io.BytesIO:
            handle = archive.extractfile(name)
            if handle is None:
                raise InvalidCheckpoint(f"The tar archive's member {name!r} is no file.")
            return io.BytesIO(handle.read())

        found: dict[Any, Any] = {}
        part = member("storages")
        for _ in range(Unpickler(part).load()):
            key, _location, kind = Unpickler(part).load()
            (count,) = struct.unpack("<q", part.read(8))
            raw = part.read(count * kind.dtype.itemsize)
            found[key] = Storage(_bytes(raw, kind.dtype, big_endian=False), kind.dtype)
        for target, source, offset, count in Unpickler(part).load():
            kind = found[source]
            item = kind.dtype.itemsize
            found[target] = Storage(kind.content[offset * item : (offset + count) * item], kind.dtype)
        part = member("tensors")
        for _ in range(Unpickler(part).load()):
            key, source, _kind = Unpickler(part).load()
            (rank,) = struct.unpack("<i4x", part.read(8))
            size = struct.unpack(f"<{rank}q", part.read(8 * rank))
            stride = struct.unpack(f"<{rank}q", part.read(8 * rank))
            (offset,) = struct.unpack("<q", part.read(8))
            found[key] = found[source].tensor(offset, size, stride)

        def lookup(pid: Any) -> object:
            return pid[0] if isinstance(pid, tuple) else found[int(pid)]

        reader = Unpickler(member("pickle"), lookup)
        return reader.load(), reader.inert


def _storage_id(pid: Any) -> tuple[torch.dtype, str, int, Any]:
    """Type, key, size and view of a persistent id `("storage", type, key, location, size[, view])`."""
    if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
        raise pickle.UnpicklingError(f"unknown persistent id {str(pid)[:80]}")
    kind = pid[1]
    if not isinstance(kind, StorageType):
        raise InvalidCheckpoint("The file has a storage of unknown type (quantised or complex).")
    return kind.dtype, str(pid[2]), int(pid[4]), pid[5] if len(pid) == 6 else None


def _bytes(raw: bytes, dtype: torch.dtype, big_endian: bool) -> Tensor:
    """Raw storage as a byte tensor in this machine's order."""
    if big_endian:
        raw = np.frombuffer(raw, f"V{dtype.itemsize}").view(f"u{dtype.itemsize}").byteswap().tobytes()
    whole = len(raw) // dtype.itemsize * dtype.itemsize
    return (
        torch.frombuffer(bytearray(raw[:whole]), dtype=torch.uint8)
        if whole
        else torch.empty(0, dtype=torch.uint8)
    )
