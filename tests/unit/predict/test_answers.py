"""What a network answers: mirror images count for the mirrored labels, and what is no number is no answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kinesphere.clips.spec import Views
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidSetting, NotFinite
from kinesphere.core.labels import LabelSet
from kinesphere.core.skipped import Skipped
from kinesphere.data import Manifest, Sample
from kinesphere.evaluate import collect
from kinesphere.models import create_model
from kinesphere.predict import Prediction, Predictor
from kinesphere.predict.fusion import FusedPredictor
from kinesphere.predict.timeline import Timeline
from kinesphere.video import VideoWriter

log = logging.getLogger(__name__)


class Side(nn.Module):
    """Sure of the side on which a clip is brighter; logits for left, right and none."""

    def __init__(self, order: Sequence[int] = (0, 1, 2)) -> None:
        super().__init__()
        self.order = list(order)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        half = clips.shape[-1] // 2
        apart = 20 * (clips[..., :half].mean((1, 2, 3, 4)) - clips[..., half:].mean((1, 2, 3, 4)))
        return torch.stack([apart, -apart, torch.full_like(apart, -30.0)], dim=1)[:, self.order]


class Broken(nn.Module):
    """Has no number for dark clips."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        light = clips.mean((1, 2, 3, 4))
        logits = torch.stack([light, -light, torch.zeros_like(light)], dim=1)
        return torch.where((light < 0)[:, None], self.value, logits)


def made(
    net: nn.Module, names: tuple[str, ...] = ("turn left", "turn right", "rest"), **labels: bool
) -> Predictor:
    recogniser = create_model("r3d_tiny", LabelSet(names, **labels))
    recogniser.net = net
    return Predictor(recogniser, Compute("cpu", "fp32", True), name="made", optimise=False)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos bright on one side, all over, and nowhere."""
    folder = tmp_path_factory.mktemp("sides")
    paths = {}
    for name, left, right in (("left", 220, 30), ("right", 30, 220), ("bright", 230, 230), ("dark", 5, 5)):
        paths[name] = folder / f"{name}.mp4"
        frame = np.full((48, 96, 3), left, np.uint8)
        frame[:, 48:] = right
        with VideoWriter(paths[name], (48, 96), 10) as writer:
            for _ in range(20):
                writer.write(frame)
    return paths


def whole(predictor: Predictor) -> Predictor:
    """The same, with crops that show both sides."""
    predictor.module.specs = (predictor.spec.with_(size=(32, 64), short_side_px=40),)
    return predictor


@pytest.mark.parametrize("side", ["left", "right"])
def test_mirror_images_count_for_the_mirrored_labels(videos: dict[str, Path], side: str) -> None:
    predictor = whole(made(Side()))
    for views in (Views(1, 5), Views(1, 10), Views(2, 10)):
        label, share = predictor.predict(videos[side], views=views).top(1)[0]
        assert (label, share) == (f"turn {side}", pytest.approx(1, abs=1e-3))
        timeline = predictor.timeline(videos[side], window_s=1, stride_s=0.5, views=views)
        assert timeline.mean().top(1)[0][1] == pytest.approx(1, abs=1e-3)


def test_fused_models_exchange_each_in_its_own_order(videos: dict[str, Path]) -> None:
    members = [
        whole(made(Side())),
        whole(made(Side((2, 1, 0)), ("rest", "turn right", "turn left"))),
    ]
    said = FusedPredictor(members).predict(videos["right"], views=Views(1, 10))
    assert said.top(1)[0] == ("turn right", pytest.approx(1, abs=1e-3))


def test_evaluation_of_ten_crops_is_that_of_five(videos: dict[str, Path]) -> None:
    samples = tuple(Sample(side, videos[side], (f"turn {side}",), group=side) for side in ("left", "right"))
    data = Manifest(samples, LabelSet(("turn left", "turn right")), videos["left"].parent)
    predictor = whole(made(Side()))
    tables = [collect(predictor, data, views=Views(1, crops), workers=0) for crops in (5, 10)]
    np.testing.assert_allclose(tables[0].probabilities, tables[1].probabilities, atol=1e-3)


def test_mirror_images_of_labels_without_a_partner_are_refused(videos: dict[str, Path]) -> None:
    predictor = whole(made(Side(), ("turn left", "clap", "rest")))
    for ask in (
        lambda views: predictor.predict(videos["left"], views=views),
        lambda views: list(predictor.predict_many([videos["left"]], views=views)),
        lambda views: predictor.timeline(videos["left"], window_s=1, stride_s=1, views=views),
    ):
        with pytest.raises(InvalidSetting, match=r"Views 1x10 hold mirror images, in which 'turn left'"):
            ask(Views(1, 10))
        ask(Views(1, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_answer(videos: dict[str, Path], value: float) -> None:
    predictor = made(Broken(value))
    with pytest.raises(
        NotFinite, match=r"The answer of made to .*dark\.mp4 is nan.* in fp32; check its weights"
    ):
        predictor.predict(videos["dark"])
    said = list(predictor.predict_many([videos["dark"], videos["bright"]]))
    assert isinstance(said[0], Skipped)
    assert isinstance(said[1], Prediction)
    with pytest.raises(NotFinite, match=r"dark\.mp4 from 0\.00 to 1\.00 s is nan"):
        predictor.timeline(videos["dark"], window_s=1, stride_s=1)
    fused = FusedPredictor([predictor, made(Broken(value))])
    with pytest.raises(NotFinite):
        fused.predict(videos["dark"])
    samples = tuple(Sample(name, videos[name], ("rest",)) for name in ("bright", "dark"))
    data = Manifest(samples, LabelSet(("rest", "turn left")), videos["dark"].parent)
    with pytest.raises(NotFinite, match="The answer of made to dark is nan"):
        collect(predictor, data, workers=0)


def test_predictions_and_timelines_hold_probabilities_only() -> None:
    labels = LabelSet(("a", "b"))
    for wrong in (np.nan, np.inf, -0.1, 1.1):
        with pytest.raises(InvalidSetting, match=r"Probabilities are numbers in \[0, 1\]; got"):
            Prediction(np.array([wrong, 0.5]), labels, "x.mp4", (0, 1))
        with pytest.raises(InvalidSetting, match=r"Probabilities are numbers in \[0, 1\]; got"):
            Timeline(np.array([[0.5, 0.5], [wrong, 0.5]]), np.array([[0, 1], [1, 2.0]]), labels, "x.mp4")


def test_a_model_of_several_labels_is_scored_on_clips_with_one(videos: dict[str, Path]) -> None:
    samples = tuple(Sample(side, videos[side], (f"turn {side}",)) for side in ("left", "right"))
    data = Manifest(samples, LabelSet(("turn left", "turn right")), videos["left"].parent)
    table = collect(whole(made(Side(), multi=True)), data, workers=0)
    assert table.targets.tolist() == [[1, 0, 0], [0, 1, 0]]
