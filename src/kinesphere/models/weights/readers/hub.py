"""What a repository of the Hugging Face hub has beside its weights, and which file these are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidCheckpoint, MissingWeights
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.readers.shards import INDEX

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin", f"model.safetensors{INDEX}", f"pytorch_model.bin{INDEX}")
_LARGEST = 4 << 20
_MOST_HEADS = 1024

_GELUS = {"gelu": "none", "quick_gelu": "quick", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}
_NUMBERED = re.compile(r"LABEL_\d+")  # what transformers writes where nobody named the classes


def labels_beside(path: Path) -> tuple[str, ...] | None:
    """Class names from the `config.json` next to a checkpoint, in the order of its outputs.

    Returns:
        None if there is no such file, or it names no classes.

    Raises:
        InvalidCheckpoint: If the file is no JSON, or its classes are not numbered from 0 without a gap.
    """
    content = _config(path)
    names = content.get("id2label")
    if not isinstance(names, dict):
        return None
    ordered = tuple(str(names.get(str(i))) for i in range(len(names)))
    if set(names) != {str(i) for i in range(len(names))}:
        raise InvalidCheckpoint(
            f"{path.with_name(CONFIG)} beside the weights does not number its {len(names)} classes "
            "from 0 without a gap; repair its id2label or take the file away."
        )
    return None if all(_NUMBERED.fullmatch(name) for name in ordered) else ordered


def weights_in(path: Path) -> Path:
    """The weights in a folder of a repository's files, or `path` itself.

    Raises:
        MissingWeights: If a folder holds none.
    """
    if not path.is_dir():
        return path
    found = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if found is None:
        raise MissingWeights(f"The folder {path} holds none of {', '.join(WEIGHTS)}; download one into it.")
    return found


def towers_beside(path: Path) -> tuple[Arguments, Arguments]:
    """Builder arguments that tensors do not tell, of the encoders of frames and of texts beside each other.

    Returns:
        Of each `heads` and `gelu`, as far as the `config.json` next to the checkpoint states them.

    Raises:
        InvalidCheckpoint: If it is no JSON, or states an activation that is not known.
    """
    content = _config(path)
    return _tower(content.get("vision_config"), path), _tower(content.get("text_config"), path)


def _tower(stated: object, path: Path) -> Arguments:
    if not isinstance(stated, dict):
        return {}
    found: Arguments = {}
    heads, activation = stated.get("num_attention_heads"), stated.get("hidden_act")
    if heads is not None:
        if type(heads) is not int or not 1 <= heads <= _MOST_HEADS:
            raise InvalidCheckpoint(
                f"{path.with_name(CONFIG)} states {brief(heads)} attention heads; repair it or get it again."
            )
        found["heads"] = heads
    if activation is not None:
        if not isinstance(activation, str) or activation not in _GELUS:
            raise InvalidCheckpoint(
                f"{path.with_name(CONFIG)} states the activation {brief(activation)}; known: "
                f"{', '.join(_GELUS)}."
            )
        found["gelu"] = _GELUS[activation]
    return found


def _config(path: Path) -> dict[str, Any]:
    """The `config.json` next to a checkpoint; empty if there is none."""
    config = path.with_name(CONFIG)
    if not config.is_file():
        return {}
    try:
        content = read_json(config, InvalidCheckpoint, _LARGEST)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(
            f"{config} beside the weights is no JSON ({error}); repair it or take it away."
        ) from error
    return content if isinstance(content, dict) else {}
