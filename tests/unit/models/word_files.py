"""Files of a small encoder of frames and texts, as on the hub, made at random."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from kinesphere.models import create_model
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.maps.words import CLASSES

STATE_HEADS = {"text_config": {"num_attention_heads": 4}, "vision_config": {"num_attention_heads": 4}}


def hub(folder: Path, seed: int = 0) -> Path:
    """A small CLIP's files as on the hub, random."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    letters = [chr(ord("a") + i) for i in range(26)]
    known = [
        "<|startoftext|>",
        *letters,
        *(f"{letter}</w>" for letter in letters),
        ".</w>",
        "wa",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(known)}))
    (folder / "merges.txt").write_text("#version: 0.2\nw a\n")
    (folder / "config.json").write_text(json.dumps(STATE_HEADS))
    architecture = MODELS.get("clip_tiny")
    sizes = {"width": 32, "depth": 2, "heads": 4, "embedding": 24, "ratio": 2}
    tower = architecture.words.tower(vocabulary=len(known), length=40, **sizes)
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    seen = architecture.key_maps[0].to_theirs(create_model("clip_tiny", ["a"]).net.state_dict()).state
    read = architecture.words.key_map.to_theirs(tower.state_dict()).state
    state = {key: tensor.contiguous() for key, tensor in {**seen, **read}.items() if key != CLASSES}
    save_file(state, folder / "model.safetensors")
    return folder
