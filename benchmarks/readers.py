"""Video readers side by side: Kinesphere, OpenCV, torchcodec, decord and plain PyAV, and how they are timed.

Every reader opens the file anew and ends with uint8 RGB of 128x171 pixels (H x W). Rounds are interleaved
and the best time of each reader counts, which is what remains when other work on the machine is taken out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.peers import declare_torchvision_operators
from benchmarks.record import milliseconds
from benchmarks.videos import RATE, SECONDS
from kinesphere.core.device import cpu_count
from kinesphere.video import Video, remembered

SIZE = (128, 171)
SPREAD = tuple(int((i + 0.5) * SECONDS * RATE / 16) for i in range(16))
DENSE = tuple(range(SECONDS * RATE // 2, SECONDS * RATE // 2 + 16))
TASKS: dict[str, tuple[int, ...] | None] = {"spread": SPREAD, "dense": DENSE, "all": None}

OURS, AGAIN, BARE = "kinesphere", "kinesphere, opened before", "bare decoding"

Read = Callable[[Path, tuple[int, ...] | None], np.ndarray]


@dataclass(frozen=True)
class Reader:
    """A way to read: `read(path, indices)` gives RGB `(T, 128, 171, 3)`; all frames for `None`."""

    name: str
    read: Read
    tasks: tuple[str, ...] = tuple(TASKS)


def kinesphere(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    """Reads as a process does that never saw the file: its packets are read through first."""
    remembered.forget()
    return kinesphere_again(path, indices)


def kinesphere_again(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    """Reads as the later epochs of a training do: what the first opening found out is still known."""
    with Video.open(path) as video:
        times = video.frame_times() if indices is None else np.asarray(indices) / RATE
        return video.frames_at(times, SIZE).data.transpose(0, 2, 3, 1)


def bare(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = cpu_count()
        for _ in container.decode(stream):
            pass
    return np.empty((0, *SIZE, 3), np.uint8)


def small(rgb: np.ndarray) -> np.ndarray:
    return cv2.resize(rgb, (SIZE[1], SIZE[0]))


def opencv(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frames = []
    index = 0
    while capture.grab() and (indices is None or index <= indices[-1]):
        if indices is None or index in indices:
            frames.append(cv2.cvtColor(small(capture.retrieve()[1]), cv2.COLOR_BGR2RGB))
        index += 1
    return np.stack(frames)


def opencv_seeking(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frames = []
    for i, index in enumerate(indices or ()):
        if i == 0 or index != (indices or ())[i - 1] + 1:
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        frames.append(cv2.cvtColor(small(capture.read()[1]), cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def pyav(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if indices is None or index in indices:
                frames.append(small(frame.to_ndarray(format="rgb24")))
                if indices is not None and index == indices[-1]:
                    break
    return np.stack(frames)


def pyav_seeking(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index in indices or ():
            aim = (stream.start_time or 0) + int(Fraction(index, RATE) / stream.time_base)
            container.seek(aim, stream=stream)
            frame = next(f for f in container.decode(stream) if f.pts is not None and f.pts >= aim)
            frames.append(small(frame.to_ndarray(format="rgb24")))
    return np.stack(frames)


def torchcodec(threads: int, seek_mode: str) -> Read:
    declare_torchvision_operators()  # torchcodec's Resize imports torchvision
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
        decoder = VideoDecoder(
            str(path),
            dimension_order="NHWC",
            num_ffmpeg_threads=threads,
            seek_mode=seek_mode,
            transforms=[Resize(SIZE)],
        )
        if indices is None:
            return decoder.get_frames_in_range(0, len(decoder)).data.numpy()
        return decoder.get_frames_at(list(indices)).data.numpy()

    return read


def decord(threads: int) -> Read:
    import decord as package

    def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
        reader = package.VideoReader(str(path), width=SIZE[1], height=SIZE[0], num_threads=threads)
        return reader.get_batch(list(range(len(reader)) if indices is None else indices)).asnumpy()

    return read


def readers() -> tuple[list[Reader], list[str]]:
    """All that work here, and a note on each package that does not."""
    found = [
        Reader(OURS, kinesphere),
        Reader(AGAIN, kinesphere_again),
        Reader(BARE, bare, ("all",)),
        Reader("opencv", opencv),
        Reader("opencv, seeking", opencv_seeking, ("spread", "dense")),
        Reader("pyav", pyav),
        Reader("pyav, seeking", pyav_seeking, ("spread",)),
    ]
    optional: dict[str, dict[str, Callable[[], Read]]] = {
        "torchcodec": {
            "torchcodec": lambda: torchcodec(1, "exact"),
            "torchcodec, all cores": lambda: torchcodec(0, "exact"),
            "torchcodec, approximate": lambda: torchcodec(1, "approximate"),
        },
        "decord": {"decord": lambda: decord(0), "decord, 1 thread": lambda: decord(1)},
    }
    notes = []
    for package, ways in optional.items():
        try:
            found += [Reader(name, build()) for name, build in ways.items()]
        except ModuleNotFoundError as error:
            missing = (error.name or package).split(".")[0]
            needed = "" if missing == package else f"left out, it needs {missing}, which is "
            notes.append(f"{package}: {needed}not installed")
        except (ImportError, OSError, RuntimeError) as error:
            notes.append(f"{package}: installed, but does not load")
            print(f"{package} does not load: {error}", file=sys.stderr)
    return found, notes


def reading_options(parser: argparse.ArgumentParser) -> None:
    """The options of benchmarks that read the source videos."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names of the videos to read")
    parser.add_argument("--videos", type=Path, help="folder to keep the generated videos in")


# ---- measuring


@dataclass(frozen=True)
class Row:
    """One reader at one task on one video.

    `seconds` and `cpu_seconds` are the best of all rounds, `difference` the mean pixel distance to
    Kinesphere's frames, `wrong_frames` how many look more like another frame nearby.
    """

    source: str
    task: str
    reader: str
    seconds: float | None = None
    cpu_seconds: float | None = None
    difference: float | None = None
    wrong_frames: int = 0
    failure: str = ""

    def __str__(self) -> str:
        if self.seconds is None:
            outcome = self.failure
        else:
            outcome = (
                f"{milliseconds(self.seconds)} ms, {milliseconds(self.cpu_seconds)} ms of processor time"
            )
            if self.difference is not None:
                outcome += f", difference {self.difference:.2f}"
            if self.wrong_frames:
                outcome += f", {self.wrong_frames} wrong frames"
        return f"{self.source}, {self.task}, {self.reader}: {outcome}"


def compare(candidates: list[Reader], path: Path, source: str, task: str, rounds: int) -> list[Row]:
    """Time the candidates on one file, in interleaved rounds, and print each."""
    indices = TASKS[task]
    wall = {reader.name: float("inf") for reader in candidates}
    cpu = dict(wall)
    pixels: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for reader in candidates:
            if reader.name in failures:
                continue
            if reader.name == AGAIN:
                Video.open(path).close()
            begin, used = time.perf_counter(), time.process_time()
            try:
                pixels[reader.name] = reader.read(path, indices)
            except Exception as error:  # a peer's failure is a result, not the end of the run
                failures[reader.name] = f"{type(error).__name__}: {error}"
                continue
            wall[reader.name] = min(wall[reader.name], time.perf_counter() - begin)
            cpu[reader.name] = min(cpu[reader.name], time.process_time() - used)
    truth = kinesphere(path, None)
    wanted = range(len(truth)) if indices is None else indices
    rows = []
    for reader in candidates:
        name = reader.name
        if name in failures:
            rows.append(Row(source, task, name, failure=failures[name]))
            continue
        difference, wrong = judge(pixels[name], truth, wanted)
        rows.append(Row(source, task, name, wall[name], cpu[name], difference, wrong))
    for row in rows:
        print(row, flush=True)
    return rows


def judge(frames: np.ndarray, truth: np.ndarray, wanted: Sequence[int]) -> tuple[float | None, int]:
    """Mean pixel distance to the true frames, and how many frames are nearer to a neighbour of theirs."""
    if not len(frames):
        return None, 0
    distances = []
    wrong = max(0, len(wanted) - len(frames))
    for frame, index in zip(frames, wanted, strict=False):
        near = range(max(0, index - 3), min(len(truth), index + 4))
        by_index = {i: float(np.abs(frame.astype(np.int16) - truth[i]).mean()) for i in near}
        distances.append(by_index[index])
        wrong += by_index[index] > min(by_index.values())
    return float(np.mean(distances)), wrong


def fastest(rows: Sequence[Row], among: Callable[[str], bool]) -> Row | None:
    """The fastest reader whose name is `among` those asked for and that returned the right frames."""
    timed = [row for row in rows if among(row.reader) and row.seconds is not None and not row.wrong_frames]
    return min(timed, key=lambda row: row.seconds or 0.0, default=None)


def faults(rows: Sequence[Row]) -> list[str]:
    """Notes on readers that failed or returned wrong frames, which therefore do not count."""
    return [
        f"{row.source}, {row.task}, {row.reader}: "
        + (f"failed ({row.failure.split(':')[0]})" if row.failure else f"{row.wrong_frames} wrong frames")
        for row in rows
        if row.failure or row.wrong_frames
    ]
