"""Class-activation maps against Captum, the grad-cam package and computations by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kinesphere.clips import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.explain.layers import chosen
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target
from kinesphere.models import Provenance, Recogniser, create_model
from kinesphere.models.card import CamLayer, ModelCard

PACKAGE = load_file(Path(__file__).parents[2] / "fixtures" / "grad_cam" / "maps.safetensors")
LABELS = LabelSet(tuple("abcde"))


class Small(nn.Module):
    """The networks of the fixture, on clips: over frames alone, or over time too."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.axes = axes
        convolution = nn.Conv2d if axes == 2 else nn.Conv3d
        pool = nn.AdaptiveAvgPool2d(1) if axes == 2 else nn.AdaptiveAvgPool3d(1)
        self.layers = nn.Sequential(
            convolution(3, 4, 3, 2, 1), nn.ReLU(), convolution(4, 6, 3, 1, 1), nn.ReLU(),
            nn.Sequential(pool, nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5)),
        )  # fmt: skip

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        if self.axes == 3:
            return self.layers(x_BTCHW.transpose(1, 2))
        return self.layers(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2]).mean(1)


def fixture(axes: int) -> tuple[Recogniser, Tensor, nn.Sequential, Tensor]:
    """A recogniser and its clips `(B, T, C, H, W)`, and the same as the package saw them."""
    net = Small(axes)
    prefix = f"{axes}d.net."
    net.layers.load_state_dict(
        {key.removeprefix(prefix): value for key, value in PACKAGE.items() if key.startswith(prefix)}
    )
    images = PACKAGE[f"{axes}d.input"]
    clips = images.unsqueeze(1) if axes == 2 else images.transpose(1, 2)
    layer = CamLayer("layers.3", "BT C H W" if axes == 2 else "B C T H W")
    return recogniser_of(net, clips, (layer,)), clips, net.layers.eval(), images


def recogniser_of(net: nn.Module, clips: Tensor, layers: tuple[CamLayer, ...]) -> Recogniser:
    _, length, _, height, width = clips.shape
    spec = ClipSpec(Sampling("dense", length), size=(height, width))
    card = ModelCard(
        "small", "small", "For tests.", None, (spec,), 1, 1, 5, ("fc",), ("layers",), cam_layers=layers
    )
    return Recogniser(net, card, (spec,), LABELS, {}, Provenance("tests"))


def heat(
    method: str, recogniser: Recogniser, *clips: Tensor, settings: Settings | None = None
) -> tuple[Tensor | None, ...]:
    return METHODS.get(method).heat(Scored(recogniser, Target(2)), clips, settings or Settings())


@pytest.mark.parametrize("axes", [2, 3])
def test_grad_cam_equals_captum_and_a_computation_by_hand(axes):
    captum = pytest.importorskip("captum.attr")
    recogniser, clips, layers, images = fixture(axes)
    (ours,) = heat("gradcam", recogniser, clips)

    theirs = captum.LayerGradCam(layers, layers[3]).attribute(images, target=2, relu_attributions=True)
    expected = theirs.squeeze(1).detach()
    expected = expected.unsqueeze(1) if axes == 2 else expected
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-6)

    activations = layers[:4](images).detach().requires_grad_()
    (slope,) = torch.autograd.grad(layers[4](activations)[:, 2].sum(), activations)
    weights = slope.flatten(2).mean(2).reshape(*slope.shape[:2], *[1] * axes)
    by_hand = (weights * activations.detach()).sum(1).clamp(min=0)
    by_hand = by_hand.unsqueeze(1) if axes == 2 else by_hand
    torch.testing.assert_close(ours, by_hand, atol=1e-6, rtol=1e-6)
    assert ours.max() > 0


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(
    ("method", "theirs"), [("gradcam", "GradCAM"), ("gradcam++", "GradCAMPlusPlus"), ("layercam", "LayerCAM")]
)
def test_maps_equal_those_of_the_grad_cam_package_before_it_scales_them(axes, method, theirs):
    recogniser, clips, _, _ = fixture(axes)
    (ours,) = heat(method, recogniser, clips)
    expected = PACKAGE[f"{axes}d.{theirs}"]
    torch.testing.assert_close(ours.reshape(expected.shape), expected, atol=1e-5, rtol=1e-5)
    assert expected.max() > 0


def test_folded_frames_are_images_of_their_own():
    """Two images as one clip have the maps of each, as the mean of scores halves the gradients."""
    recogniser, clips, _, _ = fixture(2)
    alone = heat("gradcam", recogniser, clips)[0]
    together = heat("gradcam", recogniser, clips.transpose(0, 1))[0]
    torch.testing.assert_close(together, alone.transpose(0, 1) / 2)


def test_a_map_without_evidence_is_empty():
    recogniser, clips, layers, _ = fixture(3)
    for parameter in layers[4][4].parameters():
        nn.init.zeros_(parameter)
    for method in ("gradcam", "gradcam++", "layercam"):
        assert not heat(method, recogniser, clips)[0].any()


class Pathways(nn.Module):
    """Every second frame in large cells, all frames in small ones; the score is a weighted mean of both."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = nn.AvgPool3d((1, 4, 4))
        self.fast = nn.AvgPool3d((1, 2, 2))
        self.fc = nn.Linear(6, 5, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        slow, fast = self.slow(x_BTCHW[:, ::2].transpose(1, 2)), self.fast(x_BTCHW.transpose(1, 2))
        return self.fc(torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))


def test_pathways_add_up_on_the_finest_cells_with_the_scale_of_the_score():
    net = Pathways()
    nn.init.uniform_(net.fc.weight, 0.1, 1)
    clips = torch.rand(2, 4, 3, 8, 8)
    both = (CamLayer("slow", "B C T H W"), CamLayer("fast", "B C T H W"))
    (joined,) = heat("gradcam", recogniser_of(net, clips, both), clips)
    assert joined.shape == (2, 4, 4, 4)
    slow, fast = (heat("gradcam", recogniser_of(net, clips, (layer,)), clips)[0] for layer in both)
    spread = slow.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3) / 8
    torch.testing.assert_close(joined, spread + fast)
    torch.testing.assert_close(joined.sum((1, 2, 3)), net(clips)[:, 2].detach())


def test_the_layer_can_be_chosen_and_has_the_layout_of_its_neighbours():
    recogniser = create_model("kine_tiny", LABELS)
    clips = torch.rand(1, 8, 3, 32, 32)
    assert heat("layercam", recogniser, clips)[0].shape == (1, 1, 1, 1)
    assert heat("layercam", recogniser, clips, settings=Settings(layer="layer1"))[0].shape == (1, 4, 8, 8)
    assert chosen(recogniser, None) == recogniser.card.cam_layers


def test_the_last_of_a_list_is_minus_one():
    recogniser = create_model("vivit_tiny", LABELS)
    clips = torch.rand(1, 4, 3, 32, 32)
    last = heat("gradcam", recogniser, clips)[0]
    assert last.equal(heat("gradcam", recogniser, clips, settings=Settings(layer="blocks.1.norm1"))[0])
    assert not last.equal(heat("gradcam", recogniser, clips, settings=Settings(layer="blocks.0.norm1"))[0])


def test_a_layer_that_is_not_there_is_told_with_those_that_are():
    recogniser = create_model("kine_tiny", LABELS)
    with pytest.raises(InvalidSetting, match=r"no layer 'layer9'; .* are layer4, its stages stem"):
        heat("gradcam", recogniser, torch.rand(1, 8, 3, 32, 32), settings=Settings(layer="layer9"))


def test_a_layer_of_other_axes_is_told():
    recogniser = create_model("kine_tiny", LABELS)
    with pytest.raises(InvalidSetting, match=r"shape \(1, 32\) are not laid out as 'B C T H W'"):
        heat("gradcam", recogniser, torch.rand(1, 8, 3, 32, 32), settings=Settings(layer="dropout"))


def test_a_layer_that_runs_twice_is_told():
    recogniser = create_model("kine_tiny", LABELS)
    clips = torch.rand(1, 8, 3, 32, 32)
    with pytest.raises(InvalidSetting, match=r"'layer4.relu' of kine_tiny runs several times"):
        heat("gradcam", recogniser, clips, settings=Settings(layer="layer4.relu"))
    assert not recogniser.net.get_submodule("layer4.relu")._forward_hooks


def test_nothing_is_left_behind():
    recogniser = create_model("cnn_lstm_tiny", LABELS)
    before = {key: value.clone() for key, value in recogniser.state_dict().items()}
    with torch.no_grad():
        heat("gradcam", recogniser, torch.rand(3, 4, 3, 64, 64), settings=Settings(batch=2))
        assert not torch.is_grad_enabled()
    assert all(value.equal(before[key]) for key, value in recogniser.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in recogniser.parameters())
    assert not any(module._forward_hooks for module in recogniser.modules())


def test_frozen_networks_are_explained_alike():
    recogniser = create_model("cnn_lstm_tiny", LABELS)
    clips = torch.rand(2, 4, 3, 64, 64)
    before = heat("layercam", recogniser, clips)[0]
    recogniser.requires_grad_(False)
    assert heat("layercam", recogniser, clips)[0].equal(before)


def test_heatmaps_give_heat_where_joints_are_seen():
    recogniser = create_model("posec3d_tiny", LABELS)
    poses = torch.rand(1, 8, 2, 17, 3)
    poses[:, :, 1] = 0
    poses[:, :, 0, 3, 0] = 1.5
    (found,) = heat("activation_map", recogniser, poses)
    assert found.shape == (1, 8, 2, 17)
    assert not found[:, :, 1].any()
    assert not found[:, :, 0, 3].any()
    assert (found[:, :, 0, 4:] > 0).all()


def test_a_network_without_cells_is_refused_with_what_to_use_instead():
    refusal = METHODS.get("gradcam").refusal(create_model("fc_tiny", LABELS))
    assert refusal is not None
    assert "fc_tiny has no layer whose activations lie on a grid" in refusal
    assert "Use integrated_gradients, occlusion or rise instead" in refusal
