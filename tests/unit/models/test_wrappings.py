"""Weights as training tools wrap them, and class names wherever they are stated."""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.models import create_model, import_checkpoint
from kinesphere.models.weights.readers import read_foreign

LABELS = LabelSet(("a", "b", "c"))
NAMES = ("walk", "run", "jump")


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return create_model("r3d_tiny", LABELS).net


def imported(path: Path, net: nn.Module):
    recogniser = import_checkpoint(path, "r3d_tiny")
    own = recogniser.net.state_dict()
    assert all(torch.equal(own[key], value) for key, value in net.state_dict().items())
    return recogniser


def prefixed(net: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": value for key, value in net.state_dict().items()}


def inserted(net: nn.Module, part: str) -> dict[str, torch.Tensor]:
    """A part put behind the first of every name, as a wrapper of each child does."""
    return {f"{k.partition('.')[0]}.{part}.{k.partition('.')[2]}": v for k, v in net.state_dict().items()}


class Wrapped(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.model = net
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))


WRAPPINGS = {
    "averaged model": lambda net: torch.optim.swa_utils.AveragedModel(net).state_dict(),
    "parallel": lambda net: nn.DataParallel(net).state_dict(),
    "compiled": lambda net: prefixed(net, "_orig_mod."),
    "compiled and averaged": lambda net: {
        "n_averaged": torch.tensor(3), **prefixed(net, "module._orig_mod."),
    },
    "compiled children": lambda net: inserted(net, "_orig_mod"),
    "parallel children": lambda net: inserted(net, "module"),
    "sharded": lambda net: prefixed(net, "_fsdp_wrapped_module."),
    "with a loss": lambda net: Wrapped(net).state_dict(),
    "lightning": lambda net: {
        "state_dict": Wrapped(net).state_dict(), "hyper_parameters": {"lr": 1}, "loops": {},
    },
    "weight averaging": lambda net: {
        "averaging_state": {"module": 1}, "current_model_state": prefixed(net, "model."), "epoch": 3,
    },
    "swa": lambda net: {"swa_state_dict": {"n_averaged": torch.tensor(1), **prefixed(net, "module.")}},
    "ema": lambda net: {
        "initted": torch.tensor(True), "step": torch.tensor(5), **prefixed(net, "ema_model."),
    },
    "both of ema": lambda net: {
        **prefixed(net, "online_model."), **prefixed(net, "ema_model."), "step": torch.tensor(5),
    },
    "counters": lambda net: {
        **net.state_dict(), "total_ops": torch.zeros(1), "stem.0.total_params": torch.zeros(1),
        "layer1.total_ops": torch.zeros(1),
    },
    "mixed": lambda net: {
        (f"module.{key}" if i % 2 else key): value for i, (key, value) in enumerate(net.state_dict().items())
    },
    "unknown name": lambda net: {"my_network": net.state_dict(), "optimizer_state": {"x": torch.ones(1)}},
    "own attribute": lambda net: prefixed(net, "video_net."),
    "a pair": lambda net: (net.state_dict(), 17),
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappings_are_understood(wrapping: str, net: nn.Module, tmp_path: Path) -> None:
    torch.save(WRAPPINGS[wrapping](net), tmp_path / "a.pth")
    notes = " | ".join(imported(tmp_path / "a.pth", net).provenance.notes)
    for name, note in (
        ("counters", "counters of training tools left out: "),
        ("averaged model", "counters of training tools left out: n_averaged"),
        ("lightning", "left out, as beside the network: criterion.weight"),
    ):
        assert (note in notes) or name != wrapping


def test_plain_pickles_of_tensors_are_read(net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": net.state_dict()}))
    imported(tmp_path / "a.pkl", net)


def test_several_sets_of_weights_are_told_apart(net: nn.Module, tmp_path: Path) -> None:
    torch.save({"first": net.state_dict(), "second": net.state_dict()}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match=r"several sets of weights \(first, second\)"):
        read_foreign(tmp_path / "a.pth")


STATED = {
    "id2label": {"id2label": {0: "walk", 1: "run", 2: "jump"}},
    "id2label of texts": {"id2label": {"2": "jump", "0": "walk", "1": "run"}},
    "label2id": {"label2id": {"run": 1, "walk": 0, "jump": 2}},
    "idx_to_class": {"idx_to_class": {0: "walk", 1: "run", 2: "jump"}},
    "class_to_idx": {"class_to_idx": {"jump": 2, "walk": 0, "run": 1}},
    "classes": {"classes": list(NAMES)},
    "class_names": {"class_names": NAMES},
    "CLASSES": {"meta": {"CLASSES": NAMES}},
    "dataset_meta": {"meta": {"dataset_meta": {"classes": NAMES}}},
    "array": {"class_names": np.array(NAMES)},
    "objects": {"class_names": np.array(NAMES, object)},
    "entries": {"categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]},
    "hyper_parameters": {"hyper_parameters": {"class_names": list(NAMES)}},
    "namespace": {"args": argparse.Namespace(class_names=list(NAMES))},
    "ordered": {"config": collections.OrderedDict(id2label=collections.OrderedDict(enumerate(NAMES)))},
    "names": {"names": dict(enumerate(NAMES))},
    "index of WordNet": {"class_index": {str(i): [f"n{i}", name] for i, name in enumerate(NAMES)}},
}


@pytest.mark.parametrize("stated", STATED)
@pytest.mark.parametrize("container", ["zip", "stream", "pickle"])
def test_class_names_in_files_are_kept(stated: str, container: str, net: nn.Module, tmp_path: Path) -> None:
    content = {"state_dict": net.state_dict(), **STATED[stated]}
    if container == "pickle":
        (tmp_path / "a.pth").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=container == "zip")
    assert imported(tmp_path / "a.pth", net).labels.names == NAMES


def test_class_names_in_metadata_are_kept(net: nn.Module, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net.state_dict(), tmp_path / "a.safetensors", {"id2label": json.dumps(dict(enumerate(NAMES)))})
    assert imported(tmp_path / "a.safetensors", net).labels.names == NAMES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "walk\nrun\njump\n"),
        ("classes.txt", "0 walk\n1 run\n2 jump\n"),
        ("a_classes.txt", "1 walk\n2 run\n3 jump\n"),
        ("a.labels.txt", "walk\r\nrun\r\njump"),
        ("labels.txt", "2 run\n3 jump\n1 walk\n"),
        ("id2label.json", '{"0": "walk", "1": "run", "2": "jump"}'),
        ("id2label.json", '{"1": "walk", "2": "run", "3": "jump"}'),
        ("class_to_idx.json", '{"jump": 3, "run": 2, "walk": 1}'),
        (
            "categories.json",
            '[{"id": 7, "name": "jump"}, {"id": 1, "name": "walk"}, {"id": 3, "name": "run"}]',
        ),
        ("class_names.json", '["walk", "run", "jump"]'),
        ("class_to_idx.json", '{"jump": 2, "run": 1, "walk": 0}'),
        ("labels.yaml", "names: [walk, run, jump]"),
        ("a.json", '{"classes": ["walk", "run", "jump"]}'),
        ("config.json", '{"id2label": {"0": "walk", "1": "run", "2": "jump"}}'),
    ],
)
def test_class_names_beside_files_are_kept(name: str, content: str, net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "a.pth")
    (tmp_path / name).write_text(content)
    recogniser = imported(tmp_path / "a.pth", net)
    assert recogniser.labels.names == NAMES
    if name != "config.json":
        assert f"label names are those of {name}, beside the file" in recogniser.provenance.notes


def test_class_names_that_do_not_fit_or_differ_are_told(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "a.pth")
    (tmp_path / "labels.txt").write_text("walk\nrun\n")
    notes = imported(tmp_path / "a.pth", net).provenance.notes
    assert "labels.txt names 2 classes, not 3: not used" in notes
    (tmp_path / "classes.txt").write_text("x\ny\nz\n")
    assert imported(tmp_path / "a.pth", net).labels.names == ("x", "y", "z")
    (tmp_path / "labels.txt").write_text("walk\nrun\njump\n")
    with pytest.raises(InvalidCheckpoint, match=r"3 class names in .*\.txt and others in .*--labels"):
        import_checkpoint(tmp_path / "a.pth", "r3d_tiny")


# --- several files ------------------------------------------------------------------------------------------


def sharded(net: nn.Module, folder: Path, ending: str, **changes: str) -> Path:
    """The state in two files with an index."""
    from safetensors.torch import save_file

    stem = "model" if ending == ".safetensors" else "pytorch_model"
    state = net.state_dict()
    places = {key: f"{stem}-{1 + i % 2:05d}-of-00002{ending}" for i, key in enumerate(state)}
    for name in set(places.values()):
        part = {key: state[key] for key, place in places.items() if place == name}
        save = save_file if ending == ".safetensors" else torch.save
        save(part, folder / name)
    index = folder / f"{stem}{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**places, **changes}}))
    return index


@pytest.mark.parametrize("ending", [".safetensors", ".bin"])
def test_files_with_an_index_are_read_whole(ending: str, net: nn.Module, tmp_path: Path) -> None:
    index = sharded(net, tmp_path, ending)
    imported(index, net)
    (shard, _) = sorted(tmp_path.glob(f"*00002{ending}"))
    imported(shard, net)
    index.unlink()
    imported(shard, net)
    shard.unlink()
    with pytest.raises(InvalidCheckpoint, match=r"of which 1 are not beside it \(.*00001-of-00002"):
        read_foreign(next(tmp_path.glob(f"*00002{ending}")))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("../a.bin", "names the file '../a.bin'; the files of an index lie beside it"),
        ("/etc/passwd", "lie beside it"),
        ("..", "lie beside it"),
        ("pytorch_model-00002-of-00002.bin", "names 1 tensors that are not in the files it says"),
        ("absent.bin", r"of which 1 are not beside it \(absent.bin\)"),
    ],
)
def test_an_index_that_lies_is_refused(place: str, message: str, net: nn.Module, tmp_path: Path) -> None:
    first = next(iter(net.state_dict()))
    with pytest.raises(InvalidCheckpoint, match=message):
        read_foreign(sharded(net, tmp_path, ".bin", **{first: place}))


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"weight_map": {"a": 1}}', "{", "[" * 2000, '{"weight_map": {}}']
)
def test_a_damaged_index_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin.index.json").write_text(content)
    with pytest.raises(InvalidCheckpoint):
        read_foreign(tmp_path / "a.bin.index.json")


# --- files that claim more than they hold -------------------------------------------------------------------


def test_members_that_overlap_are_paid_for_each_time(tmp_path: Path) -> None:
    """Entries of an archive that all point at the same bytes."""
    path = tmp_path / "a.pth"
    state = {f"w{i}": torch.zeros(1 << 16) for i in range(40)}
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        places = {e.filename: e.header_offset for e in archive.infolist() if "/data/" in e.filename}
    whole, target = path.read_bytes(), next(iter(places.values()))
    for offset in places.values():
        whole = whole.replace(struct.pack("<I", offset) + b"a/data/", struct.pack("<I", target) + b"a/data/")
    (tmp_path / "b.pth").write_bytes(whole[: target + (1 << 18) + 200] + whole[whole.index(b"PK\x01\x02") :])
    with pytest.raises(InvalidCheckpoint):
        read_foreign(tmp_path / "b.pth")


def test_strides_of_nothing_claim_nothing(tmp_path: Path) -> None:
    for count, width in ((2_000_000, 512), (1 << 20, 1)):
        state = {f"fc{i}.weight": torch.zeros(1).expand(count, width) for i in range(40)}
        torch.save(state, tmp_path / "a.pth")
        with pytest.raises(InvalidCheckpoint, match=r"does not fit its storage|claims \d+ for"):
            read_foreign(tmp_path / "a.pth")
    torch.save({"fc.weight": torch.zeros(1).expand(3, 5)}, tmp_path / "a.pth")
    assert read_foreign(tmp_path / "a.pth").state["fc.weight"].shape == (3, 5)


@pytest.mark.parametrize(
    "name",
    ["dag.pkl", "memo_bomb_2GB.pkl", "self_dict.pth", "bytearray_call_3GB.pth", "stride0_2e6_classes.pth"],
)
def test_the_hostile_checkpoints(name: str) -> None:
    root = os.environ.get("KINESPHERE_TEST_DATA")
    path = Path(root or "").parent / "faults" / "hostile" / name
    if not root or not path.is_file():
        pytest.skip("KINESPHERE_TEST_DATA names no folder with hostile files beside it")
    with pytest.raises(InvalidCheckpoint):
        import_checkpoint(path, "r3d_18")


def valid_files(folder: Path) -> dict[str, bytes]:
    from safetensors.torch import save_file

    state = {"a.weight": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.float16)}
    torch.save({"state_dict": state, "classes": ["x", "y"]}, folder / "zip.pth")
    torch.save(state, folder / "stream.pth", _use_new_zipfile_serialization=False)
    (folder / "plain.pkl").write_bytes(pickle.dumps({"w": np.ones((2, 2)), "t": state}))
    save_file(state, folder / "a.safetensors", {"id2label": '{"0": "x"}'})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=250, deadline=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, 3),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=8), st.integers(0, 8)), max_size=4),
    tail=st.integers(0, 200),
)
def test_damaged_files_raise_nothing_else(which: int, edits: list, tail: int, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.is_dir():
        folder.mkdir()
        valid_files(folder)
    source = sorted(folder.glob("[!_]*"))[which]
    whole = source.read_bytes()
    for at, patch, cut in edits:
        at %= len(whole) or 1
        whole = whole[:at] + patch + whole[at + cut :]
    damaged = folder / f"_{source.name}"
    damaged.write_bytes(whole[: max(1, len(whole) - tail)] if tail % 3 == 0 else whole)
    with contextlib.suppress(KinesphereError):
        read_foreign(damaged)


state_keys = st.lists(
    st.sampled_from(
        ["module", "model", "fc", "weight", "layer1", "0", "99", "_orig_mod", "total_ops", "stem", "bias"]
    ),
    min_size=1,
    max_size=4,
).map(".".join)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(state_keys, st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=6))
def test_states_of_any_form_raise_nothing_else(forms: dict) -> None:
    from kinesphere.models import import_state

    state = {key: torch.zeros(shape) for key, shape in forms.items()}
    for model in ("r3d_tiny", "stgcn_tiny"):
        with contextlib.suppress(KinesphereError):
            import_state(state, model)
