from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.predict import Predictor
from kinesphere.video import VideoWriter

MakeVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def make_video(tmp_path_factory: pytest.TempPathFactory) -> MakeVideo:
    """Writes a video in which a bright square crosses a textured ground; the seed picks both."""
    folder = tmp_path_factory.mktemp("videos")

    def make(frames: int = 40, size: tuple[int, int] = (48, 64), seed: int = 0, fps: int = 10) -> Path:
        path = folder / f"{frames}_{size[0]}x{size[1]}_{seed}_{fps}.mp4"
        if not path.exists():
            ground = np.random.default_rng(seed).integers(0, 120, (*size, 3), dtype=np.uint8)
            with VideoWriter(path, size, fps) as writer:
                for i in range(frames):
                    picture = ground.copy()
                    left = (2 * i + 7 * seed) % (size[1] - 10)
                    picture[10:30, left : left + 10] = 255
                    writer.write(picture)
        return path

    return make


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    torch.manual_seed(0)
    recogniser = create_model("r3d_tiny", LabelSet(("hop", "skip", "jump")))
    return Predictor(recogniser, Compute("cpu", "fp32", True))
