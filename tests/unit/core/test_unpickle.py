"""Pickles that would never end, or take more than there is, are refused; all others are read as they are."""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import pickle
import struct
import time
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidAnnotation, InvalidCheckpoint, KinesphereError
from kinesphere.core.unpickle import Inert, Unpickler, read_pickle, settle

PROTO = b"\x80\x04"


def load(program: bytes) -> Any:
    return settle(Unpickler(io.BytesIO(program)).load(), "a.pkl", len(program))


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def shared(levels: int, join: bytes = b"\x86") -> bytes:
    """A pair whose halves are one pair, whose halves …"""
    return b"K\x01" + b"".join(b"2" + join for _ in range(levels))


BOMBS = {
    "memo": PROTO + b"]r" + struct.pack("<I", 1 << 27) + b"h\x00.",
    "bytearray call": PROTO + b"cbuiltins\nbytearray\n(\x8a\x05" + (3 * 10**9).to_bytes(5, "little") + b"tR.",
    "bytes call": PROTO + b"cbuiltins\nbytes\n(\x8a\x05" + (3 * 10**9).to_bytes(5, "little") + b"tR.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "bytes": PROTO + b"\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "frame": PROTO + b"\x95" + struct.pack("<Q", 1 << 40) + b".",
    "text": PROTO + b"\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "number": PROTO + b"\x8b" + struct.pack("<i", 1 << 20) + b"\xff" * (1 << 20) + b".",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "sharing": PROTO + shared(100) + b".",
    "sharing as key": PROTO + b"}" + shared(100) + b"K\x01s.",
    "sharing as element": PROTO + b"\x8f(" + shared(100) + b"\x90.",
    "sharing in a frozen set": PROTO + b"(" + shared(100) + b"\x91.",
    "sharing as text": PROTO + b"cbuiltins\nstr\n" + shared(100) + b"\x85R.",
    "sharing as a set": PROTO + b"cbuiltins\nset\n(" + shared(100) + b"l\x85R.",
    "sharing as pairs": PROTO + b"ccollections\nOrderedDict\n((" + shared(100) + b"K\x01tl\x85R.",
    "sharing as id": PROTO + shared(100) + b"Q.",
    "sharing called": PROTO + b"ctorch._utils\n_rebuild_tensor_v2\n" + shared(100) + b"R.",
    "list in itself": PROTO + b"]q\x00h\x00a.",
    "mapping in itself": PROTO + b"}q\x00" + text("state_dict") + b"h\x00s.",
    "namespace in itself": PROTO + b"cargparse\nNamespace\n)\x81q\x00}" + text("a") + b"h\x00sb.",
    "depth": PROTO + b"]" + b"]" * 5000 + b"a" * 5000 + b".",
    "sets": PROTO + b"\x8f" * 600_000 + b".",
    "classes": PROTO + b"".join(b"ca%d\nb\n0" % i for i in range(20_000)) + b"N.",
    "copies of a list": PROTO
    + b"(" + b"N" * 100_000 + b"lq\x00cbuiltins\nlist\nq\x01" + b"h\x01h\x00\x85R0" * 20_000 + b"N.",
    "copies of bytes": PROTO + b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
    + b"q\x00cbuiltins\nbytes\nq\x01" + b"h\x01h\x00\x85R0" * 20_000 + b"N.",
    "colliding keys": PROTO + b"}(" + b"".join(
        b"\x8a\x0a" + (i * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for i in range(1, 2000)
    ) + b"u.",
    "array": PROTO + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01"
    + b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"
    + b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8K\x00K\x01tRI00\nC\x08aaaaaaaatb.",
    "namespace of odd keys": PROTO + b"}" + b"}K\x01s.",
    "changed reader": b"ctorch._utils\n_rebuild_tensor_v2\n(N(dS'_function'\nNstb.",
    "extension": PROTO + b"\x82\x05.",
    "odd entries": PROTO + b"}(K\x01u.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(BOMBS[name])
    tracemalloc.start()
    started = time.process_time()  # of the processor: the machine may be busy with other work
    try:
        with pytest.raises(InvalidCheckpoint):
            read_pickle(tmp_path / "a.pkl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 8
    assert peak < 400e6


def test_far_places_in_the_memory_take_none() -> None:
    assert load(b"]p" + b"9" * 30 + b"\n.") == []
    assert load(PROTO + b"]r" + struct.pack("<I", 1 << 31) + b"j" + struct.pack("<I", 1 << 31) + b".") == []


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_they_are(protocol: int) -> None:
    content = {
        "a": [1, -(1 << 70), 2.5, None, True, "ü\ud800", b"\x00\xff"],
        "b": ({"c": (1, 2)}, set("xy"), frozenset((1, 2)), bytearray(b"z")),
        3: collections.OrderedDict(x=1, y=collections.OrderedDict(z=2)),
        (1, "k"): collections.defaultdict(list, {"q": [1]}),
        "count": collections.Counter("aab"),
    }
    found = load(pickle.dumps(content, protocol=protocol))
    assert found["a"] == content["a"]
    assert found["b"] == [{"c": [1, 2]}, {"x", "y"}, frozenset((1, 2)), b"z"]
    assert (found[3], found["count"]) == ({"x": 1, "y": {"z": 2}}, {"a": 2, "b": 1})
    assert found[1, "k"] == {"q": [1]}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_read_as_they_are(protocol: int) -> None:
    arrays = [
        np.arange(12, dtype=">i4").reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3), np.float32),
        np.array(True),
        np.float32(1.5),
        np.array(["walk", "jump ü"]),
        np.array([b"walk", b"go"]),
        np.array(["walk", "run"], object),
        np.str_("word"),
    ]
    found = load(pickle.dumps(arrays, protocol=protocol))
    for mine, theirs in zip(found[:5], arrays[:5], strict=True):
        assert np.array_equal(mine, theirs)
    assert found[5:] == [["walk", "jump ü"], ["walk", "go"], ["walk", "run"], "word"]


class Settings(dict[str, Any]):
    """As toolkits have them."""


def test_settings_of_other_programs_are_kept() -> None:
    content = {
        "args": argparse.Namespace(lr=0.1, classes=["a"]),
        "more": types.SimpleNamespace(deep=argparse.Namespace(x=1)),
        "config": Settings(a=1, b=Settings(c=2)),
        "path": Path("x"),
    }
    found = load(pickle.dumps(content))
    assert (found["args"], found["more"]) == ({"lr": 0.1, "classes": ["a"]}, {"deep": {"x": 1}})
    assert found["config"] == {"a": 1, "b": {"c": 2}}
    assert isinstance(found["path"], Inert)


def test_parts_that_are_shared_stay_shared() -> None:
    part = list(range(10))
    found = load(pickle.dumps([part] * 1000))
    assert all(each is found[0] for each in found)
    array = np.arange(5)
    found = load(pickle.dumps({"a": array, "b": array}))
    assert found["a"] is found["b"]


def test_errors_are_those_that_the_caller_wants(tmp_path: Path) -> None:
    for name in ("sharing", "memo", "depth", "bytes call", "mapping in itself"):
        (tmp_path / "a.pkl").write_bytes(BOMBS[name])
        with pytest.raises(InvalidAnnotation):
            read_pickle(tmp_path / "a.pkl", InvalidAnnotation)
    with pytest.raises(InvalidAnnotation, match="Cannot read"):
        read_pickle(tmp_path / "absent.pkl", InvalidAnnotation)


CONTENT = {
    "w": np.arange(6.0),
    "s": [(1, "x"), {"k": {1, 2}}],
    "o": collections.OrderedDict(a=argparse.Namespace(b=1)),
}
VALID = [pickle.dumps(CONTENT, protocol=protocol) for protocol in (0, 2, 4, 5)]
CODES = [
    code for name in pickle.__all__ if name.isupper() and isinstance(code := getattr(pickle, name), bytes)
]
NAMES = [
    b"cbuiltins\nlist\n", b"cbuiltins\nset\n", b"cbuiltins\nbytearray\n", b"ccollections\nOrderedDict\n",
    b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", b"cargparse\nNamespace\n", b"cx\ny\n",
    b"cnumpy.core.multiarray\nscalar\n", b"ccopyreg\n_reconstructor\n", b"cnumpy.core.numeric\n_frombuffer\n",
]  # fmt: skip
steps = st.one_of(
    st.sampled_from([code for code in CODES if len(code) == 1]),
    st.sampled_from(NAMES),
    st.builds(lambda n: b"K" + bytes([n]), st.integers(0, 255)),
    st.builds(lambda n: b"h" + bytes([n]), st.integers(0, 8)),
    st.builds(text, st.text(max_size=4)),
    st.builds(lambda n: b"\x8a\x08" + struct.pack("<q", n), st.integers(-(1 << 63), (1 << 63) - 1)),
)
programs = st.one_of(
    st.binary(max_size=80),
    st.lists(steps, max_size=40).map(lambda parts: PROTO + b"(" + b"".join(parts) + b"t."),
    st.builds(
        lambda whole, at, patch, cut: whole[: at % len(whole)] + patch + whole[at % len(whole) + cut :],
        st.sampled_from(VALID),
        st.integers(0, 10_000),
        st.binary(max_size=6),
        st.integers(0, 6),
    ),
)


@settings(max_examples=500, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=programs)
def test_programs_of_any_form_raise_nothing_else(program: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(program)
    with contextlib.suppress(KinesphereError):
        read_pickle(tmp_path / "a.pkl", InvalidAnnotation)
