"""Two thousand damaged videos: how each ends, how long the slowest takes, and that nothing else happens.

Each file is opened, its frame times read, eight frames spread over it taken, and all its frames streamed,
as a training set's check, a clip and a long prediction do. It must end as `whole` (no damage met), `part`
(`DamagedVideo` was warned), or `refused` (a `VideoError`), within 5 s of processor time (the machine may
be busy with other things). Files are read in processes that are killed when one takes no end, so that a
crash or a hang is seen and counted.

    python -m benchmarks.damaged

Without `--videos FOLDER`, the samples of KINESPHERE_TEST_DATA are damaged, or else small generated videos.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from benchmarks.record import command_line, finish, goal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/unit/video"))

from damage import Damaged, damaged_videos
from kinesphere.core.device import cpu_count
from kinesphere.core.errors import DamagedVideo, VideoError
from kinesphere.video import Video

BOUND_S = 5.0
# On a machine that is busy, a file may wait for its turn; one that sleeps for ever is ended here.
KILL_S = 600.0
SIZE = (64, 86)
GOOD_ENDS = ("whole", "part", "refused")
BAD_ENDS = ("crash", "hang", "other")
ENDS = GOOD_ENDS + BAD_ENDS


@dataclass(frozen=True)
class Outcome:
    """How one file ended: `whole`, `part`, `refused`, or what must not be: `crash`, `hang`, `other`."""

    kind: str
    detail: str
    end: str
    message: str
    seconds: float
    cpu_seconds: float


def read(path: Path) -> tuple[str, str]:
    """Read a file in every way, and say how it ended."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            with Video.open(path, timeout_s=4.0, threads=1) as video:
                times = video.frame_times()
                video.frames_at(times[np.linspace(0, len(times) - 1, 8).astype(int)], SIZE)
                for _ in video.stream(size=SIZE):
                    pass
        except VideoError as error:
            return "refused", f"{type(error).__name__}: {error}"
        except BaseException as error:
            return "other", f"{type(error).__name__}: {error}"
    damage = [str(item.message) for item in given if issubclass(item.category, DamagedVideo)]
    return ("part", damage[0]) if damage else ("whole", "")


def serve(pipe: Connection) -> None:
    """Read the files whose paths come through the pipe."""
    pipe.send("ready")
    while True:
        path = pipe.recv()
        begin, used = time.perf_counter(), time.process_time()
        end, message = read(path)
        cpu_s = time.process_time() - used
        if cpu_s > BOUND_S:
            end, message = "hang", f"took {cpu_s:.1f} s of processor time, then: {end}, {message}"
        pipe.send((end, message, time.perf_counter() - begin, cpu_s))


class Worker:
    """A process that reads one file at a time and can be lost."""

    def __init__(self) -> None:
        self.busy: tuple[Damaged, Path, float] | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.pipe.recv()

    def give(self, item: Damaged, path: Path) -> None:
        self.busy = (item, path, time.perf_counter())
        self.pipe.send(path)

    def result(self) -> Outcome | None:
        """The outcome if there is one: an answer, a death, or the bound."""
        assert self.busy is not None
        item, _, begin = self.busy
        waited_s = time.perf_counter() - begin
        try:
            if self.pipe.poll():
                return Outcome(item.kind, item.detail, *self.pipe.recv())
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self._start()
            return Outcome(item.kind, item.detail, "crash", f"exit code {code}", waited_s, 0.0)
        if waited_s <= KILL_S:
            return None
        self._process.kill()
        self._process.join()
        self._start()
        return Outcome(item.kind, item.detail, "hang", f"no end after {KILL_S:g} s", waited_s, 0.0)

    def stop(self) -> None:
        self._process.kill()


def run(items: Iterator[Damaged], folder: Path, processes: int) -> list[Outcome]:
    """Read all items in parallel."""
    workers = [Worker() for _ in range(processes)]
    outcomes: list[Outcome] = []
    exhausted = False
    number = 0
    while not exhausted or any(worker.busy for worker in workers):
        for worker in workers:
            if worker.busy is None and not exhausted:
                item = next(items, None)
                if item is None:
                    exhausted = True
                    break
                path = folder / f"{number}{item.suffix}"
                path.write_bytes(item.data)
                number += 1
                worker.give(item, path)
        wait([worker.pipe for worker in workers if worker.busy], timeout=0.2)
        for worker in workers:
            outcome = worker.result() if worker.busy else None
            if outcome is not None and worker.busy:
                worker.busy[1].unlink()
                worker.busy = None
                outcomes.append(outcome)
    for worker in workers:
        worker.stop()
    return outcomes


def samples(folder: Path | None) -> list[tuple[str, bytes]]:
    """Videos to damage; large ones are left out, they only cost time."""
    data = os.environ.get("KINESPHERE_TEST_DATA")
    if folder is None and data:
        folder = Path(data, "videos/samples")
    if folder is not None:
        paths = [path for path in sorted(folder.iterdir()) if path.stat().st_size < 1_000_000]
        return [(path.name, path.read_bytes()) for path in paths]
    from makers import KINDS, make, packed_avi

    suffixes = {"mp4": ".mp4", "matroska": ".mkv", "avi": ".avi", "mpegts": ".ts", "webm": ".webm"}
    made = [
        (f"{name}{suffixes.get(str(kind.get('container', 'mp4')), '.bin')}", make(**kind))
        for name, kind in KINDS.items()
    ]
    return [*made, ("packed.avi", packed_avi())]


def table(outcomes: list[Outcome]) -> list[dict[str, str | int]]:
    """One line per kind of damage and one for all: how many files ended in each way."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        counts[outcome.kind][outcome.end] += 1
        counts["all"][outcome.end] += 1
    kinds = sorted(counts, key=lambda kind: kind == "all")
    return [{"damage": kind} | {end: counts[kind][end] for end in ENDS} for kind in kinds]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--videos", type=Path, help="folder of videos to damage")
    parser.add_argument("--processes", type=int, default=cpu_count())
    args = parser.parse_args()
    videos = samples(args.videos)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(damaged_videos(videos, args.count), Path(folder), args.processes)
    bad = [outcome for outcome in outcomes if outcome.end in BAD_ENDS]
    for outcome in bad:
        print(f"{outcome.end}: {outcome.kind}, {outcome.detail}: {outcome.message}")
    slowest = max(outcomes, key=lambda outcome: outcome.cpu_seconds)
    goals = [
        goal("crashes, hangs and errors of other types", len(bad), 0, "", at_most=True),
        goal("slowest file, processor time", slowest.cpu_seconds, BOUND_S, " s", at_most=True),
    ]
    notes = [
        f"{len(outcomes)} files, made from {len(videos)} videos",
        f"slowest file: {slowest.kind}, {slowest.end}",
    ]
    finish("damaged", "Damaged files", parser, args, table(outcomes), goals, notes)


if __name__ == "__main__":
    main()
