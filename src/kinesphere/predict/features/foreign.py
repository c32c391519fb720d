"""Features that other programs extracted: npy, pkl, h5 and csv, on the grid that their makers state."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.npz import BROKEN, entries_of, read_arrays
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting, MissingExtra
from kinesphere.core.limits import Budget, brief, file_size
from kinesphere.core.unpickle import read_pickle
from kinesphere.predict.features.file import VideoFeatures

_GROWTH = 100
"""How many times its bytes a compressed file of features may unpack to."""
_LEAST_COVERED = 0.5
"""Rows that cover less of a video whose length is known have another grid than was stated."""
SUFFIXES = (".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5", ".csv")


FOREIGN = "foreign "
"""How the origin of features of other programs begins."""


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
        InvalidAnnotation: If the file cannot be read, holds several arrays and none of that name, or its rows
            do not go with the video's length by this grid.
        MissingExtra: If reading HDF5 needs a package that is not installed.
    """
    file_size(path, InvalidAnnotation)
    try:
        values = _as_rows(_array(path, name))
    except BROKEN as error:
        raise InvalidAnnotation(f"{path} is no readable file of features: {error}.") from error
    values = values.T if channels_first and values.ndim == 2 else values
    if values.ndim != 2 or not values.size:
        raise InvalidAnnotation(f"{path} should hold rows of features (N, D); got {values.shape}.")
    times_s = grid.times_s(len(values))
    window_s = grid.window / grid.fps
    end_s = float(times_s[-1] + window_s / 2) if duration_s is None else duration_s
    stride_s = grid.stride / grid.fps
    try:
        found = VideoFeatures(values, times_s, window_s, stride_s, end_s, f"{FOREIGN}{values.shape[1]}")
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{path}: {error}") from error
    _check_grid(found, path)
    return found


def _check_grid(features: VideoFeatures, path: Path) -> None:
    """Refuse rows that begin behind the video's end, or leave off before its half.

    Raises:
        InvalidAnnotation: If so.
    """
    half_s = max(features.window_s, features.stride_s) / 2
    last_s, end_s = float(features.times_s[-1]), features.duration_s
    if last_s - half_s >= end_s or last_s + half_s < _LEAST_COVERED * end_s:
        raise InvalidAnnotation(
            f"{path}: by the stated grid its {len(features)} rows reach to {last_s + half_s:.1f} s, but the "
            f"video ends at {end_s:.1f} s; check stride, window and frame rate, and whether the array is "
            "(D, N) (channels_first)."
        )


def _as_rows(content: object) -> np.ndarray:
    """Numbers as float32, without the sides of length 1 that are more than two."""
    array = np.asarray(content)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it holds {array.dtype} in place of real numbers")
    while array.ndim > 2 and 1 in array.shape:
        array = array.squeeze(-1 if array.shape[-1] == 1 else array.shape.index(1))
    with np.errstate(over="ignore"):  # what is too large is refused as not finite
        return np.asarray(array, np.float32)


def _array(path: Path, name: str) -> object:
    """The array of a name, or the only one of a file."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.load(path, allow_pickle=False, mmap_mode="r")
    if suffix == ".npz":
        chosen = _chosen(entries_of(path), name, path)
        return read_arrays(path, (chosen,))[chosen]
    if suffix in (".pkl", ".pickle"):
        content = read_pickle(path, InvalidAnnotation)
        if not isinstance(content, Mapping):
            return content
        arrays: dict[str, Any] = {str(key): value for key, value in content.items()}
        return arrays[_chosen(arrays, name, path)]
    if suffix in (".h5", ".hdf5"):
        return _from_hdf5(path, name)
    if suffix == ".csv":
        return _from_csv(path)
    raise InvalidAnnotation(f"Features are read from {', '.join(SUFFIXES)}; got {path.name}.")


def _chosen(names: Collection[str], name: str, path: Path) -> str:
    """The array that is meant.

    Raises:
        InvalidAnnotation: If there is none, or there are several and none of that name.
    """
    if not names:
        raise InvalidAnnotation(f"{path} holds no array.")
    if name not in names and len(names) > 1:
        known = ", ".join(list(names)[:5])
        raise InvalidAnnotation(f"{path} holds {len(names)} arrays ({known} …) and none named {name!r}.")
    return name if name in names else next(iter(names))


def _from_hdf5(path: Path, name: str) -> np.ndarray:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(
            f"{path} is an HDF5 file, which needs h5py: pip install 'kinesphere[hdf5]', or save it as .npy."
        ) from error
    found: list[str] = []

    def take(key: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(key)

    budget = Budget.of(path, InvalidAnnotation, growth=_GROWTH)
    with h5py.File(path, "r") as file:
        file.visititems(take)  # links out of the file are not followed
        item = file[_chosen(found, name, path)]
        if item.external or item.is_virtual:
            raise InvalidAnnotation(
                f"{path} keeps {brief(item.name)} in other files, which are not opened; write a file that "
                "holds its numbers."
            )
        budget.array(item.shape or (), item.dtype.itemsize)
        values: np.ndarray = item[()]
        return values


def _from_csv(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    delimiter = max(",;\t", key=first.count)
    header = not _is_number(first.split(delimiter)[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data")
        return np.loadtxt(
            path, np.float32, comments=None, delimiter=delimiter, skiprows=int(header), ndmin=2,
            encoding="utf-8-sig",
        )  # fmt: skip


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
