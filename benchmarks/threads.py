"""Threads on a machine that is shared: speed beside processes that leave one core.

    python -m benchmarks.threads

Each row is training steps or passes of prediction on random clips, in fresh processes: with one thread and
with one for each core, waiting for each other as OpenMP does by default, and as the command line computes,
with the number that suits the work and threads that sleep while they wait (`kinesphere.core.threads`).
`beside` is in the company of busy processes on all cores but one. Figures are the speed as a fraction of what
one thread reaches on the free machine: medians of rounds in which all take turns, with the least and the
greatest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import torch

from benchmarks.record import command_line, finish, goal
from kinesphere.core.device import Compute, Precision, cpu_count, fast_precision
from kinesphere.core.threads import STATED, WAIT_POLICY, WAITING, UsableThreads, computing_with
from kinesphere.models import create_model
from kinesphere.models.runtime.measure import input_shape
from kinesphere.predict import Predictor

OURS = 0
"""In place of a number of threads: what the package chooses."""
GOAL = 0.5


@dataclass(frozen=True)
class Work:
    """What a row measures.

    Attributes:
        model: Name of the network.
        batch: Clips of a step or pass.
        trains: Whether it is a training step.
        precision: Arithmetic.
    """

    model: str
    batch: int = 1
    trains: bool = False
    precision: Precision = "fp32"

    def __str__(self) -> str:
        verb = "training" if self.trains else "prediction"
        return f"{self.model} {verb}, {self.precision}, batch of {self.batch}"

    def prepared(self) -> tuple[int, Callable[[int], Callable[[], None]]]:
        """How many threads the package takes, and the step for a number of them."""
        recogniser = create_model(self.model, tuple("abcde"))
        shapes = [input_shape(spec, batch=self.batch) for spec in recogniser.specs]
        if self.trains:
            work = recogniser.card.work(recogniser.specs, self.batch)
            chosen = UsableThreads.here().suiting(work, training=True)
            inputs = [torch.rand(shape) for shape in shapes]
            optimiser = torch.optim.AdamW(recogniser.net.train().parameters(), 1e-4)

            def learn() -> None:
                optimiser.zero_grad()
                recogniser.net(*inputs).square().mean().backward()
                optimiser.step()

            return chosen, lambda threads: within(threads or chosen, learn)
        clips = [torch.randint(256, shape, dtype=torch.uint8)[:, None] for shape in shapes]

        def predict(threads: int) -> Callable[[], None]:
            predictor = Predictor(recogniser, Compute("cpu", self.precision, True, threads or None))

            def run() -> None:
                predictor.probabilities(clips)

            return run

        return Predictor(recogniser, Compute("cpu", self.precision, True)).threads(self.batch) or 1, predict


def within(threads: int, step: Callable[[], None]) -> Callable[[], None]:
    """A step that computes with so many threads."""

    def run() -> None:
        with computing_with(threads):
            step()

    return run


def works() -> tuple[Work, ...]:
    """Those that this processor computes."""
    half = (Work("r3d_18", precision="bf16"),) if fast_precision("cpu") == "bf16" else ()
    return (
        Work("dd_net", 16, trains=True),
        Work("dd_net", 64, trains=True),
        Work("kine_small", 8, trains=True),
        Work("kine_small"),
        Work("r3d_18"),
        *half,
        Work("mvit_v2_s"),
    )


def serve(work: Work) -> None:
    """Be a process that is measured: print the threads it takes, then a speed for each line that is read."""
    chosen, step_with = work.prepared()
    steps: dict[int, Callable[[], None]] = {}
    print(chosen, flush=True)
    for line in sys.stdin:
        threads, seconds = int(line.split()[0]), float(line.split()[1])
        if threads not in steps:
            steps[threads] = step_with(threads)
            steps[threads]()
        print(speed(steps[threads], seconds), flush=True)


def speed(step: Callable[[], None], seconds: float) -> float:
    """Steps per second, over at least one step."""
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds or not count:
        step()
        count += 1
    return count / took


class Measured:
    """A process that computes one work.

    Args:
        number: Of the work among `works()`.
        waiting: Variables of the environment that say how its threads wait.
    """

    def __init__(self, number: int, waiting: dict[str, str]) -> None:
        kept = {k: v for k, v in os.environ.items() if k not in (*WAITING, WAIT_POLICY, *STATED)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.threads", "--serve", str(number)],
            env=kept | waiting, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.chosen = int(self._answer())

    def speed(self, threads: int, seconds: float) -> float:
        """Steps per second with so many threads, over so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{threads} {seconds}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Processes that keep cores busy meanwhile."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


Setting = tuple[str, int]
"""`"free"` or `"beside"`, and how many threads."""


def measure(number: int, args: argparse.Namespace) -> tuple[int, dict[Setting, list[float]]]:
    """The threads that the package takes for a work, and its speeds in each round."""
    speeds: dict[Setting, list[float]] = {}
    waiting = WAITING | ({} if args.spin is None else {"GOMP_SPINCOUNT": args.spin})
    with closing(Measured(number, {})) as plain, closing(Measured(number, waiting)) as ours:
        for process, threads in ((plain, 1), (plain, cpu_count()), (ours, OURS)):
            process.speed(threads, 0.0)  # the first steps of each make what later ones use again
        for _ in range(args.rounds):
            for where, busy in (("free", 0), ("beside", cpu_count() - 1)):
                with neighbours(busy):
                    for process, threads in ((plain, 1), (plain, cpu_count()), (ours, OURS)):
                        taken = process.speed(threads, args.seconds)
                        speeds.setdefault((where, threads), []).append(taken)
        return ours.chosen, speeds


def shares(speeds: dict[Setting, list[float]]) -> dict[Setting, list[float]]:
    """Speeds as fractions of the median of one thread on the free machine."""
    whole = statistics.median(speeds["free", 1])
    return {setting: [each / whole for each in rounds] for setting, rounds in speeds.items()}


def cell(rounds: list[float]) -> str:
    """The median, with the least and the greatest."""
    return f"{statistics.median(rounds):.2f} ({min(rounds):.2f}–{max(rounds):.2f})"


def row_of(work: Work, chosen: int, share: dict[Setting, list[float]]) -> dict[str, str | int]:
    """A work's row."""
    cores = cpu_count()
    return {
        "work": str(work),
        "our threads": chosen,
        f"free: {cores} threads": cell(share["free", cores]),
        "free: ours": cell(share["free", OURS]),
        "beside: 1 thread": cell(share["beside", 1]),
        f"beside: {cores} threads": cell(share["beside", cores]),
        "beside: ours": cell(share["beside", OURS]),
    }


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spin", help="how long our threads wait awake, in place of what the package sets")
    parser.add_argument("--works", type=int, nargs="+", metavar="N", help="numbers of the rows; default: all")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(works()[args.serve])
        return
    rows, least = [], {}
    for number in args.works or range(len(works())):
        work = works()[number]
        chosen, speeds = measure(number, args)
        share = shares(speeds)
        rows.append(row_of(work, chosen, share))
        least[str(work)] = statistics.median(share["beside", OURS])
        print(rows[-1], flush=True)
    slowest = min(least, key=lambda name: least[name])
    finish(
        "threads", "Threads on a shared machine", parser, args, rows,
        goals=[goal(f"ours beside busy processes, of one thread's free speed; {slowest} is the slowest",
                    least[slowest], GOAL)],
        notes=[
            (
                f"busy processes: {cpu_count() - 1}, so that one core is left; ours wait awake for "
            f"{args.spin or WAITING['GOMP_SPINCOUNT']} rounds, the others as OpenMP has it by default"
            ),
            (
                f"{cpu_count()} threads that wait awake are how the package computed before it chose a "
                "number: those columns are before, ours after"
            ),
            "in brackets the least and the greatest of the rounds",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
