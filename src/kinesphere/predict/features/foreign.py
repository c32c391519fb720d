"""Features that other programs extracted: npy, pkl, h5 and csv, on the grid that their makers state."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.npz import BROKEN, read_arrays
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, MissingExtra
from kinesphere.core.limits import file_size
from kinesphere.core.unpickle import read_pickle
from kinesphere.predict.features.file import VideoFeatures

SUFFIXES = (".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5", ".csv")


@dataclass(frozen=True)
class FrameGrid:
    """When the rows of a file are, as its maker counted frames; `FeatureGrid` states ours in seconds.

    The time of row `g` is `(g · stride + window / 2) / fps`, in seconds of the video whose frame rate `fps`
    is; without the half window it would be early by that.

    Attributes:
        stride: Frames between the starts of neighbouring rows.
        window: Frames that a row was made of.
        fps: Frame rate of this very video.

    Raises:
        InvalidSetting: If one is not positive.
    """

    stride: float
    window: float
    fps: float

    def __post_init__(self) -> None:
        if not all(0 < each < np.inf for each in (self.stride, self.window, self.fps)):
            raise InvalidSetting(
                "A grid of frames is a positive stride and window in frames and a frame rate; got "
                f"{self.stride}, {self.window}, {self.fps}."
            )

    def times_s(self, rows: int) -> np.ndarray:
        """Middle of each row `(N,)`."""
        times: np.ndarray = (np.arange(rows) * self.stride + self.window / 2) / self.fps
        return times


def read_foreign(
    path: Path,
    grid: FrameGrid,
    *,
    duration_s: float | None = None,
    name: str = "",
    channels_first: bool = False,
) -> VideoFeatures:
    """The features of one video in a file of another program.

    Args:
        path: `.npy` or `.npz`, a pickle or HDF5 file of arrays, or a CSV of numbers with or without a header.
        grid: When its rows are.
        duration_s: When the video ends; None takes the end of the last row's window.
        name: Of the array, where the file holds several; the video's name is the usual one.
        channels_first: Whether the array is `(D, N)`, as some I3D files are.

    Raises:
        InvalidAnnotation: If the file cannot be read, or holds several arrays and none of that name.
        MissingExtra: If reading HDF5 needs a package that is not installed.
    """
    file_size(path, InvalidAnnotation)
    arrays = _arrays(path)
    if name not in arrays and len(arrays) > 1:
        known = ", ".join(list(arrays)[:5])
        raise InvalidAnnotation(f"{path} holds {len(arrays)} arrays ({known} …) and none named {name!r}.")
    try:
        values = np.asarray(arrays.get(name, next(iter(arrays.values()))), np.float32).squeeze()
    except BROKEN as error:
        raise InvalidAnnotation(f"{path} holds no table of numbers: {error}.") from error
    values = values.T if channels_first else values
    if values.ndim != 2:
        raise InvalidAnnotation(f"{path} should hold rows of features (N, D); got {values.shape}.")
    times_s = grid.times_s(len(values))
    window_s = grid.window / grid.fps
    end_s = float(times_s[-1] + window_s / 2) if duration_s is None else duration_s
    stride_s = grid.stride / grid.fps
    try:
        return VideoFeatures(values, times_s, window_s, stride_s, end_s, f"foreign {values.shape[1]}")
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{path}: {error}") from error


def _arrays(path: Path) -> dict[str, Any]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return {"": np.load(path, allow_pickle=False, mmap_mode="r")}
        if suffix == ".npz":
            return dict(read_arrays(path))
        if suffix in (".pkl", ".pickle"):
            return _named(read_pickle(path, InvalidAnnotation))
        if suffix in (".h5", ".hdf5"):
            return _from_hdf5(path)
        if suffix == ".csv":
            return {"": _from_csv(path)}
    except BROKEN as error:
        raise InvalidAnnotation(f"{path} is no readable file of features: {error}.") from error
    raise InvalidAnnotation(f"Features are read from {', '.join(SUFFIXES)}; got {path.name}.")


def _named(content: object) -> dict[str, Any]:
    if isinstance(content, dict):
        return {str(key): value for key, value in content.items()}
    return {"": content}


def _from_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(
            f"{path} is an HDF5 file, which needs h5py: pip install 'kinesphere[hdf5]', or save it as .npy."
        ) from error
    found: dict[str, Any] = {}

    def take(key: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[key] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found


def _from_csv(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if rows and not _is_number(rows[0][0] if rows[0] else ""):
        rows = rows[1:]
    return np.array([[float(cell) for cell in row] for row in rows], np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
