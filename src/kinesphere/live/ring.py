"""`Ring`: the frames of the last seconds, at the sizes that the readers of clips ask for."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.live.feed import Picture
from kinesphere.video import Frames
from kinesphere.video.conversion import shrink
from kinesphere.video.frame_index import displayed

# Closer frames than this are left out: no camera's frames, and memory follows from it.
LEAST_S = 1 / 130


@dataclass(frozen=True, eq=False)
class Window:
    """Some frames in a row, as a source of clips (see `VideoSource`).

    Attributes:
        source: Name for messages.
        size: `(H, W)` of the frames as displayed.
        times: `(N,)` seconds at which they begin.
        held: The pixels by size, uint8 `(H, W, 3)` each.
        frame_s: How long each lasts.
    """

    source: str
    size: Size
    times: np.ndarray
    held: dict[Size, list[np.ndarray]]
    frame_s: float
    tolerance_s: float = 1e-4

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        return Fraction(1 / self.frame_s).limit_denominator(1001)

    @property
    def duration_s(self) -> float:
        """When the last frame ends."""
        return float(self.times[-1]) + self.frame_s

    @property
    def damage(self) -> list[str]:
        """Nothing: what could not be decoded is not here."""
        return []

    def frame_times(self) -> np.ndarray:
        """See `VideoSource`."""
        return self.times

    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """See `VideoSource`."""
        rows = displayed(self.times, np.asarray(times_s), self.tolerance_s)
        size = size or self.size
        if (images := self.held.get(size)) is None:
            largest = max(self.held, key=lambda held: held[0] * held[1])
            images = [shrink(image, *size) for image in self.held[largest]]
        pixels = np.stack([images[row] for row in rows.tolist()])
        return Frames(pixels.transpose(0, 3, 1, 2), self.times[rows])

    def close(self) -> None:
        """Nothing is open."""


class Ring:
    """Frames of the last seconds; one thread adds, another takes windows.

    Args:
        name: Name of the source, for messages.
        wanted: The sizes at which frames of `(H, W)` pixels are kept.
        least_s: Frames that come sooner after the one before are left out.
    """

    def __init__(
        self, name: str, wanted: Callable[[Size], tuple[Size, ...]], *, least_s: float = LEAST_S
    ) -> None:
        self._name, self._sizes, self._least_s = name, wanted, least_s
        self._lock = threading.Lock()
        self._frames: deque[tuple[float, dict[Size, np.ndarray]]] = deque()
        self._size: Size | None = None
        self._wanted: tuple[Size, ...] = ()

    def clear(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._frames.clear()

    def add(self, time_s: float, picture: Picture, keep_s: float) -> None:
        """Add the next frame, and forget those more than `keep_s` before it."""
        if self._frames and time_s - self._frames[-1][0] < self._least_s:
            return
        if picture.size != self._size:
            self.clear()
            self._size, self._wanted = picture.size, self._sizes(picture.size)
        held = {size: picture.rgb(size) for size in self._wanted}
        with self._lock:
            self._frames.append((time_s, held))
            while self._frames[0][0] < time_s - keep_s:
                self._frames.popleft()

    def window(self, start_s: float, last_s: float, frame_s: float, *, part: bool = False) -> Window | None:
        """The frames displayed from a time on up to one of them; None where the first is not there.

        Args:
            start_s: When it begins: with the frame that was displayed then, however long before that came.
            last_s: Time of its last frame: one that comes soon after, as frames of a live source do, is none.
            frame_s: How long a frame lasts.
            part: Whether what is there is enough, though the first frame is not.
        """
        with self._lock:
            frames = [each for each in self._frames if each[0] <= last_s]
        first = bisect_right(frames, start_s + Window.tolerance_s, key=_time_of) - 1
        frames = frames[max(first, 0) :]
        if not frames or self._size is None or (frames[0][0] > start_s + frame_s / 2 and not part):
            return None
        times = np.array([time_s for time_s, _ in frames])
        held = {size: [each[size] for _, each in frames] for size in self._wanted}
        return Window(self._name, self._size, times, held, frame_s)

    def __len__(self) -> int:
        return len(self._frames)


def _has_file(spec: ClipSpec) -> bool:
    sidecar = MODALITIES.get(spec.modality).sidecar
    return sidecar is not None and sidecar.needed


def _time_of(frame: tuple[float, dict[Size, np.ndarray]]) -> float:
    return frame[0]


class _Asked(Exception):
    """Leaves a reader once it has said at which size it wants its frames."""

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        self.size = size


class _Asking(Window):
    def frames_at(self, times_s: np.ndarray, size: Size | None = None) -> Frames:
        raise _Asked(size or self.size)


def asked_for(specs: Sequence[ClipSpec], size: Size) -> tuple[Size, ...]:
    """The sizes at which the readers of some inputs want frames of `(H, W)` pixels.

    What is made otherwise, such as joints, is not read from frames.
    """
    sizes = []
    for spec in specs:
        if _has_file(spec):
            continue
        try:
            MODALITIES.get(spec.modality).read(_Asking("", size, np.arange(2) / 25, {}, 1 / 25), spec)
        except _Asked as asked:
            sizes.append(asked.size)
    return tuple(dict.fromkeys(sizes))
