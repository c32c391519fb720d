"""Every registered model × every method: it explains itself, or says by name what to use instead."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from kinesphere.core.labels import LabelSet
from kinesphere.explain.layers import look
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Recogniser, card, create_model, list_models
from kinesphere.models.runtime.measure import input_shape

TINY = list_models(tiny=True)
LABELS = LabelSet(("clap", "jump", "wave"))
LITTLE = Settings(steps=2, most_steps=2, samples=2, masks=4, tube=(8, 64, 64), cells=(2, 3, 3), batch=4)
INSTEAD = {
    ("guided_backprop", "videomae_tiny"): "GELU",
    ("guided_gradcam", "videomae_tiny"): "GELU",
    ("attention_rollout", "video_swin_tiny"): "layercam or gradcam",
    ("weighted_attention", "video_swin_tiny"): "layercam or gradcam",
    ("gradcam", "fc_tiny"): "integrated_gradients, occlusion or rise",
}

LONGER = {
    "aagcn_tiny", "agcn_tiny", "ctrgcn_tiny", "dd_net_people_tiny", "dgstgcn_tiny", "i3d_tiny",
    "ip_csn_tiny", "karpathy_slow_fusion_multires_tiny", "movinet_stream_tiny", "msg3d_tiny",
    "mvit_v2_micro", "nonlocal_i3d_dot_product_tiny", "posec3d_c3d_tiny", "posec3d_tiny",
    "resnet_lstm_tiny", "rgbpose_conv3d_tiny", "rgbpose_late_tiny", "s3d_tiny", "slowfast_tiny",
    "stgcnpp_tiny", "tanet_tiny", "tin_tiny", "tpn_slowonly_tiny", "tpn_tsm_tiny", "trn_tiny",
    "tsm_mobile_online_tiny", "tsm_mobile_tiny", "tsm_nl_tiny", "tsm_online_tiny",
    "two_stream_fused_3d_tiny", "two_stream_i3d_tiny", "video_swin_tiny", "xclip_tiny",
}  # fmt: skip
"""Networks that all methods take longest to explain."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def recogniser_and_batch(name: str, *, batch: int = 2) -> tuple[Recogniser, tuple[Tensor, ...]]:
    """A fresh model with noise to look at; of joints, scores above 0."""
    recogniser = create_model(name, LABELS).eval()
    shapes = [input_shape(spec, batch=batch) for spec in recogniser.specs]
    poses = [spec.modality == "pose" for spec in recogniser.specs]
    return recogniser, tuple(
        torch.rand(shape) if pose else torch.randn(shape) for shape, pose in zip(shapes, poses, strict=True)
    )


def state(recogniser: Recogniser) -> list[object]:
    """What a method must leave as it is."""
    hooks = [
        (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
        for module in recogniser.modules()
    ]
    modes = [(module.training, getattr(module, "inplace", None)) for module in recogniser.modules()]
    learns = [(p.requires_grad, p.grad is None) for p in recogniser.parameters()]
    return [hooks, modes, learns]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONGER else ()) for name in TINY]
)
def test_every_method_explains_or_refuses(name):
    recogniser, inputs = recogniser_and_batch(name, batch=1)
    before = state(recogniser)
    values = {key: value.clone() for key, value in recogniser.state_dict().items()}
    clips = [x.clone() for x in inputs]
    explained = []
    for method in (METHODS.get(known) for known in METHODS):
        refusal = method.refusal(recogniser)
        if refusal is None:
            heats, again = (method.heat(Scored(recogniser, Target(1)), inputs, LITTLE) for _ in range(2))
            assert_sound(recogniser, method.name, inputs, heats, again)
            explained.append(method.name)
        else:
            assert_helpful(recogniser, refusal)
        assert state(recogniser) == before, method.name
    assert all(value.equal(values[key]) for key, value in recogniser.state_dict().items())
    assert all(x.equal(kept) for x, kept in zip(inputs, clips, strict=True))
    assert recogniser.card.explanation in explained


def assert_sound(
    recogniser: Recogniser,
    method: str,
    inputs: tuple[Tensor, ...],
    heats: tuple[Tensor | None, ...],
    again: tuple[Tensor | None, ...],
) -> None:
    """Shapes, finite, of one sign where the method has one, the same twice."""
    assert len(heats) == len(inputs), method
    assert any(heat is not None for heat in heats), method
    for x, spec, heat, repeated in zip(inputs, recogniser.specs, heats, again, strict=True):
        if heat is None or repeated is None:
            assert heat is repeated, method
            continue
        assert heat.dtype == torch.float32, method
        assert not heat.requires_grad, method
        wanted = tuple(x.shape[:-1]) if spec.modality == "pose" else (len(x), *heat.shape[1:])
        assert heat.ndim == 4, method
        assert tuple(heat.shape) == wanted, (method, heat.shape)
        assert heat.isfinite().all(), method
        assert METHODS.get(method).signed or (heat >= 0).all(), method
        assert heat.equal(repeated), method


def assert_helpful(recogniser: Recogniser, refusal: str) -> None:
    """It names the model, and a method that is defined for it."""
    assert recogniser.card.name in refusal
    named = [METHODS.get(word) for word in re.findall(r"[a-z_+]+", refusal) if word in METHODS]
    assert any(method.refusal(recogniser) is None for method in named), refusal


@pytest.mark.parametrize(("method", "name"), INSTEAD)
def test_pairs_that_are_not_defined_are_refused(method, name):
    refusal = METHODS.get(method).refusal(create_model(name, LABELS))
    assert refusal is not None
    assert name in refusal
    assert INSTEAD[method, name] in refusal


@pytest.mark.parametrize("name", [*list_models(), *TINY])
def test_the_method_of_a_card_is_one(name):
    assert card(name).explanation in METHODS


@pytest.mark.parametrize("name", [name for name in TINY if card(name).cam_layers])
@pytest.mark.parametrize("wide", [False, True], ids=["card", "wide"])
def test_layers_lie_on_the_clip(name, wide):
    """Each layer's cells tile the clip: no more than frames, rows and columns; all people and joints."""
    recogniser, inputs = recogniser_and_batch(name)
    layers = recogniser.card.cam_layers
    if wide:
        if recogniser.card.fixed_size or any(spec.modality == "pose" for spec in recogniser.specs):
            pytest.skip("its design fixes the size")
        inputs = tuple(torch.cat([x, x[..., : x.shape[-1] // 2]], -1) for x in inputs)
    seen = look(Scored(recogniser, Target(0)), inputs, layers)
    assert [found.layer for found in seen] == list(layers)
    for found in seen:
        x = inputs[found.layer.input]
        cells = found.layout.cells(found.activations.abs().sum(1))
        assert cells.shape[0] == x.shape[0]
        assert 1 <= cells.shape[1] <= x.shape[1]
        if "M" in found.layout.text:
            assert cells.shape[2] == x.shape[2]
            assert cells.shape[3] in (1, x.shape[3])
        elif not found.layer.heatmaps:
            assert all(1 <= n <= size for n, size in zip(cells.shape[2:], x.shape[3:], strict=True))
            assert (cells.shape[3] >= cells.shape[2]) or not wide
