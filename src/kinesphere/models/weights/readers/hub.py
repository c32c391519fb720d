"""What a repository of the Hugging Face hub states beside its weights."""

from __future__ import annotations

import re
from pathlib import Path

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.structured import read_json

CONFIG = "config.json"
_LARGEST = 4 << 20

_NUMBERED = re.compile(r"LABEL_\d+")  # what transformers writes where nobody named the classes


def labels_beside(path: Path) -> tuple[str, ...] | None:
    """Class names from the `config.json` next to a checkpoint, in the order of its outputs.

    Returns:
        None if there is no such file, or it names no classes.

    Raises:
        InvalidCheckpoint: If the file is no JSON, or its classes are not numbered from 0 without a gap.
    """
    config = path.with_name(CONFIG)
    if not config.is_file():
        return None
    try:
        content = read_json(config, InvalidCheckpoint, _LARGEST)
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(
            f"{config} beside the weights is no JSON ({error}); repair it or take it away."
        ) from error
    names = content.get("id2label") if isinstance(content, dict) else None
    if not isinstance(names, dict):
        return None
    ordered = tuple(str(names.get(str(i))) for i in range(len(names)))
    if set(names) != {str(i) for i in range(len(names))}:
        raise InvalidCheckpoint(
            f"{config} beside the weights does not number its {len(names)} classes from 0 without a gap; "
            "repair its id2label or take the file away."
        )
    return None if all(_NUMBERED.fullmatch(name) for name in ordered) else ordered
