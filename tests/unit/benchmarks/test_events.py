"""Events in generated facts are timed at several sizes, given in both ways, and held against goals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import events, record


def test_a_record_is_written_with_growth_and_goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(events.measure, "__defaults__", ((400, 4000),))
    monkeypatch.setattr(sys, "argv", ["events"])
    events.main()
    text = (tmp_path / "events.json").read_text(encoding="utf-8")
    assert "the recipe of a robbery, 4 000 facts one by one" in text
    assert text.count('"facts": "4 000"') == 4
    found = events.measure((400, 4000))
    assert all(count > 3 for _, count, _ in found.values())
    assert all(most < 700 for (_, way, _), (_, _, most) in found.items() if way == "one by one")
