from __future__ import annotations

import io
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.localise import run as run_module
from kinesphere.localise.evaluation import evaluate_localiser
from kinesphere.localise.prediction import LocalisingPredictor
from kinesphere.localise.run import NowAndThen, train_localiser
from kinesphere.localise.settings import FeatureSection, LocaliseRecipe
from kinesphere.localise.sources import find_recordings
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FrameGrid, read_foreign, write_features
from kinesphere.predict.sources import find_sources
from kinesphere.video import VideoWriter

QUIET = Console(file=io.StringIO())


def stored(folder: Path, fps: tuple[float, ...] = (30.0,), window: tuple[float, ...] = (16.0,)) -> Path:
    """Feature files of six videos that are not there, by another program; labels above them."""
    rng = np.random.default_rng(0)
    features = folder / "features"
    features.mkdir(parents=True)
    labels, subsets = [], {}
    for number in range(6):
        name, rate = f"v{number}", fps[number % len(fps)]
        values = rng.normal(0, 0.3, (60, 4)).astype(np.float32)
        values[10:20, 0] += 2
        np.save(folder / "rows.npy", values)
        grid = FrameGrid(stride=4, window=window[number % len(window)], fps=rate)
        found = read_foreign(folder / "rows.npy", grid)
        write_features(features / f"{name}.mp4{SUFFIX}", found)
        labels.append(TimedLabel(name, "hop", float(found.times_s[10]), float(found.times_s[20])))
        subsets[name] = "training" if number < 4 else "testing"
    write_activitynet(TimedLabels(tuple(labels), tuple(subsets), {}, subsets), folder / "labels.json")
    return folder


def recipe(folder: Path, **data: object) -> LocaliseRecipe:
    return LocaliseRecipe.model_validate(
        {
            "data": {"labels": [str(folder / "labels.json")], **data},
            "features": {"folder": str(folder / "features")},
            "model": {"width": 16, "levels": 3},
            "train": {"epochs": 2},
            "schedule": {"warmup_epochs": 0},
            "out": str(folder / "run"),
        }
    )


def test_features_train_evaluate_and_predict_without_their_videos(tmp_path):
    folder = stored(tmp_path)
    run = train_localiser(recipe(folder), console=QUIET)
    assert run.scores.counts["videos"] == 2
    predictor = LocalisingPredictor.load(run.folder)
    assert evaluate_localiser(predictor, folder / "labels.json").scores.counts["videos"] == 6
    video = folder / "features" / f"v5.mp4{SUFFIX}"
    by_file = predictor.timeline(video).found
    assert by_file
    assert by_file == predictor.timeline("v5.mp4").found
    asked = ["predict", str(video), "--model", str(run.folder), "--threshold", "0.001"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert "hop" in told.output


def test_folders_without_videos_say_what_else_they_hold(tmp_path):
    folder = stored(tmp_path)
    with pytest.raises(InvalidSetting, match=r"data\.videos names no video\. Name them; or"):
        train_localiser(recipe(folder).model_copy(update={"features": FeatureSection()}), console=QUIET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidSetting, match="holds no video"):
        find_recordings([str(tmp_path / "empty")])
    with pytest.raises(InvalidSetting, match="There are 6 feature files; for a detector of actions"):
        find_sources([str(folder / "features")])


def test_a_video_that_is_there_goes_before_its_features(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, (16, 16), 2) as writer:
            writer.write(np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "features" / ".hidden").mkdir(parents=True)
    for name in ("a.mp4", "c.mkv", "d", ".hidden/e.mp4"):
        (tmp_path / "features" / f"{name}{SUFFIX}").touch()
    found = find_recordings([str(tmp_path)])
    assert [path.name for path in found] == ["a.mp4", "b.mp4", "c.mkv", "d"]
    assert found[0].parent == tmp_path
    assert find_recordings([str(tmp_path / "a.mp4")], [tmp_path / "features"])[1:] == [
        tmp_path / "features" / name for name in ("c.mkv", "d")
    ]


def test_one_grid_in_frames_serves_videos_of_several_frame_rates(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run = train_localiser(recipe(stored(tmp_path / "rates", fps=(30.0, 25.0))), console=QUIET)
    assert "3 videos have rows at another distance than 0.133333 s" in caplog.text
    assert run.scores.counts["videos"] == 2
    with pytest.raises(InvalidSetting, match=r"windows of 1\.06667 s and 0\.533333 s.*or leave"):
        train_localiser(recipe(stored(tmp_path / "grids", window=(16.0, 32.0))), console=QUIET)
    with pytest.raises(InvalidSetting, match="extract them anew, or leave that video out"):
        train_localiser(recipe(stored(tmp_path / "odd", fps=(30.0, 5.0))), console=QUIET)


def test_subsets_of_labels_that_a_fraction_passes_over_are_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train_localiser(recipe(stored(tmp_path), test=0.3), console=QUIET)
    assert "the subsets of the labels (testing, training) are passed over" in caplog.text


def test_progress_is_told_now_and_then_and_at_the_end(monkeypatch):
    clock = iter((0.0, 4.0, 11.0, 12.0, 13.0))
    monkeypatch.setattr(run_module.time, "monotonic", lambda: next(clock))
    said = io.StringIO()
    tell = NowAndThen(Console(file=said), "{} of {} videos")
    for done in range(1, 5):
        tell(done, 4)
    assert said.getvalue().split("\n") == ["2 of 4 videos", "4 of 4 videos", ""]


def test_evaluating_a_run_reads_the_features_that_it_has(tmp_path, monkeypatch):
    labels, subsets = [], {}
    for number in range(4):
        with VideoWriter(tmp_path / f"v{number}.mp4", (32, 32), 10) as writer:
            for frame in range(30):
                writer.write(np.full((32, 32, 3), 8 * frame * (number + 1) % 256, np.uint8))
        labels.append(TimedLabel(f"v{number}", "hop", 0.5, 1.5))
        subsets[f"v{number}"] = "training" if number < 2 else "testing"
    write_activitynet(TimedLabels(tuple(labels), tuple(subsets), {}, subsets), tmp_path / "labels.json")
    settings = recipe(tmp_path, videos=[str(tmp_path)]).to_dict()
    settings["features"] = {"model": "kine_motion.basic", "stride_s": 0.5}
    run = train_localiser(LocaliseRecipe.model_validate(settings), console=QUIET)

    def refuse(*_: object) -> None:
        raise AssertionError("features were made again")

    monkeypatch.setattr(FeatureExtractor, "extract", refuse)
    found = evaluate_localiser(LocalisingPredictor.load(run.folder), tmp_path / "labels.json")
    assert found.scores.counts["videos"] == 4
    # A video that only has the name of one of the run's is another one.
    (tmp_path / "others").mkdir()
    shutil.copy(tmp_path / "v1.mp4", tmp_path / "others" / "v0.mp4")
    shutil.copy(tmp_path / "v0.mp4", tmp_path / "others" / "renamed.mp4")
    predictor = LocalisingPredictor.load(run.folder)
    one, other = (predictor.timeline(tmp_path / name).found for name in ("v1.mp4", "others/v0.mp4"))
    assert one
    assert other
    assert [each.score for each in one] == [each.score for each in other]
    assert predictor.timeline(tmp_path / "others" / "renamed.mp4").found


def test_a_warm_up_of_the_whole_training_is_refused_before_features_are_made(tmp_path):
    settings = recipe(stored(tmp_path)).to_dict()
    settings["schedule"]["warmup_epochs"] = 2
    with pytest.raises(InvalidSetting, match="A warm-up of 2 epochs leaves nothing of a training"):
        train_localiser(LocaliseRecipe.model_validate(settings), console=QUIET)
    assert not (tmp_path / "run").exists()


def test_labels_in_frames_are_refused_and_single_ones_beyond_the_end_told(tmp_path, caplog):
    folder = stored(tmp_path)
    labels = read_timed(folder / "labels.json")
    wrong = [replace(each, start_s=30 * each.start_s, end_s=30 * each.end_s) for each in labels.labels]
    write_activitynet(replace(labels, labels=tuple(wrong)), folder / "labels.json")
    with pytest.raises(InvalidAnnotation, match=r"6 of 6 labels begin behind .* are these in frames"):
        train_localiser(recipe(folder), console=QUIET)
    some = (*labels.labels[:-1], wrong[-1])
    write_activitynet(replace(labels, labels=some), folder / "labels.json")
    with caplog.at_level(logging.WARNING):
        train_localiser(recipe(folder, classes=["hop"]), console=QUIET)
    assert "1 of 6 labels begin behind the end of their video" in caplog.text


def test_arrays_of_other_lengths_for_widths_are_told_as_such(tmp_path):
    folder = stored(tmp_path)
    np.save(folder / "rows.npy", np.ones((4, 61), np.float32))
    found = read_foreign(folder / "rows.npy", FrameGrid(stride=4, window=16, fps=30.0))
    write_features(folder / "features" / f"v1.mp4{SUFFIX}", found)
    with pytest.raises(InvalidSetting, match=r"v1 has rows of 61 numbers, .* with channels_first"):
        train_localiser(recipe(folder), console=QUIET)
