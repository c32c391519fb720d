"""Foreign checkpoints are read as what they are, or refused with the reason."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, import_backbone, import_checkpoint, import_state, load_model
from kinesphere.models import save_model as save
from kinesphere.models.card import WeightEntry
from kinesphere.models.registry import MODELS, Architecture
from kinesphere.models.weights.class_names import numbered, published_names
from kinesphere.models.weights.download import file_name
from kinesphere.models.weights.identify import Candidates, identify
from kinesphere.models.weights.inflate import fit_image_state

LABELS = LabelSet(("a", "b", "c"))


def listed(list_name: str) -> list[WeightEntry]:
    """All public weights whose classes are those of a list."""
    return [e for name in MODELS for e in MODELS.get(name).card.weights if e.labels == list_name]


@pytest.fixture
def extended(monkeypatch):
    """`extended(model, *entries)` gives a model public weights."""

    def extend(model: str, *entries: WeightEntry) -> None:
        known = MODELS.get(model)
        card = replace(known.card, weights=entries)
        changed = Architecture(card, known.builder, known.key_maps, known.fit)
        monkeypatch.setitem(MODELS._members, model, changed)

    return extend


def r3d_entry(tag: str, **facts: object) -> WeightEntry:
    url = "https://download.pytorch.org/models/theirs.pth"
    return replace(WeightEntry(tag, url, "torchvision", "kinetics400", 3), **facts)


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "at"),
    [
        ("kinetics400", 400, {0: "abseiling", 290: "sharpening knives", 399: "zumba"}),
        ("kinetics600", 600, {1: "acting in play", 599: "zumba"}),
        ("kinetics700", 700, {0: "abseiling", 699: "zumba"}),
        ("kinetics710", 710, {0: "abseiling"}),
        ("ntu60", 60, {0: "drink water", 42: "falling", 59: "walking apart from each other"}),
        ("ntu120", 120, {0: "drink water", 60: "put on headphone", 119: "finger-guessing game"}),
        ("something_something_v1", 174, {0: "Holding something"}),
        ("something_something_v2", 174, {0: "Approaching something with your camera"}),
        ("ucf101", 101, {0: "ApplyEyeMakeup", 100: "YoYo"}),
    ],
)
def test_lists_of_names_have_their_order(name, count, at):
    found = [names for entry in listed(name) if (names := published_names(entry))]
    assert found
    assert all(len(names) == count for names in found)
    assert all(found[0].names[i].startswith(start) for i, start in at.items())


def test_lists_fit_the_heads_they_name():
    for name in MODELS:
        for entry in MODELS.get(name).card.weights:
            names = published_names(entry)
            assert names is None or len(names) == entry.classes, f"{name}.{entry.tag}"


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("kinetics400", "kinetics/label_map_k400.txt"),
        ("kinetics600", "kinetics/label_map_k600.txt"),
        ("kinetics700", "kinetics/label_map_k700.txt"),
        ("kinetics710", "kinetics710/label_map_k710.txt"),
        ("ntu60", "skeleton/label_map_ntu60.txt"),
        ("something_something_v1", "sthv1/label_map.txt"),
        ("something_something_v2", "sthv2/label_map.txt"),
        ("ucf101", "ucf101/label_map.txt"),
    ],
)
def test_lists_are_those_that_publishers_ship(name, path):
    root = os.environ.get("KINESPHERE_TEST_DATA")
    if not root:
        pytest.skip("KINESPHERE_TEST_DATA is not set: no official lists here")
    official = (Path(root) / "labels" / "mmaction2" / path).read_text(encoding="utf-8").split("\n")
    ours = next(names for entry in listed(name) if (names := published_names(entry)))
    assert [line.strip() for line in official if line.strip()] == list(ours)


def test_publishers_of_unknown_order_name_nothing():
    unnamed = {e.url.split("/")[2] for e in listed("kinetics400") if published_names(e) is None}
    assert unnamed == {"huggingface.co", "hanlab18.mit.edu"}
    assert all(published_names(entry) is None for entry in listed("finegym99") + listed("hmdb51"))
    assert published_names(r3d_entry("x", labels=None)) is None


@pytest.fixture
def fetched(tmp_path, monkeypatch, extended):
    """`r3d_tiny.k` in the folder that weights are looked up in, with the first three names of Kinetics."""
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    peer = create_model("r3d_tiny", LABELS)
    torch.save(peer.net.state_dict(), tmp_path / "theirs.pth")
    extended("r3d_tiny", r3d_entry("k"))
    return peer


def name_classes(monkeypatch, *names: str) -> None:
    named = LabelSet(names)
    monkeypatch.setattr("kinesphere.models.weights.naming.published_names", lambda _entry: named)


def test_public_weights_name_their_classes(fetched, monkeypatch):
    name_classes(monkeypatch, "x", "y", "z")
    recogniser = create_model("r3d_tiny.k")
    assert recogniser.labels.names == ("x", "y", "z")
    assert recogniser.provenance.notes == (
        "read as r3d_tiny.k",
        "label names are those of kinetics400, in the publisher's order",
    )
    assert torch.equal(recogniser.net.fc.weight, fetched.net.fc.weight)


def test_the_right_names_keep_the_trained_head_in_any_order(fetched, monkeypatch):
    name_classes(monkeypatch, "x", "y", "z")
    wanted = LabelSet(("z", "x", "y"), mirror=(("x", "y"),))
    recogniser = create_model("r3d_tiny.k", wanted)
    assert recogniser.reset == ()
    assert recogniser.labels == wanted
    assert torch.equal(recogniser.net.fc.weight, fetched.net.fc.weight[[2, 0, 1]])
    assert torch.equal(recogniser.net.fc.bias, fetched.net.fc.bias[[2, 0, 1]])


def test_other_names_start_a_head_and_say_which_are_unknown(fetched, monkeypatch, caplog):
    name_classes(monkeypatch, "x", "y", "z")
    with caplog.at_level(logging.WARNING, "kinesphere.models"):
        recogniser = create_model("r3d_tiny.k", ["x", "y", "new"])
    assert recogniser.reset == ("fc.bias", "fc.weight")
    assert "labels differ (3 in the weights, 3 wanted)" in caplog.text
    assert "not in the weights: new" in caplog.text


def test_names_are_not_compared_with_numbers(fetched, tmp_path):
    with pytest.raises(
        InvalidSetting,
        match=r"r3d_tiny.k does not name its 3 classes, and 3 are wanted.* `--labels NAMES.txt`",
    ):
        create_model("r3d_tiny.k", LABELS)
    assert create_model("r3d_tiny.k", numbered(3)).reset == ()
    imported = import_checkpoint(tmp_path / "theirs.pth", "r3d_tiny.k", labels=LABELS)
    save(imported, tmp_path / "ours.safetensors")
    assert torch.equal(load_model(tmp_path / "ours.safetensors").net.fc.weight, fetched.net.fc.weight)


# --- which weights a file holds ----------------------------------------------------------------------------


def limbs(tmp_path: Path) -> tuple[Path, WeightEntry]:
    """A file in the public layout of a network that looks at limbs, and its entry."""
    net = create_model("posec3d_tiny", LABELS, arguments={"draw": "limbs"}).net
    key_map = MODELS.get("posec3d_tiny").key_maps[0]
    path = tmp_path / "theirs.pth"
    torch.save(key_map.to_theirs(net.state_dict()).state, path)
    spec = MODELS.get("posec3d_tiny").card.inputs[0].with_(short_video="pad")
    entry = r3d_entry("limbs", layout=key_map.layout, labels=None, spec=spec, arguments={"draw": "limbs"})
    return path, entry


@pytest.mark.parametrize("by", ["digest", "name", "tag"])
def test_files_of_the_card_are_read_as_the_card_says(tmp_path, extended, by):
    path, entry = limbs(tmp_path)
    if by == "digest":
        entry = replace(entry, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8])
        path = path.rename(tmp_path / "renamed.pth")
    elif by == "tag":
        path = path.rename(tmp_path / "renamed.pth")
    extended("posec3d_tiny", entry)
    recogniser = import_checkpoint(path, "posec3d_tiny.limbs" if by == "tag" else "posec3d_tiny")
    assert recogniser.arguments["draw"] == "limbs"
    assert recogniser.specs[0].short_video == "pad"
    assert "read as posec3d_tiny.limbs" in recogniser.provenance.notes
    own = import_checkpoint(path, "posec3d_tiny", arguments={"draw": "joints"})
    assert own.arguments["draw"] == "joints"


def test_a_name_with_another_digest_or_head_is_told_apart(tmp_path, extended):
    path, entry = limbs(tmp_path)
    extended("posec3d_tiny", replace(entry, sha256="00000000"))
    notes = import_checkpoint(path, "posec3d_tiny").provenance.notes
    assert "read as posec3d_tiny.limbs, though its digest is not the published one" in notes
    extended("posec3d_tiny", replace(entry, classes=60))
    recogniser = import_checkpoint(path, "posec3d_tiny")
    assert not any("read as" in note for note in recogniser.provenance.notes)
    assert "draw" not in recogniser.arguments


def test_files_that_can_be_several_weights_are_asked_about(tmp_path, extended):
    path, entry = limbs(tmp_path)
    twin = replace(entry, tag="joints", arguments={})
    extended("posec3d_tiny", entry, twin)
    with pytest.raises(InvalidCheckpoint, match=r"one of several .*posec3d_tiny.limbs, posec3d_tiny.joints"):
        import_checkpoint(path, "posec3d_tiny")
    assert import_checkpoint(path, "posec3d_tiny.limbs").arguments["draw"] == "limbs"
    with pytest.raises(UnknownName, match="posec3d_tiny has no weights 'other'; public ones: limbs, joints"):
        import_checkpoint(path, "posec3d_tiny.other")


def test_public_weights_of_one_name_ask_for_one_network():
    """Files called alike are told apart by their layout and number of classes alone."""
    for name in MODELS:
        card = MODELS.get(name).card
        for entry in card.weights:
            found = identify(card, Path(file_name(entry)), sha256="").choose(entry.layout, entry.classes)
            assert found is not None
            assert (found.arguments, found.spec) == (entry.arguments, entry.spec), f"{name}.{entry.tag}"


def test_tensors_in_memory_take_a_tag(extended, tmp_path):
    path, entry = limbs(tmp_path)
    extended("posec3d_tiny", entry)
    state = torch.load(path)
    assert import_state(state, "posec3d_tiny.limbs").arguments["draw"] == "limbs"
    assert Candidates("m", (entry,)).note(replace(entry, sha256="00")) == "read as m.limbs"


# --- refusals ----------------------------------------------------------------------------------------------


def test_refusals_name_the_nearest_layout_and_all_that_is_left_over():
    deeper = MODELS.get("tsm_resnet101")
    with torch.device("meta"):
        ours = deeper.build(400, {}).state_dict()
    theirs = next(m for m in deeper.key_maps if m.layout == "mmaction2").to_theirs(ours).state
    with pytest.raises(InvalidCheckpoint, match=r"no tsm_resnet50 in the mmaction2 layout: \d+ left over"):
        import_state(theirs, "tsm_resnet50")


def test_image_weights_are_called_so(tmp_path):
    net = create_model("i3d_resnet_tiny", LABELS).net
    image = next(m for m in MODELS.get("i3d_resnet_tiny").key_maps if m.backbone_only)
    flat = {k: v.mean(2) if v.dim() == 5 else v for k, v in net.state_dict().items()}
    theirs = image.to_theirs({k: v for k, v in flat.items() if not k.startswith("fc.")}).state
    theirs |= {"fc.weight": torch.ones(7, 4), "fc.bias": torch.ones(7)}
    hint = r"backbone of i3d_resnet_tiny, without a classifier of videos: .*--backbone --labels"
    with pytest.raises(InvalidCheckpoint, match=hint):
        import_state(theirs, "i3d_resnet_tiny")
    with pytest.raises(InvalidCheckpoint, match=hint):
        import_state(theirs, "i3d_resnet_tiny", layout=image.layout)
    with pytest.raises(InvalidCheckpoint, match=r"create_model\('tsn_resnet50.imagenet', labels\)"):
        import_state(theirs, "tsn_resnet50.imagenet")
    torch.save(theirs, tmp_path / "image.pth")
    centre = import_backbone(tmp_path / "image.pth", "i3d_resnet_tiny", ["x", "y"], inflation="centre")
    assert centre.labels.names == ("x", "y")
    assert "kernels inflated over time: centre" in centre.provenance.notes
    assert centre.provenance.origin == "backbone imported image.pth"
    kernel = next(v for k, v in centre.net.state_dict().items() if v.dim() == 5 and v.shape[2] == 3)
    assert not kernel[:, :, 0].any()
    assert kernel[:, :, 1].any()


@pytest.mark.parametrize(
    "model",
    ["i3d_resnet50", "nonlocal_i3d_resnet50", "nonlocal_i3d_resnet50_gaussian", "slowonly_resnet50",
     "slowonly_resnet50_flow"],
)  # fmt: skip
def test_image_residual_networks_fill_all_but_head_and_attention(model):
    with torch.device("meta"):
        image = MODELS.get("late_fusion_resnet50").build(5, {}).state_dict()
        own = MODELS.get(model).build(5, {}).state_dict()
    theirs = {k.removeprefix("backbone."): v for k, v in image.items() if k.startswith("backbone.")}
    mapped = next(m for m in MODELS.get(model).key_maps if m.backbone_only).to_ours(theirs)
    assert not mapped.unmapped
    fitted = fit_image_state(mapped.state, own, "centre")
    left = {key for key in own if key not in fitted}
    assert {key for key in left if "attention" not in key} == {"fc.weight", "fc.bias"}
    assert any("attention" in key for key in left) == model.startswith("nonlocal")


def test_models_without_key_maps_say_so(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(InvalidSetting, match=r"^fc reads no foreign checkpoints"):
        import_checkpoint(tmp_path / "a.pth", "fc")


def test_a_file_without_a_backbone_is_no_backbone(tmp_path):
    torch.save({"fc.weight": torch.ones(3, 4)}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match="holds nothing for the backbone of r3d_tiny"):
        import_backbone(tmp_path / "a.pth", "r3d_tiny", LABELS)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_weights_are_floating_point(dtype):
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    state["fc.bias"] = state["fc.bias"].to(dtype)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(InvalidCheckpoint, match=rf"1 not of floating point \(fc.bias {kind}\)"):
        import_state(state, "r3d_tiny")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_are_finite(value, tmp_path):
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    state["stem.1.bias"] = state["stem.1.bias"].double()
    state["stem.1.bias"][2] = value
    with pytest.raises(
        InvalidCheckpoint, match=r"1 tensors .* not finite in single precision \(stem.1.bias\)"
    ):
        import_state(state, "r3d_tiny")
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match="not finite in single precision"):
        import_backbone(tmp_path / "a.pth", "r3d_tiny", LABELS)


def test_unusable_names_in_a_file_are_not_blamed_on_the_caller(tmp_path):
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    torch.save({"state_dict": state, "classes": ["x", "y"]}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match=r"have 3 classes, but the file names 2; .*--labels FILE"):
        import_checkpoint(tmp_path / "a.pth", "r3d_tiny")
    torch.save({"state_dict": state, "classes": ["x", "y", "x"]}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match=r"names are unusable \(.*repeated: \['x'\].*--labels FILE"):
        import_checkpoint(tmp_path / "a.pth", "r3d_tiny")
    assert import_checkpoint(tmp_path / "a.pth", "r3d_tiny", labels=LABELS).labels == LABELS


def test_weights_beside_those_taken_are_noted(tmp_path):
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    torch.save({"state_dict": state, "ema_state_dict": state}, tmp_path / "a.pth")
    notes = import_checkpoint(tmp_path / "a.pth", "r3d_tiny").provenance.notes
    assert "other weights in the file left out: ema_state_dict" in notes
