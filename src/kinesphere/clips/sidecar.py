"""Files that hold one modality of one video: where they lie, and reading them with nothing executed.

All are zips of NumPy arrays with `format` and `version` among them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np

from kinesphere.clips.npz import BROKEN, BrokenArchive, read_arrays
from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.paths import is_file, real_path

VIDEO_KEY = "video_key"
"""The array of a file that tells its video by the content."""

_MOST_LETTERS = 1000
_PAUSE = 30


CLOCK = 2
"""How the video of a file was read when the file was made; it is written into every file.

1 (files that state nothing): times counted from the first frame, and a mirror image was shown as its
rotation. 2: times count from the container's start, and display matrices are applied whole.
"""


@dataclass(frozen=True)
class Extracts:
    """Where the extracted files of videos lie: `clip.mp4.pose.npz` beside `clip.mp4`, or in a folder.

    In a folder the videos' own folders are mirrored as far as whoever wrote the files counted them. A reader
    need not know from where that was: a file is looked for under as much of its video's path as there is,
    then, as the video may have got another name, among all files there. A file that tells its video by the
    content is taken for that one only; others are taken for the video whose name and place they have.

    Attributes:
        folder: Folder of the files; None means beside the videos.
        root: Where the places of new files below `folder` count from; a video outside it, or without a
            root, gets its file directly in `folder`.
    """

    folder: Path | None = None
    root: Path | None = None

    def find(self, video: Path, suffix: str) -> Path | None:
        """The file of a video that ends in `suffix`, under whatever name; None if there is none.

        Raises:
            InvalidAnnotation: If the one beside the video is of another video or of another version of it.
        """
        own, foreign = self._look(video, suffix)
        if own is None and (key := _key_of(video)) is not None:
            own = _FILES.find(
                self.folder or _absolute(video).parent, suffix, key, deep=self.folder is not None
            )
        if own is None and foreign is not None and self.folder is None:
            raise of_another(foreign, video, suffix)
        return own

    def need(self, video: Path, suffix: str) -> Path:
        """The file of a video; where there is none, the place that it should have.

        Raises:
            InvalidAnnotation: If there are files by its name, but all of them of other videos.
        """
        if (own := self.find(video, suffix)) is not None:
            return own
        if (foreign := self._look(video, suffix)[1]) is not None:
            raise of_another(foreign, video, suffix)
        return self.place(video, suffix)

    def path(self, video: Path, suffix: str) -> Path:
        """The file of a video; where there is none of its own, the place that it should have."""
        return self._look(video, suffix)[0] or self.place(video, suffix)

    def place(self, video: Path, suffix: str) -> Path:
        """Where a file of a video belongs."""
        if self.folder is None:
            return video.with_name(video.name + suffix)
        return self.folder / (self._inside(video) or Path()) / (video.name + suffix)

    def free_place(self, video: Path, suffix: str) -> Path:
        """Where a new file of a video can go: its place, or one beside a file of another video there.

        Raises:
            InvalidAnnotation: If the only place is taken by the file of another video.
        """
        place = self.place(video, suffix)
        if not is_foreign(place, video):
            return place
        if self.folder is not None and self._inside(video) is None:
            for other in reversed(list(self._mirrored(_absolute(video), suffix))):
                if not is_foreign(other, video):
                    return other
        raise of_another(place, video, suffix)

    def _look(self, video: Path, suffix: str) -> tuple[Path | None, Path | None]:
        """The file of a video under its name, and one under its name that is of another video."""
        unknown = foreign = None
        key = _key_of(video)
        for path in self._candidates(video, suffix):
            if not is_file(path):
                continue
            stated = stated_video(path)
            if stated is not None and stated == key:
                return path, foreign
            if stated is None or key is None:
                unknown = unknown or path
            else:
                foreign = foreign or path
        return unknown, foreign

    def _inside(self, video: Path) -> Path | None:
        """The folder of a video as seen from the root; None outside it."""
        if self.root is None:
            return None
        for here, base in (
            (_absolute(video).parent, _absolute(self.root)),
            (real_path(video).parent, real_path(self.root)),
        ):
            if here.is_relative_to(base):
                return here.relative_to(base)
        return None

    def _candidates(self, video: Path, suffix: str) -> Iterator[Path]:
        """Where a file of a video may lie, the most telling place first."""
        yield self.place(video, suffix)
        if self.folder is None:
            # A linked video has its files beside the link or beside what it leads to.
            yield self.place(real_path(video), suffix)
            return
        for path in dict.fromkeys((_absolute(video), real_path(video))):
            yield from self._mirrored(path, suffix)

    def _mirrored(self, video: Path, suffix: str) -> Iterator[Path]:
        assert self.folder is not None
        folders = video.parent.parts[1:]
        for first in range(len(folders) + 1):
            yield self.folder.joinpath(*folders[first:], video.name + suffix)


def _absolute(path: Path) -> Path:
    """A path from the root, without the `..` that would lead out of a folder that mirrors it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (links are not followed)


def stated_video(path: Path) -> str | None:
    """The `content_key` of the video that a file was made of; None if it does not say."""
    try:
        state = path.stat()
        return _told(str(path.absolute()), state.st_size, state.st_mtime_ns, state.st_ino)
    except OSError:
        return None


def is_foreign(path: Path, video: Path) -> bool:
    """Whether a file says that it was made of another video, or another version of it."""
    stated, key = stated_video(path), _key_of(video)
    return stated is not None and key is not None and stated != key


def of_another(path: Path, video: Path, suffix: str) -> InvalidAnnotation:
    """The error for a file in a video's place that was made of another one."""
    return InvalidAnnotation(
        f"{path} belongs to another video than {video}, or to another version of it; extract the "
        f"{suffix.split('.')[1]} again, with --overwrite."
    )


def _key_of(video: Path) -> str | None:
    try:
        return content_key(video)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1 << 16)
def _told(path: str, size: int, changed_ns: int, inode: int) -> str | None:
    try:
        stated = read_arrays(Path(path), (VIDEO_KEY,)).get(VIDEO_KEY)
    except (InvalidAnnotation, BrokenArchive):
        return None  # reported when all of it is read
    return None if stated is None else str(stated)


class _Files:
    """The files of folders by what they say of their videos, listed again now and then."""

    def __init__(self) -> None:
        self._listed: dict[tuple[Path, str], tuple[float, dict[str, Path]]] = {}
        self._lock = Lock()

    def find(self, folder: Path, suffix: str, key: str, *, deep: bool) -> Path | None:
        """The file of a video among those in a folder, and below it if `deep`."""
        with self._lock:
            until_s, files = self._listed.get((folder, suffix), (0.0, {}))
            if time.monotonic() >= until_s:
                begun_s = time.monotonic()
                found = folder.rglob(f"*{suffix}") if deep else folder.glob(f"*{suffix}")
                files = {stated: path for path in sorted(found) if (stated := stated_video(path))}
                # Listing takes no more than a small fraction of the time, however large the folder is.
                until_s = time.monotonic() + _PAUSE * (time.monotonic() - begun_s)
                self._listed[folder, suffix] = until_s, files
        path = files.get(key)
        return path if path is not None and stated_video(path) == key else None


_FILES = _Files()


def read_archive(
    path: Path, kind: str, version: int, format_name: str | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Args:
        path: The file.
        kind: What it should hold: `"pose"`, `"flow"` or `"mask"`.
        version: The newest version that the caller reads.
        format_name: What such files say in `format`, if not `kinesphere` and the kind.

    Raises:
        InvalidAnnotation: If the file is missing, empty, damaged, of another kind or of a newer version, or
            would take more memory than its size makes plausible.
    """
    if not is_file(path):
        raise InvalidAnnotation(
            f"There is no {kind} file {path}; make it with `kinesphere extract {kind}`, or name the folder "
            "that holds it."
        )
    if path.stat().st_size == 0:
        raise InvalidAnnotation(f"{path} is empty; delete it and extract the {kind} again.")
    try:
        content = read_arrays(path)
        named = str(content["format"])
        if named != (format_name or f"kinesphere {kind}"):
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


def named_video(video: Path | None) -> dict[str, np.ndarray]:
    """What a file says of its video, if there is one to tell of."""
    return {} if video is None else {VIDEO_KEY: np.array(content_key(video))}


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


def check_orientation(what: str, clock: int, video: object) -> None:
    """Refuse what was made of a mirror image when that was shown as a rotation.

    Raises:
        InvalidAnnotation: If so.
    """
    if clock < CLOCK and getattr(video, "mirrored", False):
        raise InvalidAnnotation(
            f"{what} of a mirrored video, made by a version of Kinesphere that showed it upside down or not "
            "mirrored. Extract again."
        )
