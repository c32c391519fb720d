"""A data set of tiny generated videos, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.train.recipe import Recipe
from kinesphere.video import VideoWriter

CLASSES = ("bright", "dark", "striped")


def write_video(path: Path, label: str, seed: int) -> None:
    """Eight frames of 32x32 pixels whose class a linear model can see."""
    rng = np.random.default_rng(seed)
    level = {"bright": 200, "dark": 40, "striped": 120}[label]
    frames = np.full((8, 32, 32, 3), level, dtype=np.int64)
    if label == "striped":
        frames[:, ::4] = 220
    noisy = np.clip(frames + rng.integers(-20, 20, frames.shape), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, (32, 32), 8) as writer:
        for frame in noisy:
            writer.write(frame)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three class folders with eight videos each."""
    root = tmp_path_factory.mktemp("videos")
    for number, label in enumerate(CLASSES):
        for i in range(8):
            write_video(root / label / f"{i}.mp4", label, 100 * number + i)
    return root


@pytest.fixture
def recipe(videos: Path, tmp_path: Path) -> Recipe:
    """A recipe that trains a tiny model in about a second."""
    settings = {
        "data": {"source": str(videos), "val": 0.25, "test": 0.25},
        "model": {"name": "fc_tiny"},
        "augment": {"preset": "light"},
        "train": {"epochs": 3, "batch_size": 4, "checkpoint_minutes": None},
        "compute": {"device": "cpu", "precision": "fp32", "workers": 0},
        "log": {"tensorboard": False},
        "out": str(tmp_path / "run"),
    }
    return Recipe.build(settings)
