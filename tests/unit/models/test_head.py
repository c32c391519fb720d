"""Heads in another form: cosines that the model file keeps, biases, fresh layers of the same form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models import create_model, list_models, load_model
from kinesphere.models.checkpoint import save_model
from kinesphere.models.head import HeadForm, NormalisedHead
from kinesphere.models.recogniser import Recogniser, give_form
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.train.ema import recogniser_around

LABELS = ("sit", "stand", "walk")
COSINES = HeadForm("normalised", bias=False, scale=20.0)


def clips_of(recogniser: Recogniser, count: int = 2) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((count, spec.length, *MODALITIES.get(spec.modality).shape(spec)) for spec in recogniser.specs)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


@pytest.fixture
def cosine() -> Recogniser:
    recogniser = create_model("fc_tiny", LABELS)
    recogniser.shape_head(COSINES)
    return recogniser


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2, 3, 3)])
def test_logits_are_scaled_cosines(shape: tuple[int, ...]) -> None:
    x, weight = torch.randn(shape), torch.randn(3, 6)
    rows = weight if len(shape) == 2 else weight[:, :, None, None, None]
    head = NormalisedHead(rows, torch.tensor([0.0, 1, 2]), 20.0)
    logits, where = head(5 * x), (slice(None), 1) if len(shape) == 2 else (slice(None), 1, 0, 1, 2)
    features = x if len(shape) == 2 else x[:, :, 0, 1, 2]
    torch.testing.assert_close(logits[where], 20 * F.cosine_similarity(features, weight[1][None]) + 1)


def test_the_head_of_every_model_can_be_normalised() -> None:
    for name in list_models(tiny=True):
        architecture = MODELS.get(name)
        with torch.device("meta"):
            net = architecture.build(3, {})
            give_form(net, architecture.card, COSINES)
            for path in architecture.card.head:
                parts = [m for m in net.get_submodule(path).modules() if isinstance(m, NormalisedHead)]
                assert sum(part.scale for part in parts) == pytest.approx(20.0)
                assert parts[0].bias is None


@pytest.mark.parametrize("name", ["fc_tiny", "x3d_tiny", "trn_tiny", "two_stream_tiny"])
def test_a_model_file_keeps_the_form(name: str, tmp_path: Path) -> None:
    recogniser = create_model(name, LABELS)
    recogniser.shape_head(COSINES)
    clips = clips_of(recogniser)
    loaded = load_model(save_model(recogniser, tmp_path / "m.safetensors"))
    assert loaded.head == COSINES
    with torch.no_grad():
        logits = loaded(*clips)
        torch.testing.assert_close(logits, recogniser(*clips))
        prepared = optimise_for_inference(loaded, Compute("cpu", "fp32", True))
        torch.testing.assert_close(prepared(*clips), logits, atol=1e-5, rtol=1e-5)
    assert recogniser_around(loaded.net, loaded).head == COSINES


def test_a_fresh_head_has_the_same_form(cosine: Recogniser) -> None:
    cosine.reset_head(("a", "b"))
    head = cosine.net.get_submodule(cosine.card.head[0])
    assert isinstance(head, NormalisedHead)
    assert (head.weight.shape[0], head.bias, head.scale) == (2, None, 20.0)


def test_a_bias_begins_at_zero_and_is_kept(tmp_path: Path) -> None:
    recogniser = create_model("fc_tiny", LABELS)
    clips = clips_of(recogniser)
    with torch.no_grad():
        before = recogniser(*clips)
        recogniser.shape_head(HeadForm(bias=True))
        torch.testing.assert_close(recogniser(*clips), before)
    assert load_model(save_model(recogniser, tmp_path / "m.safetensors")).head == HeadForm()


def test_all_freezes_everything_but_the_head() -> None:
    for name in ("fc_tiny", "movinet_tiny", "two_stream_tiny"):  # without and with a tail, with two heads
        recogniser = create_model(name, LABELS)
        recogniser.freeze("all")
        learning = {n.rpartition(".")[0] for n, p in recogniser.net.named_parameters() if p.requires_grad}
        assert learning == set(recogniser.card.head)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "cubic", "bias": True, "scale": 1.0}, "A head is linear or normalised; got 'cubic'"),
        ({"kind": "normalised", "bias": True, "scale": 1e9}, "scale of a normalised head is above 0"),
        ({"kind": "normalised", "bias": 3, "scale": 1.0}, "bias is true or false; got '3'"),
        ({"kind": "normalised", "gain": 3}, "no form of a head"),
        ("normalised", "The header of m.safetensors is incomplete or wrong"),
        (None, "contradicts its header"),
    ],
)
def test_a_wrong_form_is_refused(form: Any, message: str, tmp_path: Path) -> None:
    recogniser = create_model("fc_tiny", LABELS)
    recogniser.shape_head(HeadForm("normalised", bias=False))
    path = save_model(recogniser, tmp_path / "m.safetensors")
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["kinesphere"])
    save_file(load_file(path), path, metadata={"kinesphere": json.dumps(header | {"head": form})})
    with pytest.raises(InvalidCheckpoint, match=message):
        load_model(path)


def test_other_layers_are_no_heads() -> None:
    recogniser = create_model("fc_tiny", LABELS)
    path = recogniser.card.head[0]
    setattr(recogniser.net, path, torch.nn.Identity())
    with pytest.raises(InvalidSetting, match=r"is a Identity; heads are nn\.Linear"):
        recogniser.shape_head(HeadForm())
