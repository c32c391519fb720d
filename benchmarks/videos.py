"""The videos that benchmarks read: a panning fractal texture with moving bodies and sensor noise.

They are encoded by libx264 (default preset, B-frames) with the default longest key-frame distance of 250
and with 30 and 12, as web videos have, and by FFmpeg's MPEG-4 encoder as Xvid AVI.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from kinesphere.data import Manifest

SECONDS = 20
RATE = 30


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


@contextmanager
def source_videos(part_of_name: str, folder: Path | None) -> Iterator[dict[Source, Path]]:
    """Those of `SOURCES` whose names contain a text, in `folder` or else for as long as the context lasts.

    What `folder` holds already is not encoded again.
    """
    with tempfile.TemporaryDirectory() as scratch:
        kept = folder or Path(scratch)
        kept.mkdir(parents=True, exist_ok=True)
        drawn: dict[tuple[int, int], list[np.ndarray]] = {}
        paths = {}
        for source in SOURCES:
            if part_of_name not in source.name:
                continue
            path = kept / f"{source.name.replace(' ', '_')}{source.suffix}"
            if not path.exists():
                if source.size not in drawn:
                    drawn[source.size] = pictures(source.size, SECONDS * RATE)
                part = path.with_name(f"part_{path.name}")
                encode(part, source, drawn[source.size])
                part.replace(path)
            paths[source] = path
        yield paths


def two_classes(root: Path, videos: int, frames: int) -> Manifest:
    """A training set of 320x240 H.264 videos, half of them of either class."""
    source = next(source for source in SOURCES if source.size == (240, 320))
    for number in range(videos):
        path = root / "ab"[number % 2] / f"{number}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(path, source, pictures(source.size, frames, seed=number))
    return Manifest.read(root)
