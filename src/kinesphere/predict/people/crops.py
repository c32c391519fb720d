"""The part of the frames that is one person's, and the frames of a video decoded once for all people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Size
from kinesphere.clips.modality import MODALITIES, sees_frames
from kinesphere.clips.person_path import Cut, PersonPath
from kinesphere.clips.reading import sampled
from kinesphere.clips.source import WrappedSource, beside, displayed_rows
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.video import Frames

Span = tuple[float, float]
# Short side of what is cut out, as readers see it; they take their own size from that.
_SHORT_SIDE_PX = 256
# Whole frames that are in memory at a time.
_CHUNK_BYTES = 32 * 2**20
_ONE_WIDE = 2


@dataclass(frozen=True)
class CropRules:
    """Which part of the frames shows a person.

    Attributes:
        enlarge: The crop's height, in heights of the smoothed box, or its width in widths where that is more.
        smooth_s: Boxes are smoothed by a Gaussian of this standard deviation, in seconds.
        follows: Whether the crop moves with the person from frame to frame; else it stays where it is over
            each window and holds all of the person's way. Networks that see motion against a camera at
            rest, such as those of whole frames, want it at rest.

    Raises:
        InvalidSetting: If `enlarge` is below 1 or `smooth_s` negative.
    """

    enlarge: float = 1.3
    smooth_s: float = 0.2
    follows: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.enlarge <= 10 or not 0 <= self.smooth_s <= 10:
            raise InvalidSetting(
                f"A crop is 1 to 10 times as large as its box, smoothed over 0 to 10 s; got {self.enlarge} "
                f"and {self.smooth_s}."
            )


def smoothed(path: PersonPath, smooth_s: float) -> np.ndarray:
    """The boxes `(N, 4)` of a path, centres and sides smoothed over time."""
    from scipy.ndimage import gaussian_filter1d

    if len(path) < _ONE_WIDE or smooth_s == 0:
        return path.boxes
    frame_s = float(np.median(np.diff(path.times)))
    boxes: np.ndarray = gaussian_filter1d(path.boxes, smooth_s / frame_s, axis=0, mode="nearest")
    return boxes


def crops_of(boxes: np.ndarray, rules: CropRules, ratio: float, frame_size: Size) -> np.ndarray:
    """The part of each of N frames that is kept, `(N, 4)` left, top, width, height px.

    It has one shape, the input's, and holds the box. It lies inside of the picture where that is large
    enough, shifted and, if need be, less enlarged; a box that is too long has a border around the picture.

    Args:
        boxes: `(N, 4)` smoothed boxes of a window.
        rules: How they become crops.
        ratio: Width to height of the input.
        frame_size: `(H, W)` of the video.
    """
    if not rules.follows:
        whole = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        boxes = np.broadcast_to(whole, boxes.shape)
    sides = boxes[:, 2:] - boxes[:, :2]
    needed = np.maximum(sides[:, 1], sides[:, 0] / ratio)
    fitting = min(frame_size[0], frame_size[1] / ratio)
    height = np.maximum(np.minimum(needed * rules.enlarge, fitting), needed)
    size = np.stack([height * ratio, height], 1)
    slack = np.array(frame_size[::-1], np.float64) - size
    corner = (boxes[:, :2] + boxes[:, 2:]) / 2 - size / 2
    corner = np.clip(corner, np.minimum(slack, 0), np.maximum(slack, 0))
    return np.concatenate([corner, size], 1)


@dataclass(frozen=True, eq=False)
class PersonWindow:
    """A window of one path.

    Attributes:
        path: Position of the path.
        span: `(start_s, end_s)`, within it.
    """

    path: int
    span: Span


@dataclass(eq=False)
class _Wanted:
    """The crops that one input needs of one window: where each lies, and those that are cut already."""

    crops: dict[int, np.ndarray]
    window: PersonWindow
    input: int
    held: dict[int, np.ndarray] = field(default_factory=dict)


class PeopleClips:
    """The clips of people's windows, in order of time; each frame of the video is decoded once.

    A window's crops are cut as frames pass by, so that memory holds small crops of the windows in progress
    and a few whole frames.

    Args:
        video: The open video, which nothing else reads meanwhile.
        specs: Input contracts of the network.
        paths: Paths of the people.
        windows: Their windows, ordered by start.
        views: Clips and crops per window.
        rules: Which part of the frames is a person's.

    Raises:
        InvalidAnnotation: If an input reads files that cannot be taken apart by person.
    """

    def __init__(
        self,
        video: WrappedSource,
        specs: Sequence[ClipSpec],
        paths: Sequence[PersonPath],
        windows: Sequence[PersonWindow],
        views: Views,
        rules: CropRules,
    ) -> None:
        self._video, self._specs, self._paths, self._views = video, specs, paths, views
        self._rules = rules
        self._windows = windows
        self._boxes = [smoothed(path, rules.smooth_s) for path in paths]
        self._alone = [_taken_apart(video, spec, paths) for spec in specs]
        self._sizes: list[Size | None] = [None] * len(specs)
        self._wanted: dict[tuple[int, int], _Wanted] = {}
        self._by_row: dict[int, list[_Wanted]] = {}
        self._registered = 0
        self.decoded = 0
        """Frames that were asked of the video so far."""

    def __iter__(self) -> Iterator[tuple[PersonWindow, tuple[list[Clip], ...]]]:
        """Each window with V clips for each input."""
        for number, window in enumerate(self._windows):
            clips = []
            for i, spec in enumerate(self._specs):
                source = self._source(number, window, i)
                clips.append(MODALITIES.get(spec.modality).read(source, spec, window.span, views=self._views))
                self._wanted.pop((number, i), None)
            yield window, tuple(clips)

    def _source(self, number: int, window: PersonWindow, i: int) -> WrappedSource:
        """The video as the reader of one input sees it: one person, and the part that is its own."""
        spec, known = self._specs[i], self._alone[i]
        size = virtual_size(spec)
        if known is not None:
            rows = self._rows(window)
            left, top, width, height = self._crops(window, spec, rows, still=True)[0].tolist()
            people = MODALITIES.get(spec.modality).sidecar
            assert people is not None
            assert people.people is not None
            content = people.people.cut(known[window.path], Cut(left, top, width, height, size))
            return WrappedSource(self._video, known={spec.modality: content}, frame_size=size)
        read = partial(self._frames_at, number, i)
        return WrappedSource(self._video, preparation=self._video.preparation, read=read, frame_size=size)

    def _frames_at(self, number: int, i: int, times_s: np.ndarray, size: Size | None = None) -> Frames:
        """`frames_at` of one input of one window."""
        rows = displayed_rows(self._video, times_s)
        self._decode_until(number, int(rows.max()))
        size = size or virtual_size(self._specs[i])
        self._sizes[i] = size
        held = self._wanted[number, i].held
        pixels = np.stack([_resized(held[self._inside(number, row)], size) for row in rows.tolist()])
        return Frames(pixels.transpose(0, 3, 1, 2), self._video.frame_times()[rows])

    def _inside(self, number: int, row: int) -> int:
        """The row itself, or the last one of the path where motion looks one frame further."""
        path = self._paths[self._windows[number].path]
        return min(max(row, path.first), path.first + len(path) - 1)

    def _rows(self, window: PersonWindow) -> np.ndarray:
        """Rows of the path that a window shows."""
        path = self._paths[window.path]
        first, end = np.searchsorted(path.times, (window.span[0] - 1e-6, window.span[1] - 1e-6)).tolist()
        return path.first + np.arange(min(max(first - 1, 0), len(path) - 1), max(end, first + 1, 1))

    def _crops(
        self, window: PersonWindow, spec: ClipSpec, rows: np.ndarray, *, still: bool = False
    ) -> np.ndarray:
        path = self._paths[window.path]
        rows = np.minimum(rows, path.first + len(path) - 1)
        boxes = self._boxes[window.path][rows - path.first]
        rules = CropRules(self._rules.enlarge, self._rules.smooth_s) if still else self._rules
        return crops_of(boxes, rules, spec.size[1] / spec.size[0], self._video.size)

    def _decode_until(self, number: int, last: int) -> None:
        """Decode up to the last frame that a window's clip shows, and cut all windows' crops on the way."""
        while self._registered < len(self._windows):
            window = self._windows[self._registered]
            if self._registered > number and int(self._rows(window)[0]) > last:
                break
            self._register(self._registered)
            self._registered += 1
        rows = sorted(row for row in self._by_row if row <= last)
        height, width = self._video.size
        chunk = max(1, _CHUNK_BYTES // (3 * height * width))
        times = self._video.frame_times()
        for at in range(0, len(rows), chunk):
            part = rows[at : at + chunk]
            frames = self._video.frames_at(times[part])
            self.decoded += len(part)
            # Where a frame cannot be decoded one before it stands in, with the people where they were then.
            pictured = displayed_rows(self._video, frames.times).tolist()
            for row, stands_in, frame in zip(part, pictured, frames.data, strict=True):
                for wanted in self._by_row.pop(row):
                    crop = wanted.crops[row] if stands_in == row else self._stand_in(wanted, row, stands_in)
                    image = _cut(frame.transpose(1, 2, 0), crop)
                    size = self._sizes[wanted.input]
                    wanted.held[row] = image if size is None else _resized(image, size)

    def _stand_in(self, wanted: _Wanted, row: int, stands_in: int) -> np.ndarray:
        """The crop of a frame in whose place an earlier one stands: where the person was in that."""
        path = self._paths[wanted.window.path]
        if stands_in in wanted.crops or stands_in < path.first:
            return wanted.crops.get(stands_in, wanted.crops[row])
        own: np.ndarray = self._crops(wanted.window, self._specs[wanted.input], np.array([stands_in]))[0]
        return own

    def _register(self, number: int) -> None:
        """Note which frames a window needs, and where."""
        window = self._windows[number]
        for i, spec in enumerate(self._specs):
            if self._alone[i] is not None:
                continue
            ahead = MODALITIES.get(spec.modality).ahead
            stamps = sampled(self._video, spec, window.span, self._views.clips)
            shown = displayed_rows(self._video, np.concatenate([each.times for each in stamps]))
            own = self._rows(window)
            rows = {self._inside(number, row + step) for row in shown.tolist() for step in range(ahead + 1)}
            if ahead and max(rows) == len(self._video.frame_times()) - 1:  # motion that led to the last frame
                rows.add(max(max(rows) - ahead, int(own[0])))
            own = np.arange(min(int(own[0]), min(rows)), max(int(own[-1]), max(rows)) + 1)
            crops = self._crops(window, spec, own)
            wanted = _Wanted({row: crops[row - own[0]] for row in rows}, window, i)
            self._wanted[number, i] = wanted
            for row in rows:
                self._by_row.setdefault(row, []).append(wanted)


def virtual_size(spec: ClipSpec) -> Size:
    """`(H, W)` of a person's crop as readers see it: the shape of the input, and no smaller."""
    height, width = spec.size
    scale = max(_SHORT_SIDE_PX, min(spec.size), spec.short_side_px or 0) / min(spec.size)
    return round(height * scale), round(width * scale)


def _taken_apart(video: WrappedSource, spec: ClipSpec, paths: Sequence[PersonPath]) -> list[object] | None:
    """What a file holds of each path alone; None where the pixels are looked at instead."""
    sidecar = MODALITIES.get(spec.modality).sidecar
    if sidecar is not None and sidecar.people is not None:
        content = beside(video, spec.modality)
        if content is not None:
            return sidecar.people.of_people(content, paths, video.size)
    if not sees_frames([spec]):
        what = MODALITIES.get(spec.modality).what
        raise InvalidAnnotation(
            f"{what.capitalize()} cannot be taken apart by person, and the model sees nothing else; name a "
            "model of pixels or poses."
        )
    return None


def _cut(frame: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """A part of an image `(H, W, 3)`; beyond its border the outermost pixels go on."""
    left, top = (round(value) for value in crop[:2].tolist())
    width, height = (max(1, round(value)) for value in crop[2:].tolist())
    inside = frame[max(top, 0) : max(top + height, 1), max(left, 0) : max(left + width, 1)]
    lacking = (
        max(-top, 0), max(top + height - frame.shape[0], 0),
        max(-left, 0), max(left + width - frame.shape[1], 0),
    )  # fmt: skip
    if any(lacking):
        return cv2.copyMakeBorder(np.ascontiguousarray(inside), *lacking, cv2.BORDER_REPLICATE)
    return inside.copy()


def _resized(image: np.ndarray, size: Size) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=how)
