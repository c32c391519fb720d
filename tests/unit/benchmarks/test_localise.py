from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from benchmarks.localise import (
    BASELINE,
    answers_of,
    boundaries,
    folds,
    goals_of,
    kept,
    kept_since,
    row_of,
    shift,
)

from kinesphere.annotations.timed import Detection, TimedLabel
from kinesphere.localise.recordings import Recording, truth_of
from kinesphere.localise.run import scored
from kinesphere.predict.features import VideoFeatures


def recording(name: str) -> Recording:
    features = VideoFeatures(np.ones((9, 2), np.float32), 0.5 + 0.2 * np.arange(9), 1.0, 0.2, 2.6, "made up")
    return Recording(name, Path(name), features, (TimedLabel(name, "walk", 0.5, 1.5),))


def test_each_subject_is_asked_of_what_learnt_from_others():
    recordings, subjects = [recording(f"v{i}") for i in range(8)], [f"subject{i}" for i in range(8)]
    taught: list[set[str]] = []

    def learn(train, groups):
        assert len(groups) == len(train)
        taught.append({each.video for each in train})
        return lambda each: [
            Detection(each.video, "walk", 0.6, 1.4, score=0.1 if each.video in taught[-1] else 0.9)
        ]

    found = folds(recordings, subjects, learn)
    assert [len(each) for each in taught] == [6] * 4
    assert {each.score for each in found} == {0.9}
    errors, videos = boundaries(found, recordings)
    np.testing.assert_allclose(errors, [[0.1, -0.1]] * 8)
    row = row_of("x", scored(found, recordings, truth_of(recordings)), errors, videos, 3.2)
    assert row["mAP@0.7"].startswith("100.0 %")
    assert row["start later by"].startswith("+100")


def test_goals_hold_the_best_detector_against_the_baseline():
    lines = goals_of({BASELINE: 0.1, "a": 0.3, "b": 0.25}, {"a": (0.01, -0.08), "b": (0, 0)})
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["met", "met", "missed", "met"]
    assert "mAP of a less that of" in lines[0]


def test_what_was_found_is_asked_for_once(tmp_path):
    found = [Detection("v", "walk", 0.5, 1.5, score=0.25)]
    first = kept(tmp_path / "a.json", lambda: found)
    assert first[0] == found
    assert kept(tmp_path / "a.json", list) == first
    paths = {name: answers_of(tmp_path, name, 3) for name in (BASELINE, "ssn")}
    for path, days in zip(paths.values(), (365, 0), strict=True):
        path.write_text("{}")
        os.utime(path, (86400 * days, 86400 * days))
    assert kept_since(paths).endswith("found on 1970-01-01 (ssn), 1971-01-01 (window classifier)")


def test_a_wrong_clock_shifts_both_ends_and_a_long_segment_does_not():
    videos = ["a", "a", "b", "b"]
    assert shift(np.array([[0.2, 0.2]] * 4), videos)[0] == 0.2
    assert shift(np.array([[-0.2, 0.2]] * 4), videos)[0] == 0
