"""How long the videos of a data set last, and which of them cannot be opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import VideoError
from kinesphere.core.parallel import bounded_map
from kinesphere.core.skipped import Skipped
from kinesphere.video import probe

Length = float | str | None
"""Seconds; None where the file does not tell; why it cannot be opened."""
_LONGEST_S = 30.0
# A process costs more to start than a few videos to open.
_FEW = 8


def lengths_of(
    paths: Iterable[Path], progress: Callable[[int, int], None] | None = None
) -> dict[Path, Length]:
    """Open videos and ask each for its length; one that hangs is given up after half a minute.

    Args:
        paths: The files.
        progress: Called with the number of files done and of all files.
    """
    different = list(dict.fromkeys(paths))
    if len(different) <= _FEW:
        return {path: length(path) for path in different}
    found: dict[Path, Length] = {}
    for path, answer in bounded_map(length, different, workers=cpu_count(), timeout_s=_LONGEST_S):
        found[path] = answer.reason if isinstance(answer, Skipped) else answer
        if progress is not None:
            progress(len(found), len(different))
    return {path: found[path] for path in different}


def length(path: Path) -> Length:
    """The length of one video in seconds."""
    try:
        return probe(path).duration_s
    except VideoError as error:
        return str(error)
