"""The benchmark of long tails tries every kind of method, and says what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import long_tail, record

ONES = ("cross-entropy", "LDAM, deferred weights", "classifier re-training", "tau-normalisation")


def test_it_runs_and_keeps_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(long_tail, "DEFAULT_CLASSES", ("jump", "walk", "wave"))
    monkeypatch.setattr(long_tail, "METHODS", [m for m in long_tail.METHODS if m.name in ONES])
    work = ["--seeds", "1", "--clips", "20", "--epochs", "1", "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["long_tail", *work])
    long_tail.main()
    rows = json.loads((tmp_path / "results" / "long_tail.json").read_text())["rows"]
    assert [row["method"] for row in rows] == list(ONES)
    assert rows[0]["against cross-entropy"] == "–"
    assert "points" in rows[1]["against cross-entropy"]
    assert '"jump": ' in capsys.readouterr().out


def test_differences_are_told_in_words() -> None:
    gains = ["–", "+20.0 points [+5.0, +30.0]", "-20.0 points [-30.0, -5.0]", "+1.0 points [-3.0, +5.0]"]
    rows = [{"method": str(i), "against cross-entropy": gain} for i, gain in enumerate(gains)]
    above, below = long_tail.held(rows)
    assert above.endswith("1 of 3: 1: missed.")
    assert below.endswith("below 0: 2.")
