"""Public weights on this machine: looked up, downloaded, verified.

Order of look-up: the folder or mirror in `KINESPHERE_WEIGHTS`, the cache, the upstream address.
"""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from kinesphere.core.errors import InvalidCheckpoint, MissingWeights
from kinesphere.models.card import WeightEntry
from kinesphere.models.convert.hub import CONFIG

TIMEOUT_S = 30.0
LARGEST_BYTES = 8 << 30
_CHUNK_BYTES = 1 << 20
_HUB = "huggingface.co"

log = logging.getLogger("kinesphere.models")


def cache_folder() -> Path:
    """Where downloads are kept: `$XDG_CACHE_HOME/kinesphere/weights`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "kinesphere" / "weights"


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
    name = file_name(entry)
    place = os.environ.get("KINESPHERE_WEIGHTS", "")
    mirror = place if urlsplit(place).scheme in ("http", "https") else ""
    local = [Path(place) / name] if place and not mirror else []
    cached = cache_folder() / name
    for path in (*local, cached):
        if path.is_file():
            return verify(path, entry.sha256)
    failures = []
    for url in (*([f"{mirror.rstrip('/')}/{name}"] if mirror else []), entry.url):
        try:
            path = download(url, cached, entry.sha256)
            _fetch_names(url, path)
            return path
        except OSError as error:
            failures.append(f"{url}: {error}")
    raise MissingWeights(
        f"Cannot get the weights {name} ({'; '.join(failures)}). Download {entry.url} elsewhere and "
        f"put it at {cached}, or into a folder that KINESPHERE_WEIGHTS names."
    )


def _fetch_names(url: str, path: Path) -> None:
    """The `config.json` of a hub's repository, which names the classes, beside the weights at `path`."""
    folder, _, name = url.rpartition("/")
    if path.parent == cache_folder():  # not from the hub
        return
    try:
        download(f"{folder}/{CONFIG}", path.with_name(CONFIG))
    except OSError as error:
        log.warning("%s comes without the names of its classes: %s/%s: %s", name, folder, CONFIG, error)


def download(url: str, target: Path, sha256: str | None = None) -> Path:
    """Fetch `url` to `target`, continuing an earlier attempt; the target appears whole or not at all.

    Raises:
        OSError: If the server cannot be reached or refuses.
        InvalidCheckpoint: If the digest is wrong or the file is larger than the bound.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            resumed = done and answer.status == 206
            with part.open("ab" if resumed else "wb") as file:
                size = done if resumed else 0
                while chunk := answer.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > LARGEST_BYTES:
                        raise InvalidCheckpoint(f"{url} is larger than {LARGEST_BYTES} bytes; refused.")
                    file.write(chunk)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:  # 416: the earlier attempt already holds every byte
            raise
    try:
        verify(part, sha256)
    except InvalidCheckpoint:
        part.unlink()
        raise
    part.replace(target)
    return target


def verify(path: Path, sha256: str | None) -> Path:
    """The path, if its digest starts with the published one (or none is published).

    Raises:
        InvalidCheckpoint: If it does not.
    """
    if sha256 is not None:
        found = digest(path)
        if not found.startswith(sha256.lower()):
            raise InvalidCheckpoint(
                f"{path.name} has sha256 {found[:16]}…, but {sha256[:16]} is published; "
                "delete it and download it again."
            )
    return path


def digest(path: str | Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
