"""Two squares that pass one another, and a predictor that tells colours."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.annotations.formats.mot import write_tracks
from kinesphere.annotations.timed import Track
from kinesphere.clips.spec import ClipSpec, Sampling, Views
from kinesphere.core.device import Compute
from kinesphere.core.labels import LabelSet
from kinesphere.predict.video_predictor import VideoPredictor
from kinesphere.video import VideoWriter

FRAMES, FPS, SIZE = 50, 25, (96, 160)
RED, BLUE, GREY = (230, 20, 20), (20, 20, 230), (110, 110, 110)


class Colours(VideoPredictor):
    """Says how red and how blue the middle of a clip is."""

    def __init__(self, spec: ClipSpec | None = None) -> None:
        super().__init__("colours", Compute.choose("cpu"))
        self._spec = spec or ClipSpec(Sampling("uniform", 4), size=(32, 32), resize="stretch")
        self.seen: list[torch.Tensor] = []

    @property
    def labels(self) -> LabelSet:
        return LabelSet(("red", "blue"))

    @property
    def specs(self) -> tuple[ClipSpec, ...]:
        return (self._spec,)

    def probabilities(self, inputs: Sequence[torch.Tensor], views: Views = Views()) -> torch.Tensor:  # noqa: B008
        self.seen += list(inputs[0])
        middle = inputs[0].float()[..., 10:22, 10:22].mean((1, 2, 4, 5))
        both = middle[:, [0, 2]] + 1
        return both / both.sum(1, keepdim=True)

    def digest(self) -> str:
        return "colours"


def squares(speed: float = 2.0) -> tuple[Track, Track]:
    """A red square that goes to the right, a blue one below it that goes to the left."""
    frames = np.arange(FRAMES)
    right, left = 5 + speed * frames, 125 - speed * frames
    boxes = [
        np.stack([x, np.full(FRAMES, y), x + 30, np.full(FRAMES, y + 40)], 1)
        for x, y in ((right, 4.0), (left, 50.0))
    ]
    one, other = (Track(i, frames + 1, box, np.ones(FRAMES)) for i, box in enumerate(boxes, start=1))
    return one, other


def bag() -> Track:
    """A thing at the middle of the red square."""
    one, _ = squares()
    middle = (one.boxes[:, :2] + one.boxes[:, 2:]) / 2
    return Track(3, one.frames, np.concatenate([middle - 4, middle + 4], 1), np.full(FRAMES, 0.75), "bag")


@pytest.fixture(scope="session")
def passing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their video, 2 s of 160×96 at 25 frames/s."""
    path = tmp_path_factory.mktemp("people") / "passing.mp4"
    with VideoWriter(path, SIZE, FPS) as writer:
        for row in range(FRAMES):
            image = np.full((*SIZE, 3), GREY, np.uint8)
            for track, colour in zip(squares(), (RED, BLUE), strict=True):
                left, top, right, bottom = track.boxes[row].astype(int)
                image[top:bottom, left:right] = colour
            writer.write(image)
    return path


@pytest.fixture
def shell(passing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the video and its tracks, and the predictor of colours in the place of any model."""
    module = importlib.import_module("kinesphere.apps.cli.predict")
    monkeypatch.setattr(module, "_predictors", lambda named, compute, opening: {"colours": Colours()})
    shutil.copy(passing, tmp_path / "a.mp4")
    write_tracks(tmp_path / "tracks" / "a", [*squares(), bag()])
    monkeypatch.chdir(tmp_path)
    return tmp_path
