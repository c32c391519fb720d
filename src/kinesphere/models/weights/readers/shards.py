"""Checkpoints in several files with an index, as the Hugging Face hub splits large ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json

INDEX = ".index.json"
_SHARD = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})(\.[A-Za-z]+)")
_LARGEST_INDEX = 32 << 20
_MOST_SHARDS = 10_000
_SHOWN = 8


@dataclass(frozen=True)
class Shards:
    """A checkpoint in several files.

    Attributes:
        files: All of them.
        index: The file that says which tensor is where, if it is there.
    """

    files: tuple[Path, ...]
    index: Path | None


def shards_of(path: Path) -> Shards | None:
    """The checkpoint that `path` is the index or one of the files of; None if it is whole by itself.

    Raises:
        InvalidCheckpoint: If files are missing, or the index is damaged or names files elsewhere.
    """
    if path.name.endswith(INDEX):
        return Shards(_of_index(path), path)
    match = _SHARD.fullmatch(path.name)
    if match is None:
        return None
    stem, _, count, ending = match.groups()
    index = path.with_name(f"{stem}{ending}{INDEX}")
    if index.is_file():
        return Shards(_of_index(index), index)
    if not 1 <= int(count) <= _MOST_SHARDS:
        raise InvalidCheckpoint(f"{path.name} says that it is one of {int(count)} files; refused.")
    names = [f"{stem}-{i:05d}-of-{count}{ending}" for i in range(1, int(count) + 1)]
    return Shards(_present(path, names), None)


def check_index(path: Path, found: dict[str, str]) -> None:
    """Refuse tensors that the index places elsewhere, or that are missing.

    Args:
        path: The index.
        found: Which file each tensor was found in.
    """
    stated = _weight_map(path)
    wrong = [key for key, file in stated.items() if found.get(key) != file]
    if wrong:
        shown = ", ".join(wrong[:_SHOWN]) + (
            f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        )
        raise InvalidCheckpoint(
            f"{path.name} names {len(wrong)} tensors that are not in the files it says ({shown}); the files "
            "belong to different checkpoints. Get them again."
        )


def _of_index(path: Path) -> tuple[Path, ...]:
    names = sorted(set(_weight_map(path).values()))
    for name in names:
        if not name or Path(name).name != name or "\\" in name or name.endswith(INDEX) or name in (".", ".."):
            raise InvalidCheckpoint(
                f"{path.name} names the file {brief(name)}; the files of an index lie beside it."
            )
    if len(names) > _MOST_SHARDS:
        raise InvalidCheckpoint(f"{path.name} names {len(names)} files; at most {_MOST_SHARDS} are read.")
    return _present(path, names)


def _present(path: Path, names: list[str]) -> tuple[Path, ...]:
    files = tuple(path.with_name(name) for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise InvalidCheckpoint(
            f"{path.name} belongs to a checkpoint of {len(files)} files, of which {len(missing)} are not "
            f"beside it ({shown}); put them there."
        )
    return files


def _weight_map(path: Path) -> dict[str, str]:
    content: Any = read_json(path, InvalidCheckpoint, _LARGEST_INDEX)
    stated = content.get("weight_map") if isinstance(content, dict) else None
    if (
        not isinstance(stated, dict)
        or not stated
        or not all(isinstance(file, str) for file in stated.values())
    ):
        raise InvalidCheckpoint(f"{path.name} is no index: it lacks weight_map, the file of every tensor.")
    return dict(stated)
