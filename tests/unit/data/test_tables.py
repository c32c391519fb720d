"""Tables as people and programs write them, wrong rows, and hostile ones."""

from __future__ import annotations

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidManifest, KinesphereError, UnsafeFile
from kinesphere.data.faults import other_splits
from kinesphere.data.manifest import Manifest

FAULTS = Path(os.environ.get("KINESPHERE_TEST_DATA", "/nowhere")).parent / "faults" / "tables"


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_wrong_row_is_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "path,label,start,end\na.mp4,x,0,1\nb.mp4,x,0,0\nc.mp4\nd.mp4,y,2,ten\ne.mp4,y|y,0,1\na.mp4,x,0,1\n",
    )
    with pytest.raises(InvalidManifest) as error:
        Manifest.read(path)
    text = str(error.value)
    assert "5 of 6 rows are wrong" in text
    for number in (3, 4, 5, 6, 7):
        assert f"row {number}: " in text
    assert "(wrong_rows=skip)" in text
    manifest = Manifest.read(path, wrong_rows="skip")
    assert [sample.path.name for sample in manifest] == ["a.mp4"]
    assert [each.path.rpartition(", ")[2] for each in manifest.wrong] == [f"row {n}" for n in (3, 4, 5, 6, 7)]
    assert "got 0 to 0" in manifest.wrong[0].reason


def test_a_thousand_wrong_rows_are_counted_and_the_first_told(tmp_path: Path) -> None:
    path = write(tmp_path, "path,label,start,end\na.mp4,x,0,1\n" + "b.mp4,x,0,0\n" * 1000)
    with pytest.raises(InvalidManifest, match=r"1000 of 1001 rows are wrong.*and 980 more, which"):
        Manifest.read(path)


def test_one_path_outside_among_wrong_rows_is_unsafe(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match="2 of 3 rows are wrong"):
        Manifest.read(write(tmp_path, "path,label\n../a.mp4,x\n,y\nc.mp4,x\n"))


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, sign: str) -> None:
    text = "path,label,start,end\na.mp4,wave,0.5,2\nb.mp4,walk,1,3\n".replace(",", sign)
    manifest = Manifest.read(write(tmp_path, text))
    assert [(sample.path.name, sample.labels, sample.span) for sample in manifest] == [
        ("a.mp4", ("wave",), (0.5, 2.0)), ("b.mp4", ("walk",), (1.0, 3.0))
    ]  # fmt: skip


def test_decimal_commas_where_semicolons_part(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path, "path;label;start;end\na.mp4;x;0,5;1:02,25\n"))
    assert manifest[0].span == (0.5, 62.25)


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("00:00:00.2", "00:00:01.5", (0.2, 1.5)),
        ("0:10", "1:20", (10.0, 80.0)),
        ("90:00", "1:31:00", (5400.0, 5460.0)),
        ("1e1", "20.", (10.0, 20.0)),
    ],
)
def test_clock_times(tmp_path: Path, start: str, end: str, span: tuple[float, float]) -> None:
    text = f"path,label,start,end\na.mp4,x,{start},{end}\n"
    assert Manifest.read(write(tmp_path, text))[0].span == pytest.approx(span)


def test_utf16_of_spreadsheets(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path, "path\tlabel\r\na.mp4\tgröße\r\n".encode("utf-16")))
    assert manifest.labels.names == ("größe",)


def test_texts_in_two_forms_are_one_label(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path, "path,label\na.mp4,plie\u0301\nb.mp4,pli\u00e9\nc.mp4,x\n"))
    assert manifest.labels.names == ("pli\u00e9", "x")


def test_a_column_of_splits_that_holds_something_else(tmp_path: Path) -> None:
    rows = "\n".join(f"{i}.mp4,x,{i}" for i in range(200))
    with pytest.raises(InvalidManifest, match="column 'split' holds 200 different names"):
        Manifest.read(write(tmp_path, f"path,label,split\n{rows}"))


@pytest.mark.skipif(not FAULTS.is_dir(), reason="needs the small inputs beside KINESPHERE_TEST_DATA")
@pytest.mark.parametrize(
    ("name", "labels", "wrong"),
    [
        ("nfc_nfd", ("left", "pli\u00e9"), 0),
        ("case", ("Left", "Right", "left", "right"), 0),
        ("semicolon", ("left", "right"), 0),
        ("mmss", ("left", "right"), 0),
        ("activitynet_spans", ("left", "right"), 2),
    ],
)
def test_tables_that_went_wrong(name: str, labels: tuple[str, ...], wrong: int) -> None:
    manifest = Manifest.read(FAULTS / f"{name}.csv", wrong_rows="skip")
    assert manifest.labels.names == labels
    assert (len(manifest), len(manifest.wrong)) == (10 - wrong, wrong)


STRANGE = st.text(max_size=30) | st.sampled_from(
    ["-1", "nan", "1e999", "9" * 400, "0:0", "\ud800", "a\0b", "../x", "x" * 5000, "[b]x[/]", "file:///%00"]
)  # fmt: skip
COLUMNS = st.lists(
    st.sampled_from(["path", "label", "start", "end", "group", "split", "id", "pose_file"])
    | st.text(max_size=8),
    min_size=1, max_size=9,
)  # fmt: skip
QUIET = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def only_typed(path: Path) -> None:
    for rows in ("refuse", "skip"):
        with contextlib.suppress(KinesphereError):
            Manifest.read(path, wrong_rows=rows).fingerprint()  # type: ignore[arg-type]


@QUIET
@given(st.binary(max_size=400))
def test_any_bytes_give_typed_errors(tmp_path: Path, data: bytes) -> None:
    only_typed(write(tmp_path, data))
    only_typed(write(tmp_path, b"path,label,start,end\n" + data))
    only_typed(write(tmp_path, data, "m.parquet"))


@QUIET
@given(COLUMNS, st.lists(st.lists(STRANGE, max_size=9), max_size=5), st.sampled_from(",;\t"))
def test_any_cells_give_typed_errors(
    tmp_path: Path, header: list[str], rows: list[list[str]], sign: str
) -> None:
    text = "\n".join(sign.join(cells) for cells in [header, *rows])
    only_typed(write(tmp_path, text.encode("utf-8", "surrogatepass")))


CELLS: dict[str, Any] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(),
    "text": st.text(max_size=12),
    "list": st.lists(st.text(max_size=5), max_size=3),
    "bool": st.booleans(),
}


@QUIET
@given(st.data())
def test_any_parquet_gives_typed_errors(tmp_path: Path, data: st.DataObject) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    length = data.draw(st.integers(0, 4))
    columns = {}
    for name in data.draw(
        st.lists(st.sampled_from(["path", "label", "start", "end", "group", "x"]), unique=True)
    ):
        kind = data.draw(st.sampled_from(sorted(CELLS)))
        cells = st.lists(CELLS[kind] | st.none(), min_size=length, max_size=length)
        columns[name] = data.draw(cells)
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    only_typed(tmp_path / "m.parquet")


def test_damaged_parquet_gives_typed_errors(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"path": [f"{i}.mp4" for i in range(50)], "label": ["x", "y"] * 25}), tmp_path / "m"
    )
    whole = (tmp_path / "m").read_bytes()
    chance = random.Random(0)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        only_typed(
            write(
                tmp_path, bytes(data[: chance.choice((len(data), chance.randrange(len(data))))]), "m.parquet"
            )
        )


def test_parquet_that_unpacks_without_bound_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "m.parquet"
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * (8 << 20)])
    pq.write_table(pa.table({"path": [f"{i}" for i in range(5000)], "label": long}), path)
    assert path.stat().st_size < 2 << 20
    with pytest.raises(InvalidManifest, match="holds a cell of 8388608 signs"):
        Manifest.read(path)
    pq.write_table(pa.table({"path": ["x"] * 3_000_000, "label": ["y"] * 3_000_000}), path)
    with pytest.raises(InvalidManifest, match="claims 3000000 rows"):
        Manifest.read(path)
    pq.write_table(pa.table({"path": [{"a": 1}], "label": ["y"]}), path)
    with pytest.raises(InvalidManifest, match="a manifest holds texts, numbers and lists of texts"):
        Manifest.read(path)


def test_a_header_of_many_columns_takes_no_square_of_time(tmp_path: Path) -> None:
    names = ",".join(["path", "label", *(f"c{i}" for i in range(100_000))])
    manifest = Manifest.read(write(tmp_path, f"{names}\na.mp4,x{',' * 100_000}\n"))
    assert len(manifest[0].extra) == 100_000


def test_tables_of_other_computers_are_understood(tmp_path):
    (tmp_path / "walk").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "walk" / name).touch()
    table = tmp_path / "table.csv"
    table.write_text(
        "path,label,,\r\nwalk\\a.mp4,walk,,\r\nwalk\\b.mp4,walk\u200b,,,,\r\n", encoding="utf-8-sig"
    )
    manifest = Manifest.read(table)
    assert [sample.path for sample in manifest] == [tmp_path / "walk/a.mp4", tmp_path / "walk/b.mp4"]
    assert manifest.labels.names == ("walk",)
    table.write_text("path,label\nC:\\data\\a.mp4,walk\n..\\..\\walk\\a.mp4,walk\n")
    with pytest.raises(
        UnsafeFile, match=r"row 2: 'C:.*path of another computer \(Windows\).*row 3: path .*lea"
    ):
        Manifest.read(table)
    table.write_bytes("path,label\na.mp4,grün\n".encode("cp1252"))
    with pytest.raises(InvalidManifest, match="Save it as UTF-8"):
        Manifest.read(table)


def test_a_file_whose_name_holds_a_backslash_is_itself(tmp_path):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.mp4").touch()
    (tmp_path / "walk\\a.mp4").touch()
    table = tmp_path / "table.csv"
    table.write_text("path,label\nwalk\\a.mp4,walk\n")
    assert Manifest.read(table)[0].path == tmp_path / "walk\\a.mp4"


def test_usual_splits_count_in_any_case(tmp_path):
    table = tmp_path / "table.csv"
    names = ["Train", "TRAINING", "Validation", "DEV", "Test ", "testing", "xsub", "trian"]
    table.write_text(
        "path,label,split\n" + "".join(f"{i}.mp4,{i % 2},{name}\n" for i, name in enumerate(names))
    )
    manifest = Manifest.read(table)
    assert manifest.splits == ("train", "validation", "dev", "test", "xsub", "trian")
    assert [sample.path.stem for sample in manifest.where(split="Testing")] == ["4", "5"]
    (found,) = other_splits(manifest)
    assert "2 of 8 samples are in the splits 'xsub', 'trian', which are used only where they" in found.message
