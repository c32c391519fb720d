"""What explanations cost is measured in turn, and the record says what was held against what."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import explain, record


def test_ratios_are_those_of_each_round() -> None:
    rounds = [{"forward": 1.0, "gradcam": each} for each in (2.0, 9.0, 3.0)]
    row = explain.row("net", "Grad-CAM", "a forward pass", rounds)
    assert (row["ratio, median"], row["from"], row["to"]) == ("3.00", "2.00", "9.00")
    assert (row["ms of the first"], row["ms of the second"]) == ("3000", "1000")


def test_all_costs_are_held_against_their_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(explain, "COMPACT", "kine_tiny")
    monkeypatch.setattr(sys, "argv", ["explain", "--rounds=1", "--masks=4", "--models", "kine_tiny"])
    explain.main()
    kept = json.loads((tmp_path / "explain.json").read_text(encoding="utf-8"))
    assert [row["what"] for row in kept["rows"]] == ["Grad-CAM", "occlusion one by one"]
    assert [" (goal: " in line for line in kept["goals"]] == [True] * 3
