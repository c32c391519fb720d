"""A network that streams, answering while visitors of the page do what they should not.

    python -m benchmarks.live_visitors [--seconds 20]

A film of 25 frames a second is played at its own pace before `movinet_a0_stream`; the page is served, and
another process visits it: as one browser does, or without saying anything, without reading, in storms of
connections, requests or frames. Visitors share the cores with the network and take time from it, so what
matters is that they cost no more than a process that is busy with something else, and that open files and
memory stay bounded.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.live import held_bytes
from benchmarks.record import Row, command_line, finish, goal
from benchmarks.visitors import VISITORS
from kinesphere.apps.live.server import LiveServer, ServerSettings
from kinesphere.apps.live.state import LiveState
from kinesphere.core.device import Compute
from kinesphere.live import Incident, LiveSettings, watch
from kinesphere.models import create_model
from kinesphere.predict import Predictor
from kinesphere.video import VideoWriter

MODEL, CLASSES, FPS, SIZE = "movinet_a0_stream", 600, 25, (240, 320)
SECONDS = 20.0
_SCRIPT = Path(__file__).with_name("visitors.py")
MOST_FILES, MOST_GROWTH_MB, MOST_SLOWER_MS = 120, 20.0, 60.0


@dataclass
class Visited:
    """What came of one kind of visitors.

    Attributes:
        name: Of the visitors.
        late_s: From when a frame was due to its answer, after the first second.
        dropped: Frames that the network was to see and did not.
        files: Most files that were open at once.
        memory: Bytes that were held, now and then.
        visitor_s: CPU seconds of the visitors.
    """

    name: str
    late_s: list[float] = field(default_factory=list)
    dropped: int = 0
    files: int = 0
    memory: list[int] = field(default_factory=list)
    visitor_s: float = 0.0

    def row(self) -> Row:
        """Of the table."""
        late_ms = 1000 * np.array(self.late_s)
        return {
            "visitors": self.name,
            "answers": len(self.late_s),
            "p50 ms": round(float(np.percentile(late_ms, 50)), 1),
            "p95 ms": round(float(np.percentile(late_ms, 95)), 1),
            "dropped": self.dropped,
            "open files": self.files,
            "memory growth MB": round((max(self.memory) - self.memory[0]) / 1e6, 1),
            "visitors' CPU s": round(self.visitor_s, 1),
        }


def visited(film: Path, predictor: Predictor, name: str, seconds: float) -> Visited:
    """Watch a film while one kind of visitors is there."""
    found = Visited(name)
    state = LiveState("film")
    server = LiveServer(state, ServerSettings(port=0))
    visitors = None
    if name in VISITORS:
        words = [sys.executable, str(_SCRIPT), name, str(server.port)]
        visitors = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    before_s = resource.getrusage(resource.RUSAGE_CHILDREN)
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.25):
            found.files = max(found.files, len(os.listdir("/proc/self/fd")))  # noqa: PTH208
            found.memory.append(held_bytes())

    looking = threading.Thread(target=look, daemon=True)
    try:
        with watch(film, predictor, LiveSettings(rate="source", seconds=seconds), [state]) as watching:
            begun_s = time.monotonic()
            for each in watching:
                if isinstance(each, Incident) or time.monotonic() < begun_s + 2:
                    continue
                if not found.memory:
                    found.memory.append(held_bytes())
                    looking.start()
                found.late_s.append(each.latency_s)
            found.dropped = watching.summary.dropped
    finally:
        over.set()
        if visitors is not None:
            visitors.kill()
            visitors.wait()
    after_s = resource.getrusage(resource.RUSAGE_CHILDREN)
    found.visitor_s = after_s.ru_utime + after_s.ru_stime - before_s.ru_utime - before_s.ru_stime
    return found


def goals_of(rows: Sequence[Row]) -> list[str]:
    """What was to be reached."""
    _, busy, *others = rows
    slowest = max(float(each["p95 ms"]) for each in others)
    return [
        goal(
            "p95 beyond that beside a busy process",
            slowest - float(busy["p95 ms"]),
            MOST_SLOWER_MS,
            " ms",
            at_most=True,
        ),
        goal("open files", max(float(each["open files"]) for each in others), MOST_FILES, "", at_most=True),
        goal(
            "memory growth",
            max(float(e["memory growth MB"]) for e in others),
            MOST_GROWTH_MB,
            " MB",
            at_most=True,
        ),
    ]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long each kind of visitors is there"
    )
    args = parser.parse_args()
    recogniser = create_model(MODEL, tuple(map(str, range(CLASSES))))
    predictor = Predictor(recogniser, Compute.choose("cpu", "fp32"))
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
        with VideoWriter(film, SIZE, FPS, threads=1) as writer:
            for number in range(round(FPS * (args.seconds + 1))):
                writer.write(np.roll(noise // 4 + 90, number, 1))
        rows = [visited(film, predictor, name, args.seconds).row() for name in ("nobody", *VISITORS)]
    title = "Live: answers while visitors of the page do what they should not"
    notes = [f"{MODEL} with {CLASSES} classes, fp32, random weights; every frame of a film of 320x240 at 25."]
    finish("live_visitors", title, parser, args, rows, goals_of(rows), notes)


if __name__ == "__main__":
    main()
