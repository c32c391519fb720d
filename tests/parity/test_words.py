"""Encoders that compare what they see with words: logits of public implementations, texts included."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kinesphere.models import create_model, import_state
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.maps.words import CLASSES
from kinesphere.models.weights.words import read_tower


def prompts(fixture: str) -> Tensor:
    """Recorded numbers of tokens."""
    with np.load(Path(os.environ["KINESPHERE_TEST_DATA"]) / "parity" / f"{fixture}.npz") as arrays:
        return torch.from_numpy(arrays["input/input_ids"])


@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model"), [("hf_clip_tiny", "clip_tiny"), ("hf_xclip_tiny", "xclip_tiny")]
)
@torch.no_grad()
def test_public_state_gives_public_logits(check_parity, recorded, fixture, model):
    """Class embeddings come from the file's own encoder of texts."""
    state = recorded(fixture).state
    tower = read_tower(MODELS.get(model).words, state, {"heads": 4}, fixture)
    embeddings = tower(prompts(fixture))
    if model == "clip_tiny":  # only directions count
        embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
    check_parity(
        fixture,
        model,
        layout="huggingface",
        kept={CLASSES: embeddings},
        inputs=lambda x: (x if x.dim() == 5 else x.unsqueeze(1),),
    )


def peer(kind: str, vision: dict[str, Any], **settings: Any) -> Any:
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: nothing to compare"
    )
    torch.manual_seed(0)
    text = {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 12, "eos_token_id": 98, "bos_token_id": 97,
        "projection_size": 32,
    }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, **settings)
    net = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
        net.logit_scale.fill_(1.0)
    return net


VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 32, "patch_size": 8}  # fmt: skip
XCLIP = {**VISION, "num_frames": 4, "mit_hidden_size": 24, "mit_intermediate_size": 48,
         "mit_num_attention_heads": 2, "mit_num_hidden_layers": 2}  # fmt: skip
OURS = {"width": 32, "depth": 2, "heads": 2, "ratio": 2}
CASES = [
    ("Siglip", "siglip_tiny", VISION, {}, {}, 1),
    ("CLIP", "clip_tiny", {**VISION, "hidden_act": "gelu"}, {"projection_dim": 24},
     {**OURS, "patch": 8, "gelu": "none"}, 1),
    ("XCLIP", "xclip_tiny", XCLIP, {"projection_dim": 24, "prompt_num_attention_heads": 2},
     {**OURS, "patch": 8, "embedding_heads": 2, "integration": 2}, 4),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "model", "vision", "settings", "arguments", "length"), CASES)
@torch.no_grad()
def test_small_networks_of_transformers(
    torchvision_operators, kind, model, vision, settings, arguments, length
):
    net = peer(kind, vision, **settings)
    ids = torch.randint(3, 97, (3, 12))
    ids[:, -1] = 98
    x = torch.randn(2, length, 3, 32, 32)
    pixels = x if kind == "XCLIP" else x[:, 0]
    expected = net(input_ids=ids, pixel_values=pixels)
    theirs = expected.logits_per_video if kind == "XCLIP" else expected.logits_per_image
    tower = read_tower(MODELS.get(model).words, net.state_dict(), {"heads": 4}, model)
    embeddings = tower(ids)
    if kind != "XCLIP":
        embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
    ours = import_state({**net.state_dict(), CLASSES: embeddings}, model, arguments=arguments)
    assert (ours(x) - theirs).abs().max() < 1e-4 * theirs.abs().max()


@torch.no_grad()
def test_a_clip_is_the_mean_of_its_frames_directions():
    """Of a still, however long, what one frame gives."""
    for name in ("clip_tiny", "siglip_tiny"):
        recogniser = create_model(name, ["a", "b"])
        frame = torch.randn(1, 1, 3, 32, 32)
        torch.testing.assert_close(recogniser(frame.expand(-1, 3, -1, -1, -1)), recogniser(frame))
