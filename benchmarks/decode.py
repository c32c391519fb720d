"""How fast frames are read: Kinesphere beside OpenCV, torchcodec, decord and plain PyAV, in one run.

Every reader opens the file anew and ends with uint8 RGB of 128x171 pixels (H x W). Three tasks: `spread`
takes 16 frames spread evenly over a 20 s clip, `dense` 16 successive ones from its middle, `all` every
frame. `bare` only decodes and throws the frames away: no reader of all frames can be faster. Where a
reader can work in several ways (threads, seeking or reading through), each is a row; ratios are taken to
the fastest row of all peers. Rounds are interleaved and the best time of each row counts, which is what
remains when other work on the machine is taken out. `difference` is the mean absolute distance of pixel
values to Kinesphere's (resampling filters differ); a row of which some frames resemble a neighbour of the
asked frame more than that frame itself did not do the work and does not count as a peer.

The videos are generated here: a panning fractal texture with moving bodies and sensor noise, encoded by
libx264 (default preset, B-frames) with the default longest key-frame distance of 250 and with 30 and 12,
as web videos have, and by FFmpeg's MPEG-4 encoder as Xvid AVI.

Peers that are not installed are reported as such. To have them all, in an environment of their own:

    python -m venv bench && . bench/bin/activate
    pip install . && pip install --no-deps -r benchmarks/requirements-bench.txt
    python benchmarks/decode.py --json decode.json

torchcodec loads the system's FFmpeg libraries; and its wheel from PyPI is linked to CUDA, so without CUDA
take the CPU wheel from PyTorch's index, or put stand-ins for the CUDA libraries on LD_LIBRARY_PATH (only
its CPU code runs here).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from kinesphere.core.device import cpu_count
from kinesphere.video import Video

SIZE = (128, 171)
SECONDS = 20
RATE = 30
SPREAD = tuple(int((i + 0.5) * SECONDS * RATE / 16) for i in range(16))
DENSE = tuple(range(SECONDS * RATE // 2, SECONDS * RATE // 2 + 16))
TASKS: dict[str, tuple[int, ...] | None] = {"spread": SPREAD, "dense": DENSE, "all": None}


# ---- source videos


@dataclass(frozen=True)
class Source:
    """One generated video: `(H, W)` pixels, encoder, longest key-frame distance, B-frames."""

    name: str
    size: tuple[int, int]
    codec: str
    gop: int
    b_frames: int

    @property
    def suffix(self) -> str:
        return ".avi" if self.codec == "mpeg4" else ".mp4"


SOURCES = (
    Source("h264 640x480 gop 250", (480, 640), "libx264", 250, 3),
    Source("h264 640x480 gop 30", (480, 640), "libx264", 30, 3),
    Source("h264 640x480 gop 12", (480, 640), "libx264", 12, 3),
    Source("h264 320x240 gop 250", (240, 320), "libx264", 250, 3),
    Source("h264 320x240 gop 30", (240, 320), "libx264", 30, 3),
    Source("xvid avi 320x240 gop 250", (240, 320), "mpeg4", 250, 2),
    Source("xvid avi 320x240 gop 12", (240, 320), "mpeg4", 12, 0),
)


def fractal(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Texture with a natural spectrum: noise of all scales, each as strong as it is large."""
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(7):
        cells = 3 * 2**octave
        noise = rng.standard_normal((cells, cells * 2, 3)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / 1.7**octave
    return np.clip(120 + 45 * total, 0, 255).astype(np.uint8)


def pictures(size: tuple[int, int], count: int, seed: int = 0) -> list[np.ndarray]:
    """RGB pictures `(H, W, 3)` of bodies that swing across a panned scene, with sensor noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    scene = fractal(rng, height * 5 // 4, width * 5 // 4)
    cloth = fractal(rng, height, width)
    grain = rng.normal(0, 5.0, (8, height, width, 3)).astype(np.int16)
    frames = []
    for i in range(count):
        t = i / RATE
        dy = height * (0.12 + 0.05 * np.sin(0.7 * t))
        dx = width * (0.12 + 0.1 * np.sin(0.4 * t))
        frame = cv2.getRectSubPix(scene, (width, height), (dx + width / 2, dy + height / 2))
        mask = np.zeros((height, width), np.uint8)
        for k in range(3):
            x = width * (0.5 + 0.35 * np.sin((0.5 + 0.3 * k) * t + k))
            y = height * (0.55 + 0.06 * np.sin(3.1 * t + k))
            axes = (int(width * 0.05), int(height * 0.2))
            cv2.ellipse(mask, (int(x), int(y)), axes, 15 * np.sin(2 * t + k), 0, 360, 255, -1)
            hand = (int(x + width * 0.13 * np.cos(4 * t + k)), int(y - height * 0.15 * np.sin(4 * t + k)))
            cv2.line(mask, (int(x), int(y)), hand, 255, max(2, width // 40))
        frame[mask > 0] = cloth[mask > 0]
        frames.append(np.clip(frame + grain[rng.integers(8)], 0, 255).astype(np.uint8))
    return frames


def encode(path: Path, source: Source, frames: list[np.ndarray]) -> None:
    """Write `frames` as `source` says."""
    options = {"bf": str(source.b_frames)}
    if source.codec == "mpeg4":
        options |= {"qscale": "4", "flags": "+qscale"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(source.codec, rate=RATE, options=options)
        stream.height, stream.width = source.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = source.gop
        if source.codec == "mpeg4":
            stream.codec_context.codec_tag = "XVID"
            stream.codec_context.qmin = stream.codec_context.qmax = 4
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def generate(sources: list[Source], folder: Path) -> dict[Source, Path]:
    """Encode those of `sources` that `folder` does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[tuple[int, int], list[np.ndarray]] = {}
    paths = {}
    for source in sources:
        path = folder / f"{source.name.replace(' ', '_')}{source.suffix}"
        if not path.exists():
            if source.size not in drawn:
                drawn[source.size] = pictures(source.size, SECONDS * RATE)
            part = path.with_name(f"part_{path.name}")
            encode(part, source, drawn[source.size])
            part.replace(path)
        paths[source] = path
    return paths


# ---- readers

Read = Callable[[Path, tuple[int, ...] | None], np.ndarray]


@dataclass(frozen=True)
class Reader:
    """A way to read: `read(path, indices)` gives RGB `(T, 128, 171, 3)`; all frames for `None`."""

    name: str
    package: str
    read: Read
    tasks: tuple[str, ...] = tuple(TASKS)


def kinesphere(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
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
    declare_torchvision_operators()
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


def declare_torchvision_operators() -> None:
    """torchcodec's Resize imports torchvision, whose wheel may lack operators that nothing here uses."""
    import torch

    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


def decord(threads: int) -> Read:
    import decord as package

    def read(path: Path, indices: tuple[int, ...] | None) -> np.ndarray:
        reader = package.VideoReader(str(path), width=SIZE[1], height=SIZE[0], num_threads=threads)
        return reader.get_batch(list(range(len(reader)) if indices is None else indices)).asnumpy()

    return read


def readers() -> tuple[list[Reader], dict[str, str]]:
    """All that work here, and why the others do not."""
    ours = [
        Reader("kinesphere", "kinesphere", kinesphere),
        Reader("bare decoding", "av", bare, ("all",)),
    ]
    peers: list[tuple[str, str, Callable[[], Read], tuple[str, ...]]] = [
        ("opencv", "opencv-contrib-python-headless", lambda: opencv, tuple(TASKS)),
        ("opencv, seeking", "opencv-contrib-python-headless", lambda: opencv_seeking, ("spread", "dense")),
        ("pyav", "av", lambda: pyav, tuple(TASKS)),
        ("pyav, seeking", "av", lambda: pyav_seeking, ("spread",)),
        ("torchcodec", "torchcodec", lambda: torchcodec(1, "exact"), tuple(TASKS)),
        ("torchcodec, all cores", "torchcodec", lambda: torchcodec(0, "exact"), tuple(TASKS)),
        ("torchcodec, approximate", "torchcodec", lambda: torchcodec(1, "approximate"), tuple(TASKS)),
        ("decord", "decord", lambda: decord(0), tuple(TASKS)),
        ("decord, 1 thread", "decord", lambda: decord(1), tuple(TASKS)),
    ]
    absent: dict[str, str] = {}
    for name, package, build, tasks in peers:
        try:
            ours.append(Reader(name, package, build(), tasks))
        except (ImportError, OSError, RuntimeError) as error:
            absent[package] = str(error).strip().splitlines()[0]
    return ours, absent


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


def compare(candidates: list[Reader], path: Path, source: str, task: str, rounds: int) -> list[Row]:
    """Time the candidates on one file, in interleaved rounds.

    This is also the hook for readers that are defined elsewhere, such as one that reads from a cache of
    decoded frames.
    """
    indices = TASKS[task]
    wall = {reader.name: float("inf") for reader in candidates}
    cpu = dict(wall)
    pixels: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for reader in candidates:
            if reader.name in failures:
                continue
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


def table(rows: list[Row]) -> str:
    """Markdown: one line per video and task, with the ratios that the goals are about."""
    lines = [
        "| video | task | kinesphere | bare decoding | fastest peer | its name | peer ÷ ours | ours ÷ bare |",
        "|---|---|--:|--:|--:|---|--:|--:|",
    ]
    for source, task in dict.fromkeys((row.source, row.task) for row in rows):
        timed = {
            r.reader: r.seconds
            for r in rows
            if (r.source, r.task) == (source, task) and r.seconds and not r.wrong_frames
        }
        ours, floor = timed.pop("kinesphere"), timed.pop("bare decoding", None)
        peer = min(timed, key=timed.__getitem__) if timed else "-"
        peer_s = timed.get(peer)
        cells = [
            source,
            task,
            f"{ours * 1e3:.1f} ms",
            f"{floor * 1e3:.1f} ms" if floor else "",
            f"{peer_s * 1e3:.1f} ms" if peer_s else "",
            peer,
            f"{peer_s / ours:.2f}" if peer_s else "",
            f"{ours / floor:.2f}" if floor else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare video readers; see the module's docstring.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names of the videos to read")
    parser.add_argument("--videos", type=Path, help="folder to keep the generated videos in")
    parser.add_argument("--json", type=Path, help="where to write all rows")
    args = parser.parse_args()
    folder = args.videos or Path(tempfile.mkdtemp())
    # Before any peer is loaded: several builds of FFmpeg in one process disturb each other's encoders.
    paths = generate([source for source in SOURCES if args.only in source.name], folder)
    candidates, absent = readers()
    rows: list[Row] = []
    for source, path in paths.items():
        for task in TASKS:
            chosen = [reader for reader in candidates if task in reader.tasks]
            rows += compare(chosen, path, source.name, task, args.rounds)
    print(table(rows))
    for package, reason in absent.items():
        print(f"not available: {package} ({reason})")
    if args.json:
        versions = {r.package: importlib.metadata.version(r.package) for r in candidates}
        report = {
            "machine": {"cores": cpu_count(), "platform": platform.platform()},
            "versions": versions,
            "absent": absent,
            "rows": [asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
