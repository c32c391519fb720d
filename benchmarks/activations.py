"""What activation checkpointing saves and costs: one training step with and without it.

    python -m benchmarks.activations

Every measurement has a process of its own on the CPU. Memory is what the process grew by, at most, from
before its first step (weights loaded) to after the last: activations, gradients and scratch space. Time is
CPU time of the fastest step, so that other work on the machine does not decide.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.record import Row, command_line, finish, significant
from kinesphere.core.device import Compute, cpu_count
from kinesphere.models import create_model
from kinesphere.models.runtime.measure import input_shape

CLASSES = 10


@dataclass(frozen=True)
class Step:
    """Cost of a training step: bytes that the process grew by, and CPU seconds."""

    held: int
    cpu_s: float


def measure(name: str, batch: int, steps: int, recompute: bool) -> Step:
    """Train a fresh model on random clips."""
    torch.set_num_threads(cpu_count())
    recogniser = create_model(name, [str(i) for i in range(CLASSES)]).train()
    Compute("cpu", "fp32", channels_last=True).place(recogniser)
    if recompute:
        recogniser.checkpoint_activations()
    inputs = tuple(torch.randn(input_shape(spec, batch=batch)) for spec in recogniser.specs)
    targets = torch.arange(batch) % CLASSES
    before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    seconds = []
    for _ in range(steps):
        begun = time.process_time()
        recogniser.zero_grad()
        F.cross_entropy(recogniser(*inputs), targets).backward()
        seconds.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
    return Step(peak - before, min(seconds))


def row(name: str, batch: int, steps: int) -> Row:
    """Both ways, each in a fresh process."""
    results = []
    for recompute in (False, True):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results.append(pool.apply(measure, (name, batch, steps, recompute)))
    kept, again = results
    cells = {
        "model": name,
        "clips": batch,
        "memory, GB": significant(kept.held / 1e9),
        "with checkpointing, GB": significant(again.held / 1e9),
        "share": f"{again.held / kept.held:.0%}",
        "CPU s": significant(kept.cpu_s),
        "with checkpointing, s": significant(again.cpu_s),
        "ratio": significant(again.cpu_s / kept.cpu_s),
    }
    print(cells, flush=True)
    return cells


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--models", nargs="+", default=["r3d_18", "slowonly_resnet50", "mvit_v2_s"])
    parser.add_argument("--batch", type=int, default=2, help="clips per step")
    parser.add_argument("--steps", type=int, default=2, help="steps per measurement")
    args = parser.parse_args()
    rows = [row(name, args.batch, args.steps) for name in args.models]
    finish("activations", "A training step with and without activation checkpointing", parser, args, rows)


if __name__ == "__main__":
    main()
