"""Weights in a file start training as those of a registered name do."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, MissingWeights, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.data import Manifest, Sample
from kinesphere.models import create_model, import_checkpoint, save_model
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.starting import is_file
from kinesphere.train.recipe import Recipe
from kinesphere.train.trainer import build_recogniser

LABELS = LabelSet(("a", "b", "c"))
TINY = ("r3d_tiny", "r2plus1d_tiny", "i3d_resnet_tiny", "stgcn_tiny")


def samples(labels: LabelSet) -> Manifest:
    return Manifest(
        tuple(Sample(name, Path(f"{name}.mp4"), labels=(name,), split="train") for name in labels),
        labels,
        Path(),
    )


def started(pretrained: Path, *overrides: str, labels: LabelSet = LABELS):
    recipe = Recipe.build({"data": {"source": "x"}}).override(f"model.pretrained={pretrained}", *overrides)
    return build_recogniser(recipe, samples(labels))


@pytest.fixture
def tiny_models(monkeypatch):
    """Let files be compared with networks for tests."""
    monkeypatch.setattr("kinesphere.models.weights.matching.list_models", lambda: list(TINY))


@pytest.fixture
def own(tmp_path):
    """A model file of ours, and its recogniser."""
    recogniser = create_model("stgcn_tiny", LABELS, arguments={"people": 3})
    return save_model(recogniser, tmp_path / "own.safetensors"), recogniser


@pytest.fixture
def foreign(tmp_path):
    """A checkpoint of another program, with names of classes beside the state."""
    recogniser = create_model("r3d_tiny", LABELS)
    path = tmp_path / "mine.pth"
    state = {f"model.{key}": value for key, value in recogniser.net.state_dict().items()}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(3)}, "epoch": 3}, path)
    return path, recogniser


# --- our own files ------------------------------------------------------------------------------------------


def test_arguments_of_a_file_are_taken_as_of_a_name(tmp_path):
    recogniser = create_model("posec3d_tiny", LABELS, arguments={"draw": "limbs"})
    path = save_model(recogniser, tmp_path / "own.safetensors")
    again = started(path, "model.name=posec3d_tiny")
    assert dict(again.arguments) == {"draw": "limbs"}
    changed = started(path, "model.name=posec3d_tiny", "model.arguments={size_px: 16, dropout: 0.25}")
    assert dict(changed.arguments) == {"draw": "limbs", "size_px": 16, "dropout": 0.25}
    assert (again.specs[0].size, changed.specs[0].size) == ((32, 32), (16, 16))
    assert torch.equal(changed.net.fc.weight, recogniser.net.fc.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{depth: 3}", "stgcn_tiny has no argument 'depth'; it takes "),
        ("{people: many}", "stgcn_tiny: people='many' does not fit: Input should be a valid integer"),
        ("{widths: [4, 4, 8]}", r"weights in own.safetensors do not fit a stgcn_tiny with .*tensors differ"),
        ("{people: 999999}", "is beyond 65536"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(own, arguments, message):
    with pytest.raises(InvalidSetting, match=message):
        started(own[0], "model.name=stgcn_tiny", f"model.arguments={arguments}")


@pytest.mark.parametrize("override", ["clip.size=64", "clip.sampling=8x1x1"])
def test_fixed_sizes_and_lengths_of_a_file_are_kept(override, tmp_path):
    path = save_model(create_model("c3d_tiny", LABELS), tmp_path / "a.safetensors")
    with pytest.raises(InvalidSetting, match="c3d_tiny takes exactly"):
        started(path, "model.name=c3d_tiny", override)


def test_the_head_of_a_file_stays_for_its_classes_in_any_order(own, caplog):
    path, recogniser = own
    other = LabelSet(("c", "a", "b"))
    kept = started(path, "model.name=stgcn_tiny", labels=other)
    assert kept.reset == ()
    assert kept.labels == other
    assert torch.equal(kept.net.fc.weight, recogniser.net.fc.weight[[2, 0, 1]])
    with caplog.at_level(logging.WARNING, "kinesphere"):
        fresh = started(path, "model.name=stgcn_tiny", labels=LabelSet(("a", "new")))
    assert set(fresh.reset) == {"fc.weight", "fc.bias"}
    assert "not in the weights: new" in caplog.text


def test_a_file_of_ours_names_its_model(own, tmp_path):
    from kinesphere.models.weights.starting import model_of

    assert model_of(str(own[0])) == "stgcn_tiny"
    with pytest.raises(InvalidSetting, match=r"holds a stgcn_tiny, but model.name is r3d_tiny"):
        started(own[0], "model.name=r3d_tiny")
    with pytest.raises(MissingWeights, match="There is no file"):
        started(tmp_path / "absent.pth", "model.name=r3d_tiny")


# --- files of others ----------------------------------------------------------------------------------------


def test_a_checkpoint_is_imported_on_the_way(foreign, caplog):
    path, recogniser = foreign
    with caplog.at_level(logging.WARNING, "kinesphere"):
        found = started(path, "model.name=r3d_tiny")
    assert found.labels == LABELS
    assert torch.equal(found.net.fc.weight, recogniser.net.fc.weight)
    assert "does not name its 3 classes; they are taken to be those of the data" in caplog.text
    assert any("left out, as beside the network: loss.weight" in note for note in found.provenance.notes)
    other = started(path, "model.name=r3d_tiny", labels=LabelSet(("x", "y")))
    assert set(other.reset) == {"fc.weight", "fc.bias"}


def test_a_backbone_takes_the_labels_of_the_data(tmp_path):
    net = create_model("i3d_resnet_tiny", LABELS).net
    image = next(m for m in MODELS.get("i3d_resnet_tiny").key_maps if m.backbone_only)
    flat = {k: v.mean(2) if v.dim() == 5 else v for k, v in net.state_dict().items()}
    theirs = image.to_theirs({k: v for k, v in flat.items() if not k.startswith("fc.")}).state
    torch.save({**theirs, "fc.weight": torch.ones(7, 4), "fc.bias": torch.ones(7)}, tmp_path / "resnet.pth")
    found = started(tmp_path / "resnet.pth", "model.name=i3d_resnet_tiny")
    assert found.labels == LABELS
    assert set(found.reset) == {"fc.weight", "fc.bias"}


def test_a_network_saved_without_its_head_takes_the_labels_of_the_data(tmp_path):
    state = dict(create_model("r3d_tiny", ("x", "y")).net.state_dict())
    headless = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    torch.save(headless, tmp_path / "headless.pth")
    with pytest.raises(
        InvalidCheckpoint, match=r"without a classifier of videos: use `kinesphere train DATA"
    ):
        import_checkpoint(tmp_path / "headless.pth", "r3d_tiny")
    recogniser = started(tmp_path / "headless.pth", "model.name=r3d_tiny")
    assert (recogniser.labels.names, recogniser.reset) == (LABELS.names, ("fc.bias", "fc.weight"))
    assert torch.equal(recogniser.net.state_dict()["stem.0.weight"], state["stem.0.weight"])
    del headless["stem.0.weight"]
    torch.save(headless, tmp_path / "less.pth")
    with pytest.raises(InvalidCheckpoint, match=r"3 missing \(stem.0.weight, fc.weight, fc.bias\)"):
        import_checkpoint(tmp_path / "less.pth", "r3d_tiny")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html><title>Quota exceeded</title>", "bad.pth is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS, not the file"),
    ],
)
def test_downloads_that_did_not_happen_are_named(tmp_path, content, message):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InvalidCheckpoint, match=message):
        import_checkpoint(tmp_path / "bad.pth", "r3d_tiny")


def test_a_model_that_does_not_fit_is_answered_with_those_that_do(foreign, tiny_models, tmp_path):
    path, _ = foreign
    for name, error in (("resnet18", UnknownName), ("stgcn_tiny", InvalidCheckpoint)):
        with pytest.raises(
            error, match=r"Its tensors fit r3d_tiny \(3 classes\)\..*model\.name=r3d_tiny"
        ) as told:
            import_checkpoint(path, name)
        assert f"`kinesphere import {path} --model r3d_tiny --out MODEL.safetensors`" in str(told.value)
    torch.save({"odd.name": torch.ones(3)}, tmp_path / "odd.pth")
    with pytest.raises(InvalidCheckpoint, match="fit none of the known architectures"):
        import_checkpoint(tmp_path / "odd.pth", "r3d_tiny")


def test_foreign_tensors_of_any_container_start_a_run(foreign, tmp_path, tiny_models):
    from safetensors.torch import save_file

    from kinesphere.train.resolve import resolve

    save_file(torch.load(foreign[0])["state_dict"], tmp_path / "theirs.safetensors")
    (tmp_path / "data").mkdir()
    recipe = Recipe.build({"data": {"source": "x", "val": 0, "test": 0}}).override(
        f"model.pretrained={tmp_path / 'theirs.safetensors'}", f"out={tmp_path / 'run'}"
    )
    resolved, parts = resolve(recipe.override("model.name=r3d_tiny"), samples(LABELS))
    assert build_recogniser(resolved, parts.train).reset == ()
    with pytest.raises(UnknownName, match="resnet18"):
        resolve(recipe.override("model.name=resnet18"), samples(LABELS))


def test_the_model_that_alone_fits_is_found(foreign, tiny_models, monkeypatch, tmp_path):
    from kinesphere.models.weights.starting import model_of

    assert model_of(str(foreign[0])) == "r3d_tiny"
    monkeypatch.setattr("kinesphere.models.weights.matching.list_models", lambda: ["stgcn_tiny"])
    with pytest.raises(InvalidCheckpoint, match=r"Which model mine\.pth belongs to is not certain"):
        model_of(str(foreign[0]))


def test_names_of_blocks_without_end_build_nothing(tmp_path):
    state = {
        f"backbone.layer{s}.{b}.conv1.conv.weight": torch.ones(1) for s in (1, 2, 3, 4) for b in (0, 10**8)
    }
    torch.save(state, tmp_path / "a.pth")
    started_s = time.process_time()
    for model in ("slowfast_tiny", "timesformer_tiny", "msg3d_tiny", "videomae_tiny", "slowonly_tiny"):
        with pytest.raises(InvalidCheckpoint):
            import_checkpoint(tmp_path / "a.pth", model)
    assert time.process_time() - started_s < 30


def test_a_folder_of_data_is_not_taken_for_weights_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k400" / "running").mkdir(parents=True)
    assert not is_file("k400", "r3d_18")
    assert not is_file("k400", "r3d_18.k400")
    assert is_file("./k400", "r3d_18")
    (tmp_path / "k400" / "model.safetensors").touch()
    assert is_file("k400", "r3d_18")
