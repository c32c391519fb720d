from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from kinesphere.clips.spec import Sampling
from kinesphere.core.errors import (
    BrokenPackage,
    InvalidCheckpoint,
    InvalidSetting,
    MissingWeights,
    UnknownName,
)
from kinesphere.core.labels import LabelSet
from kinesphere.models import Preparation, Provenance, create_model, load_model, save_model
from kinesphere.models.runtime.measure import input_shape

LABELS = LabelSet(("turn left", "turn right", "wave"), mirror=(("turn left", "turn right"),))


@pytest.fixture
def recogniser():
    torch.manual_seed(0)
    return create_model("cnn_lstm_tiny", LABELS, arguments={"hidden": 8, "output": "mean"})


@pytest.fixture
def file(recogniser, tmp_path):
    return save_model(recogniser, tmp_path / "model.safetensors")


def rewrite(file, change_header=None, change_state=None):
    """The file with a changed header or state."""
    from safetensors import safe_open

    with safe_open(file, "pt") as handle:
        header = json.loads(handle.metadata()["kinesphere"])
    state = load_file(file)
    if change_header:
        header = change_header(header) or header
    if change_state:
        change_state(state)
    save_file(state, file, metadata={"kinesphere": header if isinstance(header, str) else json.dumps(header)})


def test_round_trip_keeps_everything(recogniser, file):
    spec = recogniser.specs[0].with_(sampling=Sampling("dense", 6, 2), fps=12.5)
    recogniser.specs = (spec,)
    preparation = Preparation("pose_landmarker_lite", 2, 15.0, 128, 20.0)
    provenance = Provenance(
        "trained", training_data="abc", scores={"top1": 0.9}, notes=("a", "b"), preparation=preparation
    )
    save_model(recogniser, file, provenance=provenance)
    other = load_model(file)
    assert other.labels == LABELS
    assert other.specs == (spec,)
    assert dict(other.arguments) == {"hidden": 8, "output": "mean"}
    assert other.provenance == provenance
    assert other.card.name == "cnn_lstm_tiny"
    assert not other.training
    x = torch.randn(input_shape(spec))
    assert torch.equal(other(x), recogniser(x))


def test_a_run_folder_is_a_model(file):
    assert load_model(file.parent).labels == LABELS
    with pytest.raises(MissingWeights, match=r"holds no model\.safetensors; is it a finished run"):
        load_model(file.parent.parent)


def test_channels_last_weights_are_saved_and_no_part_file_stays(tmp_path):
    recogniser = create_model("r3d_tiny", ["a", "b"])
    for p in recogniser.parameters():
        if p.dim() == 5:
            p.data = p.data.contiguous(memory_format=torch.channels_last_3d)
    path = save_model(recogniser, tmp_path / "deep" / "m.safetensors")
    assert [entry.name for entry in path.parent.iterdir()] == ["m.safetensors"]
    assert torch.equal(load_model(path).net.stem[0].weight, recogniser.net.stem[0].weight)


def test_whoever_may_read_other_files_may_read_a_model(recogniser, tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    assert save_model(recogniser, tmp_path / "m.safetensors").stat().st_mode == usual.stat().st_mode


def test_a_model_file_has_one_ending(recogniser, tmp_path):
    with pytest.raises(InvalidCheckpoint, match=r"ends in \.safetensors; got m\.pth"):
        save_model(recogniser, tmp_path / "m.pth")


def test_foreign_files_are_pointed_to_the_importer(tmp_path):
    with pytest.raises(InvalidCheckpoint, match=r"foreign checkpoint.*kinesphere import"):
        load_model(tmp_path / "resnet.pth")


def test_safetensors_of_others_are_pointed_to_the_importer(tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InvalidCheckpoint, match=r"was not saved by Kinesphere.*kinesphere import"):
        load_model(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: "no json", "is no JSON"),
        (lambda h: {"format": 99}, "has format 99; this version reads 1"),
        (lambda h: [1], "has format None"),
        (lambda h: h.pop("labels") and None, "lacks 'labels'"),
        (lambda h: h.update(architecture="nothing_like_it"), "incomplete or wrong: There is no model"),
        (lambda h: h.update(architecture=3), "expected a text, got '3'"),
        (lambda h: h.update(specs=[{}]), "is not a clip spec"),
        (lambda h: h.update(specs=[]), r"states inputs \(\); cnn_lstm_tiny takes \('rgb',\)"),
        (lambda h: h["labels"].update(names=["a", "a"]), "must be unique"),
        (lambda h: h.update(arguments={"width": 10**9}), "beyond 65536"),
        (lambda h: h.update(arguments={"width": {}}), "an argument is a dict"),
        (lambda h: h.update(arguments={"depth": 3}), "has no argument 'depth'"),
        (lambda h: h.update(arguments={"width": -1}), "cannot be built with"),
        (lambda h: h.update(provenance={"origin": 3}), "Provenance holds texts"),
        (lambda h: h.update(provenance={}), "is not a provenance record"),
        (lambda h: h["labels"].update(names=["a", "b"], mirror=[]), "of another shape or type .*fc.weight"),
    ],
)
def test_wrong_headers_are_refused(file, change, message):
    rewrite(file, change_header=change)
    with pytest.raises(InvalidCheckpoint, match=message):
        load_model(file)


def test_wrong_tensors_are_listed(file):
    def change(state):
        del state["fc.bias"]
        state["extra"] = torch.ones(1)
        state["fc.weight"] = state["fc.weight"].half()

    rewrite(file, change_state=change)
    with pytest.raises(
        InvalidCheckpoint, match=r"missing \(fc.bias\).*unexpected \(extra\).*type \(fc.weight\)"
    ):
        load_model(file)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 0.999))
def test_truncated_files_are_refused(file, cut):
    whole = file.read_bytes()
    damaged = file.with_name("cut.safetensors")
    damaged.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(InvalidCheckpoint, match="damaged or no model file"):
        load_model(damaged)


def test_names_without_files(tmp_path, monkeypatch):
    with pytest.raises(MissingWeights, match=r"architecture without weights; public ones: r3d_18\.k400"):
        load_model("r3d_18")
    with pytest.raises(UnknownName, match="did you mean r3d_18"):
        load_model("r3d_81")
    with pytest.raises(MissingWeights, match="There is no model file"):
        load_model(tmp_path / "absent.safetensors")
    with pytest.raises(
        MissingWeights,
        match=r"There is no model file or run folder .*; kinesphere train and kinesphere import",
    ):
        load_model("runs/deep/folder")


def test_hub_models_name_the_file_to_fetch_when_offline(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_arguments, **_settings):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", offline)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_arguments: pytest.fail("asked again"))
    with pytest.raises(
        MissingWeights, match=r"https://huggingface\.co/some/model/resolve/main/model\.safetensors"
    ):
        load_model("some/model")


def test_a_mistyped_run_is_not_looked_up_elsewhere(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_arguments: pytest.fail("looked up"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "dance").mkdir(parents=True)
    with pytest.raises(
        MissingWeights, match=r"no model file or run folder runs/dnace; did you mean runs/dance\?"
    ):
        load_model("runs/dnace")


def test_hub_models_are_read_like_files(file, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_arguments, **_settings: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_arguments: str(file))
    assert load_model("some/model").labels == LABELS


def test_how_inputs_were_prepared_is_checked_and_agreed_on():
    before = Provenance("trained").to_json()
    del before["preparation"]
    assert Provenance.from_json(before).preparation == Preparation()
    assert Preparation(max_people=2).to_json()["most_people"] == 2  # as earlier files have it
    with pytest.raises(InvalidSetting, match="Poses come from something with a name; got 3"):
        Provenance.from_json({"origin": "trained", "preparation": {"poses": 3}})
    with pytest.raises(InvalidSetting, match="Inputs are prepared with numbers above 0; got"):
        Preparation(flow_short_side_px=0)
    with pytest.raises(InvalidSetting, match="not a provenance record"):
        Provenance.from_json({"origin": "trained", "preparation": {"pose": "x"}})
    parts = [Preparation("a", 2), Preparation("a", 4), Preparation("b", 2, flow_bound_px=20.0)]
    assert Preparation.common(parts) == (Preparation("a", 2, flow_bound_px=20.0), ("poses", "max_people"))
    assert Preparation.common([]) == (Preparation(), ())


def test_a_broken_package_is_not_told_as_a_damaged_file(file, monkeypatch):
    def broken(name):
        raise BrokenPackage("The installed package fruit-stand cannot be loaded.")

    monkeypatch.setattr("kinesphere.models.checkpoint.MODELS.get", broken)
    with pytest.raises(BrokenPackage, match="fruit-stand"):
        load_model(file)
