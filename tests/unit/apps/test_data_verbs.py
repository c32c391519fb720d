"""`kinesphere data windows|split|merge|balance`: counts before and after, JSON, exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kinesphere.apps.cli.main import app
from kinesphere.clips.modalities.pose.file import write_poses
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import InvalidSetting


def answered(*words: object, code: int = 0) -> Any:
    """The JSON that a verb prints."""
    found = CliRunner().invoke(app, ["data", *map(str, words), "--json"])
    assert found.exit_code == code, found.output
    return json.loads(found.stdout)


def refused(*words: object) -> BaseException | None:
    return CliRunner().invoke(app, ["data", *map(str, words)]).exception


@pytest.fixture
def recording(tmp_path: Path, elan: Callable[..., str]) -> Path:
    poses = Poses(
        np.arange(50) / 2, np.ones((50, 1, 17, 2), np.float32), np.ones((50, 1, 17), np.float32),
        np.array([0]), "coco17", (48, 64), fps=2.0,
    )  # fmt: skip
    write_poses(poses, tmp_path / "a.pose.npz")
    tiers = {"base": [("walk", 0, 10000), ("wlak", 10000, 20000)], "grade": [("low", 0, 20000)]}
    (tmp_path / "a.eaf").write_text(elan(tiers))
    return tmp_path / "a.eaf"


def test_windows_are_counted_before_and_after(recording: Path) -> None:
    out = recording.with_name("w.csv")
    found = answered(
        "windows", recording, "--out", out, "--tier", "label=base", "--tier", "grade=grade", "--rename",
        "wlak=run", "--stride", 10, "--last", "short",
    )  # fmt: skip

    assert found["columns"] == {
        "label": {"before": {"run": 1, "walk": 1}, "after": {"run": 1, "walk": 1}},
        "grade": {"before": {"low": 1}, "after": {"low": 2}},
    }
    assert (found["windows"], found["recordings"], found["untouched"], found["undecided"]) == (2, 1, 1, 0)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    names = ("path", "label", "start", "end", "grade", "parent")
    assert [[row[name] for name in names] for row in rows] == [
        ["a.pose.npz", "walk", "0.0", "10.0", "low", "walk"],
        ["a.pose.npz", "run", "10.0", "20.0", "low", "run"],
    ]


def test_what_people_see_of_windows(recording: Path) -> None:
    words = ["data", "windows", str(recording), "--out", str(recording.with_name("w.csv")), "--tier", "base"]
    found = CliRunner().invoke(app, [*words, "--labels", "walk,run", "--unknown", "skip"])

    assert found.exit_code == 1
    assert "left out  'wlak': 'wlak' (1 annotation); did you mean 'walk'?" in found.stdout
    assert "2 windows of 1 recordings; left out are" in found.stdout
    assert "1 labels are not among the 2 known ones" in str(
        CliRunner().invoke(app, [*words, "--labels", "walk,run"]).exception
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "all.csv"
    rows = [
        f"{who}{i}.mp4,{label},{who}" for who in "abcdef" for i, label in enumerate(("walk", "walk", "run"))
    ]
    path.write_text("\n".join(["path,label,group", *rows]))
    return path


def test_splits_by_performer_and_by_fraction(table: Path) -> None:
    by_name = answered("split", table, "--out", table.with_name("s.csv"), "--test", "a,b", "--val", "c")
    assert by_name["after"] == {
        "test": {"run": 2, "walk": 4}, "val": {"run": 1, "walk": 2}, "train": {"run": 3, "walk": 6},
    }  # fmt: skip
    assert by_name["groups"] == {"test": 2, "val": 1, "train": 3}
    drawn = answered(
        "split", table, "--out", table.with_name("s.csv"), "--fractions", "train=0.5,test=0.5", "--seed", 3
    )
    assert drawn["before"] == {"run": 6, "walk": 12}
    assert drawn["groups"] == {"train": 3, "test": 3} or drawn["groups"] == {"test": 3, "train": 3}
    both = refused("split", table, "--out", table.with_name("s.csv"), "--test", "a", "--fractions", "train=1")
    assert isinstance(both, InvalidSetting)
    assert "not both" in str(both)
    wrong = refused("split", table, "--out", table.with_name("s.csv"), "--fractions", "train:1")
    assert "--fractions takes NAME=NUMBER" in str(wrong)


def test_rows_without_a_label_go_with_their_group(tmp_path: Path) -> None:
    table = tmp_path / "m.csv"
    rows = [
        f"{group}{number}.mp4,{'' if number == 2 else label},{group},{'low' if number else ''}"
        for group in "abcd"
        for number, label in enumerate(("walk", "run", ""))
    ]
    table.write_text("\n".join(["path,label,group,grade", *rows]))
    out = tmp_path / "s.csv"
    found = answered("split", table, "--test", "d", "--val", "c", "--out", out)

    assert (found["samples"], found["groups"]) == (12, {"train": 2, "val": 1, "test": 1})
    assert "4 rows have no label in the column 'label' and go with their group" in found["notes"]
    with out.open() as file:
        kept = [(row["path"], row["label"], row["grade"], row["split"]) for row in csv.DictReader(file)]
    assert len(kept) == 12
    assert ("d2.mp4", "", "low", "test") in kept
    assert answered("split", table, "--out", out, "--fractions", "train=0.5,test=0.5")["samples"] == 12
    assert answered("split", table, "--test", "d", "--out", out, "--unlabelled", "skip")["samples"] == 8
    assert "0 labels" in str(refused("split", table, "--test", "d", "--out", out, "--unlabelled", "refuse"))


def test_merging_tells_contradictions_and_leaves_with_one(table: Path) -> None:
    other = table.with_name("other.csv")
    other.write_text("path,label,group,split\na0.mp4,walking,a,train\nz.mp4,run,a,test\n")
    found = answered(
        "merge", table, other, "--out", table.with_name("m.csv"), "--rename", "other:walking=walk", code=1
    )

    assert found["after"] == {"run": 7, "walk": 12}
    assert [each["path"] for each in found["repeated"]] == ["a0.mp4"]
    assert [each["path"] for each in found["conflicts"]] == ["a"]
    assert "--rename names 'a' twice" in str(
        refused(
            "merge", table, other, "--out", table.with_name("m.csv"), "--rename", "a=b", "--rename", "a=c"
        )
    )


def test_balancing_shows_counts_and_what_was_left_out(table: Path) -> None:
    found = answered("balance", table, "--out", table.with_name("b.csv"), "--cap", 8, "--oversample", 8)

    assert (found["before"], found["after"]) == ({"run": 6, "walk": 12}, {"run": 8, "walk": 8})
    assert (found["repeated"], len(found["left_out"]), found["samples"]) == (2, 4, 16)
    assert "names a .csv or .parquet file" in str(refused("balance", table, "--out", "x.txt", "--cap", 1))
