"""Public weights on this machine (see `core.download` for where they are looked up)."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

from kinesphere.core.download import download, fetch_file
from kinesphere.models.card import WeightEntry
from kinesphere.models.weights.readers.hub import CONFIG

_HUB = "huggingface.co"
# Joints and bones, joints and limbs: PySKL's files are called alike in all their folders.
_CALLED_ALIKE = ("j", "b", "joint", "limb")

log = logging.getLogger("kinesphere.models")


def file_name(entry: WeightEntry) -> str:
    """Name of the entry's file, here and in a mirror.

    Files of the Hugging Face hub are called alike in every repository, and some of others in every folder.
    Each of these has a folder, `owner--name`, or called after the last two of its address.
    """
    file = Path(urlsplit(entry.url).path)
    if _is_of_hub(entry):
        _, owner, repository, *_ = file.parts
        return in_repository(f"{owner}/{repository}", file.name)
    if file.stem in _CALLED_ALIKE:
        return in_repository("/".join(file.parts[-3:-1]), file.name)
    return file.name


def in_repository(repository: str, name: str) -> str:
    """Where a file of a hub's repository `owner/name` lies in a folder of weights."""
    return f"{repository.replace('/', '--')}/{name}"


def _is_of_hub(entry: WeightEntry) -> bool:
    return urlsplit(entry.url).hostname == _HUB


def fetch(entry: WeightEntry) -> Path:
    """The entry's file, from the nearest place that has it.

    Raises:
        MissingWeights: If it is nowhere; the message says which file to put where.
        InvalidCheckpoint: If a file's digest is not the published one.
    """
    beside = (
        f", and {CONFIG} of the same address, which names the classes, beside it" if _is_of_hub(entry) else ""
    )
    fetched = fetch_file(file_name(entry), entry.url, entry.sha256, beside)
    if fetched.url is not None and _is_of_hub(entry):
        _fetch_names(fetched.url, fetched.path)
    return fetched.path


def _fetch_names(url: str, path: Path) -> None:
    """The `config.json` of a hub's repository, which names the classes, beside the weights at `path`."""
    folder, _, name = url.rpartition("/")
    try:
        download(f"{folder}/{CONFIG}", path.with_name(CONFIG))
    except OSError as error:
        log.warning("%s comes without the names of its classes: %s/%s: %s", name, folder, CONFIG, error)
