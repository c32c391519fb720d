"""A network that streams, fed every frame of an RTSP source of 25 frames a second, for a quarter of an hour.

    python -m benchmarks.live [--minutes 15] [--slow-minutes 2]

The server (`rtsp_server.py`) and the client share the machine. Each picture carries its number and the moment
at which it was due, so that latency is that from capture to answer, encoding and network included, and a
frame that was lost or dropped unseen would show. Random weights: they cost what trained ones do. First every
frame is answered at; then whoever takes the answers waits, so that five a second are taken, and what matters
is that latency stays bounded and that all that was not seen is counted. Memory is the most that the process
holds, in the last quarter of the time against the first after a tenth for warming up.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.peers import MISSING_PEER
from benchmarks.record import Row, command_line, finish, goal
from benchmarks.rtsp import RtspServer, why_not
from benchmarks.stamped import read_stamp
from kinesphere.core.device import Compute
from kinesphere.live import Incident, LiveSettings, Summary, watch
from kinesphere.models import create_model
from kinesphere.predict import Predictor

MODEL, CLASSES, FPS = "movinet_a0_stream", 600, 25
SLOW_FPS = 5
EVERY_S = 0.5
"""How often it is looked how much memory is held."""
MINUTES, SLOW_MINUTES = 15.0, 2.0
MOST_LATENCY_MS, MOST_GROWTH_MB = 120.0, 10.0
WARM_UP = 0.1
"""Fraction of the time that counts neither for latency nor for memory."""


@dataclass
class Watched:
    """What came of one source.

    Attributes:
        name: How it was watched.
        minutes: For how long.
        answers: For each answer when it came, its frame's number and the stamp's, and seconds since capture.
        memory: Bytes that the process held, now and then, with the time.
        incidents: What happened to the source.
        summary: What the program itself says.
    """

    name: str
    minutes: float
    answers: list[tuple[float, int, int, float]] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    summary: Summary | None = None

    @property
    def steady(self) -> list[tuple[float, int, int, float]]:
        """Answers after the warm-up."""
        begin_s = self.answers[0][0] + 60 * self.minutes * WARM_UP
        return [each for each in self.answers if each[0] >= begin_s]

    @property
    def fps(self) -> float:
        """Answers a second."""
        steady = self.steady
        return (len(steady) - 1) / (steady[-1][0] - steady[0][0])

    def latency_ms(self, percent: float) -> float:
        """From capture to answer."""
        return 1000 * float(np.percentile([late_s for *_, late_s in self.steady], percent))

    @property
    def growth_mb(self) -> float:
        """How much more memory is held at most in the last quarter than in the first after the warm-up."""
        begin_s = self.memory[0][0]
        length_s = self.memory[-1][0] - begin_s

        def most(first: float, last: float) -> float:
            part = (begin_s + first * length_s, begin_s + last * length_s)
            held = [size for at_s, size in self.memory if part[0] <= at_s <= part[1]]
            return max(held, default=math.nan)

        return (most(0.75, 1) - most(WARM_UP, WARM_UP + 0.25)) / 1e6

    @property
    def lost(self) -> int:
        """Frames of the server that were not decoded, by the stamps."""
        _, number, stamped, _ = self.answers[0]
        _, last_number, last_stamped, _ = self.answers[-1]
        return (last_stamped - stamped) - (last_number - number)

    def row(self) -> Row:
        """Of the table."""
        assert self.summary is not None
        return {
            "consumer": self.name,
            "minutes": round(self.minutes, 2),
            "answers/s": round(self.fps, 2),
            "p50 ms": round(self.latency_ms(50), 1),
            "p95 ms": round(self.latency_ms(95), 1),
            "p99 ms": round(self.latency_ms(99), 1),
            "longest ms": round(self.latency_ms(100), 1),
            "memory growth MB": round(self.growth_mb, 1),
            "sent": self.summary.sent,
            "seen": self.summary.seen,
            "dropped": self.summary.dropped,
            "lost on the way": self.lost,
            "incidents": len(self.incidents),
        }


def held_bytes() -> int:
    """What this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def watched(url: str, predictor: Predictor, name: str, minutes: float, fps: float | None = None) -> Watched:
    """Take answers for some minutes, no more than `fps` a second."""
    found = Watched(name, minutes)
    settings = LiveSettings(rate="source", seconds=60 * minutes)
    with watch(url, predictor, settings) as watching:
        for each in watching:
            now_s = time.monotonic()
            if isinstance(each, Incident):
                found.incidents.append(each)
                continue
            number, captured_s = read_stamp(each.frame.pixels)
            found.answers.append((now_s, each.frame.number, number, now_s - captured_s))
            if not found.memory or now_s - found.memory[-1][0] > EVERY_S:
                found.memory.append((now_s, held_bytes()))
            if fps is not None:
                time.sleep(max(0.0, 1 / fps - (time.monotonic() - now_s)))
        found.summary = watching.summary
    return found


def goals_of(every: Watched, slow: Watched) -> list[str]:
    """What was to be reached."""
    return [
        goal("answers a second at 25 frames a second", every.fps, 0.99 * FPS, ""),
        goal("p95 from capture to answer", every.latency_ms(95), MOST_LATENCY_MS, " ms", at_most=True),
        goal("memory growth", every.growth_mb, MOST_GROWTH_MB, " MB", at_most=True),
        goal(
            "longest latency of a consumer of 5 frames a second",
            slow.latency_ms(100),
            1000 / SLOW_FPS + 2 * 1000 / FPS + MOST_LATENCY_MS,
            " ms",
            at_most=True,
        ),
    ]


def notes_of(every: Watched, slow: Watched) -> list[str]:
    """What limits the results."""
    network = f"{MODEL} with {CLASSES} classes, fp32, random weights"
    notes = [f"{network}; 640x480 H.264 over TCP from a server on the same cores."]
    if every.minutes < MINUTES:
        notes.append(f"Measured for {every.minutes:g} minutes, not {MINUTES:g}.")
    for each in (every, slow):
        assert each.summary is not None
        counted = each.summary.sent - each.summary.seen
        unseen = each.answers[-1][1] - each.answers[0][1] + 1 - len(each.answers)
        notes.append(
            f"{each.name}: {unseen} frames between the first answer and the last were not answered at, "
            f"{counted} are counted as dropped."
        )
    return notes


def run(minutes: Sequence[float], size: tuple[int, int] = (480, 640), model: str = MODEL) -> list[Watched]:
    """Watch a server with every frame, then with a consumer that is slower, for so many minutes each."""
    recogniser = create_model(model, tuple(map(str, range(CLASSES))))
    predictor = Predictor(recogniser, Compute.choose("cpu", "fp32"))
    with RtspServer(size=size, fps=FPS) as server:
        return [
            watched(server.url, predictor, "every frame", minutes[0]),
            watched(server.url, predictor, "5 a second", minutes[1], SLOW_FPS),
        ]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long every frame is answered at")
    parser.add_argument("--slow-minutes", type=float, default=SLOW_MINUTES, help="and five a second")
    args = parser.parse_args()
    if (reason := why_not()) is not None:
        print(reason)
        sys.exit(MISSING_PEER)
    every, slow = run((args.minutes, args.slow_minutes))
    rows = [every.row(), slow.row()]
    title = "Live: a network that streams behind an RTSP source of 25 frames a second"
    finish("live", title, parser, args, rows, goals_of(every, slow), notes_of(every, slow))


if __name__ == "__main__":
    main()
