"""The command line, from raw videos to report, as a user types it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.apps.cli.main import VERBS
from kinesphere.video import probe

# The fixture of that name: words in; `code`, `out` and `err` out.
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(mannequins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a few steps of training."""
    from kinesphere.apps.html import write_report_html
    from kinesphere.train import Recipe, train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    settings = ["model.name=kine_tiny", "train.epochs=2", "compute.workers=0", f"out={out}"]
    write_report_html(train(Recipe.load(mannequins / "manifest.csv", settings)).folder)
    return out


def test_help_names_every_verb(kinesphere: Command) -> None:
    ended = kinesphere("--help")
    assert ended.code == 0
    assert all(verb in ended.out for verb, _ in VERBS)


def test_a_typo_is_wrong_usage(kinesphere: Command) -> None:
    assert kinesphere("predikt").code == 2


def test_doctor_finds_the_codecs_we_need(kinesphere: Command) -> None:
    ended = kinesphere("doctor", "--json")
    states = {finding["subject"]: finding["state"] for finding in json.loads(ended.out)}
    assert states["decode h264"] == states["encode libx264"] == "ok"
    assert "kinesphere doctor" in kinesphere("doctor").out


def test_models_lists_and_shows_cards(kinesphere: Command) -> None:
    names = {entry["name"] for entry in json.loads(kinesphere("models", "--json").out)}
    assert {"r3d_18", "kine_small", "fc"} <= names
    assert "r3d_tiny" not in names
    card = json.loads(kinesphere("models", "r3d_18", "--json").out)
    assert card["inputs"][0]["sampling"] == "16x1x1"
    assert "download.pytorch.org" in kinesphere("models", "r3d_18").out
    unknown = kinesphere("models", "r3d18")
    assert unknown.code == 2
    assert "did you mean r3d_18" in unknown.err


def test_check_lists_what_is_unreadable(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    good = json.loads(kinesphere("check", mannequins, "--json").out)
    assert good["clips"] == 24
    assert good["unreadable"] == []
    data = tmp_path / "data"
    shutil.copytree(mannequins, data)
    broken = sorted((data / "videos").glob("*.mp4"))[0]
    broken.write_bytes(b"not a video at all")
    ended = kinesphere("check", data, "--json")
    assert ended.code == 1
    assert [entry["path"] for entry in json.loads(ended.out)["unreadable"]] == [str(broken)]
    table = kinesphere("check", data, "--preview", tmp_path / "sheet.png")
    assert broken.name in table.out
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_train_writes_a_run_with_its_report(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", mannequins / "manifest.csv", "model.name=kine_tiny", "train.epochs=1", f"out={out}"]
    ended = kinesphere(*words, "compute.workers=0", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["report"]["clips"] == 6
    for name in ("recipe.yaml", "model.safetensors", "metrics.csv", "report.json", "report.html"):
        assert (out / name).is_file(), name
    again = kinesphere(*words)
    assert again.code == 2
    assert "already holds a run" in again.err
    assert kinesphere("train", out, "--resume").code == 0


def test_a_wrong_setting_is_named_with_the_nearest(kinesphere: Command, mannequins: Path) -> None:
    ended = kinesphere("train", mannequins, "optimizer.learning_rat=1")
    assert ended.code == 2
    assert "there is no setting 'optimizer.learning_rat'" in ended.err


def test_folds_in_one_command(kinesphere: Command, mannequins: Path, tmp_path: Path) -> None:
    out = tmp_path / "cv"
    words = ["train", mannequins, "model.name=kine_tiny", "train.epochs=1", "compute.workers=0", f"out={out}"]
    ended = kinesphere(*words, "--folds", "3", "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)["report"]
    assert report["clips"] == 24
    assert len(report["folds"]) == 3
    assert (out / "report.html").is_file()
    wrong = kinesphere(*words, "--folds", "one")
    assert wrong.code == 2
    assert "`group` or a number of at least 2" in wrong.err


def test_evaluate_prints_the_report(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scored"
    ended = kinesphere("evaluate", trained, mannequins, "--split", "test", "--views", "2x3", "--json")
    report = json.loads(ended.out)
    assert set(report["scores"]["top1"]) == {"value", "low", "high"}
    assert report["clips"] == 6
    assert report["skipped"] == []
    table = kinesphere("evaluate", trained, mannequins, "--split", "test", "--out", out)
    assert "top-1" in table.out
    assert (out / "report.html").is_file()


def test_evaluate_counts_what_it_skips(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(mannequins, data)
    broken = sorted((data / "videos").glob("test_*.mp4"))[0]
    broken.write_bytes(b"")
    ended = kinesphere("evaluate", trained, data, "--split", "test", "--json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert report["clips"] == 5
    assert report["skipped"][0]["path"] == str(broken)


def test_predict_one_object_a_video(kinesphere: Command, trained: Path, mannequins: Path) -> None:
    video = sorted((mannequins / "videos").glob("test_*.mp4"))[0]
    ended = kinesphere("predict", video, "--model", trained, "--json", "--top", 2)
    said = json.loads(ended.out)
    assert said["source"] == str(video)
    assert len(said["top"]) == 2
    assert "%" in kinesphere("predict", video, "--model", trained).out


def test_predict_a_folder_goes_on_where_it_stopped(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "videos", tmp_path / "said.jsonl"
    folder.mkdir()
    for video in sorted((mannequins / "videos").glob("test_*.mp4"))[:2]:
        shutil.copy(video, folder)
    (folder / "broken.mp4").write_bytes(b"nothing")
    first = kinesphere("predict", folder, "--model", trained, "--out", log)
    assert first.code == 1
    assert "broken.mp4" in first.out
    assert len(log.read_text().splitlines()) == 3
    second = kinesphere("predict", folder, "--model", trained, "--out", log, "--json")
    assert [json.loads(line)["source"] for line in second.out.splitlines()] == [str(folder / "broken.mp4")]
    other = kinesphere("predict", folder, "--model", trained, "--out", log, "--views", "2x1")
    assert other.code == 2
    assert "was written with other settings" in other.err


def test_predict_writes_timelines_segments_and_annotated_copies(
    kinesphere: Command, trained: Path, mannequins: Path, tmp_path: Path
) -> None:
    video = sorted((mannequins / "videos").glob("test_*.mp4"))[0]
    words = ["predict", video, "--model", trained, "--window", 1, "--stride", 0.5, "--threshold", 0]
    said = json.loads(kinesphere(*words, "--json").out)
    assert [window["span"] for window in said["timeline"]] == [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    ended = kinesphere(*words, "--segments", tmp_path / "s.vtt", "--annotate", tmp_path / "copies")
    assert ended.code == 0, ended.err
    assert (tmp_path / "s.vtt").read_text().startswith("WEBVTT")
    assert probe(tmp_path / "copies" / video.name).frame_count == 16


def test_predict_refuses_what_cannot_work(kinesphere: Command, trained: Path, mannequins: Path) -> None:
    videos = mannequins / "videos"
    alone = kinesphere("predict", videos, "--model", trained, "--stride", 1)
    assert alone.code == 2
    assert "give --window as well" in alone.err
    crowded = kinesphere("predict", videos, "--model", trained, "--annotate", "one.mp4")
    assert crowded.code == 2
    assert "but there are 24 videos; name a folder" in crowded.err


def test_import_writes_our_format(kinesphere: Command, tmp_path: Path) -> None:
    import torch

    from kinesphere.models import create_model, load_model

    source = create_model("r3d_tiny", ("clap", "wave"))
    torch.save(source.net.state_dict(), tmp_path / "theirs.pth")
    (tmp_path / "names.txt").write_text("clap\nwave\n")
    out = tmp_path / "ours.safetensors"
    words = ["import", tmp_path / "theirs.pth", "--model", "r3d_tiny", "--out"]
    ended = kinesphere(*words, out, "--labels", tmp_path / "names.txt", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["classes"] == 2
    assert load_model(out).labels.names == ("clap", "wave")
    wrong = kinesphere(*words, tmp_path / "ours.pth")
    assert wrong.code == 2
    assert "--out names a .safetensors file" in wrong.err


def test_demo_does_the_whole_job(kinesphere: Command, tmp_path: Path) -> None:
    ended = kinesphere("demo", "--out", tmp_path, "--clips-per-class", 10, "--epochs", 1, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert Path(result["html"]).is_file()
    assert set(result["reversed_pairs"]) == {"in_order", "shuffled"}
    assert result["report"]["clips"] == 20
    assert (tmp_path / "predicted.mp4").is_file()
    assert (tmp_path / "preview.png").is_file()
