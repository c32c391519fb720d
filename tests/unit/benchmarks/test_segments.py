from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.segments import (
    LEARNT,
    MARKED,
    NO_ACTION,
    PLAIN,
    Compared,
    Recorded,
    boundary_errors,
    compare,
    generated,
    goals_of,
    label_at,
    later,
    mean_of_groups,
    rules,
)

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.annotations.timed_files import read_timed
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.core.labels import LabelSet
from kinesphere.predict import Timeline, Transitions

TRUTH = (TimedLabel("v", "walk", 0.0, 2.0), TimedLabel("v", "wave", 2.5, 4.0))


def test_what_was_marked_by_eye_is_readable():
    labels = read_timed(MARKED).labels
    assert [(each.video, each.start_s, each.end_s) for each in labels if each.label == "fall"] == [
        ("fall-01-cam0", 2.87, 4.40)
    ]


def test_recordings_are_the_same_each_time_and_labelled(tmp_path):
    (first,) = generated(tmp_path, "test", 1, 0.05)
    again = read_poses(first.path).keypoints.copy()
    (second,) = generated(tmp_path, "test", 1, 0.05)
    np.testing.assert_array_equal(read_poses(second.path).keypoints, again)
    assert first.truth == second.truth
    assert first.truth[0].start_s < first.truth[0].end_s <= first.duration_s
    assert label_at(first.truth, 0.0) == NO_ACTION
    assert label_at(first.truth, first.truth[0].start_s) == first.truth[0].label


def test_errors_of_boundaries_have_signs_and_intervals():
    found = TimedLabels.of([TimedLabel("v", "walk", 0.1, 1.8), TimedLabel("v", "wave", 3.6, 6.0)])
    errors, videos = boundary_errors(found, TimedLabels.of(TRUTH))
    np.testing.assert_allclose(errors, [[0.1, -0.2]])
    assert videos == ["v"]
    mean, half = mean_of_groups(np.array([0.1, 0.1, 0.3]), ["a", "a", "b"])
    assert mean == pytest.approx(0.5 / 3)
    assert half > 0
    assert later(*mean_of_groups(np.empty(0), [])) == "none found"
    assert later(0.1, math.nan) == "+100 ms"


def test_rules_are_compared_and_goals_worded():
    rows = [[0.9, 0.05, 0.05]] * 4 + [[0.05, 0.05, 0.9]] + [[0.05, 0.9, 0.05]] * 3
    spans = np.array([(i / 2, i / 2 + 0.5) for i in range(8)])
    line = Timeline(np.array(rows), spans, LabelSet(("walk", "wave", NO_ACTION)), "v")
    by = rules(Transitions(duration_s=2.0), (NO_ACTION,), 0.5)
    recordings = [Recorded("v", MARKED, TRUTH, 4.0, "a"), Recorded("w", MARKED, (), 4.0, "b")]
    compared = compare("made up", recordings, {"v": line, "w": line[4:5]}, lambda _: by)
    assert compared[PLAIN].row["F1@0.5"].startswith("100.0 %")
    assert compared[LEARNT].row["end later by"] == "+0 ms"
    assert {tuple(each.row) for each in compared.values()} == {tuple(compared[PLAIN].row)}
    better = {name: Compared({}, np.array([0.8, 0.9, 0.85]), (0.1, -0.2)) for name in by}
    better[PLAIN] = Compared({}, np.array([0.5, 0.61, 0.55]), (0.0, 0.0))
    lines = goals_of(better)
    assert "+29.7 points" in lines[0]
    assert lines[0].endswith("met")
    assert "100 ms (goal: at most 125 ms): met" in lines[3]
    assert "200 ms (goal: at most 125 ms): missed" in lines[4]
