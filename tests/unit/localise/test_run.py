from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from kinesphere.annotations.formats.activitynet import write_activitynet
from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation, InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.localise.detector_file import is_localiser
from kinesphere.localise.methods.one_stage import Localiser
from kinesphere.localise.methods.registry import load_detector
from kinesphere.localise.run import train_localiser
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.models import create_model, save_model
from kinesphere.models.header import metadata_of
from kinesphere.predict.features import SUFFIX, VideoFeatures, write_features
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
