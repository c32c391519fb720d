from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.models import card, create_model, import_checkpoint, import_state, list_models
from kinesphere.models.checkpoint import save_model
from kinesphere.models.create import load_model
from kinesphere.models.registry import MODELS
from kinesphere.models.runtime.measure import count_multiply_adds, count_parameters, input_shape

LABELS = LabelSet(("a", "b", "c"))


@pytest.fixture
def public(tmp_path, monkeypatch):
    """Public-looking files in the folder that weights are looked up in."""
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("kinesphere.core.download.verify", lambda path, _sha256: path)

    def write(name: str, state: dict[str, torch.Tensor]):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return write


def test_unknown_names_get_near_ones():
    with pytest.raises(UnknownName, match=r"no model called 'r3d-81'; did you mean r3d_18"):
        create_model("r3d-81", LABELS)
    with pytest.raises(UnknownName, match=r"r3d_18 has no weights 'k600'; public ones: k400"):
        create_model("r3d_18", LABELS, pretrained="k600")
    with pytest.raises(UnknownName, match=r"cnn_lstm has no weights True; public ones: none"):
        create_model("cnn_lstm", LABELS, pretrained=True)


def test_names_as_the_field_writes_them_get_ours():
    with pytest.raises(UnknownName, match=r"no model called 'ST-GCN\+\+'; did you mean stgcnpp, "):
        create_model("ST-GCN++", LABELS)
    with pytest.raises(UnknownName, match=r"no model called 'stgcn\+\+'; did you mean stgcnpp, "):
        create_model("stgcn++", LABELS)


def test_contradictions_are_refused():
    with pytest.raises(InvalidSetting, match=r"already names its weights; leave out pretrained='other'"):
        create_model("r3d_18.k400", LABELS, pretrained="other")
    with pytest.raises(InvalidSetting, match="A fresh r3d_18 needs labels"):
        create_model("r3d_18")
    with pytest.raises(InvalidSetting, match="fc_tiny has no argument 'depth'; it takes width, dropout"):
        create_model("fc_tiny", LABELS, arguments={"depth": 3})


@pytest.mark.parametrize("name", ["kine_tiny", "cnn_lstm_tiny", "timesformer_tiny", "video_swin_tiny"])
def test_nothing_is_drawn_for_weights_to_replace(name):
    """One draws from each kind of distribution: truncated and other normals, uniform numbers."""
    recogniser = create_model(name, LABELS)
    before = torch.get_rng_state()
    twin = MODELS.get(name).build_with(recogniser.net.state_dict(), len(LABELS), {})
    assert torch.equal(torch.get_rng_state(), before)
    assert twin.state_dict().keys() == recogniser.net.state_dict().keys()
    assert all(torch.equal(p, q) for p, q in zip(twin.parameters(), recogniser.net.parameters(), strict=True))


def test_tiny_models_are_not_listed_to_users():
    assert "r3d_18" in list_models()
    assert not {"r3d_tiny"} & set(list_models())
    assert "r3d_tiny" in list_models(tiny=True)
    assert card("r3d_tiny").tiny


def test_specs_can_be_replaced_within_reason():
    spec = ClipSpec(Sampling("dense", 8), size=(64, 64))
    assert create_model("r3d_tiny", LABELS, spec=spec).specs == (spec,)
    with pytest.raises(InvalidSetting, match="takes exactly 4 frames; got a spec of 8"):
        create_model("fc_tiny", LABELS, spec=spec)
    with pytest.raises(InvalidSetting, match=r"takes exactly \(8, 8\) pixels"):
        create_model("fc_tiny", LABELS, spec=spec.with_(sampling=Sampling("uniform", 4)))
    with pytest.raises(InvalidSetting, match="takes rgb clips; got a spec of flow"):
        create_model("r3d_tiny", LABELS, spec=spec.with_(modality="flow", mean=(0.0,) * 2, std=(1.0,) * 2))


def test_models_of_several_inputs_take_a_spec_for_each():
    own = card("two_stream_i3d_tiny").inputs
    specs = tuple(spec.with_(size=(64, 64), short_side_px=None) for spec in own)
    assert create_model("two_stream_i3d_tiny", LABELS, spec=specs).specs == specs
    with pytest.raises(InvalidSetting, match="has 2 inputs; got 1 specs in their place"):
        create_model("two_stream_i3d_tiny", LABELS, spec=own[0])


def test_the_number_of_inputs_is_checked():
    recogniser = create_model("r3d_tiny", LABELS)
    x = torch.randn(input_shape(recogniser.specs[0]))
    with pytest.raises(InvalidSetting, match=r"takes 1 input\(s\), one per clip spec; got 2"):
        recogniser(x, x)


def test_a_network_for_longer_clips_takes_a_spec_of_that_length():
    longer = create_model("tanet_tiny", LABELS, arguments={"length": 8})
    assert longer.specs[0].sampling == Sampling("dense", 8, 4)
    spec = longer.specs[0].with_(sampling=Sampling("uniform", 8))
    assert create_model("tanet_tiny", LABELS, arguments={"length": 8}, spec=spec).specs == (spec,)
    with pytest.raises(
        InvalidSetting,
        match=r"exactly 4 frames; got a spec of 8\. Build it for another length with its argument length",
    ):
        create_model("tanet_tiny", LABELS, spec=spec)


def test_stages_are_checked():
    recogniser = create_model("r3d_tiny", LABELS)
    with pytest.raises(InvalidSetting, match="no stage 'layer_4'; did you mean 'layer4'"):
        recogniser.freeze(up_to="layer_4")
    with pytest.raises(InvalidSetting, match="no stage 'zzz'; it has stem, layer1"):
        recogniser.features((torch.zeros(1),), "zzz")


def test_features_are_the_stages_output():
    recogniser = create_model("r3d_tiny", LABELS)
    x = torch.randn(input_shape(recogniser.specs[0]))
    features = recogniser.features((x,), "layer4")
    pooled = recogniser.net.fc(features.mean((2, 3, 4)))
    assert torch.allclose(pooled, recogniser(x), atol=1e-5)
    assert not recogniser.net.layer4._forward_hooks


def test_freezing_part_of_a_network():
    recogniser = create_model("r3d_tiny", LABELS)
    frozen = recogniser.freeze(up_to="layer1")
    assert all(name.startswith(("stem", "layer1")) for name in frozen)
    recogniser.train()
    assert not recogniser.net.layer1.training
    assert recogniser.net.layer2.training


def test_freezing_again_keeps_what_is_frozen():
    recogniser = create_model("r3d_tiny", LABELS)
    recogniser.freeze("layer3")
    recogniser.freeze("layer1")
    recogniser.train()
    assert not any(p.requires_grad for p in recogniser.net.layer3.parameters())
    assert not any(module.training for module in recogniser.net.layer3.modules())
    assert recogniser.net.layer4.training


def test_layers_behind_the_last_stage_are_a_group_of_their_own():
    recogniser = create_model("movinet_a0_stream", LABELS)
    assert [name for name, _ in recogniser.stage_parameters()] == [*recogniser.stages, "tail", "head"]
    assert not any(name.startswith("dense") for name in recogniser.freeze("conv7"))
    assert recogniser.freeze("tail")[-2:] == ["dense9.weight", "dense9.bias"]
    recogniser.train()
    assert not recogniser.net.dense9.training
    assert recogniser.net.dense10.training
    with pytest.raises(InvalidSetting, match="r3d_tiny has no stage 'tail'; it has stem, layer1"):
        create_model("r3d_tiny", LABELS).freeze("tail")


def test_plain_names_make_a_head_too(tmp_path):
    recogniser = create_model("r3d_tiny", LABELS)
    recogniser.reset_head(["sit", "stand"])
    assert recogniser.labels == LabelSet(("sit", "stand"))
    saved = save_model(recogniser, tmp_path / "model.safetensors")
    assert load_model(saved).labels.names == ("sit", "stand")


def test_unknown_models_are_told_those_for_users_alone():
    with pytest.raises(UnknownName, match="no model called 'zzz'; known: aagcn, agcn, ") as refusal:
        create_model("zzz", LABELS)
    assert "tiny" not in str(refusal.value)
    assert "micro" not in str(refusal.value)


def test_heads_of_other_kinds_are_refused():
    recogniser = create_model("r3d_tiny", LABELS)
    recogniser.net.fc = nn.Identity()
    with pytest.raises(InvalidSetting, match="The head 'fc' is a Identity"):
        recogniser.reset_head(LABELS)


def test_pretrained_weights_keep_their_own_classes(public):
    peer = create_model("r3d_18", [f"c{i}" for i in range(5)])
    public("r3d_18-b3b3357e.pth", peer.net.state_dict())
    recogniser = create_model("r3d_18.k400")
    assert recogniser.labels.names == ("class_000", "class_001", "class_002", "class_003", "class_004")
    assert any("label names are numbers" in note for note in recogniser.provenance.notes)
    assert recogniser.provenance.origin == "imported r3d_18-b3b3357e.pth"
    assert len(recogniser.provenance.sha256) == 64
    assert recogniser.reset == ()


def test_pretrained_weights_with_other_labels_reset_the_head_aloud(public, caplog):
    peer = create_model("r3d_18", [f"c{i}" for i in range(5)])
    public("r3d_18-b3b3357e.pth", peer.net.state_dict())
    with caplog.at_level(logging.WARNING, "kinesphere.models"):
        recogniser = create_model("r3d_18", LABELS, pretrained="k400")
    assert recogniser.reset == ("fc.bias", "fc.weight")
    assert recogniser.labels == LABELS
    assert "labels differ (5 in the weights, 3 wanted); fresh head: fc.weight, fc.bias" in caplog.text
    assert torch.equal(recogniser.net.stem[0].weight, peer.net.stem[0].weight)


def test_backbones_load_and_name_what_stays_fresh(public, caplog):
    peer = create_model("late_fusion_resnet18", [f"c{i}" for i in range(4)])
    state = {key.removeprefix("backbone."): value for key, value in peer.net.state_dict().items()}
    public("resnet18-f37072fd.pth", state)
    with caplog.at_level(logging.WARNING, "kinesphere.models"):
        recogniser = create_model("late_fusion_resnet18", LABELS, pretrained=True)
    assert recogniser.reset == ("fc.bias", "fc.weight")
    assert "fresh: fc.bias, fc.weight" in caplog.text
    assert torch.equal(recogniser.net.backbone.conv1.weight, peer.net.backbone.conv1.weight)
    with pytest.raises(InvalidSetting, match="holds a backbone without classes; give labels"):
        create_model("late_fusion_resnet18.imagenet")
    state["stray"] = torch.ones(1)
    public("resnet18-f37072fd.pth", state)
    with pytest.raises(InvalidCheckpoint, match=r"1 left over \(backbone.stray\)"):
        create_model("late_fusion_resnet18", LABELS, pretrained=True)


def test_imports_name_every_mismatch(tmp_path):
    state = dict(create_model("r3d_tiny", LABELS).net.state_dict())
    del state["stem.0.weight"]
    state["stray"] = torch.ones(1)
    state["layer1.0.conv1.1.bias"] = torch.ones(3)
    with pytest.raises(
        InvalidCheckpoint,
        match=r"no r3d_tiny in the torchvision layout: 1 left over \(stray\); 1 missing \(stem.0.weight\); "
        r"1 of another shape \(layer1.0.conv1.1.bias \(3,\) for \(8,\)\)",
    ):
        import_state(state, "r3d_tiny")
    with pytest.raises(UnknownName, match="reads no layout 'caffe'; it reads: torchvision"):
        import_state(state, "r3d_tiny", layout="caffe")
    with pytest.raises(InvalidCheckpoint, match=r"1 left over \(w\); 62 missing \(stem.0.weight, .*, …\)"):
        import_state({"w": torch.ones(1)}, "r3d_tiny")


def test_imported_labels_come_from_the_caller_or_the_file(tmp_path):
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    torch.save({"state_dict": state, "meta": {"CLASSES": ["x", "y", "z"]}}, tmp_path / "a.pth")
    assert import_checkpoint(tmp_path / "a.pth", "r3d_tiny").labels.names == ("x", "y", "z")
    assert import_checkpoint(tmp_path / "a.pth", "r3d_tiny", labels=["k", "l", "m"]).labels.names[0] == "k"
    with pytest.raises(InvalidCheckpoint, match="have 3 classes, but 2 labels were given"):
        import_checkpoint(tmp_path / "a.pth", "r3d_tiny", labels=["k", "l"])


def test_counters_of_batch_norm_may_be_absent():
    state = create_model("r3d_tiny", LABELS).net.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert import_state(state, "r3d_tiny").labels.names == ("class_000", "class_001", "class_002")


def test_recurrent_options():
    for bidirectional in (False, True):
        for output in ("last", "mean"):
            arguments = {"bidirectional": bidirectional, "output": output}
            recogniser = create_model("cnn_lstm_tiny", LABELS, arguments=arguments)
            assert recogniser(torch.randn(input_shape(recogniser.specs[0]))).shape == (1, 3)
    with pytest.raises(InvalidSetting, match="is 'last' or 'mean'; got 'first'"):
        create_model("cnn_lstm_tiny", LABELS, arguments={"output": "first"})


def test_order_of_frames_matters_to_a_recurrent_model_and_not_to_late_fusion():
    torch.manual_seed(0)
    for name, matters in (("cnn_lstm_tiny", True), ("late_fusion_tiny", False)):
        recogniser = create_model(name, LABELS)
        x = torch.randn(input_shape(recogniser.specs[0]))
        assert torch.allclose(recogniser(x), recogniser(x.flip(1)), atol=1e-6) != matters


def test_unknown_resnet_depths_are_refused():
    from kinesphere.models.layers.resnet2d import ResNet2d

    with pytest.raises(InvalidSetting, match="depth 18, 34, 50, 101, 152; got 20"):
        ResNet2d(20)


def test_counting_knows_convolutions_linear_layers_and_tied_weights():
    net = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1, bias=False), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    net.append(nn.Linear(4, 2))
    spec = ClipSpec(Sampling("dense", 2), size=(5, 5))

    class TimeFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net
            self.same = net

        def forward(self, x):
            return self.net(x.transpose(1, 2))

    assert count_parameters(TimeFirst()) == 3 * 4 * 27 + 4 * 2 + 2
    assert count_multiply_adds(TimeFirst(), (spec,)) == 3 * 4 * 27 * 2 * 25 + 4 * 2


def test_every_model_states_its_paper_or_is_ours():
    for name in MODELS:
        entry = MODELS.get(name).card
        assert entry.paper is None or entry.paper.url.startswith("https://")
