from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.localise.methods.registry import METHODS, load_detector
from kinesphere.localise.proposing import classified, first_rows, part_of
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.localise.settings import LocaliseRecipe
from kinesphere.predict.features import VideoFeatures

CLASSES = LabelSet(("hop", "skip"))


def made(number: int, rows: int = 70) -> Recording:
    """Noise in which an action is a mean of its own, of no whole number of rows."""
    rng, at = np.random.default_rng(number), 4.0
    values, labels = rng.normal(0, 0.3, (rows, 6)).astype(np.float32), []
    while at < rows - 16:
        length, kind = float(rng.uniform(6, 13)), int(rng.integers(2))
        inside = np.clip(np.minimum(np.arange(rows) + 1, at + length) - np.maximum(np.arange(rows), at), 0, 1)
        values[:, kind] += 2 * inside.astype(np.float32)
        start_s = 0.375 + at * 0.25  # row g reaches from 0.375 + 0.25 g on
        labels.append(TimedLabel(f"v{number}", CLASSES.names[kind], start_s, start_s + length * 0.25))
        at += length + float(rng.uniform(6, 11))
    features = VideoFeatures(values, 0.5 + 0.25 * np.arange(rows), 1.0, 0.25, 0.5 + rows * 0.25, "made up")
    return Recording(f"v{number}", Path(f"v{number}.mp4"), features, tuple(labels))


def recipe(name: str, epochs: int, **arguments: object) -> LocaliseRecipe:
    return LocaliseRecipe.model_validate(
        {
            "data": {"videos": ["."], "labels": ["labels.json"]},
            "model": {"name": name, "width": 16, "arguments": {"length": 32, **arguments}},
            "train": {"epochs": epochs, "ema": None, "batch_size": 4},
            "optimizer": {"lr": 0.01},
            "schedule": {"warmup_epochs": 0},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"), [("bmn", recipe("bmn", 8, samples=8, length=24)), ("bsn", recipe("bsn", 10))]
)
def test_proposals_are_learnt_classified_and_found_again_from_a_file(name, settings, tmp_path):
    train, test = [made(i) for i in range(24)], [made(i) for i in range(24, 34)]
    torch.manual_seed(0)
    detector = METHODS.get(name).fresh(settings, train, CLASSES)
    detector.fit(train, settings, tmp_path / "state.ckpt")
    truth = truth_of(test)
    proposed = TimedLabels.of([each for own in test for each in detector.propose(own.features, own.video)])
    recall = score_proposals(proposed, truth, per_video=20).scores
    assert recall["ar@10"].value > 0.5
    found = [each for own in test for each in detector.detect(own.features, own.video)]
    assert scored(found, test, truth).scores["map@0.5"].value > 0.8
    errors = []
    for own in test:
        for each in own.labels:
            best = max(
                (d for d in found if (d.video, d.label) == (each.video, each.label)),
                key=lambda d: d.score * (min(d.end_s, each.end_s) - max(d.start_s, each.start_s)),
            )
            errors.append((best.start_s - each.start_s, best.end_s - each.end_s))
    assert np.abs(np.mean(errors, 0)).max() < 0.25 / 4
    again = load_detector(detector.save(tmp_path / "detector.safetensors"))
    assert [each for own in test for each in again.detect(own.features, own.video)] == found
    (tmp_path / "detector.safetensors").write_bytes((tmp_path / "detector.safetensors").read_bytes()[:-8])
    with pytest.raises(InvalidCheckpoint):
        load_detector(tmp_path / "detector.safetensors")


@pytest.mark.parametrize(("name", "says"), [("bmn", "length, samples, width"), ("bsn", "length, width")])
def test_wrong_arguments_are_refused_by_name(name, says):
    with pytest.raises(InvalidSetting, match=f"{name} has no argument 'depth'; it takes {says}"):
        METHODS.get(name).fresh(recipe(name, 1, depth=3), [made(0)], CLASSES)
    with pytest.raises(InvalidSetting, match=f"The length of {name} is from 8 to .*; got 2"):
        METHODS.get(name).fresh(recipe(name, 1, length=2), [made(0)], CLASSES)


def test_windows_overlap_by_half_and_the_last_ends_with_the_recording():
    assert first_rows(70, 32) == [0, 16, 32, 38]
    assert first_rows(20, 32) == [0]
    part = part_of(torch.ones(2, 20), 0, 32)
    assert part.shape == (2, 32)
    assert part.sum() == 40


def test_a_proposal_becomes_its_most_probable_classes_by_scores_of_its_own_or_of_the_video():
    segments, scores = np.array([[0.0, 4.0], [6.0, 9.0]]), np.array([0.8, 0.5])
    own = np.array([[0.1, 0.6, 0.3], [0.7, 0.0, 0.2]])
    spans, found, labels = classified(segments, scores, own)
    assert labels.tolist() == [1, 2, 0, 2]
    np.testing.assert_allclose(found, [0.48, 0.24, 0.35, 0.1])
    np.testing.assert_allclose(spans, segments[[0, 0, 1, 1]])
    spans, found, labels = classified(segments, scores, np.array([[0.0, 0.1, 0.9]]), most=1)
    assert labels.tolist() == [2, 2]
    np.testing.assert_allclose(found, [0.72, 0.45])
