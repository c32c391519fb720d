"""`predict` with several models: their answers side by side."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.models import create_model, save_model

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of different labels."""
    folder = tmp_path_factory.mktemp("models")
    for name, labels in (("dance", ("pirouette", "grand jeté", "plié")), ("fight", ("punch", "kick"))):
        save_model(create_model("kine_tiny", labels).eval(), folder / f"{name}.safetensors")
    return [str(folder / "dance.safetensors"), str(folder / "fight.safetensors")]


@pytest.fixture
def words(models: list[str], mannequins: Path, tmp_path: Path) -> list[object]:
    (tmp_path / "videos").mkdir()
    for clip in sorted((mannequins / "videos").glob("*.mp4"))[:2]:
        shutil.copy(clip, tmp_path / "videos")
    return ["predict", tmp_path / "videos", "--model", models[0], "--model", models[1], "--top", 2]


def test_each_model_answers_as_it_does_alone(
    kinesphere: Command, words: list[object], models: list[str]
) -> None:
    ended = kinesphere(*words, "--json")
    assert ended.code == 0, ended.err
    together = [json.loads(line) for line in ended.out.splitlines()]
    assert [each["model"] for each in together[0]["models"]] == models
    alone = kinesphere(*words[:2], "--model", models[1], "--top", 2, "--json")
    for video, line in zip(together, alone.out.splitlines(), strict=True):
        assert video["models"][1] | {"source": video["source"]} == json.loads(line) | {"model": models[1]}


def test_the_table_has_a_column_for_each_model(kinesphere: Command, words: list[object]) -> None:
    ended = kinesphere(*words)
    assert ended.code == 0, ended.err
    assert sum("%" in line and line.count("%") == 2 for line in ended.out.splitlines()) == 4
    assert all(label in ended.out for label in ("punch", "kick"))
    windows = kinesphere(*words, "--window", 1, "--threshold", 0)
    assert windows.code == 0, windows.err
    assert "dance.safetensors" in windows.out


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_output_goes_on_where_it_stopped(
    kinesphere: Command, words: list[object], models: list[str], tmp_path: Path, ending: str
) -> None:
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / f"answers.{ending}"
    ended = kinesphere(*words, "--out", out)
    assert ended.code == 1
    assert f"broken.mp4: {models[1]}: " in ended.out.replace("\n", "")
    first = out.read_text()
    again = kinesphere(*words, "--out", out)
    assert "2 videos were already in" in again.out
    # The failure was tried again, nothing else.
    assert sorted(out.read_text().splitlines()) == sorted(first.splitlines())
    if ending == "csv":
        rows = list(csv.DictReader(first.splitlines()))
        assert len(rows) == 3
        assert {row[f"{models[1]}: label_1"] for row in rows} <= {"punch", "kick", ""}
    refused = kinesphere(*words[:4], "--top", 2, "--out", out)
    assert refused.code == 2
    assert "other settings" in refused.err


def test_what_takes_one_model_is_refused_for_several(
    kinesphere: Command, words: list[object], models: list[str], tmp_path: Path
) -> None:
    for more in (["--annotate", tmp_path / "a"], ["--window", 1, "--segments", tmp_path / "s"]):
        ended = kinesphere(*words, *more)
        assert ended.code == 2
        assert "take the answers of one model, and 2 are named" in " ".join(ended.err.split())
    ended = kinesphere(*words, "--model", models[0])
    assert "is given twice" in " ".join(ended.err.split())
