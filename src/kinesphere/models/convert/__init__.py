"""Readers of foreign checkpoint files: bytes in, named tensors out, nothing executed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.models.convert.foreign import Foreign
from kinesphere.models.convert.hub import labels_beside
from kinesphere.models.convert.pytorch import read_pytorch
from kinesphere.models.convert.tensors import read_safetensors
from kinesphere.models.convert.tflite import read_tflite

__all__ = ["Foreign", "read_foreign"]

_READERS = {
    **dict.fromkeys((".pth", ".pt", ".tar", ".pkl", ".pyth", ".bin", ".ckpt"), read_pytorch),
    ".safetensors": read_safetensors,
    ".tflite": read_tflite,
}


def read_foreign(path: str | Path) -> Foreign:
    """Tensors and class names of a foreign checkpoint, chosen by the file's ending.

    Names that the file itself does not hold are taken from a `config.json` beside it, as on the Hugging Face
    hub.

    Raises:
        InvalidCheckpoint: If the file is absent, of unknown ending, damaged, or holds no tensors.
        UnsafeFile: If it cannot be read without executing what it asks for.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidCheckpoint(f"There is no checkpoint file {path}.")
    ending = path.suffix.lower() or ".pth"  # checkpoints on GitHub often have none
    reader = _READERS.get(ending)
    if reader is None:
        raise InvalidCheckpoint(
            f"Cannot tell the format of {path.name} from its ending; known: {', '.join(sorted(_READERS))}."
        )
    foreign = reader(path)
    return foreign if foreign.labels else replace(foreign, labels=labels_beside(path))
