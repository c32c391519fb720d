"""`Feed`: what can be connected to again and again; `Connection`: one time that it was; `Picture`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.video import conversion


class Picture:
    """A decoded frame whose pixels are made when somebody asks for them, at the size that they are needed at.

    Args:
        frame: As it was decoded.
    """

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame
        self._rotation_deg, self._mirrored = conversion.orientation(frame)
        turned = self._rotation_deg in (90, 270)
        self.size: Size = (frame.width, frame.height) if turned else (frame.height, frame.width)
        """`(H, W)` in pixels as displayed."""

    @classmethod
    def of(cls, pixels: np.ndarray) -> Picture:
        """A picture of uint8 RGB `(H, W, 3)`."""
        return cls(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))

    def rgb(self, size: Size | None = None) -> np.ndarray:
        """uint8 RGB `(H, W, 3)` at `(H, W)` pixels, resized as frames of files are; None: as displayed."""
        height, width = size or self.size
        out = np.empty((height, width, 3), np.uint8)
        conversion.rgb(self._frame, (height, width), self._rotation_deg, out, mirrored=self._mirrored)
        return out


@dataclass(frozen=True, eq=False)
class Arrival:
    """A frame as it came.

    Attributes:
        picture: What it shows.
        stamp_s: The source's own time of it, in seconds from anywhere; None where it tells none.
        arrived_s: When it came, on the clock of this machine; of a file that is played, when it was due.
        codec: Name of the codec.
        is_damaged: Whether parts of it could not be decoded and are patched from other frames.
        undecodable: How many packets before it no frame came of.
    """

    picture: Picture
    stamp_s: float | None
    arrived_s: float
    codec: str
    is_damaged: bool = False
    undecodable: int = 0


class Connection(Protocol):
    """A source while it is open. One thread reads it; another may abandon it."""

    def read(self) -> Arrival | None:
        """The next frame in order; None where the source says that it ends.

        Raises:
            SourceTimeout: If no new picture came for as long as a source may keep still.
            VideoError: If the connection broke.
        """
        ...

    def abandon(self) -> None:
        """Have a `read` that waits on another thread return soon; nothing is read afterwards."""
        ...

    def close(self) -> None:
        """Free it; on the thread that reads."""
        ...


class Feed(Protocol):
    """A source that can be opened anew."""

    @property
    def name(self) -> str:
        """As the user named it, without a password."""
        ...

    @property
    def ends(self) -> bool:
        """Whether its end is the end, as a file's, and no loss."""
        ...

    @property
    def fps(self) -> Fraction | None:
        """Frames per second that it states, once it was open."""
        ...

    def connect(self) -> Connection:
        """Open it.

        Raises:
            VideoError: If that fails.
            InvalidSetting: If it can never work.
        """
        ...
