"""How many threads compute on a CPU, and how long they wait awake for each other.

At the end of every parallel operation OpenMP's threads spin until the last has come, by default for
milliseconds. On a machine that is shared, the last may be without a core for as long, while the others keep
theirs from it. And an operation of a small network takes less time than its threads need to meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kinesphere.core.device import cpu_count

WAITING = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
"""Variables that say how long threads wait awake: of GNU's OpenMP in rounds, of Intel's and LLVM's in ms.

Ten thousand rounds bridge what lies between two operations of a network. With a tenth of them two threads
kept 0.80 of the free speed that mvit_v2_s has by default, in place of 0.95; with ten times as many they had
half the speed of one thread beside a busy process, in place of 0.83. The other libraries' are set alike,
unmeasured.
"""
WAIT_POLICY = "OMP_WAIT_POLICY"
"""The variable of all of them; a user who sets it is not overruled."""
STATED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Where users and schedulers say how many threads compute; torch follows them."""

MULTIPLY_ADDS_PER_THREAD = 100_000_000
"""Multiply-adds of a pass of prediction that are worth a thread (`python -m benchmarks.threads`)."""
MULTIPLY_ADDS_PER_TRAINING_THREAD = 300_000_000
"""The same of a training step's forward pass. Gradients and the optimiser are many short operations more, and
workers that load clips are at work beside them: two threads for less fell below half the speed of one."""


def sleep_while_waiting() -> None:
    """Have threads that wait for each other sleep soon, in this process and those that it starts.

    Call it before torch is loaded: OpenMP reads the variables once, then. What computes, and with how many
    threads, stays the same, and so do results. What the user or a scheduler has set is kept.
    """
    if WAIT_POLICY not in os.environ:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


@dataclass(frozen=True)
class UsableThreads:
    """How many threads this process may compute with.

    Attributes:
        count: The most.
        stated: Whether the environment asks for just so many.
    """

    count: int
    stated: bool

    @classmethod
    def here(cls) -> UsableThreads:
        """Of the calling thread: what the environment states, else torch's number within the usable cores."""
        import torch

        count, stated = torch.get_num_threads(), any(os.environ.get(name) for name in STATED)
        return cls(count if stated else min(count, cpu_count()), stated)

    def suiting(self, multiply_adds: float, *, training: bool = False, processes: int = 1) -> int:
        """How many suit a network: one for each that its work is worth, as far as there are any.

        It follows from the numbers alone, never from timing: sums of several threads round otherwise than
        those of one, and equal machines are to give equal answers.

        Args:
            multiply_adds: Of one forward pass of a batch.
            training: Whether it is followed by the backward pass and the optimiser.
            processes: How many such processes share the threads, unless the environment states them.
        """
        if self.stated:
            return self.count
        worth = MULTIPLY_ADDS_PER_TRAINING_THREAD if training else MULTIPLY_ADDS_PER_THREAD
        return max(1, min(self.count // processes, int(multiply_adds // worth)))


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Context in which torch computes with so many threads, in the calling thread; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    if threads in (None, before):
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
