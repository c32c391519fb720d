"""Files that others publish: looked up on this machine, downloaded, verified.

Order of look-up: the folder or mirror in `KINESPHERE_WEIGHTS`, the cache, the upstream URL.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kinesphere.core.errors import InvalidCheckpoint, MissingWeights
from kinesphere.core.files import claiming, make_folder

TIMEOUT_S = 30.0
LARGEST_BYTES = 8 << 30
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A published file on this machine.

    Attributes:
        path: Where it is.
        url: Where it was downloaded from just now; None if it was here already.
    """

    path: Path
    url: str | None = None


def cache_folder() -> Path:
    """Where downloads are kept: `$XDG_CACHE_HOME/kinesphere/weights`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "kinesphere" / "weights"


def local_file(name: str) -> Path | None:
    """A published file that is on this machine already; None where it would have to be downloaded."""
    places = (named_file(name), cache_folder() / name)
    return next((path for path in places if path is not None and path.is_file()), None)


def named_file(name: str) -> Path | None:
    """Where a file lies, or would, in the folder that `KINESPHERE_WEIGHTS` names; None for no folder."""
    place = os.environ.get("KINESPHERE_WEIGHTS", "")
    return Path(place) / name if place and not _is_mirror(place) else None


def where_to_put(name: str) -> str:
    """The end of a message on a file that cannot be had: `put it at …`."""
    own = named_file(name)
    if own is not None:
        return f"put it at {own} (KINESPHERE_WEIGHTS names that folder) or at {cache_folder() / name}"
    return f"put it at {cache_folder() / name}, or, as {name}, into a folder that KINESPHERE_WEIGHTS names"


def _is_mirror(place: str) -> bool:
    return urlsplit(place).scheme in ("http", "https")


def fetch_file(name: str, url: str, sha256: str | None = None, beside: str = "") -> Fetched:
    """A published file, from the nearest place that has it.

    Args:
        name: Name of the file in the cache, in a mirror, and in the folder that `KINESPHERE_WEIGHTS` names.
        url: The upstream URL.
        sha256: The published digest, or the first digits of it.
        beside: What else has to be put there, for the message.

    Raises:
        MissingWeights: If it is nowhere; the message says which file to put where.
        InvalidCheckpoint: If a file's digest is not the published one.
    """
    here = local_file(name)
    if here is not None:
        return Fetched(verify(here, sha256))
    place = os.environ.get("KINESPHERE_WEIGHTS", "")
    mirror = place if _is_mirror(place) else ""
    cached = cache_folder() / name
    failures = []
    for place in (*([f"{mirror.rstrip('/')}/{name}"] if mirror else []), url):
        try:
            return Fetched(download(place, cached, sha256), place)
        except OSError as error:
            failures.append(f"{place}: {error}")
    raise MissingWeights(
        f"Cannot get the weights {name} ({'; '.join(failures)}). Download {url} elsewhere and "
        f"{where_to_put(name)}{beside}."
    )


def download(url: str, target: Path, sha256: str | None = None) -> Path:
    """Fetch `url` to `target`, continuing an earlier attempt; the target appears whole or not at all.

    Raises:
        OSError: If the server cannot be reached or refuses.
        InvalidCheckpoint: If the digest is wrong or the file is larger than the bound.
    """
    make_folder(target.parent)
    with claiming(target.with_name(f".{target.name}.lock"), f"The download of {target.name}", wait=True):
        if not target.is_file():  # another process may have fetched it meanwhile
            _download(url, target, sha256)
    return target


def _download(url: str, target: Path, sha256: str | None) -> None:
    part = target.with_name(f"{target.name}.part")
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            resumed = done and answer.status == 206
            with part.open("ab" if resumed else "wb") as file:
                size = done if resumed else 0
                stated = answer.headers.get("Content-Length", "")
                whole = size + int(stated) if stated.isdecimal() and len(stated) <= 18 else None
                if whole is not None and whole > LARGEST_BYTES:
                    raise InvalidCheckpoint(f"{url} is larger than {LARGEST_BYTES} bytes; refused.")
                while chunk := answer.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > LARGEST_BYTES:
                        raise InvalidCheckpoint(f"{url} is larger than {LARGEST_BYTES} bytes; refused.")
                    file.write(chunk)
            if whole is not None and size < whole:
                raise OSError(f"the transfer ended after {size} of {whole} bytes; try again to go on")
    except http.client.HTTPException as error:
        raise OSError(f"no answer of HTTP: {error!r}") from error
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:  # 416: the earlier attempt already holds every byte
            raise
    try:
        verify(part, sha256)
    except InvalidCheckpoint:
        part.unlink()
        raise
    part.replace(target)


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
