"""Many detections: the same answers as of few, in memory that does not grow with the square."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels
from kinesphere.evaluate.files.detections import Counted, score_detections
from kinesphere.evaluate.files.proposals import score_proposals
from kinesphere.evaluate.metrics import detections, proposals
from kinesphere.evaluate.metrics.detections import match_in_order, match_spans, span_overlaps
from kinesphere.evaluate.metrics.proposals import average_recall


def spans(rng: np.random.Generator, count: int) -> np.ndarray:
    """Some without length, some that end before they start."""
    start = rng.integers(0, 40, count) / 2
    return np.stack([start, start + rng.integers(-1, 8, count) / 2], 1)


@pytest.mark.parametrize("seed", range(8))
def test_pairs_that_may_overlap_give_what_all_pairs_give(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    found, true = spans(rng, 60), spans(rng, 25)
    true = np.sort(true, 1)
    thresholds = [0.1, 0.5, 1.0]
    wanted = match_in_order(span_overlaps(found, true), thresholds)
    recalled, numbers = average_recall([found], [true], 60, thresholds, 60)
    monkeypatch.setattr(detections, "_MOST_PAIRS", 7)
    monkeypatch.setattr(proposals, "_MOST_PAIRS", 7)
    np.testing.assert_array_equal(match_spans(found, true, thresholds), wanted)
    again, numbers_again = average_recall([found], [true], 60, thresholds, 60)
    np.testing.assert_array_equal(again, recalled)
    np.testing.assert_array_equal(numbers_again, numbers)


@pytest.mark.slow
def test_ten_thousand_annotations_of_one_video_fit_into_memory():
    """All overlaps with twenty thousand found would take 1.6 GB; there is half of one."""
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 25_000, 10_000)
    labels = [TimedLabel("v", "a", s, s + 2) for s in start.tolist()]
    near = rng.permutation(np.repeat(start, 2) + rng.normal(0, 0.3, 20_000)).tolist()
    found = [Detection("v", "a", s, s + 2, score=rng.random()) for s in near]
    truth, results = TimedLabels.of(labels), TimedLabels.of(found)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 29), hard))
    try:
        assert score_detections(results, truth, "activitynet").scores["map@0.5"].value > 0.3
        assert score_proposals(results, truth, per_video=20_000).scores["auc"].value > 0.5
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_annotations_that_repeat_one_are_found_across_the_places_that_they_are_kept_by():
    times = [1.0, 1.0009, 1.0011, 2.0, 1.9995, 2.00099]
    labels = [TimedLabel("v", "a", time, 5.0) for time in times]
    found = TimedLabels.of([Detection("v", "a", 1.0, 5.0, score=0.5)])
    truth = TimedLabels.of(labels)
    brute: list[float] = []
    double = 0
    for time in times:
        again = any(abs(time - other) <= 1e-3 for other in brute)
        double += again
        brute += [] if again else [time]
    counts = score_detections(found, truth, "thumos14", counted=Counted(duplicates="drop")).counts
    assert counts["near_duplicate_instances"] == double
    assert counts["instances"] == len(brute)
