"""Readers of foreign checkpoint files: bytes in, named tensors out, nothing executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import file_size
from kinesphere.models.weights.readers.class_lists import Stated, stated_beside
from kinesphere.models.weights.readers.foreign import Content, Foreign, unwrap
from kinesphere.models.weights.readers.hub import CONFIG, labels_beside
from kinesphere.models.weights.readers.prefixes import Reading, readings
from kinesphere.models.weights.readers.pytorch import read_pytorch
from kinesphere.models.weights.readers.shards import INDEX, Shards, check_index, shards_of
from kinesphere.models.weights.readers.tensors import read_safetensors
from kinesphere.models.weights.readers.tflite import read_tflite

__all__ = ["ENDINGS", "Foreign", "Reading", "read_foreign", "readings"]

_READERS = {
    **dict.fromkeys((".pth", ".pt", ".tar", ".pkl", ".pyth", ".bin", ".ckpt"), read_pytorch),
    ".safetensors": read_safetensors,
    ".tflite": read_tflite,
}
ENDINGS = (*_READERS, INDEX)


def read_foreign(path: str | Path) -> Foreign:
    """Tensors and class names of a foreign checkpoint, chosen by the file's ending.

    A checkpoint in several files is read whole, whether its index or one of the files is named. Names that
    the file itself does not hold are taken from files beside it: `config.json`, as on the Hugging Face hub,
    `labels.txt`, `id2label.json` and the like.

    Raises:
        InvalidCheckpoint: If the file is absent, of unknown ending, damaged, claims more than it has, or
            holds no tensors.
        UnsafeFile: If it cannot be read without executing what it asks for.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidCheckpoint(
            f"There is no checkpoint file or folder {path}; it is not downloaded: put it there."
        )
    shards = shards_of(path)
    content = _read(path) if shards is None else _joined(shards)
    files = (path,) if shards is None else shards.files
    foreign = unwrap(content, path.name, sum(file_size(file, InvalidCheckpoint) for file in files))
    if foreign.stated:
        return foreign
    names = labels_beside(path)
    stated = () if names is None else (Stated(names, CONFIG),)
    return replace(foreign, stated=(*stated, *stated_beside(path)))


def _read(path: Path) -> Content:
    ending = path.suffix.lower() or ".pth"  # checkpoints on GitHub often have none
    reader = _READERS.get(ending)
    if reader is None:
        raise InvalidCheckpoint(
            f"Cannot tell the format of {path.name} from its ending; known: {', '.join(sorted(_READERS))}."
        )
    _check_downloaded(path)
    return reader(path)


def _check_downloaded(path: Path) -> None:
    """Refuse what is left in the place of a file by a download that did not happen."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError:  # the reader says it
        return
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InvalidCheckpoint(
            f"{path.name} is a web page: the server refused the download or wants it confirmed. Get the file "
            "with a browser."
        )
    if start.startswith(b"version https://git-lfs"):
        raise InvalidCheckpoint(f"{path.name} is a pointer of Git LFS, not the file; run `git lfs pull`.")


def _joined(shards: Shards) -> Content:
    """The tensors of all files of a checkpoint."""
    tensors: dict[str, Any] = {}
    places: dict[str, str] = {}
    inert: set[str] = set()
    metadata: dict[str, object] = {}
    for shard in shards.files:
        part = _read(shard)
        if not isinstance(part.content, Mapping):
            raise InvalidCheckpoint(f"{shard.name} holds no named tensors.")
        for key, value in part.content.items():
            if key in tensors:
                raise InvalidCheckpoint(
                    f"{shard.name} and {places[key]} both hold {key!r}; keep one of them."
                )
            tensors[key], places[key] = value, shard.name
        inert |= set(part.inert)
        metadata |= part.metadata
    if shards.index is not None:
        check_index(shards.index, places)
    return Content(tensors, tuple(sorted(inert)), metadata)
