"""Files that hold one modality of one video: where they lie, and reading them with nothing executed.

All are zips of NumPy arrays with `format` and `version` among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.clips.npz import BROKEN, read_arrays
from kinesphere.core.errors import InvalidAnnotation

_MOST_LETTERS = 1000


@dataclass(frozen=True)
class Extracts:
    """Where the extracted files of videos lie: `clip.mp4.pose.npz` beside `clip.mp4`, or in a folder.

    In a folder the videos' own folders are mirrored as far as whoever wrote the files counted them. A reader
    need not know from where that was: a file is looked for under as much of its video's path as there is.

    Attributes:
        folder: Folder of the files; None means beside the videos.
        root: Where the places of new files below `folder` count from; a video outside it, or without a
            root, gets its file directly in `folder`.
    """

    folder: Path | None = None
    root: Path | None = None

    def place(self, video: Path, suffix: str) -> Path:
        """Where a new file of a video belongs.

        Args:
            video: The video file.
            suffix: Such as `.pose.npz`.
        """
        if self.folder is None:
            return video.with_name(video.name + suffix)
        return self.folder / (self._inside(video) or Path()) / (video.name + suffix)

    def path(self, video: Path, suffix: str) -> Path:
        """The file of a video; where there is none yet, the place of a new one."""
        return next((path for path in self._candidates(video, suffix) if path.is_file()), None) or self.place(
            video, suffix
        )

    def _inside(self, video: Path) -> Path | None:
        """The folder of a video as seen from the root; None outside it."""
        if self.root is None:
            return None
        for here, base in (
            (video.absolute().parent, self.root.absolute()),
            (video.resolve().parent, self.root.resolve()),
        ):
            if here.is_relative_to(base):
                return here.relative_to(base)
        return None

    def _candidates(self, video: Path, suffix: str) -> Iterator[Path]:
        """Where a file of a video may lie, the most telling place first."""
        yield self.place(video, suffix)
        if self.folder is None:
            # A linked video has its files beside the link or beside what it leads to.
            yield self.place(video.resolve(), suffix)
            return
        for path in dict.fromkeys((video.absolute(), video.resolve())):
            folders = path.parent.parts[1:]
            for first in range(len(folders) + 1):
                yield self.folder.joinpath(*folders[first:], path.name + suffix)


def read_archive(path: Path, kind: str, version: int) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
        path: The file.
        kind: What it should hold: `"pose"`, `"flow"` or `"mask"`.
        version: The newest version that the caller reads.

    Raises:
        InvalidAnnotation: If the file is missing, empty, damaged, of another kind or of a newer version, or
            would take more memory than its size makes plausible.
    """
    if not path.is_file():
        raise InvalidAnnotation(
            f"There is no {kind} file {path}; make it with `kinesphere extract {kind}`, or name the folder "
            "that holds it."
        )
    if path.stat().st_size == 0:
        raise InvalidAnnotation(f"{path} is empty; delete it and extract the {kind} again.")
    try:
        content = read_arrays(path)
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
    reason = str(error)[:200] or type(error).__name__
    return InvalidAnnotation(f"{path} is not a readable {kind} file ({reason}); extract it again.")


def plain_text(content: object) -> str:
    """Text of a file as it can be shown and written anywhere.

    Raises:
        ValueError: If it is too long for a name, or no encoding has its characters.
    """
    text = str(content)
    text.encode()
    if len(text) > _MOST_LETTERS or not text.isprintable():
        raise ValueError(f"a name of {len(text)} letters, {text[:40]!a}")
    return text


def format_name(kind: str) -> str:
    """What the files of a kind say in `format`."""
    return "kinesphere poses" if kind == "pose" else f"kinesphere {kind}"
