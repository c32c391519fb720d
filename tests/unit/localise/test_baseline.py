from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.labels import LabelSet
from kinesphere.evaluate.files.detections import mean_average_precision
from kinesphere.localise import baseline
from kinesphere.localise.baseline import BaselineRule, fit_baseline, found_in
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.predict.features import VideoFeatures
from kinesphere.predict.timeline import Timeline

CLASSES = ("hop", "skip")


def noisy(number: int, rows: int = 100, noise: float = 2.0) -> Recording:
    """Actions of 3 to 4 s in noise that hides them in single rows."""
    rng, at = np.random.default_rng(number), 6
    values, labels = rng.normal(0, noise, (rows, 4)).astype(np.float32), []
    while at < rows - 18:
        length, kind = int(rng.integers(12, 17)), int(rng.integers(2))
        values[at : at + length, kind] += 3
        start_s = 0.375 + at * 0.25  # the middle of row g is at 0.5 + 0.25 g
        labels.append(TimedLabel(f"v{number}", CLASSES[kind], start_s, start_s + length * 0.25))
        at += length + int(rng.integers(10, 14))
    features = VideoFeatures(values, 0.5 + 0.25 * np.arange(rows), 1.0, 0.25, 0.5 + rows * 0.25, "made up")
    return Recording(f"v{number}", Path(f"v{number}.mp4"), features, tuple(labels))


def test_what_is_chosen_among_the_recordings_to_train_on_holds_noisy_actions_together():
    train, test = [noisy(i) for i in range(4)], [noisy(i) for i in range(4, 7)]
    chosen = fit_baseline(train, CLASSES)
    assert chosen.rule.smooth > 1
    assert chosen.chosen_by > 0.5
    plain = baseline.Baseline(chosen.rows)

    def score(by: baseline.Baseline) -> float:
        found = [each for own in test for each in by.detect(own)]
        return scored(found, test, truth_of(test)).scores["map"].value

    assert score(chosen) > score(plain) + 0.3


def test_nobody_is_asked_of_what_learnt_from_them(monkeypatch):
    train, taught = [noisy(i, 40) for i in range(6)], []
    fit = baseline.fit_rows

    def watched(recordings, classes, *decay):
        taught.append({each.video for each in recordings})
        return fit(recordings, classes, *decay)

    monkeypatch.setattr(baseline, "fit_rows", watched)
    fit_baseline(train, CLASSES, ["a", "a", "b", "b", "c", "c"])
    parts = [{f"v{i}" for i in range(6)} - each for each in taught]
    assert parts[-1] == set()  # what is asked at last learnt from all
    assert all(each in ({"v0", "v1"}, {"v2", "v3"}, {"v4", "v5"}) for each in parts[:-1])
    assert fit_baseline(train[:1], CLASSES).rule == BaselineRule()  # nothing to choose by


def test_a_rule_smooths_goes_on_closes_pauses_and_drops_what_is_short():
    p = np.zeros((12, 1))
    p[2:9, 0] = 0.8, 0.8, 0.5, 0.8, 0.1, 0.8, 0.8
    p[10, 0] = 0.9
    spans = np.arange(12)[:, None] + np.array([0.0, 1.0])
    line = Timeline(p, spans, LabelSet(("hop",), multi=True), "v")

    def found(rule: BaselineRule) -> set[tuple[float, float]]:
        return {(each.start_s, each.end_s) for each in found_in(line, rule)}

    assert (5.0, 6.0) in found(BaselineRule())
    assert min(b - a for a, b in found(BaselineRule(keep=0.5, min_s=2.0))) >= 2.0
    whole = found_in(line, BaselineRule(keep=0.5, min_s=2.0, gap_s=1.5))
    assert (whole[0].start_s, whole[0].end_s) == (2.0, 11.0)
    assert whole[0].score == pytest.approx(p[2:11].mean())  # the mean of all that it holds
    assert found_in(Timeline(p * 0, spans, line.labels, "v"), BaselineRule()) == []


def test_the_score_that_is_chosen_by_is_that_of_the_protocol():
    own = [noisy(i) for i in range(2)]
    found = fit_baseline(own, CLASSES).detect(own[0])
    truth = truth_of(own)
    assert mean_average_precision(found, truth) == scored(found, own, truth).scores["map"].value
    with pytest.raises(InvalidAnnotation, match="nothing to choose by"):
        mean_average_precision(found, TimedLabels((), ("v0",)))
