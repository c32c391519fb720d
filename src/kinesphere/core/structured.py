"""JSON and YAML from outside: bounded in size, depth and number of values, with typed errors.

YAML is read without its guesses: a plain scalar stays the text that was written, beside the value that
YAML 1.2 gives it (`Written`), so that a label `no` or a folder `2024-11-26` is not changed before the type
of the setting is known.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.limits import DEEPEST, brief, count_nodes, file_bytes

LARGEST_JSON = 64 << 20
LARGEST_YAML = 1 << 18
_MOST_YAML_NODES = 20_000
_PLAIN = "plain"
_CONTAINERS = (dict, list)
_STANDARD = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_OCTAL, _HEXADECIMAL = re.compile(r"0o[0-7]{1,20}"), re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_INFINITE, _NAN = re.compile(r"[-+]?\.(inf|Inf|INF)"), re.compile(r"\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Written(str):
    """A plain scalar of YAML, as it was written.

    Attributes:
        value: What it is where nothing says that it is text: None, bool, int, float, or its text; of a text
            of the command line also a list or mapping.
    """

    value: Any

    def __new__(cls, text: str, value: Any = ...) -> Written:
        made = super().__new__(cls, text)
        made.value = plain_value(text) if value is ... else value
        return made


def plain_value(text: str) -> bool | int | float | str | None:
    """The value of a plain scalar under the core schema of YAML 1.2 (section 10.3.2).

    No dates, no base 60, no `yes` and `no`; numbers too long for a setting stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if len(text) <= 40 and _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if _NAN.fullmatch(text) else text


def settled(content: Any) -> Any:
    """Content of `parse_yaml` with the values of its plain scalars in place of what was written."""
    if isinstance(content, Written):
        return settled(content.value)
    if isinstance(content, dict):
        return {key: settled(value) for key, value in content.items()}
    return [settled(value) for value in content] if isinstance(content, list) else content


def read_yaml(path: Path, error: type[KinesphereError], largest: int = LARGEST_YAML) -> Any:
    """`parse_yaml` of a file."""
    return parse_yaml(_text(path, error, largest), str(path), error, largest)


def parse_yaml(text: str, name: str, error: type[KinesphereError], largest: int = LARGEST_YAML) -> Any:
    """One YAML document as dictionaries with text keys, lists, and scalars (`str` if quoted, else `Written`).

    Anchors and merge keys are followed; what they expand to is counted before.

    Args:
        text: The document.
        name: Name of the file, for messages.
        error: What is raised.
        largest: Characters at most.

    Raises:
        KinesphereError: `error`, if it is no YAML, too large, too deep, without end, or repeats a key.
    """
    if len(text) > largest:
        raise error(f"{name} has {len(text)} characters; YAML is read up to {largest}.")
    try:
        root = yaml.compose(text, Loader=_Loader)
    except _TooManyError:
        raise error(f"{name} unfolds to more than {_MOST_YAML_NODES} values; refused.") from None
    except RecursionError as reason:
        raise error(f"{name} nests its content deeper than {DEEPEST} levels; refused.") from reason
    except (yaml.YAMLError, ValueError, OverflowError, IndexError) as reason:
        raise error(f"{name} is no YAML: {_first_lines(reason)}.") from reason
    if root is None:
        return None
    count_nodes(root, _inner, name, error, most=_MOST_YAML_NODES)
    return _Composed(name, error).value(root)


def parse_value(text: str) -> Any:
    """A value of the command line: YAML, and where that is a bare word or no YAML, the text as it stands."""
    try:
        value = parse_yaml(text, "the value", InvalidSetting)
    except InvalidSetting:
        return text
    if value is None or isinstance(value, Written):
        return Written(text.strip())
    return value if isinstance(value, str) else Written(text.strip(), value)


def read_json(
    path: Path, error: type[KinesphereError], largest: int = LARGEST_JSON, *, finite: bool = True
) -> Any:
    """`parse_json` of a file."""
    return parse_json(_text(path, error, largest), str(path), error, largest=largest, finite=finite)


def parse_json(
    text: str | bytes,
    name: str,
    error: type[KinesphereError],
    *,
    largest: int = LARGEST_JSON,
    finite: bool = True,
    deepest: int = DEEPEST,
) -> Any:
    """Plain values of a JSON text.

    Args:
        text: The document; bytes are UTF-8.
        name: Name of the file, for messages.
        error: What is raised.
        largest: Characters at most.
        finite: Whether `NaN` and `Infinity`, which are no JSON but which many programs write, are refused.
        deepest: Levels of lists and mappings at most.

    Raises:
        KinesphereError: `error`, if it is no JSON, too large or too deep.
    """
    if len(text) > largest:
        raise error(f"{name} has {len(text)} bytes; JSON of this kind is read up to {largest}.")

    def refuse(word: str) -> NoReturn:
        raise _NotFiniteError(word)

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    try:
        hooks = {"parse_constant": refuse, "parse_float": number} if finite else {}
        with uncollected():
            content = json.loads(text, **hooks)  # type: ignore[arg-type]
            is_deep = _is_deeper(content, deepest)
    except _NotFiniteError as reason:
        raise error(f"{name} holds {brief(str(reason))} where numbers are finite.") from None
    except RecursionError as reason:
        raise error(f"{name} nests its content deeper than {deepest} levels; refused.") from reason
    except ValueError as reason:
        raise error(f"{name} is no JSON: {reason}.") from reason
    if is_deep:
        raise error(f"{name} nests its content deeper than {deepest} levels; refused.")
    return content


def dump_yaml(content: Any) -> str:
    """YAML of plain values; quotes texts that a reader of YAML 1.1 or 1.2 would take for anything else."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes what `plain_value` would not leave a text, besides what PyYAML quotes; makes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> ScalarNode:
    style = None if isinstance(plain_value(text), str) else "'"
    if not text.isprintable() and not text.isascii():
        style = '"'  # the other styles fold line ends of Unicode into spaces
    return dumper.represent_scalar(f"{_STANDARD}str", text, style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Written, _represent_text)


class _Loader(yaml.BaseLoader):
    """Nodes without guesses; stops as soon as there are too many."""

    count = 0

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        """`_PLAIN` for what has neither quotes nor a type."""
        if kind is ScalarNode and implicit[0]:
            return _PLAIN
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.count += 1
        if self.count > _MOST_YAML_NODES:
            raise _TooManyError
        node: Node | None = super().compose_node(parent, index)
        return node


class _TooManyError(Exception):
    """More nodes than any setting needs."""


class _NotFiniteError(Exception):
    """A word of JSON's that stands for no finite number."""


class _Composed:
    """Values of the nodes of one document; what is shared stays shared."""

    def __init__(self, name: str, error: type[KinesphereError]) -> None:
        self.name, self.error = name, error

    def value(self, node: Node) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if node.tag not in (f"{_STANDARD}seq", f"{_STANDARD}map"):
            raise self._unknown(node)
        if isinstance(node, SequenceNode):
            return [self.value(part) for part in node.value]
        assert isinstance(node, MappingNode)
        return self._mapping(node)

    def _scalar(self, node: ScalarNode) -> Any:
        text = str(node.value)
        tag = node.tag.removeprefix(_STANDARD)
        if tag == _PLAIN:
            return Written(text)
        if tag == "str":
            return text
        if tag not in ("int", "float", "bool", "null"):
            raise self._unknown(node)
        return plain_value(text)

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self.error(f"{self.name} has a list or mapping as a key{self._where(key_node)}.")
            key = str(key_node.value)
            if key == "<<" and key_node.tag == _PLAIN:
                for base in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                    if not isinstance(base, MappingNode):
                        raise self.error(f"{self.name} merges what is no mapping{self._where(value_node)}.")
                    merged = {**self._mapping(base), **merged}
            elif key in found:
                raise self.error(f"{self.name} gives {brief(key)} twice{self._where(key_node)}; keep one.")
            else:
                found[key] = self.value(value_node)
        return {**merged, **found}

    def _unknown(self, node: Node) -> KinesphereError:
        return self.error(
            f"{self.name} asks for the type {brief(node.tag)}{self._where(node)}; only plain values are read."
        )

    def _where(self, node: Node) -> str:
        return f" (line {node.start_mark.line + 1})"


def _inner(node: object) -> list[object]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block nothing is looked for that refers to itself, as nothing in JSON does: going through
    millions of new lists again and again would take most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_deeper(content: Any, deepest: int) -> bool:
    """Whether lists and mappings, but for empty ones, lie deeper in each other than so many levels."""
    level = [content] if type(content) in _CONTAINERS else []
    for _ in range(deepest + 1):
        inner: list[Any] = []
        for node in level:
            parts = node.values() if type(node) is dict else node
            inner += [part for part in parts if part and type(part) in _CONTAINERS]
        level = inner
    return bool(level)


def _text(path: Path, error: type[KinesphereError], largest: int) -> str:
    try:
        return file_bytes(path, error, largest).decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not encoded in UTF-8: {reason}.") from reason


def _first_lines(reason: Exception) -> str:
    text = " ".join(str(reason).replace('in "<unicode string>", ', "").split())
    return text if len(text) <= 300 else f"{text[:299]}…"
