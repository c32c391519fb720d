"""Foreign `.safetensors` files."""

from __future__ import annotations

from pathlib import Path

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.limits import Budget
from kinesphere.core.structured import parse_json
from kinesphere.models.weights.readers.foreign import Content

_LONGEST_METADATA = 4 << 20


def read_safetensors(path: Path) -> Content:
    """What a safetensors file holds; of its metadata what is JSON.

    Raises:
        InvalidCheckpoint: If the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    budget = Budget.of(path, InvalidCheckpoint, growth=1)
    try:
        with safe_open(path, "pt") as file:
            tensors = {}
            for key in file.keys():  # noqa: SIM118 (no mapping)
                tensors[key] = file.get_tensor(key)
                budget.take(tensors[key].nbytes, "tensors")
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise InvalidCheckpoint(f"{path.name} is no readable safetensors file: {error}.") from error
    return Content(tensors, metadata={key: _value(text) for key, text in metadata.items()})


def _value(text: str) -> object:
    try:
        return parse_json(text, "the metadata", InvalidCheckpoint, largest=_LONGEST_METADATA, finite=False)
    except InvalidCheckpoint:
        return text
