"""Files that hold one modality of one video: where they lie, and reading them with nothing executed.

All are zips of NumPy arrays with `format` and `version` among them.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.core.errors import InvalidAnnotation

# An hour of video takes less in every modality.
_MOST_BYTES = 4 * 2**30

BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError)
"""What reading a damaged archive may raise."""


def archive_path(video: Path, suffix: str, folder: Path | None = None, root: Path | None = None) -> Path:
    """Where a modality of a video is kept: `clip.mp4.pose.npz` beside it, or mirrored under a folder.

    Args:
        video: The video file.
        suffix: Such as `.pose.npz`.
        folder: Folder of such files; None means beside the videos.
        root: Folder that the videos' places under `folder` count from; a video outside it, or without
            a root, lies directly in `folder`.
    """
    name = video.name + suffix
    if folder is None:
        return video.with_name(name)
    here, base = video.absolute().parent, root.absolute() if root is not None else None
    if base is not None and here.is_relative_to(base):
        return folder / here.relative_to(base) / name
    return folder / name


@dataclass(frozen=True)
class Extracts:
    """Where the extracted files of videos lie.

    Attributes:
        folder: Their folder; None means beside the videos.
        root: Where the videos' places below `folder` count from.
    """

    folder: Path | None = None
    root: Path | None = None

    def path(self, video: Path, suffix: str) -> Path:
        """The file of a video (see `archive_path`)."""
        return archive_path(video, suffix, self.folder, self.root)


def read_archive(path: Path, kind: str, version: int) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
        path: The file.
        kind: What it should hold: `"pose"`, `"flow"` or `"mask"`.
        version: The newest version that the caller reads.

    Raises:
        InvalidAnnotation: If the file is missing, empty, damaged, of another kind or of a newer version.
    """
    if not path.is_file():
        raise InvalidAnnotation(
            f"There is no {kind} file {path}; make it with `kinesphere extract {kind}`, or name the folder "
            "that holds it."
        )
    if path.stat().st_size == 0:
        raise InvalidAnnotation(f"{path} is empty; delete it and extract the {kind} again.")
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > _MOST_BYTES:
            raise InvalidAnnotation(
                f"{path} unpacks to {total / 2**30:.0f} GiB; it is no {kind} file of ours."
            )
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        named = str(content["format"])
        if named != format_name(kind):
            raise InvalidAnnotation(f"{path} is not a {kind} file; it says {named[:40]!r}.")
        found = int(content["version"])
    except BROKEN as error:
        raise damaged(path, kind, error) from error
    if found > version:
        raise InvalidAnnotation(
            f"{path} is a {kind} file of version {found}, but we read up to {version}; update Kinesphere."
        )
    return content


def damaged(path: Path, kind: str, error: Exception) -> InvalidAnnotation:
    """The error for a file whose content cannot be made out."""
    return InvalidAnnotation(f"{path} is not a readable {kind} file ({error}); extract it again.")


def format_name(kind: str) -> str:
    """What the files of a kind say in `format`."""
    return "kinesphere poses" if kind == "pose" else f"kinesphere {kind}"
