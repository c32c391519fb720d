from __future__ import annotations

import pytest
import torch

from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state


@pytest.mark.real
def test_public_state_gives_public_logits(check_parity):
    check_parity("mmaction2_uniformer_s", "uniformer_s", layout="mmaction2")


def test_base_size_imports():
    architecture = MODELS.get("uniformer_b")
    (key_map,) = architecture.key_maps
    with torch.device("meta"):
        own = architecture.build(7, {}).state_dict()
    theirs = key_map.to_theirs(own)
    assert not theirs.unmapped
    assert {"backbone.patch_embed4.proj.weight", "backbone.blocks3.19.attn.qkv.weight"} <= set(theirs.state)
    zeros = {key: torch.zeros_like(value, device="cpu") for key, value in theirs.state.items()}
    assert len(import_state(zeros, "uniformer_b").labels) == 7


def test_addresses_are_the_published_ones():
    (entry,) = MODELS.get("uniformer_s").card.weights
    assert entry.url == (
        "https://download.openmmlab.com/mmaction/v1.0/recognition/uniformerv1/"
        "uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb_20221219-c630a037.pth"
    )
