"""The benchmark of people and objects counts frames of pairs."""

from __future__ import annotations

import numpy as np
from benchmarks.objects import counts_of, scores_of

from kinesphere.predict.events.facts import Fact


def test_frames_of_pairs_are_counted() -> None:
    times = np.arange(100) / 10
    true = [Fact("holds bag", 0, 4, 1, 3), Fact("holds up bag", 1, 2, 1, 3), Fact("walk", 0, 9, 1)]
    found = [Fact("holds bag", 1, 5, 1, 3), Fact("holds bag", 0, 1, 2, 3), Fact("near bag", 0, 9, 1, 3)]
    counts = counts_of(found, true, times)
    assert counts["holds"].tolist() == [30, 20, 10]
    assert counts["holds up"].tolist() == [0, 0, 10]
    assert counts["carries"].tolist() == [0, 0, 0]
    assert scores_of(counts["holds"]) == {
        "F1": "66.7 %",
        "precision": "60.0 %",
        "recall": "75.0 %",
        "frames": "40",
    }
