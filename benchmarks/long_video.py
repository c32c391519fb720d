"""One long video window by window: decoded once, shared where networks allow it, in memory that stays flat.

    python -m benchmarks.long_video [--minutes 60] [--loop-minutes 10] [--only TEXT] [--without TEXT]

The video is 640x480 H.264 at 30 frames a second with key frames every 250: twenty seconds that are joined to
the length asked for by copying packets. Windows of 10 s, every 5 s and every 1 s. Beside each stands a
straightforward loop on the first minutes of the same video, which opens the video, decodes and computes for
every window by itself (`predict(span=...)`); both are given as seconds per window, so that nothing is
extrapolated. `--minutes 10 --loop-minutes 1` takes less than ten minutes on two cores. Random weights: they
cost what trained ones do.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch

from benchmarks.record import Row, command_line, finish, goal, significant
from benchmarks.videos import SOURCES, source_videos
from kinesphere.clips.spec import Sampling, Views
from kinesphere.core.device import Compute
from kinesphere.models import card, create_model
from kinesphere.models.runtime.measure import input_shape
from kinesphere.predict import Predictor
from kinesphere.predict.long_video import Look, SharedVideo
from kinesphere.predict.scorers import Mode
from kinesphere.video import Video
from kinesphere.video.cursor import Cursor

WINDOW_S, STRIDES_S = 10.0, (5.0, 1.0)
CLASSES = [f"class {number}" for number in range(400)]
OTHERWISE = (
    "Streaming answers otherwise than windows alone (its state knows what came before), so that the loop "
    "beside it, which computes each window's clip, is compared in cost and not in answers."
)
BOUND, WHOLE_COST, MOST_GROWTH_MB = 0.8, 1.1, 100.0


@dataclass(frozen=True)
class Subject:
    """A network and how it goes through the video.

    Attributes:
        model: Its name.
        mode: How windows are computed.
        shares: Whether overlapping windows cost less than each alone.
        frames: Frames spread over a window, in place of the card's sampling.
    """

    model: str
    mode: Mode = "windows"
    shares: bool = True
    frames: int | None = None

    @property
    def name(self) -> str:
        return f"{self.model}{' streaming' if self.mode == 'streaming' else ''}"

    def every(self, stride_s: float) -> str:
        """Its windows at a stride, in words."""
        return f"{self.name} every {stride_s:g} s"

    def predictor(self) -> Predictor:
        torch.manual_seed(0)
        (spec,) = card(self.model).inputs
        if self.frames is not None:
            spec = spec.with_(sampling=Sampling("uniform", self.frames))
        return Predictor(create_model(self.model, CLASSES, spec=spec), Compute.choose(), name=self.name)


# Ten frames spread over ten seconds are a second apart: windows that begin so have them in common.
SUBJECTS = (
    Subject("r3d_18", shares=False),
    Subject("late_fusion_resnet18", frames=10),
    Subject("movinet_a0_stream", "streaming"),
)


@dataclass(frozen=True)
class Run:
    """One way through the windows of a video.

    Attributes:
        windows: How many.
        seconds: Wall time.
        decoded: Decoded frames for each frame of the video that the windows cover.
        memory_mb: What the process held at a tenth, half and the end of the windows.
    """

    windows: int
    seconds: float
    decoded: float
    memory_mb: tuple[float, float, float]

    @property
    def each_s(self) -> float:
        return self.seconds / self.windows


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the video")
    parser.add_argument("--loop-minutes", type=float, default=10.0, help="what the loop goes through of it")
    parser.add_argument("--only", default="", metavar="TEXT", help="networks whose names contain TEXT")
    parser.add_argument(
        "--without", metavar="TEXT", help="leave this out, such as `r3d_18 every 1 s`: 3 600 passes an hour"
    )
    parser.add_argument("--record", default="long_video", metavar="NAME", help="of the record")
    args = parser.parse_args()
    subjects = [subject for subject in SUBJECTS if args.only in subject.name]
    with tempfile.TemporaryDirectory() as folder, source_videos(SOURCES[0].name, Path(folder)) as made:
        path = Path(folder) / "long.mp4"
        frames = repeated(next(iter(made.values())), path, args.minutes * 60)
        rows, goals = [], []
        for subject in subjects:
            for stride_s in STRIDES_S:
                if args.without == subject.every(stride_s):
                    continue
                row, own = compared(subject, path, frames, stride_s, args.loop_minutes)
                rows.append(row)
                goals += own
                print(row, flush=True)
    lengths = (
        f"The video lasts {args.minutes:g} min; the loop went through its first {args.loop_minutes:g} min. "
        f"Windows of {WINDOW_S:g} s. Seconds are wall time on {torch.get_num_threads()} threads."
    )
    title = f"A long video window by window: {args.minutes:g} minutes"
    finish(args.record, title, parser, args, rows, goals, [lengths, OTHERWISE], script="long_video")


def compared(
    subject: Subject, path: Path, frames: int, stride_s: float, loop_minutes: float
) -> tuple[Row, list[str]]:
    """One network at one stride: the whole video, the loop beside it, and what that says."""
    predictor = subject.predictor()
    looped = loop(predictor, path, stride_s, loop_minutes * 60)
    run = timeline(predictor, path, subject.mode, stride_s, frames)
    overlap = WINDOW_S / stride_s
    gain = looped.each_s / run.each_s
    row: dict[str, str | int | float] = {
        "network": subject.name,
        "every, s": f"{stride_s:g}",
        "windows": run.windows,
        "wall, s": significant(run.seconds),
        "per window, ms": significant(run.each_s * 1e3),
        "decoded per frame": f"{run.decoded:.3f}",
        "memory at 10 / 50 / 100 %, MB": " / ".join(f"{held:.0f}" for held in run.memory_mb),
        "loop: per window, ms": significant(looped.each_s * 1e3),
        "loop: decoded per frame": f"{looped.decoded:.2f}",
        "gain": f"{gain:.2f}x",
        "overlap": f"{overlap:g}",
    }
    what = subject.every(stride_s)
    grown = run.memory_mb[2] - run.memory_mb[0]
    goals = [
        goal(f"{what}: decoded frames per frame", round(run.decoded, 3), 1.0, "", at_most=True),
        goal(f"{what}: memory from a tenth to the end", grown, MOST_GROWTH_MB, " MB", at_most=True),
    ]
    if subject.shares:
        goals.append(goal(f"{what}: gain as a fraction of the overlap", gain / overlap, BOUND, ""))
        return row, goals
    parts = forward_s(predictor, run.windows) + decoding_s(predictor, path, stride_s)
    against = run.seconds / parts
    row["forward + decoding, s"] = significant(parts)
    goals.append(
        goal(f"{what}: against its forward passes and one decoding", against, WHOLE_COST, at_most=True)
    )
    return row, goals


def timeline(predictor: Predictor, path: Path, mode: Mode, stride_s: float, frames: int) -> Run:
    """All windows of a video in one go."""
    held: list[float] = []
    with counting() as decoded:
        begun = time.perf_counter()
        found = predictor.timeline(
            path,
            window_s=WINDOW_S,
            stride_s=stride_s,
            mode=mode,
            advance=lambda done, of: held.append(memory_mb()),
        )
        seconds = time.perf_counter() - begun
    places = (len(held) // 10, len(held) // 2, len(held) - 1)
    start, middle, end = (held[place] for place in places)
    return Run(len(found), seconds, decoded[0] / frames, (start, middle, end))


def loop(predictor: Predictor, path: Path, stride_s: float, until_s: float) -> Run:
    """The windows of the beginning of a video, each opened, decoded and computed by itself."""
    starts = [i * stride_s for i in range(int((until_s - WINDOW_S) / stride_s + 1e-6) + 1)]
    views = Views(1, predictor.test_views.crops)
    with Video.open(path) as video:
        frames = float(video.fps) * until_s
    with counting() as decoded:
        begun = time.perf_counter()
        for start_s in starts:
            predictor.predict(path, span=(start_s, start_s + WINDOW_S), views=views)
        seconds = time.perf_counter() - begun
    return Run(len(starts), seconds, decoded[0] / frames, (memory_mb(),) * 3)


def forward_s(predictor: Predictor, windows: int) -> float:
    """Seconds of the forward passes of so many windows, from a sample of them."""
    size = predictor.windows_at_once(Views())
    clips = torch.randint(0, 255, (size, *input_shape(predictor.spec)), dtype=torch.uint8)
    predictor.probabilities([clips])
    passes = max(1, min(20, windows // size))
    begun = time.perf_counter()
    for _ in range(passes):
        predictor.probabilities([clips])
    return (time.perf_counter() - begun) / (passes * size) * windows


def decoding_s(predictor: Predictor, path: Path, stride_s: float) -> float:
    """Seconds of reading all windows of a video without computing them."""
    begun = time.perf_counter()
    with SharedVideo(path, [Look(predictor.specs, Views(), predictor.opening)]) as video:
        for _ in video.read(video.spans(WINDOW_S, stride_s)):
            pass
    return time.perf_counter() - begun


@contextmanager
def counting() -> Iterator[list[int]]:
    """How many frames decoders give while the context lasts."""
    count, take = [0], Cursor._take

    def counted(self: Cursor, frame: av.VideoFrame) -> None:
        count[0] += 1
        take(self, frame)

    Cursor._take = counted  # type: ignore[method-assign]
    try:
        yield count
    finally:
        Cursor._take = take  # type: ignore[method-assign]


def memory_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def repeated(source: Path, target: Path, seconds: float) -> int:
    """Join copies of a video until it lasts so long, packet by packet; the number of its frames."""
    frames = 0
    with av.open(str(source)) as read:
        stream = read.streams.video[0]
        rate, base = Fraction(stream.average_rate or 30), Fraction(stream.time_base or Fraction(1, 30))
        packets = [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in read.demux(stream) if p.pts is not None]
        length = round(len(packets) / rate / base)
        with av.open(str(target), "w") as written:
            out = written.add_stream_from_template(stream)
            for copy in range(max(1, round(seconds * rate / len(packets)))):
                for pts, dts, is_key, data in packets:
                    packet = av.Packet(data)
                    packet.pts, packet.dts, packet.time_base = pts + copy * length, dts + copy * length, base
                    packet.is_keyframe, packet.stream = is_key, out
                    written.mux(packet)
                    frames += 1
    return frames


if __name__ == "__main__":
    main()
