"""The benchmark of few labels tries every method, and says what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import labels, record

from kinesphere.core.labels import LabelSet
from kinesphere.data import Sample
from kinesphere.evaluate.predictions import Predictions


@pytest.mark.slow
def test_it_runs_and_keeps_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(labels, "DEFAULT_CLASSES", ("jump", "walk", "wave"))
    monkeypatch.setattr(labels, "FRACTION", 0.3)
    work = ["--seeds", "1", "--clips", "20", "--steps", "2", "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["labels", *work])
    labels.main()
    rows = json.loads((tmp_path / "results" / "labels.json").read_text())["rows"]
    assert [row["method"] for row in rows][:4] == [
        labels.SUPERVISED, labels.STRONGLY, labels.FIXMATCH, labels.CONTRASTIVE
    ]  # fmt: skip
    assert "%" in rows[2]["mask rate"]


def test_methods_are_held_against_the_supervised_one() -> None:
    def answer(share: float) -> labels.Answer:
        said = np.where(np.arange(40)[:, None] < 40 * share, [[0.9, 0.1]], [[0.1, 0.9]])
        samples = [Sample(str(i), Path("x"), ("a",), group=str(i % 10)) for i in range(40)]
        return labels.Answer(Predictions.of(samples, LabelSet(("a", "b")), np.zeros(40, int), said), 0.5, 0.8)

    found = {
        labels.SUPERVISED: [answer(0.3)],
        labels.FIXMATCH: [answer(0.9)],
        labels.CONTRASTIVE: [answer(0.3)],
    }
    better, same = labels.held(found)
    assert better.startswith("FixMatch against supervised with the same labels: +60.0 points")
    assert better.endswith("met.")
    assert same.endswith("missed.")
    rows = labels.rows_of(found)
    assert rows[0]["against supervised"] == "–"
    assert rows[1]["accuracy of pseudo-labels"] == "80.0 % (80.0 to 80.0)"
