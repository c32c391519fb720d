"""Sets of mannequins made from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kinesphere.data.catalogue import DATASETS


def test_sets_are_made_from_the_command_line(kinesphere, tmp_path: Path) -> None:
    words = (
        "--count",
        "2",
        "--people",
        "2",
        "2",
        "--seconds",
        "4",
        "--joints-only",
        "--workers",
        "1",
        "--json",
    )
    ended = kinesphere("generate", "people", "--out", str(tmp_path / "people"), *words)
    assert ended.code == 0, ended.err
    with Path(json.loads(ended.out)["manifest"]).open(newline="", encoding="utf-8") as file:
        assert {row["person"] for row in csv.DictReader(file)} == {"1", "2"}
    assert {path.name for path in (tmp_path / "people").iterdir() if path.is_dir()} == {"poses", "tracks"}
    small = ("--size", "32", "32", "--fps", "4", "--workers", "1")
    one = ("--count", "1", "--classes", "clap, wave", "--performers", "3")
    for kind in ("movements", "recordings"):
        ended = kinesphere("generate", kind, "--out", str(tmp_path / kind), *one, *small)
        assert ended.code == 0, ended.err
        assert (tmp_path / kind / "manifest.csv").exists()


def test_a_laboratory_is_made_of_generated_and_of_captured_motion(kinesphere, tmp_path: Path) -> None:
    few = ("--scale", "0.001", "--classes", "jump", "--performers", "3", "--fps", "8", "--joints-only")
    out = str(tmp_path / "made")
    ended = kinesphere("generate", "laboratory", "--out", out, *few, "--workers", "1", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["manifest"] == str(tmp_path / "made" / "base.csv")
    assert {path.name for path in (tmp_path / "made").iterdir() if path.is_dir()} == {"poses"}
    source = DATASETS.get("bandai_namco").write_example(tmp_path / "bvh")
    ended = kinesphere(
        "generate",
        "laboratory",
        "--captured",
        "bandai_namco",
        str(source),
        "--out",
        str(tmp_path / "captured"),
    )
    assert ended.code == 0, ended.err
    assert "6 clips" in ended.out
    with (tmp_path / "captured" / "eval.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["label"], row["parent"]) for row in rows} == {
        ("style active", "bow"),
        ("style tired", "run"),
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["pairs", "--people", "2", "3"], "--people and --seconds are options of people"),
        (["movements", "--joints-only"], "--joints-only is an option of people, pairs and events"),
        (["movements", "--scale", "2"], "--scale is an option of the laboratory; use --count for movements"),
        (["laboratory", "--count", "9"], "its own numbers of clips; use --scale, not --count"),
        (["pairs", "--captured", "bvh", "."], "leave --scale and --joints-only out"),
        (["people", "--classes", "sit down"], "cannot sit down: it needs a chair"),
        (["people", "--performers", "5"], "too few for"),
        (["persons"], "Invalid value for 'kind': 'persons' is not one of 'movements', 'recordings'"),
    ],
)
def test_options_that_do_not_apply_are_refused(kinesphere, tmp_path: Path, words, problem) -> None:
    ended = kinesphere("generate", *words, "--workers", "1", "--out", str(tmp_path / "set"))
    assert ended.code == 2
    assert problem in ended.err
