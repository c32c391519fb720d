"""Commands are timed in turn, as processes, against loading torch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import record, startup
from benchmarks.startup import (
    PREDICT,
    REFERENCE,
    CommandFailed,
    environment,
    held_against_goal,
    measure,
    rows,
    seconds,
)


def test_commands_take_turns_after_a_round_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def timed(words: list[str], _variables: object) -> float:
        ran.append(words[0])
        return float(len(ran))

    monkeypatch.setattr(startup, "seconds", timed)
    taken = measure({"x": ["x"], "y": ["y"]}, 2, {})
    assert ran == ["x", "y"] * 3
    assert taken == {"x": [3.0, 5.0], "y": [4.0, 6.0]}


def test_times_are_held_against_loading_torch() -> None:
    taken = {REFERENCE: [2.0, 1.0, 1.5], "--help": [0.3, 0.3, 9.0], PREDICT: [2.0, 2.1, 1.8]}
    assert [row["÷ import torch"] for row in rows(taken)] == ["1.00", "0.200", "1.33"]
    assert held_against_goal(taken).endswith("met")
    assert held_against_goal(taken | {PREDICT: [4.0]}).endswith("missed")
    assert "not measured" in held_against_goal({REFERENCE: [1.0]})


def test_modules_are_compiled_where_nothing_else_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert seconds(["-c", "import colorsys"], environment(tmp_path)) > 0
    assert list(tmp_path.rglob("colorsys*.pyc"))


def test_a_command_that_fails_ends_the_measurement() -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        seconds(["-c", "raise SystemExit('no such thing')"], {})


def test_a_record_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(startup, "seconds", lambda _words, _variables: 0.5)
    monkeypatch.setattr(startup, "_FRAMES", 4)
    monkeypatch.setattr(sys, "argv", ["startup", "--rounds", "1"])
    startup.main()
    assert (tmp_path / "startup.json").is_file()
