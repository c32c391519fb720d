"""The labelling loop: predictions into a tool, the corrected file in again, and what to annotate next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.annotations.timed import Detection
from kinesphere.annotations.timed_files import read_timed
from kinesphere.models import create_model, save_model

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(create_model("kine_tiny", tuple(f"label {i}" for i in range(3))).eval(), out)
    return out


@pytest.fixture(scope="module")
def video(mannequins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = sorted((mannequins / "videos").glob("*.mp4"))[0]
    return Path(shutil.copy(clip, tmp_path_factory.mktemp("recordings") / "dance.mp4"))


def test_predictions_come_back_from_each_tool(
    kinesphere: Command, model: Path, video: Path, tmp_path: Path
) -> None:
    words = ("predict", video, "--model", model, "--window", 0.5, "--threshold", 0)
    spans = {}
    for name in ("a.csv", "a.xml", "a.label_studio.json"):
        ended = kinesphere(*words, "--segments", video.parent / name)
        assert ended.code == 0, ended.err
        found = read_timed(video.parent / name).labels
        assert all(isinstance(each, Detection) for each in found)
        spans[name] = [(each.label, each.start_s, each.end_s) for each in found]
    for own in spans.values():
        for (label, *times), (truth, *expected) in zip(own, spans["a.csv"], strict=True):
            assert label == truth
            assert times == pytest.approx(expected, abs=0.5 / 25 + 1e-9)
    refused = kinesphere(
        "predict", video, "--model", model, "--window", 0.5, "--people", "--segments", "a.xml"
    )
    assert (refused.code, "holds the labels of a video, not of each person" in refused.err) == (2, True)


def test_the_loop_asks_for_what_is_left(
    kinesphere: Command, model: Path, video: Path, tmp_path: Path
) -> None:
    words = ("data", "next", model, video, "--window", 0.5, "--stride", 0.5)
    ended = kinesphere(
        *words, "--out", tmp_path / "n.csv", "--tool", tmp_path / "n.eaf", "--count", 2, "--json"
    )
    assert ended.code == 0, ended.err
    chosen = json.loads(ended.out)["windows"]
    assert len(chosen) == 2
    assert chosen[0]["unsure"] >= chosen[1]["unsure"]
    assert (tmp_path / "n.csv").read_text().startswith("rank,path,start_s,end_s,label,probability,runner_up")
    asked = read_timed(tmp_path / "n.eaf").labels
    assert {(each.video, each.tier) for each in asked} == {("dance", "next")}
    again = kinesphere(*words, "--annotations", tmp_path / "n.eaf", "--json")
    left = json.loads(again.out)
    assert "2 labels have scores, so nobody has looked at them" in left["notes"][0]
    rest = json.loads(kinesphere(*words, "--annotations", tmp_path / "n.eaf", "--reviewed", "--json").out)
    assert len(rest["windows"]) == len(left["windows"]) - 2
    assert not {each["start_s"] for each in rest["windows"]} & {each["start_s"] for each in chosen}
    corrected = tmp_path / "corrected.csv"
    corrected.write_text("path,label,start_s,end_s\ndance.mp4,label 1,0,99\n")
    ended = kinesphere(*words, "--annotations", corrected)
    assert (ended.code, "No window is left that is not annotated" in ended.out) == (0, True)


def test_converting_tells_what_happened(kinesphere: Command, video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,label,start_s,end_s\ndance.mp4,run,0,1\ndance.mp4,walk,1,1.5\n")
    words = ("data", "convert", tmp_path / "a.csv", "--videos", video.parent)
    ended = kinesphere(*words, "--to", "cvat", "--out", tmp_path / "a.xml", "--json")
    document = json.loads(ended.out)
    assert ended.code == 0
    assert document["before"] == {
        "run": {"labels": 1, "seconds": 1.0}, "walk": {"labels": 1, "seconds": 0.5},
    }  # fmt: skip
    assert document["after"]["run"] == {"labels": 1, "seconds": pytest.approx(1.0, abs=0.04)}
    ended = kinesphere(*words, "--to", "mot", "--out", tmp_path / "mot")
    assert ended.code == 1
    assert "not carried over  run: 1 before, 0 after" in ended.out
    ended = kinesphere("data", "convert", tmp_path / "none.eaf", "--to", "csv", "--out", tmp_path / "b.csv")
    assert (ended.code, "Cannot read" in ended.err) == (2, True)
