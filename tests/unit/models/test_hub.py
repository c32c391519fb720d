from __future__ import annotations

import json
import logging

import pytest
import torch

from kinesphere.core.download import cache_folder
from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models import WeightEntry
from kinesphere.models.weights.download import fetch, file_name
from kinesphere.models.weights.readers import read_foreign

URL = "https://huggingface.co/owner/name/resolve/main/pytorch_model.bin"


def write(folder, config: object) -> None:
    torch.save({"w": torch.ones(1)}, folder / "pytorch_model.bin")
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text, encoding="utf-8")


def read_labels(folder) -> tuple[str, ...] | None:
    return read_foreign(folder / "pytorch_model.bin").labels


def test_class_names_stand_in_the_config_beside_the_weights(tmp_path):
    write(tmp_path, {"id2label": {str(i): f"class {chr(97 + i)}" for i in (10, 2, 0, 1, *range(3, 10))}})
    assert read_labels(tmp_path) == tuple(f"class {chr(97 + i)}" for i in range(11))


@pytest.mark.parametrize("config", [{}, [], {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}])
def test_configs_without_names_say_nothing(tmp_path, config):
    write(tmp_path, config)
    assert read_labels(tmp_path) is None


def test_names_in_the_weights_themselves_come_first(tmp_path):
    write(tmp_path, {"id2label": {"0": "other"}})
    torch.save({"state_dict": {"w": torch.ones(1)}, "classes": ["own"]}, tmp_path / "pytorch_model.bin")
    assert read_labels(tmp_path) == ("own",)


def test_a_gap_in_the_classes_is_an_error(tmp_path):
    write(tmp_path, {"id2label": {"0": "a", "2": "c"}})
    with pytest.raises(InvalidCheckpoint, match="does not number its 2 classes from 0 without a gap; repair"):
        read_labels(tmp_path)


def test_a_damaged_config_is_an_error(tmp_path):
    write(tmp_path, "{")
    with pytest.raises(InvalidCheckpoint, match=r"config\.json beside the weights is no JSON .*repair it or"):
        read_labels(tmp_path)


def test_files_of_the_hub_have_a_folder_per_repository():
    assert file_name(entry()) == "owner--name/pytorch_model.bin"


def entry() -> WeightEntry:
    return WeightEntry("t", URL, "huggingface", None, 3)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Addresses asked of a hub that refuses its second `config.json`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KINESPHERE_WEIGHTS", raising=False)
    addresses: list[str] = []

    def download(url, target, sha256=None):
        addresses.append(url)
        if url.endswith("config.json") and len(addresses) > 2:
            raise OSError("refused")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}")
        return target

    monkeypatch.setattr("kinesphere.core.download.download", download)
    monkeypatch.setattr("kinesphere.models.weights.download.download", download)
    return addresses


def test_the_config_is_fetched_with_the_weights(asked, caplog):
    path = fetch(entry())
    assert path == cache_folder() / "owner--name" / "pytorch_model.bin"
    assert asked == [URL, URL.replace("pytorch_model.bin", "config.json")]
    assert path.with_name("config.json").is_file()
    path.unlink()
    with caplog.at_level(logging.WARNING, logger="kinesphere.models"):
        fetch(entry())
    assert "pytorch_model.bin comes without the names of its classes" in caplog.text
