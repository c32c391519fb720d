"""Small videos and lists for the examples of sets that are known by lists."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinesphere.core.files import make_folder, write_text
from kinesphere.video import VideoWriter

_SIZE, _FPS = (32, 48), 10


def write_videos(folder: Path, names: Iterable[str], *, seconds: float = 1.0, fps: int = _FPS) -> None:
    """Write a small video, grey that brightens, under each name below a folder."""
    video = io.BytesIO()
    with VideoWriter(video, _SIZE, fps, threads=1) as writer:
        for level in np.linspace(40, 200, max(1, round(seconds * fps))):
            writer.write(np.full((*_SIZE, 3), level, np.uint8))
    for name in names:
        make_folder((folder / name).parent)
        (folder / name).write_bytes(video.getvalue())  # known by its content, whatever its suffix


def write_frames(folder: Path, names: Iterable[str], *, count: int = 6, pattern: str = "{:05d}.jpg") -> None:
    """Write a folder of numbered frames, grey that brightens, under each name below a folder."""
    import cv2

    for name in names:
        make_folder(folder / name)
        for number in range(1, count + 1):
            _, encoded = cv2.imencode(".jpg", np.full((*_SIZE, 3), 30 * number, np.uint8))
            (folder / name / pattern.format(number)).write_bytes(encoded.tobytes())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a list."""
    make_folder(path.parent)
    write_text(path, "".join(f"{line}\n" for line in lines))
