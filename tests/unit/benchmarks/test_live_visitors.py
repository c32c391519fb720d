"""Figures of live recognition among visitors, and of features of a recording, are what was measured."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from benchmarks.features import Extracted, goals_of
from benchmarks.live_visitors import Visited
from benchmarks.live_visitors import goals_of as goals_of_visitors
from benchmarks.visitors import VISITORS


def visited(name: str, late_s: float, files: int) -> Visited:
    return Visited(name, [late_s] * 20, 3, files, [10_000_000, 12_000_000], 1.0)


def test_visitors_are_held_against_a_busy_process() -> None:
    rows = [visited("nobody", 0.05, 9), visited("a busy process", 0.08, 9), visited("storm", 0.12, 90)]
    row = rows[-1].row()
    assert (row["p95 ms"], row["dropped"], row["open files"], row["memory growth MB"]) == (120.0, 3, 90, 2.0)
    goals = goals_of_visitors([each.row() for each in rows])
    assert goals[0].startswith("p95 beyond that beside a busy process: 40.0 ms")
    assert all(line.endswith("met") for line in goals)


@pytest.mark.parametrize("kind", [name for name in VISITORS if name != "a busy process"])
def test_visitors_visit(kind: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(20)
        from benchmarks import visitors

        process = subprocess.Popen([sys.executable, visitors.__file__, kind, str(server.getsockname()[1])])
        try:
            server.accept()[0].close()
        finally:
            process.kill()
            process.wait()


def test_growth_of_memory_is_that_of_the_end_against_the_beginning() -> None:
    held = [500.0, 900.0, 600.0, 600.0, 600.0, 600.0, 600.0, 600.0, 640.0, 630.0]
    found = Extracted("movinet_a0_stream", "streaming", 60, 300.0, 7200, held)
    assert (found.faster, found.growth_mb) == (12.0, -260.0)
    steady = Extracted("movinet_a0_stream", "streaming", 60, 300.0, 7200, [500.0, 600.0, *held[2:]])
    assert steady.growth_mb == 40.0
    assert [line.rsplit(" ", 1)[-1] for line in goals_of([steady])] == ["met", "met"]
