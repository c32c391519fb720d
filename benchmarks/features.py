"""Features of one long recording: how much faster than real time, in memory that stays flat.

    python -m benchmarks.features [--minutes 60] [--window-minutes 60]

The recording is 320x240 H.264 at 30 frames a second, twenty seconds that are joined to the length asked for
by copying packets. MoViNet-A0 goes through it as `kinesphere extract features` does, a row every half second:
once as one stream, and once window by window. Random weights: they cost what trained ones do.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.long_video import memory_mb, repeated
from benchmarks.record import Row, command_line, finish, goal
from benchmarks.videos import source_videos
from kinesphere.core.device import Compute
from kinesphere.core.threads import sleep_while_waiting
from kinesphere.models import create_model, save_model
from kinesphere.predict.features import SUFFIX, FeatureExtractor, FeatureGrid, read_features
from kinesphere.predict.scorers import Mode

CLASSES = 600
STRIDE_S, EVERY_S = 0.5, 0.5
FASTER, MOST_GROWTH_MB, WHOLE = 10.0, 50.0, 60.0
SOURCE = "h264 320x240 gop 30"
RUNS: tuple[tuple[str, Mode], ...] = (("movinet_a0_stream", "streaming"), ("movinet_a0", "windows"))


@dataclass
class Extracted:
    """What came of one run.

    Attributes:
        model: Its name.
        mode: How windows are computed.
        minutes: Length of the recording.
        seconds: How long it took.
        cpu_s: How much of the processors' time it took, which others on the machine change less.
        rows: Rows of features.
        held_mb: What the process held, now and then.
    """

    model: str
    mode: Mode
    minutes: float
    seconds: float = 0.0
    rows: int = 0
    held_mb: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    @property
    def faster(self) -> float:
        """How many times faster than real time."""
        return 60 * self.minutes / self.seconds

    @property
    def growth_mb(self) -> float:
        """The most that is held in the last quarter of the time, against the most in the second tenth."""
        count = len(self.held_mb)
        early = self.held_mb[count // 10 : max(count // 5, count // 10 + 1)]
        return max(self.held_mb[3 * count // 4 :]) - max(early)

    def row(self) -> Row:
        """Of the table."""
        return {
            "model": self.model,
            "mode": self.mode,
            "minutes": self.minutes,
            "rows": self.rows,
            "seconds": round(self.seconds, 1),
            "CPU seconds": round(self.cpu_s, 1),
            "times real time": round(self.faster, 1),
            "memory, MB": round(max(self.held_mb)),
            "memory growth, MB": round(self.growth_mb, 1),
        }


def extracted(video: Path, model: str, mode: Mode, minutes: float) -> Extracted:
    """Extract the features of a recording, and look how much memory is held."""
    found = Extracted(model, mode, minutes)
    torch.manual_seed(0)
    file = save_model(
        create_model(model, tuple(map(str, range(CLASSES)))), video.with_name(f"{model}.safetensors")
    )
    extractor = FeatureExtractor(str(file), FeatureGrid(STRIDE_S, mode=mode), Compute.choose("cpu"))
    extractor.predictor()
    over = threading.Event()

    def look() -> None:
        while not over.wait(EVERY_S):
            found.held_mb.append(memory_mb())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    target = video.with_name(f"{model}{SUFFIX}")
    extractor.extract(video, target)
    found.seconds, found.cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    over.set()
    looking.join()
    found.held_mb.append(memory_mb())
    found.rows = len(read_features(target))
    return found


def goals_of(runs: list[Extracted]) -> list[str]:
    """What was to be reached: speed by the stream, memory by all."""
    goals = [goal(f"{runs[0].model}, times real time", runs[0].faster, FASTER, "x")]
    for run in runs:
        what = f"{run.model}: memory growth"
        goals.append(goal(what, run.growth_mb, MOST_GROWTH_MB, " MB", at_most=True))
    return goals


def as_the_command() -> None:
    """Begin anew with OpenMP's threads asleep while they wait, as the command has them.

    That is stated before torch is loaded; see `core/threads.py`.
    """
    before = dict(os.environ)
    sleep_while_waiting()
    if os.environ != before:
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.features", *sys.argv[1:]])


def main() -> None:
    as_the_command()
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=WHOLE, help="length of the recording")
    parser.add_argument("--window-minutes", type=float, default=WHOLE, help="the same, window by window")
    args = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder, source_videos(SOURCE, None) as sources:
        video = Path(folder) / "recording.mp4"
        for model, mode in RUNS:
            minutes = args.minutes if mode == "streaming" else args.window_minutes
            repeated(next(iter(sources.values())), video, 60 * minutes)
            runs.append(extracted(video, model, mode, minutes))
    compute = Compute.choose("cpu")
    notes = [f"A row every {STRIDE_S:g} s; {CLASSES} classes; precision {compute.precision}."]
    notes += [
        f"{run.model}, {run.mode}: on {run.minutes:g} minutes, not {WHOLE:g}."
        for run in runs
        if run.minutes < WHOLE
    ]
    title = "Features of one long recording, 320x240 H.264"
    finish("features", title, parser, args, [run.row() for run in runs], goals_of(runs), notes)


if __name__ == "__main__":
    main()
