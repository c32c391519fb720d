"""What a run did with its samples, on disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidManifest
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.data.content import Content, contents_of
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data, resolve
from kinesphere.train.run import train
from kinesphere.train.splits_csv import SplitTable


def manifest(folder: Path, *names: str) -> Manifest:
    for number, name in enumerate(names):
        (folder / name).write_bytes(bytes([number]) * (number + 1))
    samples = tuple(
        Sample(name, folder / name, ("a" if i % 2 else "b",), span=(0.5, 1.25) if i else None, group=f"g{i}")
        for i, name in enumerate(names)
    )
    return Manifest(samples, LabelSet(("a", "b")), folder)


def test_a_run_keeps_what_it_did_with_every_sample(recipe: Recipe) -> None:
    run = train(recipe.override("train.epochs=1"))
    table = SplitTable.read(run.folder / "splits.csv")
    assert {part: table.count(part) for part in ("train", "val", "test")} == {
        "train": 15, "val": 3, "test": 6
    }  # fmt: skip
    _, parts = resolve(recipe, read_data(recipe.data))
    assert parts.test is not None
    assert {row.id for row in table if row.part == "test"} == {sample.id for sample in parts.test}
    again = Manifest.read(run.folder / "splits.csv")  # a manifest as well
    assert len(again.where(split="test")) == 6


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    data = manifest(tmp_path, "one.mp4", "two.mp4", os.fsdecode(b"three-\xff.mp4"))
    table = SplitTable.of(data, {"one.mp4": "train", "two.mp4": "test"})
    table.write(tmp_path / "splits.csv")
    again = SplitTable.read(tmp_path / "splits.csv")
    assert again == table
    assert again.rows[2].path == data[2].path
    assert again.rows[2].id == r"three-\udcff.mp4"
    assert Manifest.read(tmp_path / "splits.csv")[2].path == data[2].path
    assert [row.part for row in again] == ["train", "test", "unused"]
    assert again.differences(table) == []


def test_what_changed_is_said_by_kind(tmp_path: Path) -> None:
    data = manifest(tmp_path, "one.mp4", "two.mp4", "three.mp4")
    before = SplitTable.of(data, {"one.mp4": "train", "two.mp4": "test"})
    (tmp_path / "one.mp4").write_bytes(b"another video")
    changed = replace(data[1], labels=("b",), group="other")
    now = SplitTable.of(
        replace(data, samples=(data[0], changed, replace(data[2], id="new.mp4"))), {"one.mp4": "test"}
    )
    assert now.differences(before) == [
        "1 samples new (new.mp4)",
        "1 samples gone (three.mp4)",
        "1 samples with other labels (two.mp4)",
        "1 samples with another group (two.mp4)",
        "1 samples in files of other content (one.mp4)",
        "2 samples in another split (one.mp4, two.mp4)",
    ]


HEADER = "id,path,label,start,end,group,split,bytes,content"


@pytest.mark.parametrize("text", ["", "id,path\n", f"{HEADER}\na,b\n", f"{HEADER}\na,b,c,,,,other,1,x\n"])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(InvalidManifest, match=r"splits\.csv does not hold the splits of a run"):
        SplitTable.read(tmp_path / "splits.csv")


def test_content_is_size_beginning_middle_and_end(tmp_path: Path) -> None:
    whole = bytearray(os.urandom(400_000))
    (tmp_path / "a").write_bytes(whole)
    (tmp_path / "copy").write_bytes(whole)
    for place in (0, 200_000, 399_999):
        other = bytearray(whole)
        other[place] ^= 1
        (tmp_path / f"at{place}").write_bytes(other)
    found = contents_of(sorted(tmp_path.iterdir()))
    assert found[tmp_path / "a"] == found[tmp_path / "copy"]
    assert len({content.digest for content in found.values()}) == 4
    assert Content.of(tmp_path / "missing") == Content(-1, "")
