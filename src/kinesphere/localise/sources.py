"""Where the recordings of a run lie: their videos, or the feature files of videos that are not there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.paths import is_folder
from kinesphere.localise.recordings import recording_name
from kinesphere.predict.features import SUFFIX
from kinesphere.predict.sources import find_videos


def find_recordings(named: Sequence[str], stored: Sequence[Path] = ()) -> list[Path]:
    """The recordings that are named, each once, whether their videos are there or their features alone.

    A folder means its videos, and those videos that only feature files in it tell of
    (`NAME.features.npz` of a video `NAME`); the other names mean what they mean everywhere.

    Args:
        named: Videos, folders, globs, tables.
        stored: Folders of feature files, whose videos are meant as well.

    Returns:
        Paths of videos, of which some may not be there.

    Raises:
        InvalidSetting: If a folder or a glob gives neither video nor feature file.
    """
    videos: list[Path] = []
    alone: list[Path] = []
    for each in named:
        known = list(_told_of(Path(each))) if is_folder(Path(each)) else []
        try:
            videos += find_videos([each])[0]
        except InvalidSetting:
            if not known:
                raise
        alone += known
    for folder in stored:
        alone += _told_of(folder)
    there = {recording_name(path) for path in videos}
    alone = [path for path in alone if recording_name(path) not in there]
    return list(dict.fromkeys((*videos, *alone)))


def _told_of(folder: Path) -> Iterator[Path]:
    """The videos that feature files in or below a folder are of, as if they lay there."""
    for here, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIX) and not name.startswith("."):
                yield Path(here, name.removesuffix(SUFFIX))
