from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.timed import TimedLabel
from kinesphere.core.errors import InvalidAnnotation, InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.methods.registry import METHODS, load_detector
from kinesphere.localise.methods.ssn import placed
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.predict.features import VideoFeatures

CLASSES = LabelSet(("hop", "skip"))


def made(number: int) -> Recording:
    """Noise in which an action is a mean of its own."""
    rng, rows, at = np.random.default_rng(number), 90, 5
    values, labels = rng.normal(0, 0.3, (rows, 8)).astype(np.float32), []
    while at < rows - 16:
        length, kind = int(rng.integers(8, 15)), int(rng.integers(2))
        values[at : at + length, kind] += 2
        start_s = 0.375 + at * 0.25  # the middle of row g is at 0.5 + 0.25 g
        labels.append(TimedLabel(f"v{number}", CLASSES.names[kind], start_s, start_s + length * 0.25))
        at += length + int(rng.integers(8, 14))
    features = VideoFeatures(values, 0.5 + 0.25 * np.arange(rows), 1.0, 0.25, 0.5 + rows * 0.25, "made up")
    return Recording(f"v{number}", Path(f"v{number}.mp4"), features, tuple(labels))


def recipe(**arguments: object) -> LocaliseRecipe:
    return LocaliseRecipe.model_validate(
        {
            "data": {"videos": ["."], "labels": ["labels.json"]},
            "model": {"name": "ssn", "arguments": {"dropout": 0.0, **arguments}},
            "train": {"epochs": 3, "ema": None},
            "optimizer": {"lr": 0.02},
            "schedule": {"warmup_epochs": 0},
        }
    )


def test_segments_are_proposed_learnt_and_found_again_from_a_file(tmp_path):
    train, test = [made(i) for i in range(6)], [made(i) for i in range(6, 9)]
    torch.manual_seed(0)
    detector = METHODS.get("ssn").fresh(recipe(halves=True), train, CLASSES)
    detector.fit(train, recipe(halves=True), tmp_path / "state.ckpt")
    found = [each for own in test for each in detector.detect(own.features, own.video)]
    assert scored(found, test, truth_of(test)).scores["map@0.5"].value > 0.8
    again = load_detector(detector.save(tmp_path / "ssn.safetensors"))
    assert [each for own in test for each in again.detect(own.features, own.video)] == found
    (tmp_path / "ssn.safetensors").write_bytes((tmp_path / "ssn.safetensors").read_bytes()[:-8])
    with pytest.raises(InvalidCheckpoint):
        load_detector(tmp_path / "ssn.safetensors")
    with pytest.raises(InvalidAnnotation, match="No video to train on has an action"):
        detector.fit([replace(train[0], labels=())], recipe(), tmp_path / "other.ckpt")


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(InvalidSetting, match="ssn has no argument 'depth'; it takes dropout, halves, joint"):
        METHODS.get("ssn").fresh(recipe(depth=3), [made(0)], CLASSES)
    with pytest.raises(InvalidSetting, match="at least 0 and below 1; got 1"):
        METHODS.get("ssn").fresh(recipe(dropout=1.0), [made(0)], CLASSES)


def test_outer_stages_are_half_as_long_and_know_how_much_of_them_is_in_the_video():
    found = placed(np.array([[10.0, 20.0], [2.0, 10.0], [0.0, 30.0]]), 30)
    assert found.ticks.tolist() == [[5, 10, 20, 25], [0, 2, 10, 14], [0, 0, 30, 30]]
    np.testing.assert_allclose(found.scale, [[1, 1], [0.5, 1], [0, 0]])
