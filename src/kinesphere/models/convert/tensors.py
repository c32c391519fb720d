"""Foreign `.safetensors` files."""

from __future__ import annotations

from pathlib import Path

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.convert.foreign import Foreign, unwrap


def read_safetensors(path: Path) -> Foreign:
    """Named tensors of a safetensors file.

    Raises:
        InvalidCheckpoint: If the file is damaged or holds no tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return unwrap(load_file(path), path.name)
    except (SafetensorError, OSError) as error:
        raise InvalidCheckpoint(f"{path.name} is no readable safetensors file: {error}.") from error
