"""What is read by the column is what is read row by row, on small lists with everything odd."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.clips.modality import sidecar_suffixes
from kinesphere.core import parquet
from kinesphere.core.errors import KinesphereError
from kinesphere.core.text import spelled
from kinesphere.data import Manifest, groups, table_blocks
from kinesphere.data.groups import NAME_RULES, group_of_name, groups_of_names

HEADERS = [
    "path,label",
    "path,label,start,end",
    "id,path,label,group,split",
    " path ;label;start;end",
    "label,path,,",
]
LINES = [
    "a.mp4,walk",
    "b/a.mp4,walk",
    'c.mp4,"wave, twice"',
    'd.mp4,"two\nlines"',
    "",
    "  ",
    ",",
    ",,,",
    " e.mp4 , walk ",
    "f.mp4,walk,1,2",
    "f.mp4,walk,-1,2",
    "f.mp4,wave,2,x",
    "../f.mp4,walk",
    "ü/g.mp4,wälk|wave",
    "a\u2028b.mp4,walk",
    "h.mp4;walk;1,5;2,5",
    "i,j.mp4,walk,g,train",
    "i,j.mp4,walk,g,train,,",
    'k"l.mp4,walk',
    '"m.mp4',
    "n.mp4,walk\0",
    "o.mp4,walk,,extra",
    "p_0001_0010.mp4,walk",
    "v_Walk_g03_c02.mp4,walk",
    "q.mp4\t,walk",
]
ENDS = ["\n", "\r\n", "\r"]
SIGNS = [
    "a",
    "S",
    "_",
    "-",
    ".",
    "1",
    "001",
    "012",
    "S001C002P003R002A013",
    "part",
    "Clip",
    "_np1_",
    "ü",
    "\n",
    "²",
    "v_",
    "person01_",
    "123456789012345678901",
    "walk",
    "_001_002",
    ".mp4",
    *sidecar_suffixes(),
]
NAMES = st.lists(st.sampled_from(SIGNS), max_size=6).map("".join)
RANGED = st.builds("{}_{}_{}.mp4".format, NAMES, *[st.sampled_from(["001", "002", "0003", "x01"])] * 2)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    header=st.sampled_from(HEADERS),
    lines=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS[:2] * 4 + ENDS)), max_size=9),
    begins=st.sampled_from(["", "", "\ufeff", "\n"]),
    broken=st.sampled_from([b"", b"", b"", b"\xff\n"]),
    size=st.sampled_from([1, 2, 3, 4096]),
)
def test_lines_split_together_are_rows_read_one_by_one(
    header: str,
    lines: list[tuple[str, str]],
    begins: str,
    broken: bytes,
    size: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.csv"
    text = begins + header + "\n" + "".join(line + end for line, end in lines)
    path.write_bytes(text.encode() + broken)

    def read(*, wrong_rows: str) -> object:
        try:
            found = Manifest.read(path, wrong_rows=wrong_rows, unlabelled="skip")
        except KinesphereError as error:
            return type(error), str(error)
        return [*found], found.wrong, found.groupings, found.labels

    monkeypatch.setattr(table_blocks, "rows_at_a_time", lambda columns: size)
    together = [read(wrong_rows=each) for each in ("skip", "refuse")]
    with monkeypatch.context() as patch:
        patch.setattr(table_blocks, "_plain_block", lambda *args: None)
        assert [read(wrong_rows=each) for each in ("skip", "refuse")] == together


def test_plain_lines_are_split_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> object:
        raise AssertionError("rows are read one by one")

    monkeypatch.setattr(table_blocks, "_read_blocks", refuse)
    for end in ("\n", "\r\n"):
        (tmp_path / "m.csv").write_bytes(f"path,label{end}a.mp4,walk{end}b.mp4, wäve".encode())
        assert [each.labels for each in Manifest.read(tmp_path / "m.csv")] == [("walk",), ("wäve",)]


def test_wrong_rows_are_numbered_whatever_stands_before_them(tmp_path: Path) -> None:
    """Rows split together, rows with quotes over two lines and blank lines count as lines of the file."""
    plain = [f"{i}.mp4,walk" for i in range(5000)]
    lines = [
        "path,label",
        *plain,
        'x.mp4,"a\nb"',
        "",
        *(f"again/{each}" for each in plain),
        "7.mp4,walk",
        "../y.mp4,walk",
    ]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    found = Manifest.read(tmp_path / "m.csv", wrong_rows="skip").wrong
    assert [each.path.rpartition(", ")[2] for each in found] == ["row 10005", "row 10006"]
    assert found[0].reason.startswith("'7.mp4' is already in row 9;")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    files=st.lists(st.tuples(NAMES | RANGED, st.sampled_from([(), ("walk",), ("S-1", "a")])), max_size=8),
    size=st.sampled_from([1, 3, 100]),
)
def test_names_looked_at_together_tell_what_each_tells(
    files: list[tuple[str, tuple[str, ...]]], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(name.replace("/", ""), labels) for name, labels in files if name not in ("", ".", "..")]
    monkeypatch.setattr(groups, "_AT_A_TIME", size)
    found = groups_of_names([name for name, _ in files], [labels for _, labels in files])
    no_ranges = groups._no_ranges(groups._name(Path(name)) for name, _ in files)
    for (name, labels), group, kind in zip(files, *found, strict=True):
        told = group_of_name(Path(name), labels[0] if labels else "")
        if told is not None and "range" in told[1].kind and told[0] in no_ranges:
            told = None
        assert (group, kind) == ((None, None) if told is None else (spelled(told[0]), told[1].kind))


@pytest.mark.parametrize("rule", NAME_RULES, ids=lambda rule: rule.kind)
def test_every_rule_is_followed_among_many_names(rule: groups.NameRule) -> None:
    others = [f"{i}.mp4" for i in range(50)]
    told, kinds = groups_of_names([*others, f"{rule.example}.avi"], [("x",)] * 51)
    assert told[:50] == [None] * 50
    assert kinds[50] == rule.kind


def test_cells_of_parquet_are_as_one_by_one() -> None:
    texts = ["a", " b ", "ü", "a", ""]
    kinds = [
        pa.array(texts),
        pa.array(texts, pa.large_string()),
        pa.array([*texts, None]),
        pa.array([1, None]),
        pa.array([["a", "b"], None]),
    ]
    for column in (*kinds, *(each.dictionary_encode() for each in kinds[:4])):
        assert parquet._texts(column) == [parquet.text(value) for value in column.to_pylist()]
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
        parquet._texts(broken)
