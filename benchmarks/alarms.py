"""Clips of alarms, against a queue of raw frames and OpenCV's writer; and alarms to a broker that is killed.

    python -m benchmarks.alarms [--seconds 15] [--only TEXT]

A source gives frames in real time, 25 a second with a jitter of 10 ms, each with its number drawn in as bits.
Every four seconds an alarm is raised, 0.2 s after its frame; a clip holds 2 s before and 1.5 s after it. The
peer is what one writes without a library: a `deque` of the frames of 2 s, and `cv2.VideoWriter` at 25
frames/s, on the thread that reads. A frame of a clip is wrong if it is not the one that belongs there, or is
missing. Memory is that of the frames which wait for an alarm. Processor time is that of the process per frame
of the source, less that of the source without a recorder; nearly all frames are in a clip here.

The broker, Mosquitto, is killed and started again twice while alarms are raised: once fewer than the queue's
bound, once more.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from benchmarks.broker import MOSQUITTO, Broker, until
from benchmarks.record import Row, command_line, finish, goal, significant
from benchmarks.stamped import read_stamp, stamp
from benchmarks.videos import pictures
from kinesphere.core.labels import LabelSet
from kinesphere.live.alarms import Alarm
from kinesphere.live.delivery import Delivery
from kinesphere.live.frame import LiveFrame
from kinesphere.live.mqtt import MqttChannel, MqttSettings
from kinesphere.live.recorder import Recorder, RecorderSettings
from kinesphere.predict.prediction import Prediction
from kinesphere.video import Video

FPS, JITTER_S = 25, 0.01
BEFORE_S, AFTER_S = 2.0, 1.5
EVERY_S, LATE_S = 4.0, 0.2
SIZES = ((480, 640), (1080, 1920))
BOUND = 200
"""Most alarms that wait for the broker."""
_SCENES = 25
_SOURCE = "source alone"
OURS, PEER = "Recorder", "deque + cv2.VideoWriter"


class Keeper(Protocol):
    """Takes frames, and writes those around an alarm."""

    folder: Path

    def frame(self, frame: LiveFrame) -> None: ...

    def alarm(self, alarm: Alarm) -> None: ...

    def kept_bytes(self) -> int: ...

    def close(self) -> None: ...


class Ours:
    """The recorder of this package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder(RecorderSettings(folder, BEFORE_S, AFTER_S, lag_s=1.0))
        self.frame, self.alarm, self.close = self.recorder.frame, self.recorder.alarm, self.recorder.close

    def kept_bytes(self) -> int:
        return self.recorder.kept_bytes


class RawQueue:
    """The peer: everything on the thread that reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._frames: deque[np.ndarray] = deque(maxlen=round(BEFORE_S * FPS))
        self._writer: cv2.VideoWriter | None = None
        self._left = 0

    def frame(self, frame: LiveFrame) -> None:
        self._frames.append(frame.pixels)
        if self._writer is not None:
            self._write(frame.pixels)
            self._left -= 1
            if self._left == 0:
                self.close()

    def alarm(self, alarm: Alarm) -> None:
        height, width = self._frames[-1].shape[:2]
        path = self.folder / f"{alarm.number:06d}.mp4"
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (width, height))
        for pixels in self._frames:
            self._write(pixels)
        self._left = round(AFTER_S * FPS)

    def kept_bytes(self) -> int:
        return sum(pixels.nbytes for pixels in self._frames)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _write(self, pixels: np.ndarray) -> None:
        assert self._writer is not None
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


@dataclass
class Watched:
    """What came of one source.

    Attributes:
        times: When each frame was taken, in seconds.
        about: Numbers of the frames that alarms were about.
        stalls_s: How long each call held up the source.
        busy_s: Processor time a frame.
        kept_bytes: Of frames in memory before the first alarm.
    """

    times: list[float]
    about: list[int]
    stalls_s: list[float]
    busy_s: float
    kept_bytes: int


def watched(images: list[np.ndarray], seconds: float, keeper: Keeper | None) -> Watched:
    """Give frames in real time, and raise alarms."""
    rng = np.random.default_rng(0)
    count = round(seconds * FPS)
    times = (np.arange(count) / FPS + rng.uniform(0, JITTER_S, count)).tolist()
    late, every = round(LATE_S * FPS), round(EVERY_S * FPS)
    # Those whose clips the source is long enough for.
    about = list(range(round((BEFORE_S + 0.5) * FPS), round((seconds - AFTER_S - 0.5) * FPS), every))
    stalls, kept = [], 0
    began_s, busy_s = time.monotonic(), time.process_time()
    for number, time_s in enumerate(times):
        frame = LiveFrame(
            number, time_s, began_s + time_s, stamp(images[number % len(images)].copy(), number)
        )
        time.sleep(max(0.0, began_s + time_s - time.monotonic()))
        start_s = time.perf_counter()
        if keeper is not None:
            keeper.frame(frame)
            if number - late in about:
                keeper.alarm(alarm_at(number - late, times[number - late]))
        stalls.append(time.perf_counter() - start_s)
        if keeper is not None and number == about[0]:
            kept = keeper.kept_bytes()
    if keeper is not None:
        keeper.close()
    return Watched(times, about, stalls, (time.process_time() - busy_s) / count, kept)


def alarm_at(number: int, time_s: float) -> Alarm:
    """An alarm about a frame."""
    evidence = Prediction(np.array([1.0]), LabelSet(("fall",)), "camera", (time_s, time_s))
    return Alarm("fall", time_s, number, 1.0, evidence)


def wrong_frames(run: Watched, folder: Path) -> tuple[int, int, float]:
    """Frames of all clips that are wrong or missing; how many there should be; largest error of times, s."""
    clips = sorted(map(read_clip, folder.glob("*.mp4")), key=lambda clip: clip[0][0])
    wrong, total, error_s = 0, 0, 0.0
    for number, about in enumerate(run.about):
        span = run.times[about] - BEFORE_S, run.times[about] + AFTER_S
        wanted = [n for n, time_s in enumerate(run.times) if span[0] - 1e-6 <= time_s <= span[1] + 1e-6]
        total += len(wanted)
        if number >= len(clips):
            wrong += len(wanted)
            continue
        numbers, times = clips[number]
        wrong += len(set(wanted) ^ set(numbers)) + (len(numbers) - len(set(numbers)))
        for read, time_s in zip(numbers, times, strict=True):
            if read < len(run.times):
                error_s = max(error_s, abs(time_s - (run.times[read] - run.times[numbers[0]])))
    return wrong, total, error_s


def read_clip(path: Path) -> tuple[list[int], list[float]]:
    """Numbers drawn in the frames of a clip, and their times."""
    with Video.open(path) as video:
        times = video.frame_times()
        frames = video.frames_at(times).data
    return [read_stamp(frame.transpose(1, 2, 0))[0] for frame in frames], times.tolist()


def clip_rows(sizes: list[tuple[int, int]], seconds: float) -> tuple[list[Row], dict[str, int]]:
    """The table, and the wrong frames by who made them."""
    rows: list[Row] = []
    wrong_by = {OURS: 0, PEER: 0}
    for height, width in sizes:
        images = pictures((height, width), _SCENES)
        idle_s = watched(images, min(seconds, 5.0 + EVERY_S), None).busy_s
        for name, make in keepers():
            with tempfile.TemporaryDirectory() as scratch:
                run = watched(images, seconds, make(Path(scratch)))
                wrong, total, error_s = wrong_frames(run, Path(scratch))
            wrong_by[name] += wrong
            rows.append(
                {
                    "frames": f"{width}x{height}",
                    "recorder": name,
                    "clips": len(run.about),
                    "wrong or missing frames": f"{wrong} of {total}",
                    "largest error of a time, ms": significant(error_s * 1e3),
                    "longest stall of the source, ms": significant(max(run.stalls_s) * 1e3),
                    "processor time a frame, ms": significant((run.busy_s - idle_s) * 1e3),
                    f"memory for {BEFORE_S:g} s, MB": significant(run.kept_bytes / 1e6),
                }
            )
    return rows, wrong_by


def keepers() -> Iterator[tuple[str, Callable[[Path], Keeper]]]:
    """Who is measured."""
    yield OURS, Ours
    yield PEER, RawQueue


@dataclass(frozen=True)
class Delivered:
    """What became of alarms to a broker that was killed twice.

    Attributes:
        raised: Alarms in all.
        beyond: Alarms beyond the bound of the queue.
        arrived: Different alarms that reached the listener.
        twice: Alarms that reached it more than once.
        counted: What the delivery counted as lost.
        in_order: Whether they arrived in the order in which they were raised.
    """

    raised: int
    beyond: int
    arrived: int
    twice: int
    counted: int
    in_order: bool


def delivered(folder: Path, bound: int) -> Delivered:
    """Raise alarms while the broker is up, down for fewer than the bound, and down for more."""
    broker = Broker(folder, "allow_anonymous true")
    raised = 0

    def raise_some(count: int) -> None:
        nonlocal raised
        for _ in range(count):
            delivery.alarm(alarm_at(raised, raised / FPS))
            raised += 1

    def all_arrived() -> None:
        with suppress(TimeoutError):
            until(lambda: len(set(broker.frames)) >= raised - delivery.counts.lost)

    try:
        broker.start()
        broker.listen("alarms")
        channel = MqttChannel(MqttSettings("127.0.0.1", broker.port, "alarms"))
        delivery = Delivery(channel, bound=bound, first_pause_s=0.05, longest_pause_s=0.2)
        raise_some(bound // 2)
        until(lambda: delivery.counts.waiting == 0)
        for count in (bound * 3 // 4, bound * 13 // 10):
            all_arrived()  # what a killed broker has taken and not passed on yet, it loses itself
            broker.kill()
            time.sleep(0.2)
            raise_some(count)
            time.sleep(0.3)
            broker.start()
            until(lambda: delivery.counts.waiting == 0, 60)
        delivery.close()
        all_arrived()
    finally:
        broker.end()
    frames = list(dict.fromkeys(broker.frames))
    return Delivered(
        raised=raised,
        beyond=bound * 13 // 10 - bound,
        arrived=len(frames),
        twice=len(broker.frames) - len(frames),
        counted=delivery.counts.lost,
        in_order=frames == sorted(frames),
    )


def delivery_goals(result: Delivered | None) -> list[str]:
    """The lines about the broker."""
    if result is None:
        return [goal("alarms lost within the bound", None, 0, "", at_most=True)]
    lost = result.raised - result.arrived
    return [
        goal("alarms lost within the bound", max(0, lost - result.beyond), 0, "", at_most=True),
        goal(
            "losses beyond the bound that were not counted", abs(lost - result.counted), 0, "", at_most=True
        ),
    ]


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds of each source (default: 15)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only sizes whose name contains TEXT")
    args = parser.parse_args()
    sizes = [size for size in SIZES if args.only in f"{size[1]}x{size[0]}"]
    rows, wrong_by = clip_rows(sizes, args.seconds)
    result = None
    if MOSQUITTO is not None:
        with tempfile.TemporaryDirectory() as scratch:
            result = delivered(Path(scratch), BOUND)
    goals = [
        goal("wrong or missing frames of clips", wrong_by[OURS], 0, "", at_most=True),
        *delivery_goals(result),
    ]
    notes = ["The peer's times are those of 25 frames/s; its writer holds up the source while it works."]
    if result is None:
        notes.append("The program mosquitto is not here, so that alarms were sent nowhere.")
    else:
        notes.append(
            f"Broker killed twice: {result.raised} alarms raised, {result.beyond} beyond the bound of "
            f"{BOUND}; {result.arrived} arrived, {'in' if result.in_order else 'not in'} order, "
            f"{result.twice} of them twice, {result.counted} counted as lost."
        )
    finish(
        "alarms",
        "Alarms: clips exact to a frame, and a broker that goes away",
        parser,
        args,
        rows,
        goals,
        notes,
    )


if __name__ == "__main__":
    main()
