from __future__ import annotations

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kinesphere.core.device import Compute
from kinesphere.models import create_model
from kinesphere.models.runtime.inference import optimise_for_inference
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.runtime.packed import (
    NO_ACTIVATION,
    Activation,
    PackedConvolution,
    PackedLinear,
    PackedPointwise,
    faster_as_linear,
    merged_columns,
    merged_kernel,
)
from kinesphere.models.runtime.squeeze import PositionConvolution, channel_means, scaled
from kinesphere.models.zoo.video_swin import WindowAttention

FP32 = Compute("cpu", "fp32", channels_last=True)
PACKS_BF16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor packs no bf16"
)
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=PACKS_BF16)])


def settled(name: str):
    """A recogniser whose batch norms have met data, and a batch."""
    torch.manual_seed(0)
    recogniser = create_model(name, ["a", "b", "c"])
    batch = tuple(torch.randn(input_shape(spec, batch=2)) for spec in recogniser.specs)
    for module in recogniser.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return recogniser, batch


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", ["r3d_tiny", "late_fusion_tiny"])
def test_residual_networks_keep_no_norm_and_few_activations(name):
    recogniser, _ = settled(name)
    net = optimise_for_inference(recogniser, FP32)
    kinds = [type(module) for module in net.modules()]
    assert not {nn.BatchNorm2d, nn.BatchNorm3d, nn.Conv2d, nn.Conv3d, nn.ReLU} & set(kinds)
    packed = [module for module in net.modules() if isinstance(module, PackedConvolution)]
    assert (
        sum(module.activation.name == "relu" for module in packed) == len(packed) - 3
    )  # three projections on shortcuts


@pytest.mark.parametrize("name", ["tsn_flow_tiny", "tsm_tiny", "s3d_tiny"])
def test_what_surrounds_an_untraceable_forward_is_prepared(name, caplog):
    recogniser, _ = settled(name)
    with caplog.at_level(logging.INFO, "kinesphere.models"):
        net = optimise_for_inference(recogniser, FP32)
    assert "cannot be traced and runs as it is" in caplog.text
    kinds = {type(module) for module in net.modules()}
    assert PackedConvolution in kinds
    assert not {nn.BatchNorm2d, nn.BatchNorm3d, nn.Conv2d, nn.Conv3d, nn.ReLU} & kinds


def test_the_stem_of_mvit_is_packed():
    recogniser, batch = settled("mvit_v2_micro")
    net = optimise_for_inference(recogniser, FP32)
    assert isinstance(net.get_submodule("stem.conv"), PackedConvolution)
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5


def test_other_sizes_after_packing():
    recogniser, batch = settled("r3d_tiny")
    net = optimise_for_inference(recogniser, FP32)
    wider = torch.cat([batch[0], batch[0]], -1)
    with torch.inference_mode():
        for x in (batch[0], wider, batch[0][:1]):
            assert error(net(x), recogniser(x)) < 1e-4


def test_bf16_stays_close():
    recogniser, batch = settled("r3d_tiny")
    compute = Compute("cpu", "bf16", channels_last=True)
    net = optimise_for_inference(recogniser, compute)
    with torch.inference_mode(), compute.autocast():
        assert error(net(*batch), recogniser(*batch).float()) < 0.05


@pytest.mark.parametrize("name", ["r3d_tiny", "video_swin_tiny"])
def test_bf16_of_processors_that_pack_none_is_computed_by_autocast(name, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    recogniser, batch = settled(name)
    compute = Compute("cpu", "bf16", channels_last=True)
    net = optimise_for_inference(recogniser, compute)
    assert not any(isinstance(module, PackedConvolution | PackedLinear) for module in net.modules())
    with torch.inference_mode(), compute.autocast():
        assert error(net(*batch), recogniser(*batch).float()) < 0.05


@pytest.mark.parametrize("name", ["video_swin_tiny", "uniformer_tiny"])
def test_linear_layers_are_rounded_once_as_autocast_would(name):
    recogniser, batch = settled(name)
    compute = Compute("cpu", "bf16", channels_last=False)
    net = optimise_for_inference(recogniser, compute)
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert {module.weight.dtype for module in linear} == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in recogniser.parameters())
    with torch.inference_mode(), compute.autocast():
        assert torch.equal(net(*batch), recogniser(*batch))


def test_shared_modules_are_left_alone():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            x = self.conv(self.norm(self.conv(x.flatten(0, 1))))
            return self.fc(x.mean((2, 3))).unflatten(0, (2, -1)).mean(1)

    recogniser, batch = settled("r3d_tiny")
    recogniser.net = Twice().eval()
    with torch.inference_mode():
        assert error(optimise_for_inference(recogniser, FP32)(*batch), recogniser(*batch)) < 1e-5


def test_parts_of_an_untraceable_network_answer_as_before():
    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.width = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), 3

        def forward(self, x):
            return self.norm(self.conv(x))

    class Optional(Part):
        def forward(self, x, weight=None):
            return super().forward(x) if weight is None else x

    class Asked(Part):
        def grid(self):
            return 7

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.optional, self.asked = Part(), Optional(), Asked()
            self.steps = nn.Sequential(Part(), Part())

        def forward(self, x):
            x = self.asked(self.optional(self.part(x.flatten(0, 1)))) + self.asked.grid()
            for step in self.steps:
                x = step(x) if x.shape[0] > 0 else x
            return x.mean((2, 3)).unflatten(0, (2, -1)).mean(1) * self.part.width

    recogniser, batch = settled("r3d_tiny")
    recogniser.net = Branching().eval()
    net = optimise_for_inference(recogniser, FP32)
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == 2  # optional's and asked's


def test_untraceable_networks_run_as_they_are_and_the_log_says_so(caplog):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(x.mean((1, 3, 4))) * (2 if x.sum() > 0 else 1)

    recogniser, batch = settled("r3d_tiny")
    recogniser.net = Branching()
    with caplog.at_level(logging.INFO, "kinesphere.models"):
        net = optimise_for_inference(recogniser, FP32)
    assert "r3d_tiny: the forward of Branching cannot be traced and runs as it is" in caplog.text
    assert torch.equal(net(*batch), recogniser(*batch))


def test_linear_layers_take_over_activation_and_addition_and_keep_one_weight():
    recogniser, batch = settled("videomae_tiny")
    net = optimise_for_inference(recogniser, FP32)
    packed = [module for module in net.modules() if isinstance(module, PackedLinear)]
    assert not {nn.Linear, nn.GELU} & {type(module) for module in net.modules()}
    assert [module.activation.name for module in packed].count("gelu") == 2  # one in each block
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5
    assert all(module.weight.is_mkldnn for module in packed)
    added = [node for node in net.graph.nodes if node.op == "call_module" and len(node.args) == 2]
    assert len(added) == 4  # behind attention and perceptron of both blocks


@PACKS_BF16
def test_what_is_added_to_a_linear_layer_keeps_its_shape_and_precision():
    layer = PackedLinear(torch.randn(4, 3), torch.randn(4), torch.bfloat16)
    x, other = torch.randn(2, 5, 3), torch.randn(1, 1, 4)
    with torch.inference_mode():
        out = layer(x, other)
        assert out.dtype == torch.float32
        assert torch.equal(out, layer(x) + other)
        assert layer(x, torch.randn(2, 5, 4).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["r3d_tiny", "videomae_tiny", "dd_net_tiny"])
def test_an_answer_does_not_depend_on_what_was_asked_before(name: str) -> None:
    torch.manual_seed(0)
    recogniser = create_model(name, ["a", "b", "c"]).eval()
    inputs = tuple(torch.randn(input_shape(spec, batch=5)) for spec in recogniser.specs)
    used, fresh = (optimise_for_inference(recogniser, FP32) for _ in range(2))
    with torch.inference_mode():
        used(*inputs)
        one = tuple(x[:1] for x in inputs)
        assert torch.equal(used(*one), fresh(*one))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (3, 2, 1), (7, 4, 3), (4, 4, 0), (1, 2, 0)]
)
def test_a_stem_takes_neighbouring_columns_as_channels(kernel, stride, padding):
    x, weight = torch.randn(2, 3, 5, 13), torch.randn(4, 3, 3, kernel)
    for width in (12, 13):  # whole columns and an incomplete one
        wanted = F.conv2d(x[..., :width], weight, stride=(1, stride), padding=(1, padding))
        merged, columns = merged_kernel(weight, stride, padding)
        across = merged_columns(x[..., :width], stride, crop=kernel == stride)
        torch.testing.assert_close(
            F.conv2d(across, merged, padding=(1, columns)), wanted, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("flags", [frozenset(), frozenset({"amx_bf16"})])
@PRECISIONS
def test_columns_are_merged_where_matrix_units_multiply(monkeypatch, flags, dtype):
    monkeypatch.setattr("kinesphere.models.runtime.packed.cpu_flags", lambda: flags)
    stem = nn.Conv3d(3, 8, (1, 7, 7), (1, 2, 2), (0, 3, 3)).requires_grad_(False)
    packed = PackedConvolution(stem, dtype, NO_ACTIVATION)
    assert packed.merged == (2 if flags and dtype == torch.bfloat16 else 1)
    x = torch.randn(1, 3, 2, 11, 9)
    assert error(packed(x), stem(x)) < (1e-5 if dtype == torch.float32 else 0.02)
    middle = nn.Conv3d(64, 64, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    assert PackedConvolution(middle, dtype, NO_ACTIVATION).merged == 1


@pytest.mark.parametrize(
    ("conv", "faster"),
    [
        (nn.Conv2d(96, 96, 1), True),
        (nn.Conv2d(64, 256, 1), False),
        (nn.Conv3d(8, 16, 1), True),
        (nn.Conv3d(16, 8, 1), False),
        (nn.Conv3d(96, 192, 1, stride=(1, 2, 2)), False),
        (nn.Conv3d(96, 96, (3, 1, 1), padding=(1, 0, 0)), False),
    ],
)
@PRECISIONS
def test_wide_pointwise_convolutions_run_as_linear_layers(conv, faster, dtype):
    assert faster_as_linear(conv) == faster
    if faster:
        x = torch.randn(2, conv.in_channels, *[3, 5, 4][: conv.weight.dim() - 2])
        with torch.inference_mode():
            found, wanted = PackedPointwise(conv, dtype, Activation("relu"))(x), F.relu(conv(x))
        assert error(found, wanted) < (1e-5 if dtype == torch.float32 else 0.02)


class Residual(nn.Module):
    """Whose shortcut is needed again after the addition, or read by the convolution itself, or neither."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.again, self.short = kind == "again", kind == "short"
        self.stem, self.conv1, self.conv2 = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.stem(x.flatten(0, 1))
        out = self.relu(self.conv2(x if self.short else self.conv1(x)) + x)
        return (out + x if self.again else out).mean((2, 3)).unflatten(0, (2, -1)).mean(1)


@pytest.mark.parametrize("kind", ["long", "again", "short"])
def test_sums_take_the_memory_of_a_shortcut_that_nobody_needs_again(kind):
    recogniser, batch = settled("r3d_tiny")
    recogniser.net = Residual(kind).eval()
    net = optimise_for_inference(recogniser, FP32)
    packed = [module for module in net.modules() if isinstance(module, PackedConvolution)]
    assert sum(module.overwrites for module in packed) == (kind == "long")
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5


def test_squeeze_and_excitation_is_a_product_of_small_matrices():
    recogniser, batch = settled("x3d_tiny")
    net = optimise_for_inference(recogniser, FP32)
    targets = [node.target for node in net.graph.nodes]
    blocks = 4  # every second of the stages' 2, 1, 1 and 1
    assert [targets.count(channel_means), targets.count(scaled), targets.count("mean")] == [blocks, blocks, 0]
    assert sum(isinstance(module, PositionConvolution) for module in net.modules()) == 2 * blocks
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5


def test_means_over_some_of_the_positions_stay_as_they_are():
    class OverTimeAndRows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv3d(3, 3, 1), nn.Conv3d(3, 3, 1)

        def forward(self, x):
            x = self.conv(x.transpose(1, 2))
            return (x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()).mean((2, 3, 4))

    recogniser, batch = settled("r3d_tiny")
    recogniser.net = OverTimeAndRows().eval()
    net = optimise_for_inference(recogniser, FP32)
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5


def test_what_is_needed_after_its_scaling_is_not_overwritten():
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = self.conv(x.flatten(0, 1))
            out = x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid() - x
            return out.mean((2, 3)).unflatten(0, (2, -1)).mean(1)

    recogniser, batch = settled("r3d_tiny")
    recogniser.net = Kept().eval()
    net = optimise_for_inference(recogniser, FP32)
    targets = [node.target for node in net.graph.nodes]
    assert channel_means in targets
    assert scaled not in targets
    with torch.inference_mode():
        assert error(net(*batch), recogniser(*batch)) < 1e-5


def test_the_copy_computes_what_follows_from_parameters_alone_once(monkeypatch):
    recogniser, batch = settled("video_swin_tiny")
    net = optimise_for_inference(recogniser, FP32)
    computed = []
    plain = WindowAttention._computed_bias
    monkeypatch.setattr(WindowAttention, "_computed_bias", lambda *args: computed.append(1) or plain(*args))
    with torch.inference_mode():
        before = net(*batch)
        assert len(computed) == 8  # two blocks in each of four stages
        assert torch.equal(net(*batch), before)
        assert len(computed) == 8
        assert error(before, recogniser(*batch)) < 1e-5  # which computes them each time: it may learn
    assert len(computed) == 16
