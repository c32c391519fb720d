"""Encoders that compare what they see with words: logits of public implementations, texts included."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.models import create_model, import_words, load_model, save_model
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.maps.words import CLASSES
from kinesphere.models.weights.words import read_tower

END = 98
FIXTURES = [("hf_clip_tiny", "clip_tiny"), ("hf_xclip_tiny", "xclip_tiny")]


def prompts(fixture: str) -> Tensor:
    """Recorded numbers of tokens."""
    with np.load(Path(os.environ["KINESPHERE_TEST_DATA"]) / "parity" / f"{fixture}.npz") as arrays:
        return torch.from_numpy(arrays["input/input_ids"])


def hub(folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
    """A repository's files: weights, configuration, and a tokenizer by which `w7` is token 7."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    from safetensors.torch import save_file

    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    numbers = {f"w{i}": i for i in range(END)} | {"</s>": END}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def spelled(ids_KL: Tensor) -> list[str]:
    """Texts that the tokenizer of `hub` turns into these tokens; what follows the end says nothing."""
    rows = (row[: row.index(END)] for row in ids_KL.tolist())
    return [" ".join(f"w{i}" for i in row) for row in rows]


@pytest.mark.real
@pytest.mark.parametrize(("fixture", "model"), FIXTURES)
@torch.no_grad()
def test_public_state_gives_public_logits(check_parity, recorded, fixture, model):
    """Class embeddings come from the file's own encoder of texts."""
    tower = read_tower(MODELS.get(model).words, recorded(fixture).state, {"heads": 4}, fixture)
    check_parity(
        fixture,
        model,
        layout="huggingface",
        kept={CLASSES: tower(prompts(fixture))},
        inputs=lambda x: (x if x.dim() == 5 else x.unsqueeze(1),),
    )


@pytest.mark.real
@pytest.mark.parametrize(("fixture", "model"), FIXTURES)
@torch.no_grad()
def test_public_files_give_public_logits(recorded, tmp_path, fixture, model):
    """From a folder of files, through a saved model file."""
    public = recorded(fixture)
    folder = hub(tmp_path, public.state, public.meta["model_cfg"])
    further = {"embedding_heads": 4} if model == "xclip_tiny" else None
    named = import_words(folder, model, spelled(prompts(fixture)), prompts=["{}"], arguments=further)
    again = load_model(save_model(named, tmp_path / "named.safetensors"))
    logits = again(public.x if public.x.dim() == 5 else public.x.unsqueeze(1))
    assert (logits - public.logits).abs().max() < public.tolerance * public.logits.abs().max()


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
    torchvision_operators, tmp_path, kind, model, vision, settings, arguments, length
):
    """Of classes named by one prompt or by several together: the mean of their directions, as a direction."""
    net = peer(kind, vision, **settings)
    sentences = ["{}"] if kind == "XCLIP" else ["{}", "w5 {}"]
    names = spelled(torch.cat((torch.randint(3, 97, (3, 7)), torch.full((3, 1), END)), 1))
    texts = [sentence.replace("{}", name) for sentence in sentences for name in names]
    rows = [[int(word[1:]) for word in text.split()] for text in texts]
    ids = torch.tensor([row + [END] * (12 - len(row)) for row in rows])
    x = torch.randn(2, length, 3, 32, 32)
    expected = net(input_ids=ids, pixel_values=x if kind == "XCLIP" else x[:, 0])
    if kind == "XCLIP":
        theirs = expected.logits_per_video
    else:
        together = F.normalize(expected.text_embeds.unflatten(0, (len(sentences), -1)).mean(0), dim=-1)
        theirs = expected.image_embeds @ together.T * net.logit_scale.exp() + getattr(net, "logit_bias", 0)
    folder = hub(tmp_path, net.state_dict(), net.config.to_dict())
    named = import_words(folder, model, names, prompts=sentences, arguments=arguments)
    ours = load_model(save_model(named, tmp_path / "named.safetensors"))
    assert (ours(x) - theirs).abs().max() < 1e-4 * theirs.abs().max()


@torch.no_grad()
def test_a_clip_is_the_mean_of_its_frames_directions():
    """Of a still, however long, what one frame gives."""
    for name in ("clip_tiny", "siglip_tiny"):
        recogniser = create_model(name, ["a", "b"])
        frame = torch.randn(1, 1, 3, 32, 32)
        torch.testing.assert_close(recogniser(frame.expand(-1, 3, -1, -1, -1)), recogniser(frame))
