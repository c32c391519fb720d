"""Lists of videos, `path label`, and of folders of images, `path num_frames label`.

TSN, TSM, MMAction, PySlowFast, PyTorchVideo and VideoMAE are given their data so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.paths import is_there
from kinesphere.core.skipped import Skipped
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.folder import VIDEO_SUFFIXES
from kinesphere.data.sample import Sample

FRAMES_COLUMN = "num_frames"
"""Column that keeps how many images a list states."""
_SUFFIX = "|".join(map(re.escape, sorted(VIDEO_SUFFIXES)))
_VIDEO_LINE = re.compile(rf"(.+(?:{_SUFFIX}))(?:\s+|\s*,\s*)([0-9]{{1,9}}(?:,[0-9]{{1,9}})*)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:(\d+)\s+)?(.+)")
_WORD = re.compile(r"\S+")
_COUNT = re.compile(r"[0-9]{1,9}")
_LABELS = re.compile(r"(?:,|(?<![0-9])[0-9]{1,9}(?![0-9]))+")
# Longer lines are something else; so many numbers at a line's end may be of the folder's name.
_LONGEST_LINE, _MOST_TRIED = 1 << 16, 8
_NAMES = ("category.txt", "label_map.txt", "labels.txt", "classInd.txt")


def read_frame_list(path: Path) -> tuple[list[Sample], list[Skipped], tuple[str, ...]]:
    """The samples of a list, lines that are wrong, and the classes in the order of their numbers.

    A line is a folder, the number of its images, and one label or several, as numbers; or a video and its
    labels, with commas between them. Where a folder's name may itself end in numbers, the one that is there
    counts. Names of the classes are those of a file beside the list (`category.txt`, `label_map.txt`,
    `labels.txt`, `classInd.txt`), where it has enough; else the numbers themselves.

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
        divisions = _divisions(text)
        if not divisions:
            reason = "should read `video.mp4 label` or, for images, `path num_frames label`"
            wrong.append(Skipped(where, f"{reason}; got {text[:80]!r}"))
            continue
        try:
            # Only where a name may end in numbers is the disk asked.
            name, frames, labels = divisions[0]
            if len(divisions) > 1:
                there = (each for each in divisions if is_there(resolve_path(where, each[0], path.parent)))
                name, frames, labels = next(there, divisions[0])
            file = resolve_path(where, name, path.parent)
        except (InvalidManifest, UnsafeFile) as error:
            wrong.append(Skipped(where, str(error).removeprefix(f"{where}: ")))
            continue
        rows.append((name, file, frames, labels))
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


def _divisions(line: str) -> list[tuple[str, str | None, list[int]]]:
    """Video, None and labels of a line; or folder, number of images and labels, the shortest folder first,
    several where its name may end in numbers. None where the line has another form."""
    if len(line) > _LONGEST_LINE:
        return []
    if video := _VIDEO_LINE.fullmatch(line):
        return [(video[1], None, sorted({*map(int, video[2].split(","))}))]
    words = list(_WORD.finditer(line))
    first = len(words)
    while first > 1 and _LABELS.fullmatch(words[first - 1][0]):
        first -= 1
    found: list[tuple[str, str | None, list[int]]] = []
    for at in range(max(first, 1), len(words) - 1):
        if len(found) == _MOST_TRIED:
            break
        if _COUNT.fullmatch(words[at][0]):
            numbers = (each for word in words[at + 1 :] for each in word[0].split(",") if each)
            found.append((line[: words[at - 1].end()], words[at][0], sorted({*map(int, numbers)})))
    return found


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
