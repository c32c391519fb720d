"""Questions about paths that no name, link or folder of others turns into an error.

`pathlib` raises where a name is too long, where links lead in a circle, or where a folder may not be entered.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is a regular file that can be reached."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether there is a folder that can be reached."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: Path) -> bool:
    """Whether there is anything that can be reached."""
    return os.path.exists(path)  # noqa: PTH110


def real_path(path: Path) -> Path:
    """The path from the root with its links followed, as far as they lead anywhere."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # no file has such a name
        return path


def is_barred(path: Path) -> bool:
    """Whether it lies in a folder that may not be entered, so that nothing tells whether it is there."""
    try:
        os.stat(path)  # noqa: PTH116
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False


def why_absent(path: Path, advice: str = "check the path") -> str:
    """What to say of a path where there is nothing that can be reached.

    Args:
        path: The path.
        advice: What to do where there is nothing indeed.
    """
    if is_barred(path):
        return f"{path} lies in a folder that may not be entered; copy it, or ask the owner for the right."
    return f"{path} does not exist; {advice}."
