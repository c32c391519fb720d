"""What lies below the folder of a public data set: videos, folders of frames, and lists."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.paths import is_folder
from kinesphere.data.folder import VIDEO_SUFFIXES

# `00001.jpg`, `img_00001.jpg`, `frame000001.png`: a numbered frame, no cover that lies beside a video.
_FRAME = re.compile(r"(?:[a-z]+(?:_[a-z])?[_-]?)?\d{3,}\.(?:jpe?g|png)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Media:
    """A video, or a folder of the numbered frames of one.

    Attributes:
        path: The file or folder.
        stem: Its name without suffix.
        is_frames: Whether it is a folder of frames.
        is_empty: Whether it is a file without content.
    """

    path: Path
    stem: str
    is_frames: bool = False
    is_empty: bool = False


@dataclass(frozen=True)
class SetFolder:
    """What lies below a folder.

    Attributes:
        root: The folder.
        media: Videos and folders of frames, in order of their paths.
        files: All other files, lists among them, in order of their paths.
    """

    root: Path
    media: tuple[Media, ...]
    files: tuple[Path, ...]

    def by_stem(self) -> dict[str, list[Media]]:
        """Videos by their names without suffix, in small letters."""
        found: defaultdict[str, list[Media]] = defaultdict(list)
        for each in self.media:
            found[each.stem.casefold()].append(each)
        return dict(found)


def look_through(root: Path, lists: Iterable[Path] = ()) -> SetFolder:
    """What lies below the folder of a data set.

    Of a folder of frames one name is read, so that a set of four million images opens as fast as one of
    videos. Hidden files and folders are passed over; a linked folder is entered once.

    Args:
        root: The folder.
        lists: Further folders, or files, of lists.

    Raises:
        InvalidAnnotation: If there is no such folder.
    """
    if not is_folder(root):
        raise InvalidAnnotation(f"{root} is no folder; give the one that holds the set's videos and lists.")
    media, files = _below(root)
    for place in lists:
        if not place.exists():
            raise InvalidAnnotation(f"There is no list at {place}; check the path.")
        files += _below(place)[1] if is_folder(place) else [place]
    media.sort(key=lambda each: str(each.path))
    return SetFolder(root, tuple(media), tuple(sorted(set(files))))


def _below(root: Path) -> tuple[list[Media], list[Path]]:
    media: list[Media] = []
    files: list[Path] = []
    entered: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        here = waiting.pop()
        try:
            facts = os.stat(here)  # noqa: PTH116 (a million of them)
            if (facts.st_dev, facts.st_ino) in entered:
                continue
            entered.add((facts.st_dev, facts.st_ino))
            with os.scandir(here) as entries:
                for entry in entries:
                    if _FRAME.fullmatch(entry.name) and here != str(root):
                        media.append(Media(Path(here), Path(here).name, is_frames=True))
                        break
                    _sort_in(entry, media, files, waiting)
        except OSError:  # a folder that may not be entered holds nothing for us: its videos are missing
            continue
    return media, files


def _sort_in(entry: os.DirEntry[str], media: list[Media], files: list[Path], waiting: list[str]) -> None:
    if entry.name.startswith("."):
        return
    if entry.is_dir():
        waiting.append(entry.path)
        return
    stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122
    if suffix.lower() not in VIDEO_SUFFIXES:
        files.append(Path(entry.path))
        return
    try:
        is_empty = entry.stat().st_size == 0
    except OSError:  # a link to nothing
        is_empty = True
    media.append(Media(Path(entry.path), stem, is_empty=is_empty))
