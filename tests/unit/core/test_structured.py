"""JSON and YAML from outside."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core import structured
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.structured import (
    Written,
    parse_json,
    parse_yaml,
    plain_value,
    read_json,
    read_yaml,
    settled,
)


def of_yaml(text: str) -> Any:
    return parse_yaml(text, "a.yaml", InvalidSetting)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-3", -3), ("010", 10), ("0o17", 15), ("0xff", 255), ("0.5", 0.5), (".5", 0.5),
        ("1e-3", 1e-3),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), (".inf", math.inf),
        ("-.inf", -math.inf), ("no", "no"), ("on", "on"), ("yes", "yes"), ("2024-11-26", "2024-11-26"),
        ("1:30", "1:30"), ("1_000", "1_000"), ("9" * 5000, "9" * 5000), ("1e99999", "1e99999"),
        ("2020-99-99", "2020-99-99"), ("=", "="), ("1.5.2", "1.5.2"),
    ],
)  # fmt: skip
def test_plain_scalars_keep_their_text(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)
    read = Written(text)
    assert (read, read.value) == (text, value)


def test_yaml_is_read_as_written() -> None:
    found = of_yaml("on: [no, 'yes', 5, !!str 6, !!int '7', {a: ~}]\nb: |\n  text\n")
    assert found == {"on": ["no", "yes", "5", "6", 7, {"a": "~"}], "b": "text\n"}
    assert settled(found) == {"on": ["no", "yes", 5, "6", 7, {"a": None}], "b": "text\n"}
    assert math.isnan(settled(of_yaml(".nan")))
    assert of_yaml("") is None


def test_anchors_and_merges_are_followed() -> None:
    found = of_yaml("base: &b {lr: 1, size: 2}\nmine: {<<: *b, lr: 3}\nmany: {<<: [*b, {x: 4}]}\n")
    assert settled(found) == {
        "base": {"lr": 1, "size": 2},
        "mine": {"lr": 3, "size": 2},
        "many": {"lr": 1, "size": 2, "x": 4},
    }


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(12), "a.yaml unfolds to more than 20000 values"),
        (laughs(4) + "\nb: {<<: [" + ",".join(["&x {k: *a3}", *["*x"] * 8]) + "]}", "unfolds to more than"),
        ("&a [*a]", "a part that contains itself"),
        ("&a {k: *a}", "a part that contains itself"),
        ("&a {<<: *a}", "a part that contains itself"),
        ("[" * 5000, "deeper than 64 levels"),
        ("[" * 100 + "]" * 100, "deeper than 64 levels"),
        ("a: [1", r"is no YAML: .*expected ',' or '\]'"),
        ("{lr: 1, lr: 2}", r"gives 'lr' twice \(line 1\); keep one"),
        ("!!python/object/apply:os.system [ls]", "asks for the type"),
        ("!!binary aGk=", r"asks for the type 'tag:yaml.org,2002:binary'"),
        ("!!timestamp 2001-01-01", "asks for the type"),
        ("!!set {a, b}", "asks for the type"),
        ("[1, 2]: x", "a list or mapping as a key"),
        ("{<<: 5}", "merges what is no mapping"),
        ("a: 1\n---\nb: 2", "is no YAML: expected a single document"),
        ('"\\U99999999"', "is no YAML"),
        ("x" * (1 << 18) + "y", "has 262145 characters; YAML is read up to 262144"),
        ("%YAML " + "9" * 9000 + ".1\n--- a", "is no YAML"),
        ("- a\n" * 20_001, "unfolds to more than 20000 values"),
    ],
    ids=lambda text: text[:12],
)
def test_yaml_beyond_its_limits(text: str, message: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidSetting, match=message) as refusal:
        of_yaml(text)
    assert len(str(refusal.value)) < 500
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "deeper than 64 levels"),
        ("[" * 70 + "]" * 70, "deeper than 64 levels"),
        ('{"a":' * 70 + "1" + "}" * 70, "deeper than 64 levels"),
        ("{", "a.json is no JSON: "),
        ("[NaN]", "holds 'NaN' where numbers are finite"),
        ("[-Infinity]", "holds '-Infinity' where"),
        ("[1e999]", "holds '1e999' where"),
        ("9" * 5000, "is no JSON: "),
        (b"\xff\xfe\x00", "is no JSON: "),
    ],
    ids=lambda text: str(text)[:8],
)
def test_json_beyond_its_limits(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        parse_json(text, "a.json", InvalidSetting)


def test_json_is_read(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, True], "b": {"c": "ü"}}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert read_json(tmp_path / "a.json", InvalidSetting) == content
    assert math.isnan(parse_json("[NaN]", "a", InvalidSetting, finite=False)[0])
    assert parse_json("[" * 65 + "]" * 65, "a", InvalidSetting, deepest=64)
    with pytest.raises(InvalidSetting, match="has 9 bytes; JSON of this kind is read up to 8"):
        parse_json(" " * 9, "a", InvalidSetting, largest=8)
    with pytest.raises(InvalidSetting, match="bytes; files of its kind are read up to 3"):
        read_json(tmp_path / "a.json", InvalidSetting, largest=3)
    (tmp_path / "a.json").write_bytes(b"\xff")
    with pytest.raises(InvalidSetting, match="not encoded in UTF-8"):
        read_json(tmp_path / "a.json", InvalidSetting)
    (tmp_path / "a.yaml").write_text("a: no")
    assert read_yaml(tmp_path / "a.yaml", InvalidSetting) == {"a": "no"}


words = st.text(
    st.sampled_from(" \n\t-:?,[]{}#&*!|>'\"%@`~<=.0123456789eExo+_abnutfNY\\\u2028\ufeff"), max_size=60
)


@settings(max_examples=200)
@given(words | st.text(max_size=40))
def test_texts_never_raise_anything_else(text: str) -> None:
    with contextlib.suppress(InvalidSetting):
        settled(of_yaml(text))
    for finite in (True, False):
        with contextlib.suppress(InvalidSetting):
            parse_json(text, "a", InvalidSetting, finite=finite)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60)
@given(plain)
def test_what_is_dumped_is_read_again(content: Any) -> None:
    assert settled(of_yaml(structured.dump_yaml(content))) == content
    assert parse_json(json.dumps(content), "a", InvalidSetting) == content


def test_dumped_texts_stay_texts_for_readers_of_yaml_1_1() -> None:
    texts = ["no", "on", "2024-11-26", "1:30", "1e3", "010", "null", "0o7", "~", "1_0", "=", "<<", ".5"]
    assert yaml.safe_load(structured.dump_yaml(texts)) == texts
