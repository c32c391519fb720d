"""The header of our model file: one JSON text in a `.safetensors`, read without its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import file_size
from kinesphere.core.structured import parse_json

FORMAT = 1
KEY = "kinesphere"
_LARGEST_HEADER = 16 << 20


def metadata_of(path: Path) -> dict[str, str] | None:
    """What a safetensors file says of itself; None where it says nothing.

    Raises:
        InvalidCheckpoint: If it is damaged or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    file_size(path, InvalidCheckpoint)  # opening a pipe would wait for whoever writes into it
    try:
        with safe_open(path, "pt") as file:
            found: dict[str, str] | None = file.metadata()
    except (SafetensorError, OSError) as error:
        raise InvalidCheckpoint(f"{path.name} is damaged or no model file: {error}.") from error
    return found


def header_of(metadata: Mapping[str, str] | None, name: str) -> dict[str, Any]:
    """The header of our model file, its form checked and its content not.

    Args:
        metadata: What `metadata_of` found.
        name: The file's, for messages.

    Raises:
        InvalidCheckpoint: If the file is foreign, or of another version.
    """
    text = (metadata or {}).get(KEY)
    if text is None:
        raise InvalidCheckpoint(
            f"{name} was not saved by Kinesphere (its header names no architecture); bring it in with "
            f"`kinesphere import {name} --model NAME`."
        )
    header = parse_json(
        text, f"The header of {name}", InvalidCheckpoint, largest=_LARGEST_HEADER, finite=False
    )
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        version = header.get("format") if isinstance(header, dict) else None
        raise InvalidCheckpoint(
            f"{name} has format {version!r}; this version reads {FORMAT}. Update Kinesphere."
        )
    return header
