"""The file that a cell of a table, or a line of a list, names."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote_to_bytes

from kinesphere.core.errors import InvalidManifest, UnsafeFile

_FILE_ADDRESS = "file://"
_LONGEST_NAME = 255


def resolve_path(where: str, text: str, root: Path) -> Path:
    """The file a cell names. Links are followed: who wrote the folder put them there."""
    if not text or "\0" in text:
        raise InvalidManifest(f"{where}: the path is {'not a file name' if text else 'empty'}.")
    if text.startswith(_FILE_ADDRESS):
        text = os.fsdecode(unquote_to_bytes(text.removeprefix(_FILE_ADDRESS)))
    elif "://" in text:
        raise InvalidManifest(f"{where}: a manifest lists files, not URLs; download {text[:200]!r} first.")
    text = _from_windows(where, text, root)
    path = Path(text)
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts) or "\0" in text:
        raise InvalidManifest(f"{where}: {text[:60]!r}… is longer than any file's name.")
    if path.is_absolute():
        return path
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            raise UnsafeFile(
                f"{where}: path {text!r} leaves the manifest's folder; move the manifest above its "
                "videos or write absolute paths."
            )
    return root / path


def _from_windows(where: str, text: str, root: Path) -> str:
    """A path that was written on Windows as it is written here, unless a file here has that very name."""
    if os.sep == "\\" or "\\" not in text or text.startswith("/") or _exists(root / text):
        return text
    windows = PureWindowsPath(text)
    if windows.drive or windows.root:
        raise InvalidManifest(
            f"{where}: {text[:200]!r} is a path of another computer (Windows); write paths as seen from the "
            "table's folder."
        )
    return windows.as_posix() if _exists(root / windows.as_posix()) or ".." in windows.parts else text


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False
