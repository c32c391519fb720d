"""Headers of model files that state what no network has."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidCheckpoint, KinesphereError
from kinesphere.core.labels import LabelSet
from kinesphere.models import card, create_model, load_model, save_model
from kinesphere.models.checkpoint import architecture_in, read_provenance

MODELS = ("r3d_tiny", "stgcn_tiny", "video_swin_tiny")


@pytest.fixture(scope="module")
def header() -> dict[str, Any]:
    recogniser = create_model("stgcn_tiny", LabelSet(("a", "b")))
    return {
        "format": 1,
        "architecture": "stgcn_tiny",
        "arguments": {},
        "specs": [spec.to_json() for spec in recogniser.specs],
        "labels": {"names": ["a", "b"], "mirror": [], "multi": False},
        "provenance": recogniser.provenance.to_json(),
    }


def write(header: object, path: Path) -> Path:
    from safetensors.torch import save_file

    text = header if isinstance(header, str) else json.dumps(header)
    save_file({"fc.weight": torch.zeros(2, 3)}, path, {"kinesphere": text})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "videomae_b", "arguments": {"depth": 60_000}},
            "many times larger than its 1 tensors",
        ),
        ({"architecture": "timesformer", "arguments": {"depth": 65_536}}, "many times larger"),
        ({"architecture": "video_swin_t", "arguments": {"depths": [60_000] * 4}}, "many times larger"),
        ({"arguments": {"widths": [65_536] * 5000}}, "an argument is a list"),
        ({"arguments": {"people": 10**400}}, "beyond 65536|is no JSON"),
        ({"arguments": {"people": 1e300}}, "beyond 65536"),
        (
            {"labels": {"names": [str(i) for i in range(200_000)], "mirror": [], "multi": False}},
            "contradicts",
        ),
        ({"specs": [{"sampling": "99999999x99999999x1", "size": [1, 1]}]}, "at most 100000 frames"),
        ({"specs": [{"sampling": "16x1x1", "size": [10**9, 10**9]}]}, "sides of at most 16384"),
        ({"specs": [{"sampling": "9" * 5000 + "x1x1", "size": [1, 1]}]}, "Cannot read sampling"),
    ],
    ids=range(10),
)
def test_headers_beyond_their_files(change: dict, message: str, header: dict, tmp_path: Path) -> None:
    if "architecture" in change:
        inputs = card(change["architecture"]).inputs
        change = {**change, "specs": [spec.to_json() for spec in inputs]}
    path = write({**header, **change}, tmp_path / "a.safetensors")
    with torch.device("meta"):  # loads what torch needs for that, once
        torch.arange(2) * 1.0
    started = time.process_time()
    with pytest.raises(InvalidCheckpoint, match=message) as refusal:
        load_model(path)
    assert len(str(refusal.value)) < 2000
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": NaN}', "9" * 10_000, "[]", "\ud800"], ids=range(5)
)
def test_headers_that_are_none(text: str, tmp_path: Path) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        write(text, tmp_path / "a.safetensors")
        with pytest.raises(InvalidCheckpoint):
            load_model(tmp_path / "a.safetensors")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(MODELS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("read", [architecture_in, read_provenance])
def test_a_pipe_for_a_model_is_not_waited_for(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(InvalidCheckpoint, match="is no regular file"):
        read(tmp_path / "model.safetensors")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["format", "architecture", "arguments", "specs", "labels", "provenance"]),
    inner=st.sampled_from(["", "names", "mirror", "people", "dropout", "stream", "skeleton", "notes"]),
    value=values,
)
def test_headers_of_any_form_raise_nothing_else(
    key: str, inner: str, value: Any, header: dict, tmp_path: Path
) -> None:
    part = {**header[key], inner: value} if inner and isinstance(header[key], dict) else value
    path = write({**header, key: part}, tmp_path / "a.safetensors")
    for read in (load_model, architecture_in, read_provenance):
        with contextlib.suppress(KinesphereError):
            read(path)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), patch=st.binary(max_size=8), cut=st.integers(0, 8))
def test_damaged_model_files_raise_nothing_else(
    at: int, patch: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "model_files"
    source = folder / "own.safetensors"
    if not folder.is_dir():
        save_model(create_model("stgcn_tiny", LabelSet(("a", "b"))), source)
    whole = source.read_bytes()
    at %= 4000  # the header lies at the front
    (folder / "damaged.safetensors").write_bytes(whole[:at] + patch + whole[at + cut :])
    with contextlib.suppress(KinesphereError):
        load_model(folder / "damaged.safetensors")
