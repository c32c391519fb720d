from __future__ import annotations

import pytest
import torch

from kinesphere.models import create_model
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.weights.importing import import_state


@pytest.mark.real
@pytest.mark.parametrize("family", ["tin", "trn", "tanet"])
def test_public_state_gives_public_logits(check_parity, family):
    check_parity(f"mmaction2_{family}_r50", f"{family}_resnet50", layout="mmaction2")


@pytest.mark.parametrize("family", ["tin", "trn", "tanet"])
def test_a_file_for_longer_clips_brings_its_own_input(family):
    name = f"{family}_tiny"
    longer = create_model(name, ["a", "b", "c"], arguments={"length": 8})
    key_map = next(m for m in MODELS.get(name).key_maps if m.layout == "mmaction2")
    recogniser = import_state(key_map.to_theirs(longer.net.state_dict()).state, name, layout="mmaction2")
    assert recogniser.arguments["length"] == 8
    assert recogniser.specs == longer.specs
    assert recogniser.specs[0].length == 8
    x = torch.randn(input_shape(recogniser.specs[0]))
    with torch.inference_mode():
        assert torch.equal(recogniser(x), longer(x))
