"""Events of generated recordings are held against the script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import record, robbery
from benchmarks.robbery import Outcome, compare, scripted_events, scripted_facts

from kinesphere.predict.events import Event


def test_events_count_for_what_they_share_time_with() -> None:
    found = {"a": [Event("r", 0, 2, ()), Event("r", 1, 3, ()), Event("r", 8, 9, ())], "b": [], "c": []}
    scripted = {"a": [(1.0, 2.0)], "b": [(0.0, 1.0)]}
    assert compare(found, scripted) == Outcome(3, scripted=2, found=1, others=1, repeated=1)


def test_the_script_is_recorded_with_its_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = ["run,1,4,1,", "run,2,6,2,", "holds up knife,5,9,2,3"]
    rows = [f"poses/{name}.pose.npz,{fact}\n" for name in "ab" for fact in facts[: 3 if name == "a" else 2]]
    (tmp_path / "facts.csv").write_text("path,label,start,end,person,other\n" + "".join(rows))
    (tmp_path / "events.csv").write_text("path,label,start,end\nposes/a.pose.npz,robbery,1,9\n")
    assert list(scripted_facts(tmp_path)) == ["a.pose.npz", "b.pose.npz"]
    assert scripted_events(tmp_path) == {"a.pose.npz": [(1, 9)]}
    monkeypatch.setattr(robbery, "SOURCES", {"the script": scripted_facts})
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["robbery", "--data", str(tmp_path)])
    robbery.main()
    text = (tmp_path / "robbery.json").read_text(encoding="utf-8")
    assert "found of 1, facts from the script: 1.00 (goal: at least 1): met" in text
    assert "other events, facts from the script: 0 (goal: at most 0): met" in text
