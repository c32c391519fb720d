from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from kinesphere.annotations.timed import TimedLabel
from kinesphere.apps.cli.main import app
from kinesphere.core.errors import InvalidAnnotation, InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.localise.fused_runs import fuse_detectors
from kinesphere.localise.fusion import check_fusable, fused
from kinesphere.localise.methods.registry import METHODS, load_detector
from kinesphere.localise.prediction import LocalisingPredictor
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.localise.snippets import placed
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
    filled = [replace(own, labels=(*own.labels, *between(own))) for own in train]
    with pytest.raises(InvalidAnnotation, match="has a pause of more than a second, and of more than a row"):
        detector.fit(filled, recipe(), tmp_path / "other.ckpt")


def between(own: Recording) -> list[TimedLabel]:
    """Labels of the pauses of a recording."""
    starts = [0.0, *(each.end_s for each in own.labels)]
    ends = [*(each.start_s for each in own.labels), own.features.duration_s]
    pauses = zip(starts, ends, strict=True)
    return [TimedLabel(own.video, "hop", start_s, end_s) for start_s, end_s in pauses]


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(InvalidSetting, match="ssn has no argument 'depth'; it takes dropout, halves, joint"):
        METHODS.get("ssn").fresh(recipe(depth=3), [made(0)], CLASSES)
    with pytest.raises(InvalidSetting, match="at least 0 and below 1; got 1"):
        METHODS.get("ssn").fresh(recipe(dropout=1.0), [made(0)], CLASSES)


def test_outer_stages_are_half_as_long_and_know_how_much_of_them_is_in_the_video():
    found = placed(np.array([[10.0, 20.0], [2.0, 10.0], [0.0, 30.0]]), 30)
    assert found.ticks.tolist() == [[5, 10, 20, 25], [0, 2, 10, 14], [0, 0, 30, 30]]
    np.testing.assert_allclose(found.scale, [[1, 1], [0.5, 1], [0, 0]])


def test_detectors_judge_the_proposals_of_all_and_what_they_say_is_averaged(tmp_path):
    train, own = [made(i) for i in range(3)], made(7)
    detectors = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        detectors.append(METHODS.get("ssn").fresh(recipe(), train, CLASSES))
        detectors[-1].fit(train, recipe(), tmp_path / f"{seed}.ckpt")
    one, other = detectors
    features = own.features
    alone = one.detect(features, "v")
    twice = fused([one, one], [features, features], [0.5, 0.5], "v")
    for name in ("label", "score", "start_s", "end_s"):
        assert getattr(twice[0], name) == pytest.approx(getattr(alone[0], name))
    seconds = np.array([[2.0, 5.0], [1.0, 9.0]])
    scores, moves = one.judge(features, seconds)
    assert scores.shape == (2, 2)
    assert moves.shape == (2, 2, 2)
    together = fused([one, other], [features, features], [0.5, 0.5], own.video)
    assert scored(together, [own], truth_of([own])).scores["map@0.5"].value > 0.5
    with pytest.raises(InvalidSetting, match="the detector sees those of made up"):
        fused([one, other], [features, replace(features, origin="another")], [0.5, 0.5])
    check_fusable(detectors)
    torch.manual_seed(0)
    strange = METHODS.get("ssn").fresh(recipe(), train, LabelSet(("hop", "jump")))
    with pytest.raises(InvalidSetting, match="one knows hop, skip, another hop, jump"):
        check_fusable([one, strange])
    plain = METHODS.get("temporalmaxer").fresh(
        LocaliseRecipe.model_validate({"data": {"videos": ["."], "labels": ["l"]}}), train, CLASSES
    )
    with pytest.raises(InvalidSetting, match="temporalmaxer does not judge proposals of others"):
        check_fusable([one, plain])


def test_runs_are_fused_into_a_folder_of_their_own(tmp_path):
    train = [made(0), made(1)]
    detector = METHODS.get("ssn").fresh(recipe(), train, CLASSES)
    runs = [tmp_path / "rgb", tmp_path / "flow"]
    for run in runs:
        run.mkdir()
        detector.save(run / "model.safetensors")
    assert fuse_detectors(runs, tmp_path / "both", [3, 1]) == (0.75, 0.25)
    found = LocalisingPredictor.load(tmp_path / "both")
    assert found.weights == (0.75, 0.25)
    assert [Path(each).resolve() for each in found.members] == runs
    with pytest.raises(InvalidSetting, match="leave --keep out"):
        LocalisingPredictor.load(tmp_path / "both", keep=True)
    with pytest.raises(InvalidSetting, match="what becomes of proposals is told of one of them"):
        _ = found.proposes
    for folders, out, says in (
        ([*runs, tmp_path], tmp_path / "x", "is no detector of actions; fuse detectors with detectors"),
        (runs, None, "Detectors are fused into a folder"),
        (runs, runs[0], "is one of the runs; write their fusion to another folder"),
    ):
        with pytest.raises(InvalidSetting, match=says):
            fuse_detectors(folders, out)
    wrong = CliRunner().invoke(app, ["fuse", *map(str, runs), "--weights", "learned"]).exception
    assert "Weights of detectors are given, not learned" in str(wrong)
