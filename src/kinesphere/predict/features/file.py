"""`VideoFeatures`: rows of features of one video with their times, and the file that holds them.

N rows, D numbers in each.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.clips.npz import BROKEN
from kinesphere.clips.sidecar import CLOCK, damaged, named_video, plain_text, read_archive
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.short_repr import short_repr

SUFFIX = ".features.npz"
VERSION = 1
# Steps between rows may differ by this fraction: frames of a video do not lie on a grid.
_UNEVEN = 0.02


@dataclass(frozen=True, eq=False, repr=False)
class VideoFeatures:
    """Features of a video on a regular grid of windows.

    Attributes:
        values: `(N, D)` float32.
        times_s: `(N,)` float64: the middle of what each row was made of, in seconds of the video, ascending.
        window_s: Length of what a row was made of, in seconds.
        stride_s: Seconds between the middles of neighbouring rows.
        duration_s: When the video ends.
        origin: What made them, by a digest of its weights and input contract or the name of a program;
            features of different origins do not go together.

    Raises:
        InvalidAnnotation: If shapes do not meet, a number is not finite, or the times are no grid.
    """

    values: np.ndarray
    times_s: np.ndarray
    window_s: float
    stride_s: float
    duration_s: float
    origin: str

    __repr__ = short_repr

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.size or self.times_s.shape != (len(self.values),):
            raise InvalidAnnotation(
                f"features are rows (N, D) with a time each; got {self.values.shape}, {self.times_s.shape}."
            )
        if not (np.isfinite(self.values).all() and np.isfinite(self.times_s).all()):
            raise InvalidAnnotation("features and their times are finite numbers; some are not.")
        lengths = (self.window_s, self.stride_s, self.duration_s)
        if not all(0 < each < np.inf for each in lengths):
            raise InvalidAnnotation(
                f"window, stride and duration are positive seconds; got {', '.join(map(str, lengths))}."
            )
        uneven = np.abs(np.diff(self.times_s) - self.stride_s).max(initial=0.0)
        if uneven > _UNEVEN * self.stride_s:
            raise InvalidAnnotation(
                f"times of features are a grid of {self.stride_s:g} s; they differ from it by {uneven:.3g} s."
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """D."""
        return int(self.values.shape[1])

    def to_s(self, grid: np.ndarray) -> np.ndarray:
        """Seconds of the video at places on the grid, in rows from the first, which need not be whole."""
        seconds: np.ndarray = self.times_s[0] + np.asarray(grid, np.float64) * self.stride_s
        return seconds

    def to_grid(self, seconds: np.ndarray) -> np.ndarray:
        """Places on the grid at some seconds of the video, the inverse of `to_s`."""
        places: np.ndarray = (np.asarray(seconds, np.float64) - self.times_s[0]) / self.stride_s
        return places


def write_features(path: Path, features: VideoFeatures, *, of: Path | None = None) -> Path:
    """Write the features of a video; the file appears whole or not at all.

    Args:
        path: Target, `NAME.features.npz`.
        features: What to write.
        of: The video, which the file then names by its content.

    Raises:
        UnwritableFile: If the place or the disk refuses.
    """
    arrays = {
        "format": np.array("kinesphere features"),
        "version": np.array(VERSION),
        "clock": np.array(CLOCK),
        "values": np.ascontiguousarray(features.values, np.float32),
        "times_s": np.asarray(features.times_s, np.float64),
        "lengths_s": np.array([features.window_s, features.stride_s, features.duration_s]),
        "origin": np.array(features.origin),
        **named_video(of),
    }
    with replacing(path) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return path


def read_features(path: Path) -> VideoFeatures:
    """The features of a file.

    Raises:
        InvalidAnnotation: If it is missing, damaged, or of another kind.
    """
    content = read_archive(path, "features", VERSION)
    try:
        window_s, stride_s, duration_s = map(float, content["lengths_s"])
        origin = plain_text(content["origin"])
        values = np.asarray(content["values"], np.float32)
        times_s = np.asarray(content["times_s"], np.float64)
    except BROKEN as error:
        raise damaged(path, "features", error) from error
    try:
        return VideoFeatures(values, times_s, window_s, stride_s, duration_s, origin)
    except InvalidAnnotation as error:
        raise damaged(path, "features", error) from error
