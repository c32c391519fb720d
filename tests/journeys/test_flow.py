"""Flow at the command line: extract, train two streams, evaluate, predict, fuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


def train(kinesphere: Command, data: Path, model: str, out: Path, *more: str) -> None:
    words = [f"model.name={model}", "train.epochs=1", "train.batch_size=6", "compute.workers=0", *more]
    code, _, errors = kinesphere("train", data, *words, f"out={out}", "--json")
    assert code == 0, errors


def test_extract_shows_and_resumes(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    out = tmp_path / "flow"
    code, text, _ = kinesphere("extract", "flow", mannequins / "manifest.csv", "--out", out, "--json")
    done = json.loads(text)
    assert code == 0
    assert len(done["written"]) == 24
    assert all(Path(path).is_relative_to(out / "videos") for path in done["written"])
    code, text, _ = kinesphere("extract", "flow", mannequins, "--out", out)
    assert code == 0
    assert "0 written, 24 already there" in text
    code, text, _ = kinesphere("extract", "flow", mannequins, "--out", out, "--method", "farneback")
    assert code == 1
    assert "24 failed" in text
    assert "holds flow by dis, not farneback; overwrite it" in text


@pytest.mark.slow
def test_two_streams_from_video_to_fusion(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    manifest, one, two = mannequins / "manifest.csv", tmp_path / "pixels", tmp_path / "streams"
    train(kinesphere, manifest, "two_stream_tiny", two)
    train(kinesphere, manifest, "kine_tiny", one)
    code, text, errors = kinesphere("evaluate", two, manifest, "--split", "test", "--json")
    assert code == 0, errors
    assert json.loads(text)["clips"] == 6

    video = Path(shutil.copy(sorted((mannequins / "videos").glob("*.mp4"))[0], tmp_path / "clip.mp4"))
    drawn = tmp_path / "drawn.mp4"
    words = [video, "--model", two, "--keep", "--annotate", drawn, "--draw", "flow", "--json"]
    code, text, errors = kinesphere("predict", *words)
    assert code == 0, errors
    assert len(json.loads(text)["top"]) == 3
    assert (tmp_path / "clip.mp4.flow.npz").is_file()
    assert drawn.stat().st_size > 1000
    code, _, errors = kinesphere("predict", video, "--model", two, "--draw", "flow")
    assert code == 2
    assert "--draw belongs to annotated copies; give --annotate" in errors

    code, text, errors = kinesphere("fuse", one, two, "--weights", "3,1", "--out", tmp_path / "fused")
    assert code == 0, errors
    assert "0.750" in text
    assert (tmp_path / "fused" / "report.html").is_file()
    code, text, errors = kinesphere("predict", video, "--model", tmp_path / "fused", "--json")
    assert code == 0, errors
    assert sum(each["probability"] for each in json.loads(text)["top"]) == pytest.approx(1, abs=1e-5)
    code, text, errors = kinesphere("evaluate", tmp_path / "fused", manifest, "--split", "test", "--json")
    assert code == 0, errors
    assert json.loads(text)["clips"] == 6
    code, _, errors = kinesphere("fuse", one, two, "--out", one)
    assert code == 2
    assert "is one of the runs; write their fusion to another folder" in " ".join(errors.split())
    code, text, errors = kinesphere("fuse", one, two, "--weights", "learned", "--json")
    assert code == 0, errors
    fused = json.loads(text)
    assert fused["learned_on"] == 6
    assert sum(share["weight"] for share in fused["weights"]) == pytest.approx(1)
    assert fused["report"]["clips"] == 6
    assert (one / "validation.parquet").is_file()
    again = json.loads(kinesphere("fuse", one, two, "--weights", "learned", "--json")[1])
    assert again["weights"] == fused["weights"]
    for words, match in (
        ((one, two, "--weights", "2"), "takes 2 weights, none negative"),
        ((one, two, "--weights", "much"), "Weights are numbers between commas, or `learned`; got 'much'"),
        ((one, tmp_path), "Cannot read predictions from"),
    ):
        code, _, errors = kinesphere("fuse", *words)
        assert code == 2
        assert match in errors
