from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.device import Compute
from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.movinet.blocks import CausalConv, SamePad, SamePool, running_mean, squeezed

LABELS = LabelSet(("clap", "jump", "wave"))
SIZES = ("a0", "a1", "a2", "a3", "a4", "a5")


@settings(deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), kernel=st.sampled_from((3, 5)))
def test_padding_halves_rounded_up_and_adds_the_odd_pixel_at_the_end(height, width, kernel):
    padded = SamePad(kernel)(torch.ones(1, 1, height, width))
    for axis, side in ((-2, height), (-1, width)):
        total = max(((side + 1) // 2 - 1) * 2 + kernel - side, 0)
        assert padded.shape[axis] == side + total
        assert padded.amax(-1 if axis == -2 else -2).flatten()[: total // 2].sum() == 0


@settings(deadline=None)
@given(height=st.integers(2, 12), width=st.integers(2, 12))
def test_pooling_averages_pixels_of_the_picture_alone(height, width):
    x = torch.randn(1, 2, height, width)
    ones = SamePad(3)(torch.ones_like(x))
    wanted = F.avg_pool2d(SamePad(3)(x), 3, 2) / F.avg_pool2d(ones, 3, 2)
    assert torch.allclose(SamePool()(x), wanted, atol=1e-5)


@pytest.mark.parametrize("length", [3, 5])
def test_a_causal_kernel_is_a_3d_kernel_over_the_past(length):
    layer = CausalConv(4, length, activation=torch.nn.Identity, folded=True)
    x = torch.randn(2, 4, 6, 3, 5)
    kernel = layer.conv.weight.unsqueeze(-1)
    wanted = F.conv3d(F.pad(x, (0, 0, 0, 0, length - 1, 0)), kernel, layer.conv.bias, groups=4)
    assert torch.allclose(layer(x), wanted, atol=1e-5)


@settings(deadline=None)
@given(length=st.integers(1, 9), cut=st.integers(0, 9))
def test_running_means_go_on_where_they_were(length, cut):
    x = torch.randn(2, length, 3)
    means, total = running_mean(x)
    for i in range(length):
        assert torch.allclose(means[:, i], x[:, : i + 1].mean(1), atol=1e-5)
    assert torch.allclose(total, x.sum(1), atol=1e-5)
    if 0 < cut < length:
        _, early = running_mean(x[:, :cut])
        later, _ = running_mean(x[:, cut:], early, cut)
        assert torch.allclose(later, means[:, cut:], atol=1e-5)


@given(st.integers(1, 1000))
def test_squeezed_widths_are_multiples_of_8_near_the_wanted(width):
    rounded = squeezed(width)
    assert rounded % 8 == 0
    assert rounded >= max(8, 0.9 * width)
    assert rounded <= max(8, width + 8)


@pytest.mark.parametrize(
    "name", [*(f"movinet_{size}" for size in SIZES), *(f"movinet_{s}_stream" for s in SIZES[:3])]
)
def test_every_size_reads_its_layouts_and_writes_them(name):
    architecture = MODELS.get(name)
    for key_map in architecture.key_maps:
        with torch.device("meta"):
            ours = architecture.build(3, key_map.arguments).state_dict()
        theirs = key_map.to_theirs(ours)
        assert not theirs.unmapped
        back = key_map.to_ours({key: value for key, value in theirs.state.items() if "rezero" not in key})
        assert set(back.state) == {key for key in ours if key_map.layout != "tflite" or "alpha" not in key}


def test_a_shortcut_without_pooling_has_its_own_place_in_the_port():
    for size, place in (("a0", None), ("a3", 0), ("a5", 0)):
        architecture = MODELS.get(f"movinet_{size}")
        with torch.device("meta"):
            theirs = architecture.key_maps[0].to_theirs(architecture.build(3, {}).state_dict()).state
        places = {key.split(".")[3] for key in theirs if key.startswith("blocks.b3_l0.res.")}
        assert places == (set() if place is None else {str(place)})


def test_a_file_with_uneven_residual_scales_is_refused():
    architecture = MODELS.get("movinet_stream_tiny")
    key_map = next(m for m in architecture.key_maps if m.layout == "tflite")
    theirs = key_map.to_theirs(architecture.build(3, key_map.arguments).state_dict()).state
    key = next(key for key in theirs if "rezero" in key)
    theirs[key] = torch.full((1, 1, 4, 4, 8), 0.5)
    recogniser = import_state(theirs, "movinet_stream_tiny", layout="tflite")
    assert recogniser.net.block2[0].alpha == 0.5
    theirs[key][0, 0, 0, 0, 0] = 0.6
    with pytest.raises(InvalidCheckpoint, match="scaled by more than one number; this is no MoViNet"):
        import_state(theirs, "movinet_stream_tiny", layout="tflite")


@pytest.mark.parametrize("name", ["movinet_tiny", "movinet_stream_tiny"])
@torch.inference_mode()
def test_the_prepared_network_is_the_same_function(name):
    torch.manual_seed(0)
    recogniser = create_model(name, LABELS)
    for key, parameter in recogniser.named_parameters():
        if key.endswith("alpha"):
            parameter.fill_(0.7)
    prepared = optimise_for_inference(recogniser, Compute("cpu", "fp32", channels_last=True))
    assert isinstance(prepared, torch.fx.GraphModule)
    clip = torch.randn(2, 4, 3, 33, 40)
    wanted = recogniser(clip)
    assert (prepared(clip) - wanted).abs().max() < 1e-4 * wanted.abs().max()
