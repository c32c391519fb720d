"""People and what they do, drawn into the video."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kinesphere.annotations.timed import Track
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.draw import PERSON_COLOURS
from kinesphere.predict.annotate import readable_size
from kinesphere.predict.events.facts import Box, Fact
from kinesphere.predict.people.answer import PeopleTimelines
from kinesphere.predict.people.paths import BreakRules
from kinesphere.predict.prediction import Prediction
from kinesphere.predict.segment_rule import SegmentRule
from kinesphere.predict.segmentation import Segment, segments
from kinesphere.video import Video, VideoWriter

_INK, _OBJECT = (20, 24, 27), (235, 238, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_Rect = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A track as it is drawn: its box in each frame from the first on, NaN where it is away."""

    first: int
    boxes: np.ndarray
    name: str
    hue: tuple[int, int, int]
    spans: Sequence[Segment | Fact] = ()

    def box_in(self, row: int) -> np.ndarray | None:
        if not 0 <= row - self.first < len(self.boxes) or np.isnan(self.boxes[row - self.first, 0]):
            return None
        box: np.ndarray = self.boxes[row - self.first]
        return box

    def says(self, time_s: float) -> list[str]:
        """Its name, and what it does at a time."""
        now = [each for each in self.spans if each.start_s <= time_s < each.end_s]
        return [
            self.name,
            *(f"{s.label} {100 * s.probability:.0f} %" if isinstance(s, Segment) else s.label for s in now),
        ]


class PeopleOverlay:
    """Draws a box about each person, with its number and what it does, and about each object (see `Overlay`).

    Args:
        people: What everybody does.
        rule: How timelines become segments.
    """

    def __init__(
        self,
        people: PeopleTimelines,
        rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
    ) -> None:
        self._times = people.frame_times.tolist()
        self._size = people.frame_size
        self._drawn = [
            _drawn(
                each.track,
                str(each.person),
                PERSON_COLOURS[each.person % len(PERSON_COLOURS)],
                [
                    *segments(each.timeline, rule),
                    *(fact for fact in people.facts if fact.person == each.person),
                ],
            )
            for each in people
        ]
        self._drawn += [_drawn(each, f"{each.label} {each.identity}", _OBJECT) for each in people.objects]

    def draw(self, frame: np.ndarray, time_s: float) -> np.ndarray:
        """See `Overlay.draw`."""
        row = bisect_right(self._times, time_s + 1e-4) - 1
        scale = np.array(frame.shape[1::-1] * 2, np.float64) / (self._size[::-1] * 2)
        placed: list[_Rect] = []
        for each in self._drawn:
            box = each.box_in(row)
            if box is not None:
                _draw(frame, box * scale, each.says(time_s), each.hue, placed)
        return frame


def annotate_people(
    source: str | Path | bytes,
    target: str | Path,
    people: PeopleTimelines,
    *,
    rule: SegmentRule = SegmentRule(),  # noqa: B008 (frozen)
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write a copy of a video with each person's box, number and action drawn on it.

    Args:
        source: The video.
        target: `.mp4`, `.mkv` or another suffix that `VideoWriter` takes for H.264.
        people: What everybody does.
        rule: How timelines become segments.
        progress: Called with the number of frames written and their total, if known.

    Raises:
        VideoError: If the video cannot be decoded or written.
    """
    overlay = PeopleOverlay(people, rule)
    with Video.open(source) as video:
        size = readable_size(video.size)
        with VideoWriter(target, size, video.fps) as writer:
            for count, frame in enumerate(video.stream(size=size, fps=video.fps), start=1):
                image = np.ascontiguousarray(frame.data.transpose(1, 2, 0))
                writer.write(overlay.draw(image, frame.time_s))
                if progress:
                    progress(count, video.frame_count)
    return Path(target)


@dataclass(frozen=True, eq=False)
class Doing:
    """What a person does in one frame.

    Attributes:
        person: Its number.
        box: In fractions of the frame: left, top, right, bottom.
        prediction: The answer.
    """

    person: int
    box: Box
    prediction: Prediction


def draw_people(frame: np.ndarray, people: Sequence[Doing], *, top: int = 1) -> np.ndarray:
    """A copy of a frame, enlarged if it is small, with each person's box, number and leading labels.

    Args:
        frame: uint8 RGB `(H, W, 3)`.
        people: Those who are answered about in it.
        top: Number of labels.

    Returns:
        uint8 RGB of `readable_size`.
    """
    height, width = readable_size((frame.shape[0], frame.shape[1]))
    image = cv2.resize(frame, (width, height)) if frame.shape[:2] != (height, width) else frame.copy()
    placed: list[_Rect] = []
    for each in people:
        rejected = each.prediction.is_rejected
        labels = [f"{label} {100 * p:.0f} %" for label, p in each.prediction.top(top)]
        says = [str(each.person), *([each.prediction.answer] if rejected else labels)]
        hue = PERSON_COLOURS[each.person % len(PERSON_COLOURS)]
        _draw(image, np.array(each.box) * (width, height, width, height), says, hue, placed)
    return image


def _draw(
    frame: np.ndarray, box: np.ndarray, says: list[str], hue: tuple[int, int, int], placed: list[_Rect]
) -> None:
    """A box in pixels with what is said of it."""
    unit = max(11, round(frame.shape[0] / 32))
    left, top, right, bottom = np.round(box).astype(int).tolist()
    cv2.rectangle(frame, (left, top), (right, bottom), hue, max(1, unit // 7), cv2.LINE_AA)
    _label(frame, says, (left, top, right, bottom), hue, unit, placed)


def _drawn(
    track: Track, name: str, hue: tuple[int, int, int], spans: Sequence[Segment | Fact] = ()
) -> _Drawn:
    """A track with straight lines over short gaps."""
    rows = track.frames - 1
    own = np.arange(rows[0], rows[-1] + 1)
    boxes = np.stack([np.interp(own, rows, track.boxes[:, i]) for i in range(4)], 1)
    after = np.searchsorted(rows, own)
    before = np.maximum(np.where(rows[after] == own, after, after - 1), 0)
    # As many frames as a path bridges in half a second of common rates, or from box to box at a low one.
    usual = float(np.median(np.diff(rows))) if len(rows) > 1 else 0.0
    boxes[rows[after] - rows[before] > max(30 * BreakRules().gap_s, 1.5 * usual)] = np.nan
    return _Drawn(int(rows[0]), boxes, name, hue, spans)


def _label(
    frame: np.ndarray, lines: list[str], box: _Rect, hue: tuple[int, int, int], unit: int, placed: list[_Rect]
) -> None:
    """Lines of text above a box, or where there is space: inside of the picture, and on no other's text."""
    size, stroke = unit / 24, max(1, unit // 12)
    widths = [cv2.getTextSize(text, _FONT, size, stroke)[0][0] for text in lines]
    width, height = max(widths) + unit // 2, round(1.15 * unit) * len(lines) + unit // 4
    corner = _free(frame.shape[:2], box, (height, width), placed)
    left, top = corner
    placed.append((left, top, left + width, top + height))
    cv2.rectangle(frame, (left, top), (left + width, top + height), hue, -1)
    for i, text in enumerate(lines):
        base = top + round(1.15 * unit * (i + 1)) - unit // 5
        cv2.putText(frame, text, (left + unit // 4, base), _FONT, size, _INK, stroke, cv2.LINE_AA)


def _free(size: Size, box: _Rect, extent: Size, placed: Sequence[_Rect]) -> tuple[int, int]:
    """Left and top of a text: above the box, below it, or beneath the texts that are there."""
    height, width = extent
    left = int(np.clip(box[0], 0, max(size[1] - width, 0)))
    most = max(size[0] - height, 0)
    for top in (
        box[1] - height,
        box[3],
        *(rect[3] for rect in placed),
        *(rect[1] - height for rect in placed),
    ):
        top = int(np.clip(top, 0, most))
        clear = all(
            left >= right or left + width <= x or top >= bottom or top + height <= y
            for x, y, right, bottom in placed
        )
        if clear:
            return left, top
    return left, int(np.clip(box[1] - height, 0, most))
