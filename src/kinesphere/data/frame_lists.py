"""Lists of videos, `path label`, and of folders of images, `path num_frames label`.

TSN, TSM, MMAction, PySlowFast, PyTorchVideo and VideoMAE are given their data so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.skipped import Skipped
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.folder import VIDEO_SUFFIXES
from kinesphere.data.sample import Sample

FRAMES_COLUMN = "num_frames"
"""Column that keeps how many images a list states."""
_LINE = re.compile(r"(.+?)\s+(\d+)\s+(\d+(?:[\s,]+\d+)*)")
_VIDEO_LINE = re.compile(
    rf"(.+({'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))}))(?:\s+|\s*,\s*)(\d+(?:,\d+)*)", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?:(\d+)\s+)?(.+)")
_NAMES = ("category.txt", "label_map.txt", "labels.txt", "classInd.txt")


def read_frame_list(path: Path) -> tuple[list[Sample], list[Skipped], tuple[str, ...]]:
    """The samples of a list, lines that are wrong, and the classes in the order of their numbers.

    A line is a folder, the number of its images, and one label or several, as numbers; or a video and its
    labels, with commas between them. Names of the classes are those of a file beside the list
    (`category.txt`, `label_map.txt`, `labels.txt`, `classInd.txt`), where it has enough; else the numbers
    themselves.

    Raises:
        InvalidManifest: If it cannot be read, or no line has this form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise InvalidManifest(f"{path} cannot be read as a list: {error}.") from error
    rows: list[tuple[str, Path, str | None, list[int]]] = []
    wrong: list[Skipped] = []
    for number, line in enumerate(lines, start=1):
        where, text = f"{path}, line {number}", line.strip()
        if not text:
            continue
        video = _VIDEO_LINE.fullmatch(text)
        if (found := video or _LINE.fullmatch(text)) is None:
            reason = "should read `video.mp4 label` or, for images, `path num_frames label`"
            wrong.append(Skipped(where, f"{reason}; got {text[:80]!r}"))
            continue
        try:
            file = resolve_path(where, found[1], path.parent)
        except (InvalidManifest, UnsafeFile) as error:
            wrong.append(Skipped(where, str(error).removeprefix(f"{where}: ")))
            continue
        frames = None if video else found[2]
        rows.append((found[1], file, frames, sorted({*map(int, re.split(r"[\s,]+", found[3]))})))
    if not rows:
        first = f" {wrong[0].path}: {wrong[0].reason}." if wrong else ""
        raise InvalidManifest(f"{path} is no list of videos or of folders of images.{first}")
    used = sorted({label for *_, labels in rows for label in labels})
    classes = _classes(path.parent, used)
    times: dict[str, int] = {}
    samples = []
    for name, file, frames, labels in rows:
        times[name] = times.get(name, 0) + 1
        identifier = name if times[name] == 1 else f"{name}#{times[name]}"
        own = tuple(classes[label] for label in labels)
        extra = () if frames is None else ((FRAMES_COLUMN, frames),)
        samples.append(Sample(identifier, file, own, extra=extra))
    return samples, wrong, tuple(classes[label] for label in used)


def _classes(folder: Path, used: Sequence[int]) -> dict[int, str]:
    """Names of the labels that a list uses.

    Lists count classes from 0, whatever numbers stand before the names; a list without a 0 beside names that
    are numbered from 1 (UCF101's own) counts as they do.
    """
    for name in _NAMES:
        try:
            lines = (folder / name).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError):
            continue
        found = [_NUMBERED.fullmatch(line.strip()) for line in lines if line.strip()]
        names = [each[2] for each in found if each is not None]
        from_one = [each[1] for each in found if each is not None] == [str(i + 1) for i in range(len(names))]
        first = int(from_one and 0 not in used)
        if len(names) + first > used[-1] and len(set(names)) == len(names):
            return {number: names[number - first] for number in used}
    return {number: str(number) for number in used}
