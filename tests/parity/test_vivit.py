from __future__ import annotations

import pytest
import torch

from kinesphere.clips.spec import Sampling
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.vivit import MAPS


@pytest.mark.real
@pytest.mark.slow  # full size: there is no smaller public one
def test_public_state_gives_public_logits(check_parity):
    check_parity("hf_vivit_b", "vivit_b", layout="transformers5")


@pytest.mark.parametrize("key_map", MAPS, ids=lambda key_map: key_map.layout)
def test_a_file_made_for_other_clips_brings_its_own_input(key_map):
    build = MODELS.get("vivit_tiny").builder
    state = build(3, patch=16, tubelet=4, grid=(2, 14, 14)).state_dict()
    arguments = {"patch": 16}
    recogniser = import_state(key_map.to_theirs(state).state, "vivit_tiny", arguments=arguments)
    assert recogniser.specs[0].sampling == Sampling("dense", 8)
    assert all(torch.equal(tensor, state[key]) for key, tensor in recogniser.net.state_dict().items())


def test_positions_between_the_learnt_ones():
    """A table that grows evenly along an axis still does so for a longer clip."""
    embed = MODELS.get("vivit_tiny").builder(5, width=32, grid=(4, 2, 2)).embed
    with torch.no_grad():
        embed.position.zero_()
        embed.position[:, 1:] = torch.arange(4.0).repeat_interleave(4).unsqueeze(1)
    longer = embed._positions((8, 2, 2))[0, 1:, 0].unflatten(0, (8, 4))
    assert (longer == longer[:, :1]).all()
    torch.testing.assert_close(longer[1:-1, 0].diff(), torch.full((5,), 0.5))
