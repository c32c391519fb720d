from __future__ import annotations

import pytest

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models import card, create_model, import_state, list_models, load_model, save_model
from kinesphere.models.registry import MODELS

LABELS = ("clap", "jump", "wave")
PUBLISHED = [
    name
    for name in list_models()
    if [spec.modality for spec in card(name).inputs] == ["flow"] and card(name).weights
]


def test_a_network_with_published_flow_weights_takes_the_flow_that_they_learnt_from(tmp_path):
    fresh = create_model("tsn_flow_tiny", LABELS)
    assert fresh.specs[0].flow == "dis"
    key_map = next(m for m in MODELS.get("tsn_flow_tiny").key_maps if m.layout == "mmaction2")
    theirs = key_map.to_theirs(fresh.net.state_dict()).state
    imported = import_state(theirs, "tsn_flow_tiny", labels=LABELS)
    assert imported.specs[0].flow == "tvl1"
    again = load_model(save_model(imported, tmp_path / "model.safetensors"))
    assert again.specs[0].flow == "tvl1"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_flow_network_takes_tvl1(name):
    architecture = MODELS.get(name)
    layouts = {key_map.layout: key_map for key_map in architecture.key_maps}
    published = [entry for entry in architecture.card.weights if not entry.backbone_only]
    assert published
    for entry in published:
        spec = entry.spec or layouts[entry.layout].spec
        assert isinstance(spec, ClipSpec)
        assert spec == architecture.card.inputs[0].with_(flow="tvl1")


def test_flow_weights_are_no_weights_of_the_network_on_pixels():
    flow = create_model("slowonly_resnet50_flow", LABELS, arguments={"width": 8, "depths": (1, 1, 1, 1)})
    key_map = next(m for m in MODELS.get("slowonly_resnet50_flow").key_maps if m.layout == "mmaction2")
    theirs = key_map.to_theirs(flow.net.state_dict()).state
    with pytest.raises(InvalidCheckpoint, match=r"1 of another shape \(stem\.0\.weight"):
        import_state(theirs, "slowonly_tiny", layout="mmaction2", labels=LABELS)
