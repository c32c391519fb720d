"""Which file is written for which video."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from kinesphere.apps.cli.console import check_file
from kinesphere.core.errors import InvalidSetting
from kinesphere.core.files import check_place


def targets(
    option: str, place: Path | None, sources: Sequence[str], suffixes: Collection[str]
) -> dict[str, Path]:
    """The file to write for each source: `place` itself if it is a file name, else one below it.

    The folders of the sources are mirrored below their common parent, so that videos of one name in
    different folders stay apart; of names that differ in their suffix alone, the suffix is kept, and what is
    still alike is numbered. No two sources have one target, and no target is a source.

    Args:
        option: Its name, for messages.
        place: A folder, or a file of one of the suffixes for a single source; None writes nothing.
        sources: Paths and URLs, each once.
        suffixes: Suffixes of what can be written, the first of which files in a folder get.

    Raises:
        InvalidSetting: If the place cannot be written so, or a target is one of the sources.
        UnwritableFile: If the place takes no files.
    """
    if place is None:
        return {}
    if place.suffix and not place.is_dir():
        check_file(option, place, suffixes)
        if len(sources) > 1:
            raise InvalidSetting(
                f"{option} {place} is one file, but there are {len(sources)} videos; name a folder."
            )
        chosen = dict.fromkeys(sources, place)
    else:
        if place.is_file():
            raise InvalidSetting(
                f"{option} names a folder, or a {' or '.join(suffixes)} file; {place} is a file."
            )
        check_place(place)
        chosen = _below(place, sources, next(iter(suffixes)))
    own = {_same(Path(source)): source for source in sources if "://" not in source}
    for target in chosen.values():
        if (source := own.get(_same(target))) is not None:
            raise InvalidSetting(f"{option} would overwrite {source} itself; choose another place.")
    return chosen


def several_targets(
    option: str, places: Sequence[Path], sources: Sequence[str], suffixes: Collection[str]
) -> dict[str, tuple[Path, ...]]:
    """The files to write for each source, one for each place; see `targets`.

    Args:
        option: Its name, for messages.
        places: Files and folders; a folder with a pattern, as `notes/*.eaf`, gets files of that suffix.
        sources: Paths and URLs, each once.
        suffixes: Suffixes of what can be written, the first of which files in a folder get.

    Raises:
        InvalidSetting: If two places would be one file, or as `targets`.
        UnwritableFile: If a place takes no files.
    """
    every: dict[str, tuple[Path, ...]] = {}
    for place in places:
        for source, path in _of_pattern(option, place, sources, suffixes).items():
            if any(_same(path) == _same(other) for others in every.values() for other in others):
                raise InvalidSetting(f"{option} names {path} twice; name a file of each kind once.")
            every[source] = (*every.get(source, ()), path)
    return every


def _of_pattern(
    option: str, place: Path, sources: Sequence[str], suffixes: Collection[str]
) -> dict[str, Path]:
    """As `targets`, of a place that may end in a pattern."""
    if not place.name.startswith("*."):
        return targets(option, place, sources, suffixes)
    suffix = place.name.removeprefix("*").lower()
    check_file(option, place.with_name(f"video{suffix}"), suffixes)
    return targets(option, place.parent, sources, (suffix,))


def _below(place: Path, sources: Sequence[str], suffix: str) -> dict[str, Path]:
    local = [Path(source).absolute().parent for source in sources if "://" not in source]
    parent = Path(os.path.commonpath(local)) if local else Path()
    chosen: dict[str, Path] = {}
    taken: set[str] = set()
    for source in sources:
        if "://" in source:
            inside = Path(source.partition("?")[0].rstrip("/").rpartition("/")[2] or "stream")
        else:
            inside = Path(source).absolute().relative_to(parent)
        stem = place / inside.with_suffix("")
        target, number = place / inside.with_suffix(suffix), 1
        while _same(target) in taken:
            kept = place / f"{inside}{suffix}"
            target = kept if number == 1 else stem.with_name(f"{inside.name}-{number}{suffix}")
            number += 1
        taken.add(_same(target))
        chosen[source] = target
    return chosen


def _same(path: Path) -> str:
    """Paths that may be one file have one of these: some file systems do not tell cases apart."""
    return os.path.realpath(path).casefold()
