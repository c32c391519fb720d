"""Masked tubes against `VideoMAEForPreTraining` of transformers, on the same weights and masks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.layers.vit import Block
from kinesphere.models.masked_tubes import MaskedTubes
from kinesphere.models.zoo.videomae import VideoMAE

_NAMES = (
    (r"attention\.attention\.query\.bias", "attn.q_bias"),
    (r"attention\.attention\.value\.bias", "attn.v_bias"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"videomae\.embeddings\.patch_embeddings\.projection", "embed.tubelets.proj"),
    (r"videomae\.encoder\.layer", "blocks"),
    (r"videomae\.layernorm", "encoder_norm"),
    (r"encoder_to_decoder", "to_decoder"),
    (r"decoder\.decoder_layers", "blocks"),
    (r"^decoder\.", ""),
)


def renamed(theirs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the encoder, and of what is around it, under our names."""
    parts: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for key, value in theirs.items():
        name = key
        for pattern, ours in _NAMES:
            name = re.sub(pattern, ours, name)
        inside = key.startswith("videomae.") and "layernorm." not in key.removeprefix("videomae.")[:10]
        part = parts[0 if inside else 1]
        if name.endswith("attention.attention.query.weight"):
            both = [theirs[key.replace("query", each)] for each in ("query", "key", "value")]
            part[name.replace("attention.attention.query", "attn.qkv")] = torch.cat(both)
        elif "attention.attention" not in name:
            part[name] = value
    return parts


@pytest.mark.real
def test_loss_and_predictions_equal_the_public_ones(recorded):
    found = recorded("hf_videomae_pretrain_tiny")
    with np.load(Path(os.environ["KINESPHERE_TEST_DATA"]) / "parity" / f"{found.name}.npz") as arrays:
        mask = torch.from_numpy(arrays["input/bool_masked_pos"])
        wanted = float(arrays["loss_f64"][0])
    encoder = VideoMAE(1, width=64, depth=2, heads=4, length=32)
    encoder.blocks = torch.nn.Sequential(
        *(Block(64, 4, eps=1e-12, key_bias=False, ratio=2) for _ in range(2))
    )
    tubes = MaskedTubes(encoder, MEAN, STD, width=32, depth=2, heads=4, ratio=2)
    inside, around = renamed(found.state)
    missing, unknown = encoder.load_state_dict(inside, strict=False)
    assert set(missing) == {"norm.weight", "norm.bias", "fc.weight", "fc.bias"}
    assert not unknown
    tubes.load_state_dict(around)
    with torch.inference_mode():
        torch.testing.assert_close(tubes(found.x, mask), found.logits, atol=1e-4, rtol=1e-4)
        assert abs(float(tubes.loss(found.x, mask)) - wanted) < 1e-4
