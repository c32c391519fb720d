"""`Sample`: a labelled span of a video file, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kinesphere.core.errors import InvalidManifest


@dataclass(frozen=True)
class Sample:
    """One labelled span.

    Attributes:
        id: Unique within its manifest and stable across runs.
        path: The video file, absolute or relative to the working folder.
        labels: Class names; one for single-label tasks.
        span: `(start_s, end_s)`, or None for the whole video.
        group: Performer or source video; a group never straddles two splits.
        split: `"train"`, `"val"`, `"test"` or another name, if the data come split.
        extra: Further columns of the manifest as `(column, text)`, kept as they stood.
        poses: The pose file that the manifest names for it, in the column `pose_file`, if it names one.
    """

    id: str
    path: Path
    labels: tuple[str, ...]
    span: tuple[float, float] | None = None
    group: str | None = None
    split: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    poses: Path | None = None

    def __post_init__(self) -> None:
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise InvalidManifest(
                f"Sample {self.id!r}: a span runs from start to a later end, in seconds; got {self.span}."
            )
