"""The generator is measured with and without pixels."""

from __future__ import annotations

import sys

import pytest
from benchmarks import mannequin


def test_each_kind_is_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(mannequin, "generation_s", lambda make: 2.0)
    monkeypatch.setattr(mannequin, "peak_mb", lambda seconds: 100.0 + seconds)
    monkeypatch.setattr(sys, "argv", ["mannequin", "--no-record", "--clips", "1", "--seconds", "6"])
    mannequin.main()
    said = capsys.readouterr().out
    assert "joints of 3 people" in said
    assert "106 MB for 6 s, 124 MB for 24 s" in said
    assert "four times as long: 1.17x (goal: at most 1.15x): missed" in said


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own() -> None:
    assert 50 < mannequin.peak_mb(1.0) < 2000
