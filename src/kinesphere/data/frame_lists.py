"""Lists of folders of images, `path num_frames label`, as TSN, TSM and MMAction write them."""

from __future__ import annotations

import re
from pathlib import Path

from kinesphere.core.errors import InvalidManifest, UnsafeFile
from kinesphere.core.skipped import Skipped
from kinesphere.data.cell_paths import resolve_path
from kinesphere.data.sample import Sample

FRAMES_COLUMN = "num_frames"
"""Column that keeps how many images a list states."""
_LINE = re.compile(r"(.+?)\s+(\d+)\s+(\d+(?:[\s,]+\d+)*)")
_NAMES = ("category.txt", "label_map.txt", "labels.txt", "classInd.txt")


def read_frame_list(path: Path) -> tuple[list[Sample], list[Skipped], tuple[str, ...]]:
    """The samples of a list, lines that are wrong, and the classes in the order of their numbers.

    A line is a folder, the number of its images, and one label or several, as numbers. Names of the classes
    are those of a file beside the list (`category.txt`, `label_map.txt`, `labels.txt`, `classInd.txt`), where
    it has enough; else the numbers themselves.

    Raises:
        InvalidManifest: If it cannot be read, or no line has this form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise InvalidManifest(f"{path} cannot be read as a list: {error}.") from error
    rows: list[tuple[str, Path, str, list[int]]] = []
    wrong: list[Skipped] = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        found = _LINE.fullmatch(line.strip())
        if found is None:
            if line.strip():
                wrong.append(
                    Skipped(where, f"should read `path num_frames label`; got {line.strip()[:80]!r}")
                )
            continue
        try:
            folder = resolve_path(where, found[1], path.parent)
        except (InvalidManifest, UnsafeFile) as error:
            wrong.append(Skipped(where, str(error).removeprefix(f"{where}: ")))
            continue
        rows.append((found[1], folder, found[2], sorted({*map(int, re.split(r"[\s,]+", found[3]))})))
    if not rows:
        first = f" {wrong[0].path}: {wrong[0].reason}." if wrong else ""
        raise InvalidManifest(f"{path} is no list of folders of images.{first}")
    classes = _classes(path.parent, max(labels[-1] for *_, labels in rows) + 1)
    times: dict[str, int] = {}
    samples = []
    for name, folder, frames, labels in rows:
        times[name] = times.get(name, 0) + 1
        identifier = name if times[name] == 1 else f"{name}#{times[name]}"
        own = tuple(classes[label] for label in labels)
        samples.append(Sample(identifier, folder, own, extra=((FRAMES_COLUMN, frames),)))
    used = {label for *_, labels in rows for label in labels}
    return samples, wrong, tuple(name for i, name in enumerate(classes) if i in used)


def _classes(folder: Path, count: int) -> list[str]:
    """Names of so many classes."""
    for name in _NAMES:
        try:
            lines = (folder / name).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError):
            continue
        names = [re.sub(r"^\d+\s+", "", line.strip()) for line in lines if line.strip()]
        if len(names) >= count and len(set(names)) == len(names):
            return names
    return [str(number) for number in range(count)]
