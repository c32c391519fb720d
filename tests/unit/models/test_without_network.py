"""Without a network every download says which file to put where, at once."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import NoReturn

import pytest

from kinesphere.annotations.extract.mask import mask_model
from kinesphere.annotations.extract.mediapipe_pose import MODELS as POSE_MODELS
from kinesphere.annotations.extract.mediapipe_pose import pose_model
from kinesphere.core.download import cache_folder
from kinesphere.core.errors import InvalidCheckpoint, MissingWeights
from kinesphere.models import WeightEntry, card, list_models, load_model
from kinesphere.models.weights.download import fetch, file_name


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_arguments: object, **_settings: object) -> NoReturn:
        raise ConnectionRefusedError(111, "refused")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    context = ssl.create_default_context()  # which takes longer than all the rest
    monkeypatch.setattr(ssl, "_create_default_https_context", lambda: context)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)


def entries() -> list[WeightEntry]:
    return [entry for name in list_models() for entry in card(name).weights if entry.file is None]


def test_public_weights_say_which_file_to_put_where() -> None:
    known = {file_name(entry): entry for entry in entries()}
    for name, entry in known.items():
        with pytest.raises(MissingWeights) as raised:
            fetch(entry)
        said = str(raised.value)
        assert f"Download {entry.url} elsewhere" in said
        assert (
            f"put it at {cache_folder() / name}, or, as {name}, into a folder that KINESPHERE_WEIGHTS" in said
        )
        assert ("config.json of the same address" in said) == ("huggingface.co" in entry.url)


def test_files_of_different_weights_have_different_names() -> None:
    addresses: dict[str, str] = {}
    for entry in entries():
        assert addresses.setdefault(file_name(entry), entry.url) == entry.url


def test_the_folder_that_is_named_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(
        MissingWeights, match=r"put it at .*/weights/selfie_segmentation\.tflite \(KINESPHERE"
    ):
        mask_model("selfie")


@pytest.mark.parametrize("name", POSE_MODELS)
def test_pose_models_say_which_file_to_put_where(name: str) -> None:
    with pytest.raises(
        MissingWeights, match=rf"put it at .*/pose_landmarker_{name}\.task, or, as pose_landmarker"
    ):
        pose_model(name)


def test_models_of_the_hub_are_asked_for_once_and_taken_from_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        MissingWeights, match=r"as someone--model/model\.safetensors, into a folder that KINESPHERE"
    ):
        load_model("someone/model")
    (tmp_path / "someone--model").mkdir()
    (tmp_path / "someone--model" / "model.safetensors").write_bytes(b"no model")
    monkeypatch.setenv("KINESPHERE_WEIGHTS", str(tmp_path))
    with pytest.raises(InvalidCheckpoint, match=r"model\.safetensors"):
        load_model("someone/model")
