"""The simulation of intervals runs from end to end, and finds intervals that are too narrow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import coverage, record
from benchmarks.coverage import World, measure

from kinesphere.evaluate import intervals


def test_a_few_trials_make_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(coverage, "GROUPS", (3,))
    monkeypatch.setattr(coverage, "CLIPS", (10,))
    monkeypatch.setattr(sys, "argv", ["coverage", "--trials", "10"])
    coverage.main()
    assert (tmp_path / "coverage.json").is_file()


def test_too_narrow_intervals_show(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = [World(10, 10, 0.3, 0.9)]

    def least() -> float:
        rows = measure(worlds, 100, 0)
        return next(float(row["truth held, least %"]) for row in rows if row["score"] == "top-1")

    assert least() >= 93
    monkeypatch.setattr(intervals, "_design_effect", lambda *_: 1.0)
    monkeypatch.setattr(intervals, "t_quantile", lambda *_: 1.96)
    assert least() < 80
