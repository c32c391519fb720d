"""Studies from generated videos to their reports, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.synthetic import MannequinSettings, generate

# The fixture of that name: words in; `code`, `out` and `err` out.
Command = Callable[..., Any]
MOVEMENTS = ("fall", "wave")


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 16 generated videos of two movements, a third of them held out, with masks and joints."""
    settings = MannequinSettings(
        classes=MOVEMENTS, clips_per_class=8, splits=(0.5, 0.0, 0.5), size=(48, 64), fps=8,
        duration_s=(1.0, 1.0), performers=8, scenes=8,
    )  # fmt: skip
    return generate(settings, tmp_path_factory.mktemp("filmed"), workers=1).parent


def trained(kinesphere: Command, filmed: Path, out: Path, *settings: str) -> Path:
    """Run folder of one epoch."""
    words = ["model.name=kine_tiny", "train.epochs=1", "data.val=0", "compute.workers=0", f"out={out}"]
    ended = kinesphere("train", filmed, f"data.extracts={filmed / 'truth'}", *words, *settings, "--json")
    assert ended.code == 0, ended.err
    return out


def images(page: Path) -> int:
    return page.read_text(encoding="utf-8").count("data:image/jpeg")


@pytest.mark.slow
def test_a_study_of_backgrounds_goes_from_videos_to_a_verdict_and_on(
    kinesphere: Command, filmed: Path, tmp_path: Path
) -> None:
    plain = trained(kinesphere, filmed, tmp_path / "plain")
    cured = trained(kinesphere, filmed, tmp_path / "cured", "augment.background=[replace]")
    out = tmp_path / "study"
    words = ["study", "background", plain, filmed, "--beside", cured, "--extracts", filmed / "truth"]
    words += ["--attribution", "gradient_x_input", "--out", out]
    ended = kinesphere(*words, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["clips"], found["skipped"]) == (8, [])
    assert [Path(model["model"]).name for model in found["models"]] == ["plain", "cured"]
    assert all(0 < model["on_people"]["energy"]["value"] < 1 for model in found["models"])
    assert len(found["comparisons"]) == 1
    page = out / "report.html"
    text = page.read_text(encoding="utf-8")
    assert found["models"][0]["verdict"].partition(":")[0] in text
    assert found["comparisons"][0]["verdict"].partition(":")[0] in text
    assert images(page) > 12
    kept = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")}
    again = kinesphere(*words)
    assert again.code == 0, again.err
    assert "people before the background of another class" in again.out
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")} == kept
    other = kinesphere(*words, "--seed", 1)
    assert other.code == 2
    assert "was written with other settings" in other.err
    bare = kinesphere("study", "background", plain, filmed, "--out", tmp_path / "bare")
    assert bare.code == 2
    assert "kinesphere extract mask" in bare.err


@pytest.mark.slow
def test_a_report_says_how_far_two_methods_agree(kinesphere: Command, filmed: Path, tmp_path: Path) -> None:
    run = trained(kinesphere, filmed, tmp_path / "run")
    words = ["evaluate", run, filmed, "--explain", "gradient_x_input", "--explain", "guided_backprop"]
    ended = kinesphere(*words, "--out", tmp_path / "scores")
    assert ended.code == 0, ended.err
    text = (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")
    assert text.count("by guided_backprop") == text.count("and guided_backprop: rank correlation") > 0
    nowhere = kinesphere(*words)
    assert nowhere.code == 2
    assert "give --out as well" in nowhere.err


@pytest.mark.slow
def test_two_models_are_compared_on_data_and_by_what_their_tests_kept(
    kinesphere: Command, filmed: Path, tmp_path: Path
) -> None:
    one = trained(kinesphere, filmed, tmp_path / "one")
    other = trained(kinesphere, filmed, tmp_path / "other", "train.seed=1", "optimizer.lr=0.01")
    asked = kinesphere("study", "compare", one, other, filmed, "--out", tmp_path / "asked", "--json")
    assert asked.code == 0, asked.err
    found = json.loads(asked.out)
    assert found["clips"] == 8
    assert len(found["outcomes"]) == 1 + len(MOVEMENTS)
    kept = kinesphere("study", "compare", one, other, "--out", tmp_path / "kept", "--json")
    assert kept.code == 0, kept.err
    again = json.loads(kept.out)
    assert again["outcomes"] == found["outcomes"]
    maps = 2 * min(8, len(found["disagreements"])) + sum(sum(each["counts"]) for each in found["confusions"])
    assert images(tmp_path / "kept" / "report.html") == images(tmp_path / "asked" / "report.html")
    assert bool(maps) == bool(images(tmp_path / "kept" / "report.html"))


def test_models_that_kept_no_answers_are_compared_on_data(kinesphere: Command, tmp_path: Path) -> None:
    model = tmp_path / "a.safetensors"
    model.touch()
    ended = kinesphere("study", "compare", model, "r3d_18.k400", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "a.safetensors is no run that kept answers: name DATA" in ended.err


@pytest.mark.slow
def test_clips_of_a_cross_validation_are_explained_by_their_fold(
    kinesphere: Command, filmed: Path, tmp_path: Path
) -> None:
    words = ["model.name=kine_tiny", "train.epochs=1", "data.val=0", "compute.workers=0"]
    crossed = tmp_path / "crossed"
    ended = kinesphere("train", filmed, *words, f"out={crossed}", "--folds", "2", "--json")
    assert ended.code == 0, ended.err
    alone = trained(kinesphere, filmed, tmp_path / "alone", "train.seed=1", "optimizer.lr=0.01")
    out = tmp_path / "out"
    compared = kinesphere("study", "compare", crossed, alone, "--out", out, "--json")
    assert compared.code == 1, compared.err  # the run was tested on fewer clips
    found = json.loads(compared.out)
    assert found["clips"] == 8
    assert len(found["skipped"]) == 8
    mistaken = found["disagreements"] or found["confusions"]
    assert bool(images(out / "report.html")) == bool(mistaken)
    refused = kinesphere("study", "compare", crossed, alone, filmed, "--out", tmp_path / "data")
    assert refused.code == 2
    assert "is a cross-validation, which has a model for each fold" in refused.err
