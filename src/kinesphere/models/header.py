"""Our model files: tensors in a `.safetensors` whose header, one JSON text, is read without them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.files import open_to_readers, replacing, unwritable
from kinesphere.core.limits import file_size
from kinesphere.core.structured import parse_json

if TYPE_CHECKING:
    from torch import Tensor

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


def write_file(path: Path, header: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write tensors with a header; the file appears whole or not at all, for all who may read new files.

    Args:
        path: Target; its folder is made.
        header: Plain values; the format's version is added.
        state: By name; copied, since tied weights share memory, which the format refuses, and channels-last
            is not its layout.

    Raises:
        UnwritableFile: If the place or the disk refuses.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {
        key: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, tensor in state.items()
    }
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata={KEY: json.dumps({"format": FORMAT, **header})})
            open_to_readers(temporary)
        except SafetensorError as error:  # what the system says of the disk is in its text alone
            raise unwritable(path, OSError(None, str(error))) from error
