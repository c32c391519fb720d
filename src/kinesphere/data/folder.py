"""Folders of videos: what lies in one, and which of its layouts it has.

`DATA/<class>/…`, `DATA/<split>/<class>/…` and `DATA/<class>/<split>/…` are understood. What a folder holds
and no layout uses is listed with the reason; a folder that could be read in two ways is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kinesphere.clips.modality import sidecar_suffixes
from kinesphere.core.errors import InvalidManifest
from kinesphere.core.labels import normal
from kinesphere.core.paths import is_file, is_folder, is_there
from kinesphere.core.skipped import Skipped
from kinesphere.core.text import spelled
from kinesphere.data.sample import Sample
from kinesphere.video import is_image_folder

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "gif", "m2t", "m2ts", "m2v", "m4v", "mkv"),
        *("mov", "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "ogm", "ogv", "qt", "ts", "vob", "webm", "wmv"),
    )
)
"""Suffixes by which every verb knows videos in a folder."""
_IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
_IMAGE = "an image, not a video"
NO_VIDEO = "no video's suffix"
"""Why a file is left out that is neither video nor image."""
TABLES = ("manifest.csv", "manifest.parquet", "labels.csv")
"""Tables by which a folder is read where it holds one."""
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Folders that are splits; `eval` and `evaluation` are the one of test and val that is not there."""
_EVAL = ("eval", "evaluation")
_OF_SYSTEMS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
# Links to folders of links multiply: a folder is entered so often by different ways.
_MOST_LINKS = 8
_LAYOUTS = "DATA/<class>/clip.mp4, DATA/train/<class>/clip.mp4"


@dataclass(frozen=True)
class Contents:
    """What lies below a folder, in a fixed order.

    Attributes:
        videos: Files with a video's suffix, and folders of numbered images whose frame rate a file states.
        folders: Folders that were entered.
        unused: Everything else, with the reason.
    """

    videos: tuple[Path, ...]
    folders: tuple[Path, ...]
    unused: tuple[tuple[Path, str], ...]


def contents(root: Path) -> Contents:
    """Everything below a folder; linked folders are entered, each once on the way down.

    A folder of numbered images is one video, and nothing in it is listed. Files that were extracted from a
    video beside them belong to it and are not listed.
    """
    videos: list[Path] = []
    folders: list[Path] = []
    unused: list[tuple[Path, str]] = []
    entered: Counter[tuple[int, int]] = Counter()
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    suffixes = sidecar_suffixes()
    while waiting:
        here, above = waiting.pop()
        inner = []
        try:
            facts = here.stat()
            place = (facts.st_dev, facts.st_ino)
            if place in above:
                unused.append((here, "a link to a folder that holds it"))
                continue
            entered[place] += 1
            if entered[place] > _MOST_LINKS:
                unused.append((here, f"a folder that is linked more than {_MOST_LINKS} times"))
                continue
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            unused.append((here, f"cannot be opened ({error.strerror})"))
            continue
        names = {entry.name for entry in entries}
        if here != root:
            if is_image_folder(here, names):
                videos.append(here)
                continue
            folders.append(here)
        for entry in entries:
            path = here / entry.name
            reason = _reason(entry, names, suffixes)
            if reason == "":
                videos.append(path)
            elif reason is not None:
                unused.append((path, reason))
            elif entry.is_dir():
                inner.append((path, above | {place}))
        waiting += reversed(inner)
    return Contents(tuple(videos), tuple(folders), tuple(unused))


def _reason(entry: os.DirEntry[str], names: set[str], sidecars: Iterable[str]) -> str | None:
    """Why an entry is not used; empty for a video, None for a folder to enter or a file of a video."""
    name = entry.name
    if name.startswith("."):
        return "hidden"
    try:
        leads_on, holds_bytes = entry.is_dir(), entry.is_file()
    except OSError as error:  # such as links that lead in a circle
        return f"cannot be opened ({error.strerror})"
    if leads_on:
        if name.casefold() in _OF_SYSTEMS:
            return "a folder of the operating system"
        return "the folder of a training run" if _is_run(Path(entry.path)) else None
    if not holds_bytes:
        return "a link to nothing" if entry.is_symlink() else "neither file nor folder"
    for suffix in sidecars:
        if name.endswith(suffix) and name.removesuffix(suffix) in names:
            return None
    suffix = Path(name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return ""
    return _IMAGE if suffix in _IMAGE_SUFFIXES else NO_VIDEO


def about_images(unused: Iterable[tuple[Path, str]]) -> str:
    """What to do with frames that were stored as images, where nothing else is there; empty without any."""
    count = sum(reason == _IMAGE for _, reason in unused)
    if not count:
        return ""
    return (
        f" There are {count} images: a folder of numbered images is read as a video where its frame rate is "
        "stated, so write it (such as 12) into `fps.txt`, there or in the folder above, or list the folders "
        "in a table with a column `fps`."
    )


def _is_run(folder: Path) -> bool:
    return is_file(folder / "recipe.yaml") and any(
        is_there(folder / name) for name in ("checkpoints", "model.safetensors", "splits.csv")
    )


def read_folder(root: Path) -> tuple[list[Sample], list[Skipped]]:
    """The samples of a folder, and what of it is not used.

    Raises:
        InvalidManifest: If there are no videos in class folders, or the layout can be read in two ways.
    """
    found = contents(root)
    layout = _layout(root, found.videos)
    samples: list[Sample] = []
    unused = list(found.unused)
    for path in found.videos:
        parts = path.relative_to(root).parts
        use = layout(parts)
        if isinstance(use, str):
            unused.append((path, use))
            continue
        label, split = use
        shown = spelled(PurePosixPath(*parts).as_posix())
        samples.append(Sample(shown, path, (label,), split=split))
    if not samples:
        raise InvalidManifest(
            f"{root} holds no videos in class folders; write {_LAYOUTS}, or put a {TABLES[0]} with "
            f"path,label there.{_summary(root, found)}{about_images(found.unused)}"
        )
    unused += _empty(root, found)
    _refuse_wrapped(root, samples)
    left_out = [Skipped(str(path.relative_to(root)), reason, is_failure=False) for path, reason in unused]
    return samples, left_out


Use = tuple[str, str | None] | str
"""Label and split of a file, or why it has none."""


def _layout(root: Path, videos: Iterable[Path]) -> Callable[[tuple[str, ...]], Use]:
    """How the parts of a path below the root become label and split."""
    depths: dict[str, set[int]] = {}
    second: dict[str, set[str]] = {}
    for path in videos:
        parts = path.relative_to(root).parts
        if len(parts) > 1:
            depths.setdefault(parts[0], set()).add(min(len(parts), 3))
            second.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else "")
    present = []
    with suppress(OSError):  # of a folder that may not be listed, which holds nothing then
        present = [entry.name for entry in root.iterdir() if is_folder(entry) and entry.name[0] != "."]
    splits = _splits(present)
    nested = [name for name in splits if 3 in depths.get(name, ())]
    others = [name for name in depths if name not in splits]
    if nested and (len(splits) > 1 or not others):
        return _by_split(splits)
    if nested:
        raise InvalidManifest(
            f"{root}: the folder {nested[0]!r} looks like a split of classes, and {others[0]!r} beside it "
            f"like a class. Move away what is not data, or write {_LAYOUTS} throughout."
        )
    flat = [name for name in splits if name in depths]
    if flat and (len(splits) > 1 or not others):
        raise InvalidManifest(
            f"{root}: the folders {', '.join(map(repr, flat))} are splits, but their videos lie in no class "
            f"folders, so that nothing gives their labels. Write {_LAYOUTS}, or put a {TABLES[0]} with "
            "path,label,split there."
        )
    inner = set().union(*second.values())
    names = _splits(name for name in inner if name)
    if inner and inner == names.keys() and "train" in names.values() and len(names) > 1:
        return lambda parts: _OUTSIDE if len(parts) < 3 else (normal(parts[0]), names[parts[1]])
    return lambda parts: _OUTSIDE if len(parts) < 2 else (normal(parts[0]), None)


_OUTSIDE = "lies beside the class folders and has no label"


def _by_split(splits: dict[str, str]) -> Callable[[tuple[str, ...]], Use]:
    def use(parts: tuple[str, ...]) -> Use:
        if parts[0] not in splits or len(parts) < 2:
            return "lies beside the folders of the splits"
        if len(parts) < 3:
            return f"lies in the split {splits[parts[0]]!r} without a class folder and has no label"
        return normal(parts[1]), splits[parts[0]]

    return use


def _splits(names: Iterable[str]) -> dict[str, str]:
    """The splits that some folder names stand for, by name."""
    plain = {name: normal(name).casefold() for name in names}
    splits = {name: SPLIT_FOLDERS[key] for name, key in plain.items() if key in SPLIT_FOLDERS}
    free = next((split for split in ("test", "val") if split not in splits.values()), "eval")
    return splits | {name: free for name, key in plain.items() if key in _EVAL}


def _empty(root: Path, found: Contents) -> Iterator[tuple[Path, str]]:
    """Folders in the place of a class or a split that hold no video."""
    filled = {parent for path in found.videos for parent in path.relative_to(root).parents}
    for folder in found.folders:
        inside = folder.relative_to(root)
        if len(inside.parts) <= 2 and inside not in filled and inside.parent in {Path(), *filled}:
            yield folder, "a folder without a video"


def _refuse_wrapped(root: Path, samples: list[Sample]) -> None:
    """Refuse a single class whose videos lie in several folders: those are the classes, a floor deeper."""
    if len({sample.labels for sample in samples}) > 1:
        return
    (label,) = samples[0].labels
    paths = [sample.path.relative_to(root).parts for sample in samples]
    deeper = [parts[[normal(part) for part in parts].index(label) + 1 :] for parts in paths]
    if all(len(rest) > 1 for rest in deeper) and len({rest[0] for rest in deeper}) > 1:
        wrapper = root.joinpath(*paths[0][: -len(deeper[0])])
        raise InvalidManifest(
            f"{root} has the one class {label!r}, with {len({rest[0] for rest in deeper})} folders in it. If "
            f"those are the classes, give {wrapper}; if not, a single class gives nothing to distinguish."
        )


def _summary(root: Path, found: Contents) -> str:
    if not found.videos:
        return ""
    first = found.videos[0].relative_to(root)
    return f" There are {len(found.videos)} videos, the first is {spelled(str(first))}."
