from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed, read_timed_files
from kinesphere.core.errors import InvalidAnnotation, InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.localise.detector_file import is_localiser
from kinesphere.localise.evaluation import evaluate_localiser
from kinesphere.localise.methods.one_stage import Localiser
from kinesphere.localise.methods.registry import load_detector
from kinesphere.localise.prediction import SEEN_BY, LocalisingPredictor
from kinesphere.localise.recordings import divide, subsets_of
from kinesphere.localise.run import train_localiser
from kinesphere.localise.settings import LocaliseRecipe, RecordingsSection
from kinesphere.models import create_model, save_model
from kinesphere.models.header import metadata_of
from kinesphere.predict.features import SUFFIX, VideoFeatures, read_features, write_features
from kinesphere.video import VideoWriter

QUIET = Console(file=io.StringIO())
CLASSES = ("hop", "skip")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings of noise, in which an action is a mean of its own; features beside the files."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    labels, subsets, durations = [], {}, {}
    for number in range(8):
        name, rows = f"v{number}", 80
        values, at = rng.normal(0, 0.3, (rows, 8)).astype(np.float32), 4
        while at < rows - 14:
            length, kind = int(rng.integers(6, 14)), int(rng.integers(2))
            values[at : at + length, kind] += 2
            # The middle of row g is at 0.5 + 0.25 g: it sees a window of a second.
            labels.append(TimedLabel(name, CLASSES[kind], 0.375 + at * 0.25, 0.375 + (at + length) * 0.25))
            at += length + int(rng.integers(5, 12))
        end = 0.5 + rows * 0.25
        features = VideoFeatures(values, 0.5 + 0.25 * np.arange(rows), 1.0, 0.25, end, "made up")
        with VideoWriter(folder / f"{name}.mp4", (16, 16), 2) as writer:
            writer.write(np.zeros((16, 16, 3), np.uint8))
        write_features(folder / f"{name}.mp4{SUFFIX}", features)
        subsets[name], durations[name] = ("training" if number < 5 else "testing"), end
    found = TimedLabels(tuple(labels), tuple(subsets), durations, subsets)
    write_activitynet(found, folder / "labels.json")
    return folder


def recipe(recordings: Path, out: Path, **changes: Any) -> LocaliseRecipe:
    settings = {
        "data": {"videos": [str(recordings)], "labels": [str(recordings / "labels.json")]},
        "features": {"folder": str(recordings)},
        "model": {"width": 16, "levels": 4},
        "train": {"epochs": 25, "batch_size": 2},
        "optimizer": {"lr": 0.01},
        "schedule": {"warmup_epochs": 0},
        "out": str(out),
    }
    for key, value in changes.items():
        section, name = key.split("__")
        settings.setdefault(section, {})[name] = value
    return LocaliseRecipe.model_validate(settings)


def test_a_detector_learns_what_happens_when(recordings, tmp_path):
    run = train_localiser(recipe(recordings, tmp_path / "run"), console=QUIET)
    assert run.scores.scores["map@0.5"].value > 0.8
    assert run.line().startswith("mAP at tIoU 0.3 to 0.7: ")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["scores"]["map"] == pytest.approx(run.scores.scores["map"].value)
    assert report["baseline"]["scores"]["map"] == pytest.approx(run.baseline.scores["map"].value)
    assert set(report["baseline"]["rule"]) == {"decay", "smooth", "smoothing", "keep", "min_s", "gap_s"}
    found = json.loads((tmp_path / "run" / "detections.json").read_text())["results"]
    assert set(found) == {"v5", "v6", "v7"}
    # Boundaries are unbiased: no half window is lost on the way between rows and seconds.
    labels = json.loads((recordings / "labels.json").read_text())["database"]
    errors = []
    for video, own in found.items():
        for truth in labels[video]["annotations"]:
            best = max(own, key=lambda d, t=truth: d["score"] * (d["label"] == t["label"]) * overlap(d, t))
            errors.append(np.subtract(best["segment"], truth["segment"]))
    assert np.abs(np.mean(errors, 0)).max() < 0.25 / 4
    assert is_localiser(tmp_path / "run" / "model.safetensors")


def overlap(detection: dict[str, Any], truth: dict[str, Any]) -> float:
    (a, b), (c, d) = detection["segment"], truth["segment"]
    return max(0.0, min(b, d) - max(a, c))


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_detector(recordings, tmp_path, monkeypatch):
    changes = {"train__epochs": 3, "model__name": "actionformer"}
    train_localiser(recipe(recordings, tmp_path / "whole", **changes), console=QUIET)
    from kinesphere.localise import run as module

    def stop(*_: Any) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(module.ShowEpochs, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train_localiser(recipe(recordings, tmp_path / "parts", **changes), console=QUIET)
    with pytest.raises(InvalidSetting, match="already holds a run; go on with it by --resume"):
        train_localiser(recipe(recordings, tmp_path / "parts", **changes), console=QUIET)
    with pytest.raises(InvalidSetting, match="begun with other settings of train"):
        train_localiser(
            recipe(recordings, tmp_path / "parts", **changes | {"train__epochs": 4}),
            resume=True,
            console=QUIET,
        )
    train_localiser(recipe(recordings, tmp_path / "parts", **changes), resume=True, console=QUIET)
    whole, parts = (Localiser.load(tmp_path / each / "model.safetensors") for each in ("whole", "parts"))
    for one, other in zip(whole.net.state_dict().values(), parts.net.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_videos_that_have_no_features_are_told_and_others_are_refused(recordings, tmp_path):
    with VideoWriter(tmp_path / "v9.mp4", (16, 16), 2) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8))
    changed = recipe(recordings, tmp_path / "run", train__epochs=1)
    data = changed.data.model_copy(update={"videos": (str(recordings), str(tmp_path / "v9.mp4"))})
    run = train_localiser(changed.model_copy(update={"data": data}), console=QUIET)
    assert [each.reason for each in run.skipped] == ["no label file names it"]
    for key, value, says in (
        ("data__test", "holidays", "No video is in the subset 'holidays'; subsets of the labels: testing"),
        ("data__tier", "hands", "No label is on the tier 'hands'"),
        ("data__test", 0.01, "leaves none on one side"),
        ("model__name", "maxer", "temporalmaxer"),
        ("model__arguments", {"depth": 3}, "temporalmaxer has no argument 'depth'"),
        ("decode__vote", 0.7, "decode.vote=0.7 takes the mean over detections of all classes"),
        ("features__folder", str(tmp_path), "Features of 0 videos to train on"),
    ):
        with pytest.raises((InvalidSetting, InvalidAnnotation, UnknownName, ValueError), match=says):
            train_localiser(recipe(recordings, tmp_path / "other", **{key: value}), console=QUIET)


def test_a_detector_refuses_features_that_it_does_not_see(recordings, tmp_path):
    run = train_localiser(recipe(recordings, tmp_path / "run", train__epochs=1), console=QUIET)
    localiser = Localiser.load(run.folder / "model.safetensors")
    times = 0.5 + 0.25 * np.arange(9)
    rows = np.ones((9, 8), np.float32)
    with pytest.raises(InvalidSetting, match="the detector sees those of made up"):
        localiser.detect(VideoFeatures(rows, times, 1.0, 0.25, 3.0, "another"), "v")
    with pytest.raises(InvalidSetting, match=r"every 0\.5 s, the detector sees one every 0\.25 s"):
        localiser.detect(VideoFeatures(rows, times * 2, 1.0, 0.5, 6.0, "made up"), "v")
    clips = save_model(create_model("fc_tiny", list("ab")), tmp_path / "clips.safetensors")
    assert not is_localiser(clips)
    with pytest.raises(InvalidCheckpoint, match="a recogniser of clips, not a detector"):
        load_detector(clips)


def test_the_file_of_a_detector_may_be_read_by_all_and_says_what_is_wrong_with_it(recordings, tmp_path):
    run = train_localiser(recipe(recordings, tmp_path / "run", train__epochs=1), console=QUIET)
    model, usual = run.folder / "model.safetensors", tmp_path / "usual"
    usual.touch()
    assert model.stat().st_mode == usual.stat().st_mode
    metadata = metadata_of(model)
    assert metadata is not None
    state = load_file(model)
    save_file({**state, "mean": state["mean"][:3]}, tmp_path / "short.safetensors", metadata)
    with pytest.raises(InvalidCheckpoint, match=r"no whole detector: mean has the shape \(3,\), not \(8,\)"):
        load_detector(tmp_path / "short.safetensors")


def rewritten(recordings: Path, folder: Path, labels: list[TimedLabel]) -> Path:
    """The recordings with other labels."""
    shutil.copytree(recordings, folder)
    videos = tuple(f"v{number}" for number in range(8))
    subsets = {video: "training" if video < "v5" else "testing" for video in videos}
    write_activitynet(TimedLabels(tuple(labels), videos, {}, subsets), folder / "labels.json")
    return folder


def labels_of(recordings: Path) -> list[TimedLabel]:
    return list(read_timed(recordings / "labels.json").labels)


def test_performers_are_not_parted_where_a_fraction_is_tested(recordings, tmp_path):
    table, labels = tmp_path / "manifest.csv", labels_of(recordings)
    rows = [f"{each.video}.mp4,{each.label},{each.start_s},{each.end_s}," for each in labels]
    names = {f"v{number}": f"p{number % 4}" for number in range(8)}
    lines = [f"{row}{names[each.video]},test" for row, each in zip(rows, labels, strict=True)]
    table.write_text("\n".join(["path,label,start,end,group,split", *lines]))
    for seed in range(6):
        section = RecordingsSection(videos=("x",), labels=("x",), test=0.3)
        paths = sorted(recordings.glob("*.mp4"))
        divided = divide(paths, read_timed_files([table], Recordings()), section, seed)
        assert not {names[v] for v in divided.train} & {names[v] for v in divided.test}
        assert len(divided.test) == 2
    # The split of a manifest is a subset, and who is in two of them is told.
    table.write_text(
        "\n".join(
            ["path,label,start,end,group,split"]
            + [
                f"{row}p,{'train' if each.video < 'v5' else 'test'}"
                for row, each in zip(rows, labels, strict=True)
            ]
        )
    )
    both = RecordingsSection(videos=("x",), labels=("x",), train="train", test="test")
    divided = divide(paths, read_timed_files([table], Recordings()), both, 0)
    assert divided.test == ("v5", "v6", "v7")
    one = RecordingsSection(videos=("x",), labels=("x",), test=0.5)
    with pytest.raises(InvalidSetting, match="they are of 1 groups, which are not parted"):
        divide(paths, read_timed_files([table], Recordings()), one, 0)


def test_what_was_trained_on_is_no_test_and_wrong_fractions_are_told(recordings, tmp_path):
    for train, test, says in (
        ("training", "training", "data.train and data.test are both 'training'"),
        ("training", 2014.0, "data.test=2014 is no fraction of the videos"),
        ("training", -0.5, "data.test=-0.5 is no fraction of the videos"),
    ):
        with pytest.raises(InvalidSetting, match=says):
            train_localiser(
                recipe(recordings, tmp_path / "run", data__train=train, data__test=test), console=QUIET
            )


def test_files_that_contradict_each_other_about_a_video_are_told(recordings, tmp_path):
    other = json.loads((recordings / "labels.json").read_text())
    other["database"]["v0"]["subset"] = "testing"
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(InvalidAnnotation, match="the video 'v0' is in the subset 'training' by one file"):
        read_timed_files([recordings / "labels.json", tmp_path / "other.json"], Recordings())


def test_a_run_goes_on_with_the_recordings_and_the_decoding_that_it_was_begun_with(recordings, tmp_path):
    folder = rewritten(recordings, tmp_path / "data", labels_of(recordings))
    made = recipe(folder, tmp_path / "run", train__epochs=1)
    train_localiser(made, console=QUIET)
    with pytest.raises(InvalidSetting, match="begun with other settings of decode"):
        train_localiser(
            recipe(folder, tmp_path / "run", train__epochs=1, decode__most=5), resume=True, console=QUIET
        )
    train_localiser(made, resume=True, console=QUIET)
    labels = [each for each in labels_of(recordings) if each.video != "v0"]
    write_activitynet(
        TimedLabels(
            tuple(labels),
            read_timed(folder / "labels.json").videos,
            {},
            subsets_of(read_timed(folder / "labels.json")),
        ),
        folder / "labels.json",
    )
    with pytest.raises(
        InvalidSetting, match=r"begun on other recordings, labels or features: v0 \(1 in all\)"
    ):
        train_localiser(made, resume=True, console=QUIET)


def test_what_cannot_be_scored_is_told_before_training(recordings, tmp_path):
    labels = labels_of(recordings)
    untested = rewritten(recordings, tmp_path / "a", [each for each in labels if each.video < "v5"])
    with pytest.raises(InvalidAnnotation, match="The videos to test on have no labels"):
        train_localiser(recipe(untested, tmp_path / "run"), console=QUIET)
    strange = rewritten(recordings, tmp_path / "b", labels)
    features = read_features(strange / f"v7.mp4{SUFFIX}")
    write_features(strange / f"v7.mp4{SUFFIX}", replace(features, origin="another"))
    with pytest.raises(InvalidSetting, match="v7 has features of another"):
        train_localiser(recipe(strange, tmp_path / "run"), console=QUIET)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_classes_that_were_not_asked_for_are_not_scored_and_those_of_tests_alone_are_told(
    recordings, tmp_path, caplog
):
    run = train_localiser(
        recipe(recordings, tmp_path / "one", train__epochs=1, data__classes=["hop"]), console=QUIET
    )
    assert list(run.scores.per_class) == ["hop"]
    again = evaluate_localiser(
        LocalisingPredictor.load(run.folder), recordings / "labels.json", subset="testing"
    )
    assert {each.label for each in again.truth.labels} == {"hop"}
    assert again.scores.scores["map@0.5"] == run.scores.scores["map@0.5"]
    labels = [*labels_of(recordings), TimedLabel("v7", "leap", 1, 3)]
    run = train_localiser(
        recipe(rewritten(recordings, tmp_path / "c", labels), tmp_path / "two", train__epochs=1),
        console=QUIET,
    )
    assert list(run.scores.per_class) == ["hop", "leap", "skip"]
    assert "1 classes occur in test videos alone, where they count as missed: ['leap']" in caplog.text


@pytest.mark.parametrize("name", ["temporalmaxer", "actionformer", "tridet"])
def test_recordings_of_one_row_are_learnt_and_asked(name, recordings, tmp_path):
    folder = rewritten(recordings, tmp_path / "data", labels_of(recordings))
    for path in folder.glob(f"*{SUFFIX}"):
        own = read_features(path)
        write_features(path, replace(own, values=own.values[:1], times_s=own.times_s[:1]))
    run = train_localiser(
        recipe(folder, tmp_path / "run", train__epochs=1, train__batch_size=1, model__name=name),
        console=QUIET,
    )
    assert run.scores.counts["videos"] == 3


def test_sizes_that_make_no_network_are_told(recordings, tmp_path):
    for settings, says in (
        ({"model__width": 17}, "model.width of temporalmaxer is a multiple of 16; got 17"),
        ({"model__name": "actionformer", "model__arguments": {"heads": 3}}, "cannot be shared by 3 heads"),
        ({"model__name": "tridet", "model__arguments": {"bins": "x"}}, "tridet cannot be built with"),
    ):
        with pytest.raises(InvalidSetting, match=says):
            train_localiser(recipe(recordings, tmp_path / "run", **settings), console=QUIET)


def test_features_of_another_model_are_not_taken_for_those_of_this_one(recordings, tmp_path):
    recogniser = save_model(create_model("fc_tiny", ["a", "b"]), tmp_path / "fc.safetensors")
    made = recipe(recordings, tmp_path / "run", features__model=str(recogniser))
    with pytest.raises(
        InvalidAnnotation, match=r"Features of 0 videos to train on .* holds features of made up"
    ):
        train_localiser(made, console=QUIET)


def test_features_are_made_with_the_window_that_was_asked_for_not_that_of_a_short_first_video(
    recordings, tmp_path
):
    for window_s in (None, 0.5):
        run = tmp_path / f"run{window_s}"
        train_localiser(recipe(recordings, run, train__epochs=1, features__window_s=window_s), console=QUIET)
        save_model(create_model("fc_tiny", ["a", "b"]), run / SEEN_BY)
        extractor = LocalisingPredictor.load(run).extractor
        assert extractor is not None
        assert extractor.grid.window_s == window_s
