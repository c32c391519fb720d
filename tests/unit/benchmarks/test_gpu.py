"""The GPU's script runs from end to end, with the smallest networks and no GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from benchmarks import gpu, record
from benchmarks.roofline import Ceilings, LeastTime


@pytest.mark.slow
def test_the_script_measures_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    # Processes of their own take half a minute to import what is here already.
    monkeypatch.setattr(gpu, "_apart", lambda job, limit_s: job.clips_per_s(limit_s))
    words = ["gpu", "--tiny", "--device", "cpu", "--budget-s", "0", "--rounds", "1", "--limit-s", "200"]
    monkeypatch.setattr(sys, "argv", words)
    gpu.main()
    written = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    jobs = {(row["model"], row["job"]) for row in written["rows"]}
    assert jobs == {(case.model, job) for case in gpu.TINY for job in gpu.JOBS} | {
        ("fc_tiny", "epochs with decoding")
    }
    assert all(float(row["clips/s"]) > 0 for row in written["rows"])
    assert any(note.startswith("Not compiled for want of time: r3d_tiny") for note in written["notes"])


def test_least_time_counts_operations_and_bytes() -> None:
    """A product bound by arithmetic, a copy bound by memory, and a view that costs nothing."""
    a = torch.randn(8, 16)
    b = torch.randn(16, 4)
    with LeastTime(Ceilings(flops_per_s=1.0, bytes_per_s=1e9)) as counter:
        a @ b
    assert counter.seconds == counter.flops == 2 * 8 * 16 * 4
    with LeastTime(Ceilings(flops_per_s=1e9, bytes_per_s=1.0)) as counter:
        a.clone()
    assert counter.seconds == 2 * a.nbytes
    with LeastTime(Ceilings(flops_per_s=1.0, bytes_per_s=1.0)) as counter:
        a.view(16, 8).t()
    assert counter.seconds == 0


def test_least_time_counts_backward_passes() -> None:
    weight = torch.randn(16, 4, requires_grad=True)
    x = torch.randn(8, 16)
    with LeastTime(Ceilings(flops_per_s=1.0, bytes_per_s=1e12)) as counter:
        (x @ weight).sum().backward()
    assert counter.flops == 2 * (2 * 8 * 16 * 4)  # the product and the weight's gradient
