"""Probes are timed as whole runs, and the record holds them against the goal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks import probing, record


@pytest.mark.slow
def test_one_and_twelve_probes_are_timed_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    attentive = probing.Case("attentive", "kine_tiny", "layer4", ("probe.kind=attentive",))
    monkeypatch.setattr(probing, "CASES", (probing.Case("linear", "kine_tiny", "layer4"), attentive))
    monkeypatch.setattr(sys, "argv", ["probing", "--clips=8", "--epochs=1", "--rounds=1"])
    probing.main()
    made = json.loads((tmp_path / "probing.json").read_text())
    assert [row["probe"] for row in made["rows"]] == ["linear", "attentive"]
    assert all(float(row["12 at once / one"]) > 0 for row in made["rows"])
    assert "12 probes at once beside one, linear" in made["goals"][0]
