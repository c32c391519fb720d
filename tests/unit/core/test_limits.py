"""What a file claims is paid for before memory is asked for."""

from __future__ import annotations

import io
import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core import limits
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import FREE_NODES, Budget, brief, count_nodes, file_bytes, file_size


def test_a_budget_grows_with_the_file() -> None:
    assert Budget("a", 0).allowed == limits.FREE_BYTES
    assert Budget("a", 1000).allowed == limits.FREE_BYTES + 1000 * limits.GROWTH
    budget = Budget("a.npz", 10, InvalidAnnotation, growth=1)
    assert budget.take(limits.FREE_BYTES, "poses") == limits.FREE_BYTES
    assert budget.left == 10
    with pytest.raises(InvalidAnnotation, match=r"a.npz has 10 bytes and claims 11 for poses; .* again"):
        budget.take(11, "poses")
    with pytest.raises(InvalidAnnotation, match="claims -1 for poses"):
        budget.take(-1, "poses")


def test_shapes_do_not_wrap_around() -> None:
    budget = Budget("a", 0, InvalidAnnotation)
    assert budget.array((3, 4), 8) == 96
    for shape in ((1 << 32, 1 << 32), (1 << 62, 4), (10**400,), (-1, -1)):
        with pytest.raises(InvalidAnnotation, match="an array of shape"):
            budget.array(shape, 4)
    assert budget.array((1 << 40, 0), 4) == 0


def test_streams_and_compressed_parts_stop_at_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    assert Budget("a", 0, InvalidAnnotation).read(io.BytesIO(b"x" * 1000)) == b"x" * 1000
    with pytest.raises(InvalidAnnotation, match="claims 1001 for its content"):
        Budget("a", 0, InvalidAnnotation).read(io.BytesIO(b"x" * 1001))
    with pytest.raises(InvalidAnnotation, match="more bytes of joints than the 5 it states"):
        Budget("a", 0, InvalidAnnotation).read(io.BytesIO(b"x" * 6), "joints", most=5)
    packed = zlib.compress(b"x" * 1000)
    assert Budget("a", 0, InvalidAnnotation).inflate(packed) == b"x" * 1000
    for bomb in (zlib.compress(b"x" * 1001), zlib.compress(bytes(10**8))):
        with pytest.raises(InvalidAnnotation, match="claims 1001 for its content"):
            Budget("a", 0, InvalidAnnotation).inflate(bomb)
    with pytest.raises(InvalidAnnotation, match="cut short"):
        Budget("a", 0, InvalidAnnotation).inflate(packed[:-3])
    with pytest.raises(InvalidAnnotation, match="damaged compressed data"):
        Budget("a", 0, InvalidAnnotation).inflate(b"no zlib")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_size(tmp_path / "a") == 3
    assert file_bytes(tmp_path / "a", InvalidAnnotation, 3) == b"abc"
    assert Budget.of(tmp_path / "a", InvalidAnnotation).size == 3
    with pytest.raises(InvalidAnnotation, match=r"has 3 bytes; .* read up to 2"):
        file_bytes(tmp_path / "a", InvalidAnnotation, 2)
    with pytest.raises(InvalidAnnotation, match="Cannot read"):
        file_size(tmp_path / "absent", InvalidAnnotation)
    with pytest.raises(InvalidAnnotation, match="Cannot read"):
        file_size(tmp_path / "a\0b", InvalidAnnotation)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidAnnotation, match="no regular file"):
            file_bytes(path, InvalidAnnotation, 10)


def check_tree(content: object, name: str, error: type[InvalidAnnotation], most: int = FREE_NODES) -> int:
    def parts(node: object) -> Iterable[object]:
        return node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()

    return count_nodes(content, parts, name, error, most=most)


def test_shared_parts_count_wherever_they_are_used() -> None:
    shared = [1, 2, 3]
    assert check_tree({"a": shared, "b": (shared, shared)}, "x", InvalidAnnotation) == 14
    bomb: list[object] = [0]
    for _ in range(60):
        bomb = [bomb, bomb]
    started = time.process_time()
    with pytest.raises(InvalidAnnotation, match="x unfolds to more than 100000 values"):
        check_tree(bomb, "x", InvalidAnnotation)
    for _ in range(5):
        bomb = [bomb]
    with pytest.raises(InvalidAnnotation, match="deeper than 64 levels"):
        check_tree(bomb, "x", InvalidAnnotation, most=1 << 80)
    ring: dict[str, object] = {}
    ring["self"] = [ring]
    with pytest.raises(InvalidAnnotation, match="a part that contains itself"):
        check_tree(ring, "x", InvalidAnnotation)
    assert time.process_time() - started < 1


def test_the_depth_of_shared_parts_counts_below_each_use() -> None:
    low: list[object] = []
    for _ in range(40):
        low = [low]
    high: list[object] = [low]
    for _ in range(40):
        high = [high]
    with pytest.raises(InvalidAnnotation, match="deeper"):
        check_tree([low, high], "x", InvalidAnnotation)


nested = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@settings(max_examples=50)
@given(nested)
def test_values_in_messages_are_short(value: object) -> None:
    assert len(brief(value)) <= 80


def test_values_in_messages_cost_nothing() -> None:
    bomb: object = "x" * 10**7
    for _ in range(100):
        bomb = (bomb, {"k": bomb})
    started = time.process_time()
    assert len(brief(bomb)) <= 80
    assert brief(10**5000) == "a number of 16610 bits"
    assert brief([1, "a", None]) == "[1, 'a', None]"
    assert brief({"a": (1,)}) == "{'a': (1)}"
    assert time.process_time() - started < 0.1
