from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinesphere.data.manifest import Manifest
from kinesphere.video import VideoWriter

MakeVideo = Callable[..., Path]


def write_video(
    path: Path, *, frames: int = 30, size: tuple[int, int] = (48, 64), fps: float = 25, tint: int = 0
) -> Path:
    """A small H.264 video whose frames all differ: a bright bar that moves over a gradient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    base = np.add.outer(np.arange(height), np.arange(width)) % 128
    with VideoWriter(path, size, fps, keyframe_interval=10, threads=1) as writer:
        for number in range(frames):
            frame = np.stack([base, (base + 40 * tint) % 256, np.full_like(base, 8 * number % 256)], -1)
            frame[:, 2 * number % width] = 255
            writer.write(frame.astype(np.uint8))
    return path


@pytest.fixture(scope="session")
def make_video() -> MakeVideo:
    """`write_video`, for tests to call."""
    return write_video


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sound videos of two classes; read-only for tests."""
    root = tmp_path_factory.mktemp("data")
    for tint, label in enumerate(("turn left", "turn right")):
        for number in range(3):
            write_video(root / label / f"{number}.mp4", frames=20 + 10 * number, tint=3 * tint + number)
    return root


@pytest.fixture(scope="session")
def manifest(data_folder: Path) -> Manifest:
    return Manifest.read(data_folder)
