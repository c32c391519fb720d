"""Flow files from videos."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.extract.registry import EXTRACTORS, Extracting
from kinesphere.annotations.extract.unfinished import made_of, unfinished
from kinesphere.clips.geometry import Size, plan_frames, shrunk
from kinesphere.clips.modalities.flow.estimate import BOUND_PX, between_frames
from kinesphere.clips.modalities.flow.file import (
    SUFFIX,
    FlowFile,
    FlowSegment,
    encode_flow,
    write_flow,
)
from kinesphere.clips.plane_file import SEGMENT
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.spec import ClipSpec, FlowMethod
from kinesphere.core.errors import InvalidSetting
from kinesphere.video import Video

# Frames in memory at once.
_BLOCK = 32
# Less is too little to find motion in.
LEAST_PX = 16
# A larger fraction of cut vectors is worth a word.
_MANY_CUT = 0.001


@dataclass(frozen=True)
class FlowExtractor:
    """Computes the flow between all neighbouring frames of a video.

    Attributes:
        method: How motion is estimated.
        short_side_px: Frames are scaled to this short side first, never enlarged.
        bound_px: Largest component of a vector that is kept, in pixels at that size.
    """

    method: FlowMethod = "dis"
    short_side_px: int = 256
    bound_px: float = BOUND_PX

    def __post_init__(self) -> None:
        if self.short_side_px < LEAST_PX:
            raise InvalidSetting(f"Flow needs frames of at least {LEAST_PX} px; got {self.short_side_px}.")
        if not 0 < self.bound_px < math.inf:
            raise InvalidSetting(f"The bound of flow is a positive number of pixels; got {self.bound_px}.")

    @property
    def suffix(self) -> str:
        """`.flow.npz`."""
        return SUFFIX

    def differs(self, path: Path) -> str | None:
        """What about a flow file is not as this would make it, or None.

        Raises:
            InvalidAnnotation: If the file cannot be read.
        """
        file = FlowFile.open(path)
        if file.method != self.method:
            return f"holds flow by {file.method}, not {self.method}"
        if file.bound_px != self.bound_px:
            return f"has the bound {file.bound_px:g} px, not {self.bound_px:g}"
        # A file that does not tell the size of its video is as large as it could be.
        wanted = min(shrunk(file.video_size or file.size, self.short_side_px))
        if min(file.size) != wanted:
            return f"has a short side of {min(file.size)} px, not {wanted} px"
        return None

    def extract(self, video: Path, target: Path) -> str | None:
        """Write the flow of a video; a remark where much of it was cut to the bound.

        Raises:
            VideoError: If the video cannot be decoded.
        """
        about = made_of(self, files=[video])
        with Video.open(video, threads=1) as source, unfinished(target, about) as parts:
            size = shrunk(source.size, self.short_side_px)
            frames = len(source.frame_times())
            count = max(frames - 1, 1)
            for start in range(len(parts) * SEGMENT, count, SEGMENT):
                end = min(start + SEGMENT, count)
                made = encode_flow(self._fields(source, start, end, size), size=size, bound_px=self.bound_px)
                parts.add(
                    {
                        "video": np.frombuffer(made.video, np.uint8),
                        "cut": np.array(made.cut),
                        "vectors": np.array(made.vectors),
                    },
                    end / count,
                )
            cut = write_flow(
                target,
                encoded=[
                    FlowSegment(part["video"].tobytes(), int(part["cut"]), int(part["vectors"]))
                    for part in parts
                ],
                size=size,
                method=self.method,
                bound_px=self.bound_px,
                frames=frames,
                video_size=source.size,
                of=video,
            )
        if cut > _MANY_CUT:
            return f"{cut:.1%} of the vectors are longer than {self.bound_px:g} px and were cut to that"
        return None

    def _fields(self, video: Video, start: int, end: int, size: Size) -> Iterator[np.ndarray]:
        for first in range(start, end, _BLOCK):
            yield from between_frames(video, np.arange(first, min(first + _BLOCK, end)), size, self.method)


def _extractor(
    video: Path | None, spec: ClipSpec | None, learnt: Preparation, model: str | None
) -> FlowExtractor:
    """At the size that the model learnt from; else at the one at which it reads frames."""
    assert spec is not None  # what is estimated without a file is of a contract
    short_side_px = learnt.flow_short_side_px
    if short_side_px is None and video is not None:
        with Video.open(video, threads=1) as source:
            short_side_px = min(plan_frames(source.size, spec).decode)
    px = max(short_side_px or min(spec.size), LEAST_PX)
    return FlowExtractor(spec.flow, px, learnt.flow_bound_px or BOUND_PX)


EXTRACTORS.add("flow", Extracting(_extractor))
