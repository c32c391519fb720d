from __future__ import annotations

from benchmarks.spatiotemporal import CHANCE, OURS, goals_of, row_of

from kinesphere.evaluate.files.result import FileScores
from kinesphere.evaluate.metrics.table import Score


def test_a_row_has_the_score_and_each_class() -> None:
    classes = {"walk": {"ap": 0.5}, "wave": {"ap": None}}
    scores = FileScores("ava", {"map@0.5": Score(0.25, 0.2, 0.3)}, {}, classes)
    row = row_of(OURS, scores, 12.4)
    assert (row["by"], row["walk"], row["wave"], row["seconds"]) == (OURS, "50", "0", "12")
    assert str(row["frame-mAP"]).startswith("25.0 %")
    assert row_of(CHANCE, scores, 0.0)["seconds"] == ""


def test_goals_are_chance_and_the_classifier_of_single_people() -> None:
    met = goals_of(0.6, 0.4, 0.1)
    assert [line.rsplit(": ")[-1] for line in met] == ["met", "met"]
    missed = goals_of(0.2, 0.4, 0.1)
    assert [line.rsplit(": ")[-1] for line in missed] == ["missed", "missed"]
