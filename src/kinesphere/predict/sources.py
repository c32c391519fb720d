"""The videos that a user means by files, folders, globs and URLs."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.paths import is_file, is_folder, is_there
from kinesphere.core.skipped import Skipped, by_reason
from kinesphere.data.folder import NO_VIDEO, TABLES, VIDEO_SUFFIXES, about_images, contents
from kinesphere.data.manifest import Manifest
from kinesphere.predict.features.file import SUFFIX
from kinesphere.video import is_image_folder

log = logging.getLogger("kinesphere.predict")


def find_sources(patterns: Iterable[str]) -> list[str]:
    """Videos in a fixed order, each once.

    A folder of numbered images whose frame rate a file states is a video. Any other folder means all of those
    and all files below it with a video's suffix, hidden ones left out, and what is left out is counted in the
    log, but for the files that a data set with a table holds beside its videos; a glob (`**` enters folders)
    means the files and folders of images that match, brackets in the name of a folder that is there being no
    glob; anything else is taken as it is, whether it exists or not, so that a missing file is reported under
    its name.

    Raises:
        InvalidSetting: If a folder or a glob gives no video.
    """
    found: list[str] = []
    for pattern in patterns:
        if is_folder(Path(pattern)) and not is_image_folder(Path(pattern)):
            videos, images = _in_folder(Path(pattern))
            found += _some(videos, f"The folder {pattern} holds no video; known suffixes: "
                           f"{', '.join(sorted(VIDEO_SUFFIXES))}.{images}")  # fmt: skip
        elif glob.has_magic(pattern) and not is_there(Path(pattern)) and "://" not in pattern:
            # Path.glob takes no absolute patterns.
            paths = glob.glob(_taken_literally(pattern), recursive=True)  # noqa: PTH207
            matches = sorted(path for path in paths if _is_video(Path(path)))
            found += _some(matches, f"No file matches {pattern!r}; check the pattern.")
        else:
            found.append(pattern)
    return list(dict.fromkeys(found))


def find_videos(data: Sequence[str]) -> tuple[list[Path], Path | None]:
    """The videos of a manifest, a folder, files or globs, and the folder that their paths are relative to.

    Raises:
        InvalidSetting: If a folder or a glob gives no video.
        InvalidManifest: If the one table that is named cannot be read.
    """
    if len(data) == 1 and is_folder(Path(data[0])) and not is_image_folder(Path(data[0])):
        return [Path(source) for source in find_sources(data)], Path(data[0])
    if len(data) == 1 and Path(data[0]).suffix.lower() in (".csv", ".parquet"):
        manifest = Manifest.read(data[0])
        return list(dict.fromkeys(sample.path for sample in manifest)), manifest.root
    return [Path(source) for source in find_sources(data)], None


def _is_video(path: Path) -> bool:
    return is_file(path) or (is_folder(path) and is_image_folder(path))


def _taken_literally(pattern: str) -> str:
    """The pattern, with the folders that have the very names it begins with taken for those."""
    folders = Path(pattern).parents
    literal = next((folder for folder in folders if is_folder(folder) and glob.has_magic(str(folder))), None)
    if literal is None:
        return pattern
    return str(Path(glob.escape(str(literal)), Path(pattern).relative_to(literal)))


def _in_folder(folder: Path) -> tuple[list[str], str]:
    """The videos of a folder, and what to do with the images and feature files in it."""
    found = contents(folder)
    # Beside a table, what is no video is a data set's own: ground truth, settings, annotations.
    is_set = any(is_file(folder / name) for name in TABLES)
    left_out = [
        Skipped(str(path), reason, is_failure=False)
        for path, reason in found.unused
        if not (is_set and reason == NO_VIDEO)
    ]
    if left_out:
        log.warning(
            "%d files and folders in %s are not used: %s.", len(left_out), folder, by_reason(left_out)
        )
    hint = about_images(found.unused)
    if features := sum(path.name.endswith(SUFFIX) for path, _ in found.unused):
        hint += f" There are {features} feature files; for a detector of actions name them as *{SUFFIX}."
    return sorted(map(str, found.videos)), hint


def _some(found: list[str], problem: str) -> list[str]:
    if not found:
        raise InvalidSetting(problem)
    return found
