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


def elan_document(tiers: dict[str, list[tuple[str, int, int]]], media: str = "") -> str:
    """An ELAN document, times in milliseconds."""
    slots, layers, number = [], [], 0
    for tier, rows in tiers.items():
        inner = ""
        for label, start, end in rows:
            number += 2
            slots += [f'<TIME_SLOT TIME_SLOT_ID="ts{number + i}" TIME_VALUE="{time}"/>' for i, time in
                      enumerate((start, end))]  # fmt: skip
            inner += (
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" TIME_SLOT_REF1="ts{number}" '
                f'TIME_SLOT_REF2="ts{number + 1}"><ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        layers.append(f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="{tier}">{inner}</TIER>')
    linked = f'<MEDIA_DESCRIPTOR MEDIA_URL="{media}" MIME_TYPE="video/mp4"/>' if media else ""
    return (
        f'<ANNOTATION_DOCUMENT FORMAT="3.0" VERSION="3.0"><HEADER TIME_UNITS="milliseconds">{linked}</HEADER>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(layers)}</ANNOTATION_DOCUMENT>"
    )


@pytest.fixture(scope="session")
def elan() -> Callable[..., str]:
    """`elan_document`, for tests to call."""
    return elan_document
