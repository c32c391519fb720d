"""Flow files: the motion of every frame of one video, quantised to 8 bits.

A vector component v is kept as the grey level 128 + 127 v / bound, so that no motion stays exactly none;
components beyond the bound are cut to it, and the file says which fraction of them was. The levels go through
lossy H.264; `benchmarks.extraction` measures what that costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, cast, get_args

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.plane_file import PlaneFile, encode, segments_of, write_planes
from kinesphere.clips.spec import FlowMethod
from kinesphere.core.errors import InvalidAnnotation

SUFFIX = ".flow.npz"
# A level or two of error, at a small part of the size of lossless coding.
_QUALITY = 12
_ZERO, _STEPS = 128, 127
# No motion is longer than a frame, and no frame wider.
_MOST_BOUND_PX, _MOST_SIDE_PX = 1e5, 10**6

StoredMethod = Literal[FlowMethod, "truth"]
"""How the flow of a file came about: it was estimated, or it is the true motion of a generated video."""


@dataclass(frozen=True, eq=False)
class FlowFile:
    """The stored flow of one video.

    Attributes:
        planes: The file's frames.
        method: How the motion was estimated, or `truth`.
        bound_px: Largest component that it can hold, in pixels of its own size.
        clipped: Fraction of the vectors that were cut to the bound.
        frames: Frames of the video.
        video_size: `(H, W)` of the video's frames, if known.
    """

    planes: PlaneFile
    method: StoredMethod
    bound_px: float
    clipped: float
    frames: int
    video_size: Size | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a flow file.

        Raises:
            InvalidAnnotation: If it is missing, empty, damaged, of another kind or of a newer version.
        """
        planes = PlaneFile.open(path, "flow")
        method = planes.text("method")
        if method not in get_args(StoredMethod) or planes.planes != 2:
            raise InvalidAnnotation(f"{path} holds flow of an unknown method {method!r}; extract it again.")
        bound_px, clipped = planes.number("bound_px"), planes.number("clipped")
        frames = int(planes.number("frames"))
        if not 0 < bound_px <= _MOST_BOUND_PX or max(frames - 1, 1) != planes.count:
            raise InvalidAnnotation(
                f"{path} contradicts itself (bound {bound_px:g} px, {planes.count} fields of {frames} "
                "frames); extract it again."
            )
        video_size: Size | None = None
        if "video_height_px" in planes.facts:
            video_size = int(planes.number("video_height_px")), int(planes.number("video_width_px"))
            if not 0 < min(video_size) <= max(video_size) <= _MOST_SIDE_PX:
                raise InvalidAnnotation(f"{path} is of a video of {video_size} px; extract it again.")
        return cls(planes, cast(StoredMethod, method), bound_px, clipped, frames, video_size)

    @property
    def size(self) -> Size:
        """`(H, W)` of the fields in pixels."""
        return self.planes.size

    def fields(self, rows: np.ndarray) -> np.ndarray:
        """Fields of the numbered frames, float32 `(n, H, W, 2)`; the last frame has the one before.

        Raises:
            InvalidAnnotation: If the file is damaged.
        """
        levels = self.planes.read(np.minimum(rows, self.planes.count - 1))
        return from_levels(levels.transpose(0, 2, 3, 1), self.bound_px)


def to_levels(fields: np.ndarray, bound_px: float) -> np.ndarray:
    """Vectors as the uint8 grey levels that a file keeps; components beyond the bound are cut to it."""
    levels: np.ndarray = np.round(fields.clip(-bound_px, bound_px) * (_STEPS / bound_px)) + _ZERO
    return levels.astype(np.uint8)


def from_levels(levels: np.ndarray, bound_px: float) -> np.ndarray:
    """The float32 vectors that grey levels stand for."""
    fields: np.ndarray = levels.astype(np.float32) - _ZERO
    return fields * np.float32(bound_px / _STEPS)


@dataclass(frozen=True, eq=False)
class FlowSegment:
    """A part of a flow file.

    Attributes:
        video: Its fields, encoded.
        cut: Vectors that were cut to the bound.
        vectors: All vectors.
    """

    video: bytes
    cut: int
    vectors: int


def encode_flow(fields: Iterable[np.ndarray], *, size: Size, bound_px: float) -> FlowSegment:
    """A segment of a flow file: at most `SEGMENT` fields, float32 `(H, W, 2)` each."""
    cut = vectors = 0

    def quantised() -> Iterator[np.ndarray]:
        nonlocal cut, vectors
        for field in fields:
            cut += int((np.abs(field).max(-1) > bound_px).sum())
            vectors += field.shape[0] * field.shape[1]
            yield to_levels(field, bound_px).transpose(2, 0, 1)

    video = encode(quantised(), size=size, planes=2, quality=_QUALITY)
    return FlowSegment(video, cut, vectors)


def write_flow(
    path: Path,
    fields: Iterable[np.ndarray] = (),
    *,
    encoded: Sequence[FlowSegment] = (),
    size: Size,
    method: StoredMethod,
    bound_px: float,
    frames: int,
    video_size: Size | None = None,
    of: Path | None = None,
) -> float:
    """Write a flow file; atomic.

    Args:
        path: Where to; ends in `.flow.npz`.
        fields: float32 `(H, W, 2)` for every frame but the last; one field of zeros for a single frame.
        encoded: The same as segments, in place of `fields`.
        size: `(H, W)` of the fields.
        method: How they were estimated, or `truth`.
        bound_px: Largest component to keep.
        frames: Frames of the video.
        video_size: `(H, W)` of its frames.
        of: The video that it was taken from: the file is then taken for no other one.

    Returns:
        The fraction of vectors that were cut to the bound.
    """
    segments = encoded or [encode_flow(part, size=size, bound_px=bound_px) for part in segments_of(fields)]
    vectors = sum(each.vectors for each in segments)
    clipped = sum(each.cut for each in segments) / max(1, vectors)
    facts: dict[str, str | float] = {
        "method": method,
        "bound_px": bound_px,
        "clipped": clipped,
        "frames": frames,
    }
    if video_size is not None:
        facts |= {"video_height_px": video_size[0], "video_width_px": video_size[1]}
    videos, count = [each.video for each in segments], vectors // (size[0] * size[1])
    write_planes(path, "flow", videos, facts, count=count, size=size, planes=2, of=of)
    return clipped
