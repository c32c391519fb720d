from __future__ import annotations

import pytest
import torch

from kinesphere.clips.spec import Sampling
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.timesformer import DIVIDED_MAPS, SPEC


@pytest.mark.real
@pytest.mark.slow  # full size: there is no smaller public one
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("hf_timesformer_b", "timesformer", "huggingface"),
        ("mmaction2_timesformer_divst", "timesformer", "mmaction2"),
        ("mmaction2_timesformer_jointst", "timesformer_joint", "mmaction2"),
        ("mmaction2_timesformer_spaceonly", "timesformer_space", "mmaction2"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)


def test_a_file_made_for_other_clips_brings_its_own_input():
    build = MODELS.get("timesformer").builder
    state = build(3, depth=12, width=64, heads=1, patch=8, grid=6, frames=16).state_dict()
    for key_map in DIVIDED_MAPS:
        recogniser = import_state(
            key_map.to_theirs(state).state, "timesformer", arguments={"width": 64, "heads": 1}
        )
        assert recogniser.specs[0].sampling == Sampling("dense", 16, 16)
        assert recogniser.specs[0].size == (48, 48)
        assert recogniser.specs[0].mean == (key_map.spec or SPEC).mean
        assert all(torch.equal(tensor, state[key]) for key, tensor in recogniser.net.state_dict().items())


def test_a_frame_s_class_token_is_averaged_where_attention_stays_in_space():
    net = MODELS.get("timesformer_space_tiny").builder(5).eval()
    x = torch.randn(1, 4, 3, 32, 32)
    with torch.inference_mode():
        shuffled = net(x[:, [2, 0, 3, 1]])
        torch.testing.assert_close(shuffled, net(x), atol=1e-5, rtol=1e-4)


def test_divided_attention_starts_as_an_image_network_in_later_blocks():
    net = MODELS.get("timesformer_tiny").builder(5)
    assert net.blocks[0].temporal_fc.weight.abs().sum() > 0
    assert net.blocks[1].temporal_fc.weight.abs().sum() == 0
