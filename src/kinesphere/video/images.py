"""A folder of numbered images read as a video, as older data sets keep theirs (`img_00001.jpg`).

Nothing in such a folder says how long an image is shown, so the frame rate is stated: by who opens it, or by
a file `fps.txt` (or `frames.json`, which `kinesphere extract frames` writes) in the folder or above it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from kinesphere.core.closing import Closing
from kinesphere.core.errors import InvalidSetting, SpanOutsideVideo, UnreadableVideo
from kinesphere.video.container import MAX_FRAME_PIXELS
from kinesphere.video.damage import Damage
from kinesphere.video.decode import Frames
from kinesphere.video.frame_index import displayed

RATE_FILES = ("frames.json", "fps.txt")
"""Files that state the frame rate of a folder of images, or of all folders beside them."""
_NUMBERED = re.compile(r"(.*?)(\d{1,9})\.(?:jpe?g|png|bmp|webp)", re.IGNORECASE)
_FLOW = re.compile(r"(flow_?[xyuv]?|[xyuv])_?", re.IGNORECASE)
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?\s*(?:fps)?\s*", re.IGNORECASE)
_FASTEST, _LONGEST_FILE = 1000, 1 << 16
# A frame's time that is asked for may be rounded: by far less than a frame is long.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NumberedImages:
    """The images of one folder, in order.

    Attributes:
        folder: The folder.
        files: Names of the files.
        numbers: `(N,)` int64, increasing, as the names count.
    """

    folder: Path
    files: tuple[str, ...]
    numbers: np.ndarray

    @classmethod
    def of(cls, folder: Path) -> NumberedImages | None:
        """The numbered images of a folder; None where there are none.

        Images of optical flow beside those of the frames (`flow_x_00001.jpg`) are passed over.

        Raises:
            UnreadableVideo: If they are of several sequences, a number is there twice, or the folder cannot
                be listed.
        """
        try:
            names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
        except OSError as error:
            raise UnreadableVideo(
                f"{folder} cannot be listed: {error.strerror}; check the folder."
            ) from error
        series: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for name in names:
            if (found := _NUMBERED.fullmatch(name)) is not None:
                series[found[1]].append((int(found[2]), name))
        if len(series) > 1:
            series = {stem: each for stem, each in series.items() if not _FLOW.fullmatch(stem)} or series
        if not series:
            return None
        if len(series) > 1:
            listed = ", ".join(f"{stem}*" for stem in sorted(series)[:4])
            raise UnreadableVideo(
                f"{folder} holds {len(series)} sequences of images ({listed}); a video is one: give each "
                "a folder."
            )
        rows = sorted(next(iter(series.values())))
        numbers = np.array([number for number, _ in rows], np.int64)
        if (again := np.flatnonzero(np.diff(numbers) == 0)).size:
            first, second = rows[int(again[0])][1], rows[int(again[0]) + 1][1]
            raise UnreadableVideo(f"{folder}: {first} and {second} have one number; keep one of them.")
        return cls(folder, tuple(name for _, name in rows), numbers)


class ImageFolder(Closing):
    """An open folder of numbered images. The first one is shown at 0 s, each for one frame's time.

    A number that is missing, or an image that cannot be read, is a damaged frame: the one before stands in,
    the next one for the first. Images of another size than the first are resized to that. All of it is
    counted in `damage`.

    Open it with `ImageFolder.open`. It is not thread-safe.
    """

    def __init__(self, images: NumberedImages, fps: Fraction) -> None:
        self._images = images
        self.fps = fps
        self._damage = Damage(str(images.folder))
        self._times = (images.numbers - images.numbers[0]) / float(fps)
        missing = int(images.numbers[-1] - images.numbers[0]) + 1 - len(images.files)
        if missing:
            gap = int(np.flatnonzero(np.diff(images.numbers) > 1)[0])
            self._damage.note(
                f"{missing} numbers of images are missing, the first is {int(images.numbers[gap]) + 1}"
            )
        self._bad: set[int] = set()
        self._odd: set[int] = set()
        first = next(
            (image for row in range(len(images.files)) if (image := self._read(row)) is not None), None
        )
        if first is None:
            raise UnreadableVideo(
                f"None of the {len(images.files)} images in {images.folder} can be read; copy them again."
            )
        self.size: tuple[int, int] = (first.shape[0], first.shape[1])

    @classmethod
    def open(cls, folder: Path, fps: float | None = None) -> ImageFolder:
        """Open a folder.

        Args:
            folder: Where the images lie.
            fps: Frames per second; None takes what a file states (see `stated_fps`).

        Raises:
            UnreadableVideo: If it holds no numbered images, several sequences, or none that can be read; or
                if nothing states the frame rate.
            InvalidSetting: If a rate is none.

        Warns:
            DamagedVideo: If numbers are missing, or an image cannot be read.
        """
        images = NumberedImages.of(folder)
        if images is None:
            raise UnreadableVideo(
                f"{folder} is a folder without numbered images (img_00001.jpg, …); name a video, or a folder "
                "that holds some."
            )
        rate = stated_fps(folder) if fps is None else _rate(str(fps), "fps")
        if rate is None:
            raise UnreadableVideo(
                f"{folder} holds images, and nothing states their frame rate: write it (such as 12) "
                f"into {folder / 'fps.txt'} or {folder.parent / 'fps.txt'}, into a column fps of the "
                "manifest, or set data.fps (check, evaluate: --fps)."
            )
        opened = cls(images, rate)
        opened._damage.warn()
        return opened

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def duration_s(self) -> float:
        """When the last image ends, in seconds."""
        return float(self._times[-1] + 1 / self.fps)

    @property
    def tolerance_s(self) -> float:
        """See `Video.tolerance_s`."""
        return _TOLERANCE / float(self.fps)

    @property
    def source(self) -> str:
        """The folder, for messages."""
        return str(self._images.folder)

    @property
    def damage(self) -> list[str]:
        """What could not be read so far, one line per kind."""
        return self._damage.messages()

    def frame_times(self) -> np.ndarray:
        """`(N,)` when each image that is there begins, in seconds."""
        times: np.ndarray = self._times.copy()
        return times

    def frames_at(self, times_s: Sequence[float] | np.ndarray, size: tuple[int, int] | None = None) -> Frames:
        """The images shown at the given times; arguments and errors are those of `Video.frames_at`."""
        times = np.asarray(times_s, np.float64)
        if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
            raise InvalidSetting(f"Times are one or more finite seconds; got {times_s!r}.")
        for time_s in (float(times.min()), float(times.max())):
            if not -self.tolerance_s <= time_s <= self.duration_s + self.tolerance_s:
                raise SpanOutsideVideo(
                    f"{time_s:.3f} s lies outside {self.source}, which runs from 0 to {self.duration_s:.3f} "
                    f"s at {float(self.fps):g} frames per second; check the annotation and the rate."
                )
        height, width = self.size if size is None else size
        if min(height, width) < 1 or height * width > MAX_FRAME_PIXELS:
            raise InvalidSetting(f"A size is (H, W), positive and of at most 8K; got {size}.")
        rows, slots = np.unique(displayed(self._times, times, self.tolerance_s), return_inverse=True)
        pixels = np.empty((len(rows), height, width, 3), np.uint8)
        for at, row in enumerate(rows.tolist()):
            pixels[at] = _resized(self._sound(row), (height, width))
        self._damage.warn()
        return Frames(pixels[slots].transpose(0, 3, 1, 2), self._times[rows][slots])

    def _sound(self, row: int) -> np.ndarray:
        """An image, or the nearest one before (else after) it that can be read, in the size of the first."""
        for each in (*range(row, -1, -1), *range(row + 1, len(self._times))):
            if (image := self._read(each)) is not None:
                if image.shape[:2] != self.size and each not in self._odd:
                    self._odd.add(each)
                    self._damage.note(f"an image has another size than {self.size[1]}x{self.size[0]}")
                return _resized(image, self.size)
        raise UnreadableVideo(f"None of the images in {self.source} can be read any more; copy them again.")

    def _read(self, row: int) -> np.ndarray | None:
        """RGB `(H, W, 3)` of an image; None where it cannot be read, which is noted once."""
        if row in self._bad:
            return None
        try:
            data = np.fromfile(self._images.folder / self._images.files[row], np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        except (OSError, cv2.error):
            image = None
        if image is None or image.shape[0] * image.shape[1] > MAX_FRAME_PIXELS:
            self._bad.add(row)
            self._damage.note("an image cannot be read")
            return None
        rgb: np.ndarray = np.ascontiguousarray(image[..., ::-1])
        return rgb


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method))


def is_image_folder(folder: Path, names: Iterable[str] | None = None) -> bool:
    """Whether a folder holds numbered images, and a file in it or in the one above states their frame rate.

    Args:
        folder: The folder.
        names: Names of what is in it, where they are known; None lists it, and a folder that cannot be listed
            is none of images.
    """
    if names is None:
        try:
            names = [entry.name for entry in os.scandir(folder)]
        except OSError:
            return False
    if not any(_NUMBERED.fullmatch(name) for name in names):
        return False
    return any((place / name).is_file() for place in (folder, folder.parent) for name in RATE_FILES)


def stated_fps(folder: Path) -> Fraction | None:
    """The frame rate that a file in a folder of images, or in the one above, states; None where none does.

    Raises:
        InvalidSetting: If such a file states no rate.
    """
    for place in (folder, folder.parent):
        for name in RATE_FILES:
            try:
                with (place / name).open(encoding="utf-8-sig") as file:
                    text = file.read(_LONGEST_FILE)
            except FileNotFoundError:
                continue
            except (OSError, UnicodeError) as error:
                raise InvalidSetting(f"{place / name} cannot be read as a frame rate: {error}.") from error
            if name.endswith(".json"):
                try:
                    text = str(json.loads(text)["fps"])
                except (ValueError, KeyError, TypeError):
                    raise InvalidSetting(
                        f"{place / name} has no `fps`; write it, or remove the file."
                    ) from None
            return _rate(text, str(place / name))
    return None


def _rate(text: str, where: str) -> Fraction:
    found = _RATE.fullmatch(text)
    value = Fraction(found[1]) / int(found[2] or 1) if found and int(found[2] or 1) else Fraction(0)
    if not 0 < value <= _FASTEST or not math.isfinite(float(value)):
        raise InvalidSetting(
            f"{where}: a frame rate is a number above 0 and at most {_FASTEST}, such as 12 or 30000/1001; "
            f"got {text.strip()[:40]!r}."
        )
    return Fraction(value).limit_denominator(1_000_000)
