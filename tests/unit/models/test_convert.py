"""Foreign files: every container is read, and nothing in them is executed."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, UnsafeFile
from kinesphere.models.weights.readers import pytorch as reader
from kinesphere.models.weights.readers import read_foreign


class Attack:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.fixture
def state() -> OrderedDict[str, torch.Tensor]:
    torch.manual_seed(0)
    whole = torch.randn(4, 6)
    return OrderedDict(
        weight=whole,
        slice=whole[1:3, ::2],
        half=torch.randn(3).half(),
        brain=torch.randn(3).bfloat16(),
        count=torch.tensor(7),
        empty=torch.zeros(0, 3),
        flag=torch.tensor([True, False]),
    )


@pytest.fixture
def restricted(monkeypatch):
    """Take the way through our own reader, as for files that torch refuses."""

    def refuse(*_arguments, **_named):
        raise pickle.UnpicklingError("refused for the test")

    monkeypatch.setattr(reader.torch, "load", refuse)


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return set(found) == set(wanted) and all(torch.equal(found[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize("zipped", [True, False])
def test_own_reader_equals_torch(tmp_path, state, restricted, zipped):
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_foreign(tmp_path / "a.pth").state, state)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_with_unknown_classes_are_read_without_them(tmp_path, state, zipped):
    content = {
        "state_dict": state,
        "args": argparse.Namespace(lr=0.1),
        "path": Path("x"),
        "best": np.float64(0.5),
        "array": np.arange(3),  # not part of the state
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    foreign = read_foreign(tmp_path / "a.pth")
    assert same(foreign.state, state)
    assert "argparse.Namespace" in foreign.inert


def test_tar_archives_of_the_first_pytorch(tmp_path):
    """The container before 0.1.12: storages, tensors and a pickle that counts on them."""
    values = np.arange(6, dtype="<f4")
    storages, tensors = io.BytesIO(), io.BytesIO()
    protocol2 = {"protocol": 2}
    pickle.dump(1, storages, **protocol2)
    storages.write(_pickled_global(("k0", "cpu"), "torch", "FloatStorage"))
    storages.write(struct.pack("<q", 6) + values.tobytes())
    pickle.dump([], storages, **protocol2)
    pickle.dump(1, tensors, **protocol2)
    tensors.write(_pickled_global((11, "k0"), "torch", "FloatTensor"))
    tensors.write(
        struct.pack("<i4x", 2) + struct.pack("<2q", 2, 3) + struct.pack("<2q", 3, 1) + struct.pack("<q", 0)
    )
    main = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return "11" if obj is Ellipsis else None

    Pickler(main, protocol=2).dump({"weight": Ellipsis})
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        for name, part in (("storages", storages), ("tensors", tensors), ("pickle", main)):
            info = tarfile.TarInfo(name)
            info.size = len(part.getvalue())
            archive.addfile(info, io.BytesIO(part.getvalue()))
    found = read_foreign(tmp_path / "a.pth").state
    assert same(found, {"weight": torch.arange(6.0).reshape(2, 3)})


def _pickled_global(first: tuple[object, ...], module: str, name: str) -> bytes:
    """The pickle of `(*first, <global module.name>)`."""
    body = b"".join(pickle.dumps(item, protocol=2)[2:-1] for item in first)
    return b"\x80\x02(" + body + f"c{module}\n{name}\n".encode() + b"t."


def test_caffe2_pickles(tmp_path):
    blobs = {"conv1_w": np.ones((2, 3), np.float32), "conv1_w_momentum": np.ones(1), "lr": 0.1}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    assert same(read_foreign(tmp_path / "a.pkl").state, {"conv1_w": torch.ones(2, 3)})


def test_caffe2_pickles_of_python_2(tmp_path):
    """Byte strings as keys and as array content, Fortran order, big-endian numbers."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'>'\nNNNI-1\nI-1\nI0\ntb"
    raw = np.array([1.5, -2.0], ">f4").tobytes()
    content = b"(dS'w'\n" + array + b"(I1\n(I2\nt" + dtype + b"I01\nS'" + _escaped(raw) + b"'\ntbs."
    (tmp_path / "a.pkl").write_bytes(content)
    assert same(read_foreign(tmp_path / "a.pkl").state, {"w": torch.tensor([1.5, -2.0])})


def _escaped(raw: bytes) -> bytes:
    return "".join(f"\\x{byte:02x}" for byte in raw).encode()


@pytest.mark.parametrize(
    "wrapper",
    ["state_dict", "model_state", "model", "model_state_dict", "blobs", "weights", "params", "model_ema",
     "ema_state_dict"],
)  # fmt: skip
def test_wrappers_and_prefixes_are_removed(tmp_path, wrapper):
    torch.save({wrapper: {"module.w": torch.ones(1)}, "epoch": 1}, tmp_path / "a.pyth")
    assert set(read_foreign(tmp_path / "a.pyth").state) == {"w"}


@pytest.mark.parametrize("prefix", ["model.", "net.", "_orig_mod.module.", "module._orig_mod.", "model.net."])
def test_prefixes_are_removed_in_any_order(tmp_path, prefix):
    torch.save(
        {"state_dict": {f"{prefix}w": torch.ones(1), f"{prefix}b.w": torch.ones(1)}}, tmp_path / "a.ckpt"
    )
    assert set(read_foreign(tmp_path / "a.ckpt").state) == {"w", "b.w"}


def test_prefixes_of_some_tensors_are_names(tmp_path):
    torch.save({"model.w": torch.ones(1), "loss.w": torch.ones(1)}, tmp_path / "a.pth")
    assert set(read_foreign(tmp_path / "a.pth").state) == {"model.w", "loss.w"}


def test_settings_called_like_a_wrapper_are_none(tmp_path):
    torch.save({"params": {"lr": 0.1}, "w": torch.ones(1)}, tmp_path / "a.pth")
    assert set(read_foreign(tmp_path / "a.pth").state) == {"w"}


def test_averages_are_taken_where_there_is_nothing_else(tmp_path):
    both = {"ema_state_dict": {"w": torch.zeros(1)}, "state_dict": {"w": torch.ones(1)}}
    torch.save(both, tmp_path / "a.pth")
    foreign = read_foreign(tmp_path / "a.pth")
    assert same(foreign.state, {"w": torch.ones(1)})
    assert foreign.others == ("ema_state_dict",)


@pytest.mark.parametrize(
    "stated",
    [
        {"meta": {"CLASSES": ["a", "b"]}},
        {"meta": {"dataset_meta": {"classes": ("a", "b")}}},
        {"class_to_idx": {"b": 1, "a": 0}},
    ],
    ids=["mmcv", "mmengine", "folders"],
)
def test_class_names_are_found(tmp_path, stated):
    torch.save({"state_dict": {"w": torch.ones(1)}, **stated}, tmp_path / "a.pth")
    assert read_foreign(tmp_path / "a.pth").labels == ("a", "b")


def test_class_numbers_with_a_gap_name_nothing(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1)}, "class_to_idx": {"a": 0, "b": 2}}, tmp_path / "a.pth")
    assert read_foreign(tmp_path / "a.pth").labels is None


@pytest.mark.parametrize("content", [torch.nn.Linear(2, 2), {"model": torch.nn.Linear(2, 2), "epoch": 1}])
def test_whole_networks_are_called_so(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(
        InvalidCheckpoint, match=r"whole pickled network \(Linear\).* save its state_dict\(\)"
    ):
        read_foreign(tmp_path / "a.pth")


def test_files_without_weights_are_told_by_what_they_have(tmp_path):
    torch.save({"epoch": 1, "optimizer": {"lr": 0.1}}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match="no named tensors: its top level has epoch, optimizer"):
        read_foreign(tmp_path / "a.pth")
    torch.save([torch.ones(1)], tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match="no named tensors: it is a list"):
        read_foreign(tmp_path / "a.pth")


def test_foreign_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    assert same(read_foreign(tmp_path / "a.safetensors").state, {"w": torch.ones(2)})


@pytest.mark.parametrize(
    "attack",
    [
        Attack(os.system, "touch {mark}"),
        Attack(eval, "open({mark!r}, 'w')"),
        Attack(exec, "open({mark!r}, 'w')"),
        Attack(subprocess.Popen, ["touch", "{mark}"]),
        Attack(getattr, "text", "upper"),
        Attack(__import__, "os"),
    ],
    ids=["system", "eval", "exec", "popen", "getattr", "import"],
)
@pytest.mark.parametrize("ending", ["zip", "stream", "pickle"])
def test_hostile_pickles_execute_nothing(tmp_path, attack, ending):
    mark = tmp_path / "executed"
    function, arguments = attack.call
    arguments = tuple(a.format(mark=str(mark)) if isinstance(a, str) else a for a in arguments)
    arguments = tuple([p.format(mark=str(mark)) for p in a] if isinstance(a, list) else a for a in arguments)
    content = {"state_dict": {"w": torch.ones(1)}, "evil": Attack(function, *arguments)}
    path = tmp_path / "a.pth"
    if ending == "pickle":
        path.write_bytes(pickle.dumps({"w": np.ones(1), "evil": content["evil"]}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=ending == "zip")
    with pytest.raises(UnsafeFile, match="nothing was executed"):
        read_foreign(path)
    assert not mark.exists()


def test_a_file_cannot_alter_the_reader(tmp_path):
    """BUILD sets attributes on whatever lies on the stack; ours refuse or are thrown away."""
    content = b"ctorch._utils\n_rebuild_tensor_v2\n(N(dS'_function'\nNstb."
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InvalidCheckpoint, match="tries to change '_function'"):
        read_foreign(tmp_path / "a.pkl")
    content = b"(dS'x'\nccollections\nOrderedDict\n(N(dS'evil'\nI1\nstbs."
    (tmp_path / "b.pkl").write_bytes(content)
    with pytest.raises(InvalidCheckpoint, match="tries to change 'evil'"):
        read_foreign(tmp_path / "b.pkl")
    assert not hasattr(OrderedDict, "evil")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused(tmp_path, state, zipped):
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "a.pth").read_bytes()
    for share in (0.0, 0.01, 0.1, 0.3, 0.6, 0.95):
        (tmp_path / "cut.pth").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InvalidCheckpoint):
            read_foreign(tmp_path / "cut.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bytes_never_raise_anything_else(tmp_path, state, restricted, zipped):
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "a.pth").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] ^= 1 << int(generator.integers(8))
        (tmp_path / "b.pth").write_bytes(damaged)
        with contextlib.suppress(InvalidCheckpoint, UnsafeFile):
            read_foreign(tmp_path / "b.pth")


def test_tensors_beyond_their_storage_are_refused():
    from kinesphere.core.unpickle import Storage

    storage = Storage(torch.zeros(16, dtype=torch.uint8), torch.float32)
    assert storage.tensor(1, (3,), (1,)).shape == (3,)
    with pytest.raises(InvalidCheckpoint, match="does not fit its storage"):
        storage.tensor(2, (3,), (1,))
    with pytest.raises(InvalidCheckpoint, match="does not fit its storage"):
        storage.tensor(0, (1 << 30,), (0,))
    with pytest.raises(InvalidCheckpoint, match="impossible shape"):
        storage.tensor(0, (-1,), (1,))


def test_torchscript_archives_are_named(tmp_path, restricted):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/constants.pkl", b"N.")
    with pytest.raises(InvalidCheckpoint, match=r"TorchScript.*state_dict"):
        read_foreign(tmp_path / "a.pt")


def test_compressed_archives_are_refused(tmp_path, restricted):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"N." * 1000)
    with pytest.raises(InvalidCheckpoint, match="compressed"):
        read_foreign(tmp_path / "a.pt")


def test_files_without_tensors_are_refused(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "a.pth")
    with pytest.raises(InvalidCheckpoint, match="holds no named tensors"):
        read_foreign(tmp_path / "a.pth")


def test_absent_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(
        InvalidCheckpoint,
        match=r"There is no checkpoint file or folder .*; it is not downloaded: put it there",
    ):
        read_foreign(tmp_path / "absent.pth")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(InvalidCheckpoint, match=r"from its ending; known: .*\.pth"):
        read_foreign(tmp_path / "a.xyz")
