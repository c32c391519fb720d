"""Samples kept by column: the same as samples one by one, and what they share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, table_blocks
from kinesphere.data.balancing import balance
from kinesphere.data.sample import Sample
from kinesphere.data.sample_table import FileColumn, SampleTable, SpanColumn, TakenColumn
from kinesphere.data.split import by_groups

CELLS = {
    "path": ["a.mp4", "b/a.mp4", "./b/a.mp4", "b//a.mp4", "/b/a.mp4", "/c.mp4", "../x.mp4", "", "b (1)/ü.mp4",
             ".h/x.mp4", "http://x/y.mp4", "file:///b/%41.mp4", "b/../a.mp4", "x" * 300 + ".mp4", "b\\a.mp4"],
    "label": ["walk", "wave", "walk|wave", "", "walk|", "wave "],
    "start": ["", "0", "1.5", "0:02", "nan", "1e999", "-1", "x", "1_0"],
    "end": ["", "3", "4.25", "0:09", "inf", "0"],
    "group": ["", "g", "h"],
    "split": ["", "train", "Testing"],
    "id": ["", "1", "2"],
    "pose_file": ["", "p/a.npz", "../p.npz"],
    "more": ["", "x"],
}  # fmt: skip
ROWS = st.lists(st.tuples(*map(st.sampled_from, CELLS.values())), max_size=12)
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.text("ab", max_size=3),
        st.sampled_from([Path("v/a.mp4"), Path("v/b.mp4"), Path("/"), Path("..")]),
        st.sampled_from([("x",), ("x", "y"), ()]),
        st.sampled_from([None, (0.0, 1.5), (1, 2)]),
        st.sampled_from([None, "g"]),
        st.sampled_from([None, "train"]),
        st.sampled_from([(), (("more", "1"),)]),
        st.sampled_from([(), (("pose", Path("p/a.npz")),)]),
    ),
    max_size=9,
)


def described(manifest: Manifest) -> tuple[object, ...]:
    return (*manifest, *manifest.wrong, *manifest.groupings, manifest.labels.names)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=ROWS, kept=st.sets(st.sampled_from(sorted({*CELLS} - {"path", "label"}))))
def test_blocks_of_many_rows_read_as_blocks_of_one(rows, kept, tmp_path, monkeypatch) -> None:
    names = [name for name in CELLS if name in kept or name in ("path", "label")]
    cells = [[cell for name, cell in zip(CELLS, row, strict=True) if name in names] for row in rows]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(",".join(line) for line in [names, *cells]))

    def read() -> object:
        try:
            return described(Manifest.read(path, wrong_rows="skip"))
        except KinesphereError as error:
            return type(error), str(error)

    together = read()
    with monkeypatch.context() as patch:
        patch.setattr(table_blocks, "rows_at_a_time", lambda columns: 1)
        assert read() == together


@given(samples=SAMPLES, data=st.data())
def test_a_table_is_the_samples_that_it_was_made_of(samples: list[Sample], data: st.DataObject) -> None:
    tables = [SampleTable.of(samples[:4]), SampleTable.of(samples[4:])]
    table = SampleTable.joined(tables)
    assert table == tuple(samples)
    assert hash(table) == hash(tuple(samples))
    assert table[1:3] == tuple(samples[1:3])
    rows = range(len(samples))
    chosen = data.draw(st.lists(st.sampled_from(rows), max_size=12) if samples else st.just([]))
    taken = table.take(chosen)
    assert taken == [samples[row] for row in chosen]
    again = data.draw(st.lists(st.sampled_from(range(len(chosen))), max_size=5) if chosen else st.just([]))
    assert taken.take(again) == [samples[chosen[row]] for row in again]
    numbers = dict.fromkeys(sample.path for sample in taken)
    assert taken.file_numbers() == [list(numbers).index(sample.path) for sample in taken]
    assert list(taken.file_names(range(len(taken)))) == [sample.path.name for sample in taken]


def test_a_list_that_was_read_keeps_no_sample_and_its_parts_share_its_columns(tmp_path: Path) -> None:
    rows = [f"{tmp_path}/videos (all)/{i % 3}/v {i}.mp4,c{i % 2},{i},{i + 1.5},train" for i in range(50)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,start,end,split", *rows]))
    manifest = Manifest.read(tmp_path / "m.csv")
    table = manifest.table
    assert isinstance(table.paths, FileColumn)
    assert isinstance(table.spans, SpanColumn)
    assert len({id(folder) for folder in table.paths.folders}) == 3
    assert manifest[7] is not manifest[7]
    assert manifest[7] == Sample(
        f"{tmp_path}/videos (all)/1/v 7.mp4@7.0-8.5",
        tmp_path / "videos (all)/1/v 7.mp4",
        ("c1",),
        (7.0, 8.5),
        split="train",
    )
    part = manifest.where(label="c0").select(range(20)).table
    assert isinstance(part.ids, TakenColumn)
    assert part.ids.column is table.ids
    assert len({id(column.rows) for column in (part.ids, part.paths, part.labels)}) == 1
    manifest.where(label="c0").write(tmp_path / "half.csv")
    assert list(Manifest.read(tmp_path / "half.csv")) == [s for s in manifest if s.labels == ("c0",)]


def test_what_concerns_all_samples_is_asked_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of groups and splits take time in proportion to the list; for each row, that is its square."""
    listed = [
        Sample(f"{i}", Path(f"{i}.mp4"), ("ab"[i % 2],), group=f"g{i}", split="train") for i in range(60)
    ]
    manifest = Manifest(tuple(listed), LabelSet(("a", "b")), Path())
    asked: list[str] = []
    for name in ("groups", "splits"):
        whole = getattr(Manifest, name).fget
        monkeypatch.setattr(
            Manifest, name, property(lambda self, name=name, whole=whole: asked.append(name) or whole(self))
        )
    by_groups(manifest, {"test": [f"g{i}" for i in range(30)]})
    balance(manifest, cap=10)
    assert len(asked) < 10
