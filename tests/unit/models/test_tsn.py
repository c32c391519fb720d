from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model
from kinesphere.models.layers.resnet2d import TINY_DEPTH, ResNet2d
from kinesphere.models.weights.importing import import_backbone

LABELS = LabelSet(("clap", "jump", "wave"))


@torch.inference_mode()
def test_consensus_ignores_the_order_of_snippets_but_not_within_them():
    torch.manual_seed(0)
    net = create_model("tsn_flow_tiny", LABELS)
    clip = torch.randn(1, 10, 2, 64, 64)
    exchanged = clip.unflatten(1, (2, 5)).flip(1).flatten(1, 2)
    assert torch.allclose(net(clip), net(exchanged), atol=1e-6)
    assert not torch.allclose(net(clip), net(clip.flip(1)), atol=1e-3)


def test_a_clip_that_is_no_whole_number_of_snippets_is_refused():
    net = create_model("tsn_flow_tiny", LABELS)
    with pytest.raises(InvalidSetting, match="A snippet is 5 frames; got a clip of 7"):
        net(torch.randn(1, 7, 2, 64, 64))


def test_image_weights_start_a_flow_network(tmp_path):
    """Section 3.2, cross-modality pre-training: the first layer's weights averaged over their channels."""
    image = ResNet2d(TINY_DEPTH, width=16).state_dict()
    save_file(image, tmp_path / "image.safetensors")
    recogniser = import_backbone(
        tmp_path / "image.safetensors", "tsn_flow_tiny", LABELS, layout="torchvision"
    )
    first = recogniser.net.backbone.conv1.weight
    assert torch.equal(first, image["conv1.weight"].mean(1, keepdim=True).expand(-1, 10, -1, -1))
    assert torch.equal(recogniser.net.backbone.layer4[0].conv2.weight, image["layer4.0.conv2.weight"])
    assert recogniser.reset == ("fc.bias", "fc.weight")
    assert recogniser.provenance.notes == ("inflated or adapted to other channels: backbone.conv1.weight",)
