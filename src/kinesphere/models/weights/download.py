"""Public weights on this machine (see `core.download` for where they are looked up)."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

from kinesphere.core.download import cache_folder, download, fetch_file
from kinesphere.models.card import WeightEntry
from kinesphere.models.weights.readers.hub import CONFIG

_HUB = "huggingface.co"

log = logging.getLogger("kinesphere.models")


def file_name(entry: WeightEntry) -> str:
    """Name of the entry's file, here and in a mirror.

    Files of the Hugging Face hub are called alike in every repository; each has a folder `owner--name`.
    """
    address = urlsplit(entry.url)
    file = Path(address.path)
    if address.hostname != _HUB:
        return file.name
    _, owner, repository, *_ = file.parts
    return f"{owner}--{repository}/{file.name}"


def fetch(entry: WeightEntry) -> Path:
    """The entry's file, from the nearest place that has it.

    Raises:
        MissingWeights: If it is nowhere; the message says which file to put where.
        InvalidCheckpoint: If a file's digest is not the published one.
    """
    fetched = fetch_file(file_name(entry), entry.url, entry.sha256)
    if fetched.url is not None:
        _fetch_names(fetched.url, fetched.path)
    return fetched.path


def _fetch_names(url: str, path: Path) -> None:
    """The `config.json` of a hub's repository, which names the classes, beside the weights at `path`."""
    folder, _, name = url.rpartition("/")
    if path.parent == cache_folder():  # not from the hub
        return
    try:
        download(f"{folder}/{CONFIG}", path.with_name(CONFIG))
    except OSError as error:
        log.warning("%s comes without the names of its classes: %s/%s: %s", name, folder, CONFIG, error)
