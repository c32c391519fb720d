"""Costs are measured at several sizes, and one that grows with the square shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import growth, record
from benchmarks.costs import COSTS, Cost
from benchmarks.growth import held_against_goals, measure, row


def sleeping(seconds: Callable[[int], float]) -> Cost:
    def prepare(size: int, folder: Path) -> Callable[[], None]:
        return lambda: time.sleep(seconds(size))

    return Cost("sleep", "things", 1, prepare, "whole")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COSTS)))
def test_every_cost_can_be_measured(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_ONCE_S", 0.0)
    cost = replace(COSTS[number], size=max(6, COSTS[number].size // 20))
    measured = measure(cost, (1, 2))
    assert all(measured.seconds)
    assert len(measured.result) == 8
    if cost.is_memory:
        assert all(measured.peaks)


def test_a_cost_that_grows_with_the_square_misses_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]  # a clock that goes on by what is slept, whatever else the machine does
    monkeypatch.setattr(growth.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(growth, "_ONCE_S", 0.0)
    for grows, verdict in ((lambda n: n / 2000, "met"), (lambda n: n**2 / 2000, "missed")):
        cost = sleeping(grows)
        measured = measure(cost, (1, 2, 20))
        assert held_against_goals([cost], [measured])[0].endswith(verdict)


def test_what_would_take_too_long_is_left_out_and_said() -> None:
    cost = sleeping(lambda n: n / 200)
    measured = measure(cost, (1, 10, 100), limit_s=0.2)
    assert measured.seconds[2] is None
    assert row(cost, measured)["100x, ms"] == "too long"
    assert "not measured in this run" in held_against_goals([cost], [measured])[0]


def test_a_record_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(growth, "SCALES", (1, 2, 3))
    monkeypatch.setattr(growth, "COSTS", (sleeping(lambda n: n / 10_000),))
    monkeypatch.setattr(sys, "argv", ["growth"])
    growth.main()
    assert (tmp_path / "growth.json").is_file()
