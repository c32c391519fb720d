"""What public weights learnt from, and where that is known to hold a test's clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kinesphere.core.errors import UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.datasets.jhmdb import CARD
from kinesphere.evaluate.pretraining import known_set, pretraining_notes
from kinesphere.models import WeightEntry, card, create_model, list_models, load_model, save_model
from kinesphere.models.provenance import Provenance
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.class_names import names_of
from kinesphere.models.weights.importing import import_state
from kinesphere.train.recipe import Recipe
from kinesphere.train.resolve import read_data
from kinesphere.train.splits import divide


def test_every_public_weight_says_what_it_learnt_from() -> None:
    for name in list_models():
        for entry in card(name).weights:
            sets = entry.trained_on
            assert sets[-1] != "unknown"
            assert "unknown" not in sets[1:]
            assert len(set(sets)) == len(sets)
            if entry.labels in ("kinetics400", "kinetics600", "ntu60", "ntu120", "something_something_v2"):
                assert sets[-1] == entry.labels
    with pytest.raises(UnknownName, match="name a training set 'kinetics', which is none of"):
        WeightEntry("k400", "https://nowhere.invalid/w.pth", "own", None, 400, trained_on=("kinetics",))


def test_sets_are_known_by_all_their_classes_alone() -> None:
    names = names_of("kinetics400")
    assert known_set(LabelSet(tuple(name.replace(" ", "_") for name in names))) == "kinetics400"
    assert known_set(LabelSet(names[1:])) is None
    assert known_set(LabelSet(tuple(f"A{number:03d}" for number in range(1, 61)))) == "ntu60"


def test_an_overlap_that_is_known_is_said_and_no_other() -> None:
    kinetics = LabelSet(names_of("kinetics400"))
    weights = Provenance("imported", trained_on=card("tsn_resnet50").published("k700").trained_on)
    (note,) = pretraining_notes((weights, weights), kinetics)
    assert "classes of Kinetics-400, and the weights have learnt from Kinetics-700: its training part" in note
    assert not pretraining_notes((Provenance("imported", trained_on=("kinetics400",)),), kinetics)
    assert not pretraining_notes((weights,), LabelSet(("walk", "run")))


def test_it_travels_with_the_weights(tmp_path: Path) -> None:
    own = create_model("s3d", tuple(map(str, range(400))))
    entry = card("s3d").published("k400")
    key_map = next(m for m in MODELS.get("s3d").key_maps if m.layout == entry.layout)
    imported = import_state(key_map.to_theirs(own.net.state_dict()).state, "s3d.k400")
    assert imported.provenance.trained_on == entry.trained_on == ("unknown", "kinetics400")
    tiny = create_model("kine_tiny", ("a", "b"))
    tiny.provenance = replace(tiny.provenance, trained_on=("kinetics700",))
    save_model(tiny, tmp_path / "tiny.safetensors")
    assert load_model(tmp_path / "tiny.safetensors").provenance.trained_on == ("kinetics700",)


def test_training_says_it_before_it_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = ("train", "test")
    rows = [f"{part}{n}.mp4,{label},{part}" for n, label in enumerate(CARD.classes) for part in parts]
    (tmp_path / "m.csv").write_text("\n".join(("path,label,split", *rows)))
    recipe = Recipe.build({"data": {"source": str(tmp_path / "m.csv")}}).override(
        "model.name=posec3d_slowonly_resnet50", "model.pretrained=hmdb51", "data.val=0"
    )
    notes = divide(recipe, read_data(recipe.data))[0].notes
    assert any("the weights have learnt from HMDB51: J-HMDB is a part" in note for note in notes)
    assert caplog.text.count("J-HMDB is a part of HMDB51") == 1
