"""A boring video, one frame repeated, is the frame: image weights in ResNet-I3D."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kinesphere.core.labels import LabelSet
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_backbone
from kinesphere.models.weights.inflate import fit_image_state, inflate
from kinesphere.models.weights.keymap import StateDict

T = 8


def image_state(net: nn.Module) -> StateDict:
    """The state of a frame-wise network as that of an image network: kernels without time."""
    return {key: value.squeeze(2) if value.dim() == 5 else value for key, value in net.state_dict().items()}


def seeded(name: str, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    net = MODELS.get(name).build(5, arguments).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def boring() -> Tensor:
    return torch.randn(1, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1)).repeat(1, T, 1, 1, 1)


@torch.inference_mode()
def test_centre_inflation_gives_the_logits_of_the_frame():
    frame_wise, inflated = seeded("c2d_tiny", halve_time=False), seeded("i3d_resnet_tiny")
    inflated.load_state_dict(fit_image_state(image_state(frame_wise), inflated.state_dict(), "centre"))
    torch.testing.assert_close(inflated(boring()), frame_wise(boring()), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_mean_inflation_gives_the_features_of_the_frame_away_from_the_ends():
    """At the ends the kernels reach zeros beyond the clip."""
    frame_wise, inflated = seeded("c2d_tiny", halve_time=False), seeded("i3d_resnet_tiny", time_stride=1)
    inflated.load_state_dict(fit_image_state(image_state(frame_wise), inflated.state_dict(), "mean"))
    clip = boring().transpose(1, 2)
    wanted = frame_wise.layer1(frame_wise.stem(clip))[:, :, T // 2]
    got = inflated.layer1(inflated.stem(clip))[:, :, T // 2]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inflation", ["centre", "mean"])
def test_image_weights_come_from_a_file(tmp_path, inflation):
    key_map = next(m for m in MODELS.get("i3d_resnet_tiny").key_maps if m.backbone_only)
    image = key_map.to_theirs(image_state(seeded("c2d_tiny"))).state
    save_file({key: value.contiguous() for key, value in image.items()}, tmp_path / "image.safetensors")
    recogniser = import_backbone(
        tmp_path / "image.safetensors",
        "i3d_resnet_tiny",
        LabelSet(("clap", "wave")),
        layout="torchvision",
        inflation=inflation,
    )
    kernel = recogniser.net.get_submodule("stem.0").weight
    assert torch.equal(kernel, inflate(image["conv1.weight"], 5, inflation))
    assert recogniser.reset == ("fc.bias", "fc.weight")
