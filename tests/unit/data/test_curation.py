"""Manifests divided by performers, merged and balanced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kinesphere.core.errors import InvalidManifest, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.data.balancing import balance
from kinesphere.data.manifest import Manifest
from kinesphere.data.merging import merge
from kinesphere.data.split import by_groups


def table(path: Path, *rows: str, header: str = "path,label,group,split") -> Manifest:
    path.write_text("\n".join([header, *rows]))
    return Manifest.read(path)


@pytest.fixture
def performers(tmp_path: Path) -> Manifest:
    rows = [f"{who}{i}.mp4,{label},{who}," for who in "abc" for i, label in enumerate(("walk", "run"))]
    return table(tmp_path / "all.csv", *rows)


def test_named_groups_go_to_their_split_whole(performers: Manifest) -> None:
    marked = by_groups(performers, {"test": ["c"], "val": ["b"]})

    assert {name: marked.where(split=name).groups for name in marked.splits} == {
        "train": ("a",), "val": ("b",), "test": ("c",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": ["d"]}, r"no group 'd'"),
        ({"test": ["a"], "val": ["a"]}, r"'a' cannot be in 'test' and in 'val'"),
        ({"test": ["a", "b", "c"]}, r"none is left for 'train'"),
    ],
)
def test_groups_that_do_not_fit_are_refused(
    performers: Manifest, parts: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        by_groups(performers, parts)


def test_merging_keeps_each_clip_once_and_renames(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", "x.mp4,walk,P1,", "y.mp4,run,P2,train")
    second = table(tmp_path / "b.csv", "x.mp4,walking,,train", "z.mp4,jog,P2,test")
    merged = merge({"a": first, "b": second}, {"walking": "walk", "b:jog": "run"})

    assert [(s.path.name, s.labels, s.group, s.split) for s in merged.manifest] == [
        ("x.mp4", ("walk",), "P1", "train"), ("y.mp4", ("run",), "P2", "train"),
        ("z.mp4", ("run",), "P2", "test"),
    ]  # fmt: skip
    assert [dict(s.extra)["source"] for s in merged.manifest] == ["a", "a", "b"]
    assert [(each.path, each.reason) for each in merged.repeated] == [("x.mp4", "in a and b")]
    assert [(each.path, each.reason) for each in merged.conflicts] == [
        ("P2", "its clips lie in the splits test and train (group)")
    ]
    assert merged.before == {"a": {"run": 1, "walk": 1}, "b": {"jog": 1, "walking": 1}}
    assert any("1 groups of one name" in note for note in merged.notes)


def test_clips_that_contradict_each_other_are_refused_or_the_first_counts(tmp_path: Path) -> None:
    first, second = table(tmp_path / "a.csv", "x.mp4,walk,,"), table(tmp_path / "b.csv", "x.mp4,run,,")

    with pytest.raises(
        InvalidManifest, match=r"1 clips have other labels.*'walk' in a, 'run' in b.*conflict: first"
    ):
        merge({"a": first, "b": second})
    merged = merge({"a": first, "b": second}, conflict="first")
    assert merged.manifest[0].labels == ("walk",)
    assert len(merged.conflicts) == 1


def test_copies_of_a_file_in_two_splits_are_told(tmp_path: Path) -> None:
    for name in ("x.mp4", "copy.mp4"):
        (tmp_path / name).write_bytes(b"the same")
    first = table(tmp_path / "a.csv", "x.mp4,walk,,train")
    second = table(tmp_path / "b.csv", "copy.mp4,walk,,test")

    merged = merge({"a": first, "b": second})
    assert [each.reason for each in merged.conflicts] == ["its clips lie in the splits test and train (file)"]
    assert "1 files are there under several names, the first is x.mp4 = copy.mp4" in merged.notes


def test_merging_needs_two_and_labels_that_occur(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", "x.mp4,walk,,")
    with pytest.raises(InvalidSetting, match="two manifests or more"):
        merge({"a": first})
    with pytest.raises(InvalidSetting, match=r"No manifest has the label 'wlak'.*Did you mean 'walk'"):
        merge({"a": first, "b": table(tmp_path / "b.csv", "y.mp4,run,,")}, {"wlak": "x"})


def test_merged_samples_have_ids_of_their_own(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", "x,x.mp4,walk", "y,y.mp4,walk", header="id,path,label")
    second = table(tmp_path / "b.csv", "x,z.mp4,walk", "a/x,v.mp4,walk", header="id,path,label")
    found = merge({"a": first, "b": second}).manifest
    assert [sample.id for sample in found] == ["a/a/x", "y", "b/x", "a/x"]


def test_grades_that_differ_are_told(tmp_path: Path) -> None:
    rows = [f"{grade}.mp4,{grade},," for grade in ("low", "mid", "high")]
    whole = table(tmp_path / "a.csv", *rows)
    graded = LabelSet(("low", "mid", "high"), ordered=True, graded=True)
    first = replace(whole, labels=graded)
    second = replace(table(tmp_path / "b.csv", "l.mp4,low,,", "h.mp4,high,,"), labels=graded)
    assert merge({"a": first, "b": second}).manifest.labels == graded
    second = replace(second, labels=LabelSet(("high", "low"), ordered=True, graded=True))
    found = merge({"a": first, "b": second})
    assert not found.manifest.labels.graded
    assert "alphabetical and are no grades any more" in found.notes[0]


def test_a_cap_keeps_every_group_and_scarce_classes_are_repeated(tmp_path: Path) -> None:
    rows = [f"{i}.mp4,walk,P{i % 4},train" for i in range(12)]
    rows += ["r.mp4,run,P0,train", "s.mp4,run,P1,train", "t.mp4,run,P9,test"]
    found = balance(table(tmp_path / "a.csv", *rows), cap=4, oversample=4)

    assert (found.before, found.after, found.untouched) == ({"run": 2, "walk": 12}, {"run": 4, "walk": 4}, 1)
    walks = [sample for sample in found.manifest if sample.labels == ("walk",)]
    assert {sample.group for sample in walks} == {"P0", "P1", "P2", "P3"}
    assert [s.id for s in found.manifest if s.labels == ("run",)] == [
        "r.mp4", "r.mp4#2", "s.mp4", "s.mp4#2", "t.mp4",
    ]  # fmt: skip
    found.manifest.write(tmp_path / "b.csv")
    assert len(Manifest.read(tmp_path / "b.csv")) == len(found.manifest)
    again = balance(Manifest.read(tmp_path / "b.csv"), oversample=6).manifest
    assert [s.id for s in again if s.labels == ("run",)] == [
        "r.mp4", "r.mp4#2", "r.mp4#2#2", "s.mp4", "s.mp4#2", "s.mp4#2#2", "t.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a cap"),
        ({"cap": 2, "oversample": 3}, "cap is not below the other"),
        ({"cap": 2, "split": "dev"}, "no split 'dev'"),
    ],
)
def test_balancing_that_makes_no_sense_is_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    manifest = table(tmp_path / "a.csv", "x.mp4,walk,,train", "y.mp4,run,,train")
    with pytest.raises(InvalidSetting, match=message):
        balance(manifest, **options)  # type: ignore[arg-type]


def test_samples_with_several_labels_are_not_balanced_by_lists(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="has 2 labels; classes are balanced by lists only"):
        balance(table(tmp_path / "a.csv", "x.mp4,walk|run,,", "y.mp4,run,,"), cap=1)
