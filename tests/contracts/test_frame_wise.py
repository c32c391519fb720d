"""Windows that share what is computed of their frames have the answers of windows alone, for every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.models import card, create_model, list_models
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.framewise import FrameWise
from kinesphere.models.runtime.streaming import Streaming
from kinesphere.predict import Predictor
from kinesphere.video import VideoWriter

NAMES = [
    *list_models(tiny=True),
    *(pytest.param(name, marks=pytest.mark.slow) for name in list_models()),
]
FRAME_WISE = [name for name in list_models(tiny=True) if card(name).frame_wise]
LENGTH = 4


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at 10 frames a second, all of them different."""
    path = tmp_path_factory.mktemp("videos") / "noise.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, (48, 64), 10) as writer:
        for _ in range(60):
            writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_which_networks_share_and_which_stream(name: str) -> None:
    with torch.device("meta"):
        net = MODELS.get(name).build(3, {})
    assert card(name).frame_wise == isinstance(net, FrameWise)
    streams = isinstance(net, Streaming)
    if streams and not card(name).streaming:
        with pytest.raises(ValueError, match="cannot stream"):
            net.stream_init(1, (32, 32))
    else:
        assert card(name).streaming == streams


@pytest.mark.parametrize("name", FRAME_WISE)
def test_windows_that_share_are_windows_alone(
    name: str, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    predictor = Predictor(create_model(name, ["hop", "skip", "jump"]), Compute("cpu", "fp32", True))
    seen: list[int] = []
    compute = Predictor.frame_features

    def counted(self: Predictor, frames: torch.Tensor) -> torch.Tensor:
        seen.append(len(frames))
        return compute(self, frames)

    monkeypatch.setattr(Predictor, "frame_features", counted)
    crops = 1 if predictor.spec.resize == "stretch" else 3
    views = Views(1, crops)
    # Segments of a second each, or of 0.4 s: windows that begin a second apart have them in common.
    spread = predictor.spec.sampling.kind == "uniform"
    window_s = float(predictor.spec.length) if spread else predictor.spec.length / 10
    timeline = predictor.timeline(
        video, window_s=window_s, stride_s=1.0 if spread else window_s / 2, views=views
    )
    for span, shared in zip(timeline.spans.tolist(), timeline.probabilities, strict=True):
        alone = predictor.predict(video, span=(span[0], span[1]), views=views).probabilities
        np.testing.assert_allclose(shared, alone, atol=1e-5)
    whole = crops * len(timeline) * predictor.spec.length // predictor.snippet
    if spread:
        assert sum(seen) == crops * 6  # one frame a second, computed once
        assert sum(seen) < whole
    else:
        assert sum(seen) <= whole
