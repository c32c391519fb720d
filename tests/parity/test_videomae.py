from __future__ import annotations

import re

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.videomae import MAPS, sinusoid


@pytest.mark.real
@pytest.mark.slow  # full size: there is no smaller public one
@pytest.mark.parametrize(
    ("fixture", "layout", "kept"),
    [
        ("hf_videomae_b", "transformers5", {}),
        ("mmaction2_videomae_b", "mmaction2", {"backbone.pos_embed": sinusoid(1568, 768)}),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, layout, kept):
    check_parity(fixture, "videomae_b", layout=layout, kept=kept)


def written(layout: str) -> dict[str, torch.Tensor]:
    state = MODELS.get("videomae_tiny").builder(5).state_dict()
    return next(m for m in MAPS if m.layout == layout).to_theirs(state).state


@pytest.mark.parametrize("layout", [key_map.layout for key_map in MAPS])
def test_every_layout_is_told_from_the_others(layout):
    recogniser = import_state(written(layout), "videomae_tiny", arguments={"length": 32})
    wanted = next(m for m in MAPS if m.layout == layout).arguments
    assert all(recogniser.arguments[name] == value for name, value in wanted.items())


def test_learnt_positions_are_refused():
    theirs = written("mmaction2") | {"backbone.pos_embed": torch.randn(1, 32, 32)}
    with pytest.raises(InvalidCheckpoint, match=re.escape("holds learnt positions; VideoMAE's are a fixed")):
        import_state(theirs, "videomae_tiny")


@pytest.mark.parametrize("size", ["s", "b", "l"])
def test_all_sizes_read_all_layouts(size):
    """By names and shapes alone: nothing is computed."""
    architecture = MODELS.get(f"videomae_{size}")
    with torch.device("meta"):
        state = architecture.builder(7).state_dict()
    for key_map in architecture.key_maps:
        theirs = key_map.to_theirs(state)
        ours = key_map.to_ours(theirs.state)
        assert not theirs.unmapped
        assert not ours.unmapped
        assert {key: x.shape for key, x in ours.state.items()} == {key: x.shape for key, x in state.items()}
