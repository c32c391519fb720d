"""Mask files: where people are in every frame of one video, as probabilities in 8 bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.plane_file import PlaneFile, encode, segments_of, write_planes
from kinesphere.core.errors import InvalidAnnotation

SUFFIX = ".mask.npz"
_QUALITY = 18


@dataclass(frozen=True, eq=False)
class MaskFile:
    """The stored masks of one video.

    Attributes:
        planes: The file's frames.
        origin: What found the people.
        max_people: Maximum number of people looked for at a time, if that was limited and is known.
    """

    planes: PlaneFile
    origin: str
    max_people: int | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a mask file.

        Raises:
            InvalidAnnotation: If it is missing, empty, damaged, of another kind or of a newer version.
        """
        planes = PlaneFile.open(path, "mask")
        if planes.planes != 1:
            raise InvalidAnnotation(f"{path} holds {planes.planes} masks per frame, not 1; extract it again.")
        max_people = int(planes.number("most_people")) if "most_people" in planes.facts else None
        return cls(planes, planes.text("origin"), max_people)

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return self.planes.count

    @property
    def size(self) -> Size:
        """`(H, W)` of the masks in pixels."""
        return self.planes.size

    def masks(self, rows: np.ndarray) -> np.ndarray:
        """Masks of the numbered frames: uint8 `(n, H, W)`, 255 where somebody surely is.

        Raises:
            InvalidAnnotation: If the file is damaged.
        """
        return self.planes.read(np.minimum(rows, self.frames - 1))[:, 0]


def encode_masks(masks: Iterable[np.ndarray], size: Size) -> bytes:
    """A segment of a mask file: at most `SEGMENT` masks, uint8 `(H, W)` each."""
    return encode((mask[None] for mask in masks), size=size, planes=1, quality=_QUALITY)


def write_masks(
    path: Path,
    masks: Iterable[np.ndarray] = (),
    *,
    encoded: Sequence[bytes] = (),
    count: int = 0,
    size: Size,
    origin: str,
    max_people: int | None = None,
    of: Path | None = None,
) -> None:
    """Write a mask file; atomic.

    Args:
        path: Where to; ends in `.mask.npz`.
        masks: uint8 `(H, W)`, one for every frame; at least one.
        encoded: The same as segments, in place of `masks`.
        count: How many masks these hold.
        size: `(H, W)` of the masks.
        origin: What found the people.
        max_people: Maximum number of people looked for at a time, if that was limited.
        of: The video that they were taken from: the file is then taken for no other one.
    """

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for mask in masks:
            count += 1
            yield mask

    segments = encoded or [encode_masks(part, size) for part in segments_of(counted())]
    facts: dict[str, str | float] = {"origin": origin}
    if max_people is not None:
        facts["most_people"] = max_people
    write_planes(path, "mask", segments, facts, count=count, size=size, planes=1, of=of)
