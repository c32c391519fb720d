"""Speeds beside neighbours are fractions of one thread's free speed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import record, threads
from benchmarks.threads import OURS, Work, row_of, shares, speed

from kinesphere.core.device import cpu_count
from kinesphere.core.threads import STATED


@pytest.mark.parametrize("work", [Work("dd_net_tiny", 2, trains=True), Work("r3d_tiny", 2)])
def test_every_kind_of_work_can_be_measured(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STATED:
        monkeypatch.delenv(name, raising=False)
    chosen, step_with = work.prepared()
    assert chosen == 1  # so little is worth no more
    for number in (OURS, 1, 2):
        assert speed(step_with(number), 0.0) > 0


def test_fractions_are_of_one_free_thread() -> None:
    cores = cpu_count()
    speeds = {(where, number): [0.0] for where in ("free", "beside") for number in (1, cores, OURS)}
    speeds |= {("free", 1): [1.0, 2.0, 9.0], ("beside", OURS): [1.0, 1.5, 2.0]}
    row = row_of(Work("r3d_18"), cores, shares(speeds))
    assert row["beside: ours"] == "0.75 (0.50–1.00)"
    assert row["work"] == "r3d_18 prediction, fp32, batch of 1"


def test_a_record_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {(where, number): [2.0] for where in ("free", "beside") for number in (1, cpu_count(), OURS)}
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(threads, "measure", lambda number, args: (1, measured | {("beside", OURS): [0.8]}))
    monkeypatch.setattr(sys, "argv", ["threads"])
    threads.main()
    text = (tmp_path / "threads.json").read_text(encoding="utf-8")
    assert "0.400x (goal: at least 0.5x): missed" in text
    assert "mvit_v2_s prediction" in text
