"""What an output was made with, kept as JSON beside it, so that work goes on only with the same settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json

_NAMED = 4


def claim_settings(
    file: Path, settings: Mapping[str, Any], *, output: Path, started: bool | None = None
) -> None:
    """Keep the settings of an output that is begun, or hold them against those that it was begun with.

    Args:
        file: Where they are kept.
        settings: Plain values that the output depends on; mappings may lie in each other.
        output: The file or folder that they are of.
        started: Whether some of the output is there already; None where `file` tells.

    Raises:
        InvalidSetting: If the output was begun with other settings, or nothing says with which.
        UnwritableFile: If the place refuses.
    """
    wanted = json.loads(json.dumps(settings))
    if not (file.exists() if started is None else started):
        write_text(file, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        before = read_json(file, InvalidSetting)
        if not isinstance(before, dict):
            raise InvalidSetting(f"{file} holds no settings.")
    except InvalidSetting as error:
        raise InvalidSetting(
            f"{output} exists, but {file.name} does not say how it was made; choose another output or "
            "delete it."
        ) from error
    changed = list(_changes(before, wanted))
    if changed:
        more = f", and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        raise InvalidSetting(
            f"{output} was written with other settings ({', '.join(changed[:_NAMED])}{more}); choose another "
            "output or delete it to start again."
        )


def _changes(before: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What differs, in words; settings within settings by their dotted names."""
    for key in sorted({*before, *wanted}):
        old, new = before.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} was {brief(old)}, now {brief(new)}"
