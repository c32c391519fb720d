"""Weights that come with the package: entered by their headers, loaded without a network."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from kinesphere.core.errors import BrokenPackage, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.models import Provenance, create_model, list_models, save_model
from kinesphere.models.box import FOLDER, LARGEST_BYTES, LIMITS
from kinesphere.models.registry import MODELS
from kinesphere.models.rejection import Rejection
from kinesphere.models.weights.shipped import shipped_weights
from kinesphere.models.weights.starting import named_weights
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import _model
from kinesphere.train.splits import _start

LABELS = LabelSet(("a", "b", "none of these"))
REJECTION = Rejection("none of these", 0.4, "9 clips")


@pytest.fixture
def box(tmp_path):
    """A folder with weights of a tiny model, and its recogniser."""
    recogniser = create_model("r3d_tiny", LABELS)
    origin = Provenance("trained", notes=("Learnt from nine clips.",), rejection=REJECTION)
    save_model(recogniser, tmp_path / "basic_rgb.safetensors", provenance=origin)
    score = {"metric": "top1", "value": 0.5, "dataset": "a set", "protocol": "9 clips", "origin": "measured"}
    (tmp_path / "scores.json").write_text(json.dumps({"basic_rgb.safetensors": [score]}))
    return tmp_path, recogniser


def with_weights(monkeypatch, name, entries):
    """Give a model of the registry other weights."""
    architecture = MODELS.get(name)
    changed = replace(architecture, card=replace(architecture.card, weights=entries))
    monkeypatch.setitem(MODELS._members, name, changed)


def test_a_file_in_the_box_is_an_entry_of_its_model(box, monkeypatch) -> None:
    folder, recogniser = box
    assert shipped_weights("kine_small", recogniser.specs[0], folder) == ()
    (entry,) = shipped_weights("r3d_tiny", recogniser.specs[0], folder)
    assert (entry.tag, entry.classes, entry.names, entry.spec) == ("basic", 3, LABELS.names, None)
    assert entry.notes == ("Learnt from nine clips.", *LIMITS)
    assert [(score.value, score.dataset) for score in entry.scores] == [(0.5, "a set")]
    with_weights(monkeypatch, "r3d_tiny", (entry,))
    again = create_model("r3d_tiny.basic")
    assert again.rejection == REJECTION
    for key, tensor in recogniser.net.state_dict().items():
        assert torch.equal(tensor, again.net.state_dict()[key])
    tuned = create_model("r3d_tiny", ["x", "y"], pretrained="basic")
    assert tuned.rejection is None
    assert tuned.reset


def test_training_takes_model_and_tag_as_one_name(box, monkeypatch) -> None:
    folder, recogniser = box
    with_weights(monkeypatch, "r3d_tiny", shipped_weights("r3d_tiny", recogniser.specs[0], folder))
    recipe = Recipe.build({"data": {"source": "x"}}).override("model.pretrained=r3d_tiny.basic")
    found = _model(recipe.model, None)
    assert (found.name, found.pretrained) == ("r3d_tiny", "basic")
    assert _start(recipe).trained_on == MODELS.get("r3d_tiny").card.published("basic").trained_on
    assert _start(recipe.override("model.pretrained=k400")).origin == "not yet read"
    assert named_weights("k400", "r3d_18") == ("r3d_18", "k400")
    with pytest.raises(
        InvalidSetting, match=r"are weights of r3d_tiny, but model\.name is kine_small; make them"
    ):
        named_weights("r3d_tiny.basic", "kine_small")


def test_a_damaged_file_of_the_package_is_said_to_be_so(tmp_path) -> None:
    (tmp_path / "basic_rgb.safetensors").write_bytes(b"nothing")
    with pytest.raises(BrokenPackage, match=r"came with Kinesphere and is damaged: .*; install it again"):
        shipped_weights("r3d_tiny", MODELS.get("r3d_tiny").card.inputs[0], tmp_path)


def test_the_box_is_small_and_every_file_of_it_loads() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < LARGEST_BYTES
    entries = {
        entry.file: f"{name}.{entry.tag}"
        for name in list_models()
        for entry in MODELS.get(name).card.weights
        if entry.file is not None
    }
    assert sorted(entries) == [str(path) for path in files]
    for name in entries.values():
        recogniser = create_model(name)
        assert recogniser.rejection is not None
        assert recogniser.rejection.label == "none of these" == recogniser.labels.names[-1]
