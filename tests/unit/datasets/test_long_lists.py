"""Official lists read by the column: what row by row is read of them, on small lists with everything odd."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import KinesphereError
from kinesphere.data import official
from kinesphere.data.catalogue import DATASETS
from kinesphere.data.entry_table import EntryTable, MadeColumn
from kinesphere.data.inventory import take_inventory
from kinesphere.data.official import Entry, Origin
from kinesphere.datasets import kinetics, sports1m

VIDEOS = ["aaaaaaaaaaa", "bb-bb_bbbbb", "c"]
TIMES = ["1", "2", "10", "1.5", "x", "nan", "-1", "", "1_0", "2e6", "007", " 3"]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["walk", '"wa,ve"', "", "run"]),
        st.sampled_from([*VIDEOS * 3, "", "d.d", "e/f", "ü"]),
        st.sampled_from(["1"] * 9 + TIMES),
        st.sampled_from(["2", "10"] * 6 + TIMES),
        st.sampled_from(["train", "Val", "", "odd", "train,more"]),
    ).map(",".join),
    max_size=7,
)
URLS = ["http://www.youtube.com/watch?v="] * 6 + ["http://x?a=1&v=", "x?v=?v=", ""]
NAMES = [*VIDEOS * 3, "g" * 101, "h&t=1", "ü"]
GAPS, NUMBERS = [" ", " ", " ", "\t", "  ", ""], ["0", "1", "0,1", "1,1", "2", "x", "0,", "9" * 12, "0 z"]
LINES = st.lists(
    st.tuples(*map(st.sampled_from, (URLS, NAMES, GAPS, ["0", "1"] * 6 + NUMBERS))).map("".join), max_size=7
)
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", " \n"])
SIZES = st.sampled_from([1, 2, 4096])
THERE = [
    "aaaaaaaaaaa_000001_000002.mp4",
    "C_000001_000010.mp4",
    "bb-bb_bbbbb_1.5_10.mp4",
    "c.mp4",
    "other.mp4",
]
ODD = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def described(name: str, folder: Path) -> object:
    """All that an inventory says."""
    try:
        found = DATASETS.get(name).inventory(folder)
    except KinesphereError as error:
        return type(error), str(error)
    return [(each.name, getattr(found, each.name)) for each in fields(found)]


def is_the_same_one_by_one(
    name: str, module: ModuleType, size: int, folder: Path, patch: pytest.MonkeyPatch
) -> bool:
    with patch.context() as context:
        context.setattr(official, "_LINES_AT_A_TIME", size)
        together = described(name, folder)
        context.setattr(module, "_together", lambda *args: None)
        return described(name, folder) == together


@ODD
@given(rows=st.tuples(ROWS, ROWS), end=ENDS, size=SIZES)
def test_lists_of_kinetics_by_column(
    rows: tuple[list[str], list[str]], end: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THERE:
        (tmp_path / name).write_bytes(b"" if name == "c.mp4" else b"x")
    for part, lines in zip(("train", "val"), rows, strict=True):
        table = end.join(["label,youtube_id,time_start,time_end,split", *lines])
        (tmp_path / f"{part}.csv").write_bytes(table.encode())
    assert is_the_same_one_by_one("kinetics700", kinetics, size, tmp_path, monkeypatch)


@ODD
@given(lines=st.tuples(LINES, LINES), end=ENDS, size=SIZES)
def test_lists_of_sports1m_by_column(
    lines: tuple[list[str], list[str]], end: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THERE:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "labels.txt").write_text("walk\nrun\n")
    for part, some in zip(("train", "test"), lines, strict=True):
        (tmp_path / f"{part}_partition.txt").write_bytes(end.join(some).encode())
    assert is_the_same_one_by_one("sports1m", sports1m, size, tmp_path, monkeypatch)


@pytest.mark.parametrize(("name", "module"), [("kinetics700", kinetics), ("sports1m", sports1m)])
def test_plain_lists_are_read_by_column(
    name: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> object:
        raise AssertionError("rows are read one by one")

    DATASETS.get(name).write_example(tmp_path)
    whole = described(name, tmp_path)
    monkeypatch.setattr(module, "_entry", refuse)
    assert described(name, tmp_path) == whole


def test_lines_that_are_wrong_are_numbered_among_many(tmp_path: Path) -> None:
    rows = [f"walk,v{i},1,2,train" for i in range(5000)]
    rows += ['"two', 'words",w,1,2,train', "walk,v7,1,2,train", "walk,x,5,3,train"]
    (tmp_path / "train.csv").write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]))
    found = DATASETS.get("kinetics700").inventory(tmp_path)
    assert (found.clips, len(found.missing), found.classes) == (5001, 5001, {"twowords": 1, "walk": 5000})
    assert [(each.path, each.reason) for each in found.wrong] == [
        ("v7_000001_000002", "on the lists more than once; the first counts"),
        ("train.csv, line 5005", "'x' from 5 to 3 s is no part of a video"),
    ]


def test_a_table_of_entries_is_those_that_it_was_made_of(tmp_path: Path) -> None:
    entries = (
        Entry("walk/a.mp4", ("walk",), (("", "train"),), span=(0.0, 1.5), group="g", also=("b",)),
        Entry("c", ("walk", "run"), origin=Origin("http://x/c", "c", (1, 2)), extra=(("fps", "5"),)),
        Entry("c.avi", annotations=3, video_s=9.0, timed=(("walk", 1.0, 2.0),)),
    )
    made = MadeColumn(lambda video: Origin(f"http://{video}", video), ["d", "e"])
    urls = EntryTable.of_videos(["d", "e"], [("x",)] * 2, [()] * 2, origin=made)
    assert list(urls) == [Entry(name, ("x",), (), origin=Origin(f"http://{name}", name)) for name in "de"]
    table = EntryTable.joined([EntryTable.of(entries), urls])
    assert table == (*entries, *urls)
    assert hash(table) == hash((*entries, *urls))
    assert table != (*entries, *entries)
    assert table[1:4] == (*entries[1:], urls[0])
    assert list(table.stems) == [each.stem for each in table]
    assert list(table.ids) == [each.id for each in table]
    assert isinstance(EntryTable.joined([urls, urls.take([1])]).origin, MadeColumn)
    found = take_inventory(
        lambda folder: [entries[0], urls, entries[0], urls.take([0]), entries[1]], tmp_path
    )
    assert found.absent == (entries[0], *urls, entries[1])
    assert [each.path for each in found.wrong] == [entries[0].id, "d"]
