"""`predict` with outputs that are resumed, of damaged videos, and of names that no text holds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinesphere.core.errors import DamagedVideo
from kinesphere.models import create_model, save_model

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    labels = tuple(f"label {i}" for i in range(10))
    save_model(create_model("kine_tiny", labels).eval(), out)
    return out


@pytest.fixture
def videos(mannequins: Path, tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    for clip in sorted((mannequins / "videos").glob("*.mp4"))[:2]:
        shutil.copy(clip, tmp_path / "videos")
    return tmp_path / "videos"


def test_what_is_missing_for_finished_videos_is_written(
    kinesphere: Command, model: Path, videos: Path, tmp_path: Path
) -> None:
    log, folder = tmp_path / "said.jsonl", tmp_path / "segments"
    words = ["predict", videos, "--model", model, "--window", 1, "--threshold", 0, "--out", log]
    assert kinesphere(*words).code == 0
    records = log.read_text()
    ended = kinesphere(*words, "--segments", folder, "--annotate", tmp_path / "copies")
    assert ended.code == 0, ended.err
    names = sorted(path.stem for path in videos.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.csv" for name in names]
    assert sorted(path.stem for path in (tmp_path / "copies").iterdir()) == names
    assert "2 videos of" in ended.out
    assert log.read_text() == records  # no video is recorded twice
    last = sorted(folder.iterdir())[0]
    last.unlink()
    again = kinesphere(*words, "--segments", folder, "--annotate", tmp_path / "copies")
    assert last.is_file()
    assert "1 videos were already in" in again.out


def test_windows_without_a_segment_are_counted(
    kinesphere: Command, model: Path, videos: Path, tmp_path: Path
) -> None:
    words = ["predict", videos, "--model", model, "--window", 1]
    assert "3 of 3 windows below the threshold of 0.5" in kinesphere(*words).out
    ended = kinesphere(*words, "--segments", tmp_path / "s", "--json")
    assert "3 of 3 windows below the threshold of 0.5" in ended.err
    assert len([json.loads(line) for line in ended.out.splitlines()]) == 2


@pytest.mark.slow
def test_segments_follow_the_rule_and_are_shown_beside_annotations(
    kinesphere: Command, model: Path, videos: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.csv"
    names = sorted(path.stem for path in videos.iterdir())
    truth.write_text(f"path,label,start_s,end_s\n{names[0]}.mp4,label 1,0,1\n", encoding="utf-8")
    (tmp_path / "rule.yaml").write_text("threshold: 0.05\nmin_s: 0.1\n", encoding="utf-8")
    words = ["predict", videos, "--model", model, "--window", 0.5, "--rule", tmp_path / "rule.yaml"]
    ended = kinesphere(
        *words, "--truth", truth, "--page", tmp_path / "pages", "--picture", tmp_path / "pictures",
        "--segments", tmp_path / "segments", "--smooth", "mean3", "--viterbi", "2s", "--no-action", "label 0",
        "--min-length", 0.2, "--min-gap", 0.3, "--threshold", "label 3=0.9",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    pages = [(tmp_path / "pages" / f"{name}.html").read_text(encoding="utf-8") for name in names]
    assert f'src="../videos/{names[0]}.mp4"' in pages[0]
    assert ["annotation" in page for page in pages] == [True, False]
    rule = "thresholds label 3 0.9; mean of 3 windows; Viterbi, 2 s a segment; no action: label 0"
    assert rule in pages[0]
    assert "at least 0.2 s; pauses of at least 0.3 s" in pages[0]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        f"{name}.svg" for name in names
    ]
    scored = kinesphere("score", "segments", tmp_path / "segments", "--truth", truth, "--json")
    assert scored.code == 0, scored.err
    assert "f1@0.5" in json.loads(scored.out)["scores"]
    ended = kinesphere(*words, "--hysteresis", 0.01, "--viterbi", 0.9)
    assert ended.code == 2
    assert "Hysteresis and Viterbi decoding both decide" in " ".join(ended.err.split())
    for wrong, problem in (
        (["--page", "x.html"], "--page belongs to a timeline; give --window as well"),
        (["--min-gap", 1], "Without --window there are no segments to be made by: pauses of at least 1 s"),
    ):
        assert problem in " ".join(kinesphere("predict", videos, "--model", model, *wrong).err.split())


@pytest.mark.parametrize("more", [[], ["--window", 0.5]])
@pytest.mark.filterwarnings("ignore::kinesphere.core.errors.DamagedVideo")
def test_the_record_of_a_damaged_video_says_so(
    kinesphere: Command, model: Path, videos: Path, tmp_path: Path, more: list[object]
) -> None:
    clip = sorted(videos.iterdir())[0]
    from kinesphere.video import Video, VideoWriter

    with Video.open(clip) as video, VideoWriter(tmp_path / "cut.mkv", video.size, video.fps) as writer:
        for frame in video.stream():
            writer.write(frame.data.transpose(1, 2, 0))
    data = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    with pytest.warns(DamagedVideo), Video.open(tmp_path / "cut.mkv") as video:
        list(video.stream())
    words = ["predict", tmp_path / "cut.mkv", "--model", model, *more]
    said = json.loads(kinesphere(*words, "--json", "--out", tmp_path / "said.jsonl").out)
    assert any(note.startswith("it is damaged: ") for note in said["notes"])
    assert json.loads((tmp_path / "said.jsonl").read_text())["notes"] == said["notes"]
    if not more:
        kinesphere(*words, "--out", tmp_path / "said.csv")
        assert "it is damaged: " in (tmp_path / "said.csv").read_text()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--window", 1, "--segments", "s.txt"],
            "--segments names a .csv or .json or .parquet or .eaf",
        ),
        (["--annotate", "copy.avi"], "--annotate names a .mp4"),
        (["--out", "said.txt"], "--out names a .jsonl or .csv file"),
        (["--window", 1, "--out", "said.csv"], "--out names a .jsonl file"),
    ],
)
def test_wrong_suffixes_are_refused_before_the_model_is_loaded(
    kinesphere: Command, videos: Path, options: list[object], problem: str
) -> None:
    clip = sorted(videos.iterdir())[0]
    ended = kinesphere("predict", clip, "--model", "nobody_knows_this", *options)
    assert ended.code == 2
    assert problem in ended.err


@pytest.fixture
def foreign(mannequins: Path, tmp_path: Path) -> Path:
    """A folder of classes whose clips have names of bytes that are no UTF-8."""
    clips = iter(sorted((mannequins / "videos").glob("*.mp4")))
    root = tmp_path / "data"
    for name in ("fall", "wave"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(next(clips), root / name / os.fsdecode(b"caf\xe9%d.mp4" % number))
    return root


def test_names_that_are_no_utf_8_go_through(
    kinesphere: Command, model: Path, foreign: Path, tmp_path: Path
) -> None:
    (source, *_) = sorted((foreign / "wave").iterdir())
    words = ["predict", foreign / "wave", "--model", model]
    for suffix in ("jsonl", "csv"):
        log = tmp_path / f"said.{suffix}"
        ended = kinesphere(*words, "--out", log)
        assert ended.code == 0, ended.err
        assert "caf\\udce90.mp4" in ended.out
        assert "3 videos were already" in kinesphere(*words, "--out", log).out
    said = [json.loads(line) for line in kinesphere(*words, "--json").out.splitlines()]
    assert said[0]["source"] == str(source)
    for suffix in ("csv", "json", "eaf", "vtt"):
        place = tmp_path / f"s.{suffix}"
        ended = kinesphere("predict", source, "--model", model, "--window", 1, "--segments", place)
        assert ended.code == 0, ended.err


@pytest.mark.slow
def test_training_on_names_that_are_no_utf_8(kinesphere: Command, foreign: Path, tmp_path: Path) -> None:
    assert kinesphere("check", foreign, "--preview", tmp_path / "sheet.png").code == 0
    assert kinesphere("check", foreign, "--json").code == 0
    run = tmp_path / "run"
    settings = ["model.name=kine_tiny", "train.epochs=1", "compute.workers=0", f"out={run}"]
    ended = kinesphere("train", foreign, *settings, "data.val=0", "data.test=0.5", f"data.cache={tmp_path}/c")
    assert ended.code == 0, ended.err
    assert "caf\\udce9" in (run / "report.html").read_text(encoding="utf-8")
    assert "No frames" not in (run / "report.html").read_text(encoding="utf-8")
    scored = kinesphere("evaluate", run, foreign, "--out", tmp_path / "scored", "--json")
    assert scored.code == 0, scored.err
    assert kinesphere("extract", "flow", foreign, "--out", tmp_path / "flow", "--workers", 1).code == 0
