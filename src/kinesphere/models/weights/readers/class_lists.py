"""Names of classes as checkpoints, and files beside them, state them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.limits import file_bytes
from kinesphere.core.structured import parse_json, parse_yaml

_KEYS = (
    "id2label", "id_to_label", "idx2label", "idx_to_label", "index_to_label", "int2label", "int_to_label",
    "idx_to_class", "idx2class", "index_to_class", "id2class", "id_to_class", "id2name",
    "label2id", "label_to_id", "label2idx", "label_to_idx", "class_to_idx", "class_to_index", "class2idx",
    "class2id", "class_to_id", "name2id",
    "classes", "class_names", "classnames", "class_list", "class_labels", "class_index", "class_map",
    "class_mapping", "labels", "label_names", "label_list", "label_map", "labels_map", "labelmap",
    "label_mapping", "categories", "category_names", "names", "target_names", "action_names", "actions",
    "action_classes",
)  # fmt: skip
_WITHIN = frozenset({
    "meta", "dataset_meta", "metadata", "hyper_parameters", "hparams", "datamodule_hyper_parameters",
    "config", "cfg", "model_cfg", "model_config", "model_args", "args", "opt", "options", "info", "extra",
    "dataset", "data", "dataset_info", "label_info", "train_args", "settings",
})  # fmt: skip
_ENDINGS = (".txt", ".json", ".yaml", ".yml")
_NUMBERED = re.compile(r"LABEL_\d+")  # what transformers writes where nobody named the classes
_LINE = re.compile(r"([0-9]{1,9})[\s,:;]+(\S.*)")
_DEEPEST = 3
LARGEST_FILE = 4 << 20
_MOST_CLASSES = 1_000_000


@dataclass(frozen=True)
class Stated:
    """One list of class names.

    Attributes:
        names: In the order of the outputs.
        where: Key or file that states it.
        is_beside: Whether that is a file beside the weights, which may belong to others.
    """

    names: tuple[str, ...]
    where: str
    is_beside: bool = False


def stated_in(content: Any) -> list[Stated]:
    """Lists of class names in a mapping of settings and what lies within it, the likeliest first."""
    found: list[Stated] = []
    for where, value in _candidates(content, "", _DEEPEST):
        names = class_names(value)
        if names is not None and all(names != other.names for other in found):
            found.append(Stated(names, where))
    return found


def stated_beside(path: Path) -> list[Stated]:
    """Lists of class names in files beside a checkpoint: `labels.txt`, `id2label.json` and the like."""
    found: list[Stated] = []
    stems = (path.stem, f"{path.stem}_labels", f"{path.stem}_classes", f"{path.stem}.labels", *_KEYS)
    for name in dict.fromkeys(f"{stem}{ending}" for stem in stems for ending in _ENDINGS):
        beside = path.with_name(name)
        if beside != path and beside.is_file():
            names = names_of_file(beside)
            if names is not None and all(names != other.names for other in found):
                found.append(Stated(names, name, is_beside=True))
    return found


def class_names(value: Any) -> tuple[str, ...] | None:
    """The names that a value lists, in the order of their numbers; None if it is no such list.

    Lists of texts or of entries with a `name`, which follow their `id` where all have one; mappings from
    numbers to names or from names to numbers which count from 0 or 1 without a gap.
    """
    names: tuple[str, ...] | None = None
    if isinstance(value, list | tuple):
        entries = [part.get("name") if isinstance(part, Mapping) else part for part in _by_id(value)]
        if entries and all(isinstance(entry, str) for entry in entries):
            names = tuple(map(str, entries))
    elif isinstance(value, Mapping) and value and len(value) <= _MOST_CLASSES:
        pairs = [(_number(key), _name(entry)) for key, entry in value.items()]
        if any(number is None or name is None for number, name in pairs):
            pairs = [(_number(entry), _name(key)) for key, entry in value.items()]
        ordered = {number: name for number, name in pairs if number is not None and name is not None}
        if len(ordered) == len(value) and _counts(ordered):
            names = tuple(str(ordered[i]) for i in sorted(ordered))
    return None if names is None or all(_NUMBERED.fullmatch(name) for name in names) else names


def _by_id(entries: Sequence[Any]) -> Sequence[Any]:
    """Entries in the order of their ids, where each has one of its own; else as they stand."""
    ids = [_number(part.get("id")) if isinstance(part, Mapping) else None for part in entries]
    known = [number for number in ids if number is not None]
    if len(set(known)) < len(ids):
        return entries
    return [entry for _, entry in sorted(zip(known, entries, strict=True), key=lambda pair: pair[0])]


def _counts(numbers: Collection[int]) -> bool:
    """Whether different numbers count from 0 or 1 without a gap."""
    first = min(numbers)
    return first in (0, 1) and max(numbers) - first + 1 == len(numbers)


def _candidates(content: Any, where: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(content, Mapping):
        return
    texts = {key: _folded(key) for key in content if isinstance(key, str) and len(key) <= 40}
    for wanted in _KEYS:
        yield from ((f"{where}{key}", content[key]) for key, text in texts.items() if text == wanted)
    if depth:
        for key, text in texts.items():
            if text in _WITHIN:
                yield from _candidates(content[key], f"{where}{key}.", depth - 1)


def _folded(key: str) -> str:
    return key.lower().replace("-", "_").replace(" ", "_")


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        return int(value)
    return value if type(value) is int else None


def _name(value: Any) -> str | None:
    if isinstance(value, list | tuple) and value:  # WordNet's number before the name
        value = value[-1]
    return value if isinstance(value, str) else None


def names_of_file(path: Path) -> tuple[str, ...] | None:
    """The names in a file; None if it is about something else."""
    try:
        text = file_bytes(path, InvalidCheckpoint, LARGEST_FILE).decode("utf-8-sig")
        if path.suffix == ".txt":
            return names_of_lines(text)
        parse = parse_json if path.suffix == ".json" else parse_yaml
        content = parse(text, path.name, InvalidCheckpoint)
    except (KinesphereError, UnicodeDecodeError):
        return None
    stated = stated_in(content)
    return stated[0].names if stated else class_names(content)


def names_of_lines(text: str) -> tuple[str, ...] | None:
    """Names that stand one a line, in the order of their numbers where each line begins with one.

    Numbers that do not count from 0 or 1 without a gap belong to the names. None if there is no line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [match for line in lines if (match := _LINE.fullmatch(line))]
    if lines and len(numbered) == len(lines):
        ordered = {int(match[1]): match[2].strip() for match in numbered}
        if len(ordered) == len(lines) and _counts(ordered):
            return tuple(ordered[i] for i in sorted(ordered))
    return tuple(lines) or None
