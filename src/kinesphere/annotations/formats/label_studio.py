"""Label Studio's JSON: tasks with what people annotated, or with what a model predicts.

A task is a video (`data`) with `annotations`, one a person, or `predictions`; both hold `result`, a list of
regions. On the timeline of a video (`TimelineLabels`) a region has ranges of frames, which count from 1,
from the first to the last; boxes (`VideoRectangle`) have key frames in per cent of the picture. Frames are
what the player counts: times at the rate that the project states, which Kinesphere writes into the data of
the task as `fps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.recordings import FrameClock, Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels, Track, track_tier, video_name, with_scores
from kinesphere.annotations.track_spans import Interpolation, runs
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json
from kinesphere.core.text import named

TIMELINE = "timeline"
"""The control that labels without a tier come from."""
_LARGEST = 1 << 28
_RATES = ("fps", "frame_rate", "framerate", "frameRate")
_LABELS = ("timelinelabels", "labels", "videorectangle", "rectanglelabels", "choices")
_LAST_FRAME = 1e9


def is_label_studio(content: Any) -> bool:
    """Whether parsed JSON is a list of tasks."""
    return (
        bool(content)
        and isinstance(content, list)
        and all(isinstance(each, dict) and "data" in each for each in content)
    )


def read_label_studio(path: Path, recordings: Recordings | None = None) -> TimedLabels:
    """What people annotated in videos; where nobody has annotated anything, what a model predicts, as
    `Detection`s.

    The tier of a label is the control that it was made with; where several people annotated a task, with
    their number.

    Args:
        path: The file.
        recordings: Where the videos lie, or their frame rate, where the tasks do not state it.

    Raises:
        InvalidAnnotation: If it is no such JSON, an entry is wrong (its task is named), or nothing says the
            frame rate.
    """
    content = read_json(path, InvalidAnnotation, _LARGEST)
    return parse_label_studio(content, path, Recordings() if recordings is None else recordings)


def parse_label_studio(content: Any, path: Path, recordings: Recordings) -> TimedLabels:
    """`read_label_studio` of parsed content."""
    if not is_label_studio(content):
        raise InvalidAnnotation(f"{path} is no Label Studio JSON: it should be a list of tasks with `data`.")
    room = Interpolation()
    tasks = [_Task(each, number, path, recordings, room) for number, each in enumerate(content)]
    people = any(task.annotations for task in tasks)
    videos: dict[str, None] = {}
    waiting = 0
    for task in tasks:
        if task.video in videos and task.video:
            raise InvalidAnnotation(
                f"{task.where}: the video {brief(task.video)} has a task already; keep one."
            )
        videos[task.video] = None
        waiting += people and not task.annotations
        task.read(task.annotations if people else task.predictions)
    labels = [label for task in tasks for label in task.labels]
    scores = [score for task in tasks for score in task.scores]
    notes = [note for task in tasks for note in task.notes]
    if waiting:
        notes.append(f"{path}: {waiting} tasks are not annotated; what is predicted for them is not read")
    return TimedLabels(
        tuple(labels) if people else with_scores(labels, scores),
        tuple(videos),
        notes=tuple(notes),
        tracks={task.video: tuple(task.tracks) for task in tasks if task.tracks},
    )


@dataclass
class _Task:
    """One task, and what was found in it."""

    content: Mapping[str, Any]
    number: int
    path: Path
    recordings: Recordings
    room: Interpolation
    labels: list[TimedLabel] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    followed: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.where = f"{self.path}, task {brief(self.content.get('id', self.number))}"
        data = self.content["data"]
        if not isinstance(data, dict):
            raise InvalidAnnotation(f"{self.where}: `data` should be a mapping; got {brief(data)}.")
        texts = [each for each in (data.get("video"), *data.values()) if isinstance(each, str) and each]
        self.video = _video(texts[0]) if texts else ""
        self._stated = next((data[name] for name in _RATES if name in data), None)
        self.annotations = [each for each in self._list("annotations") if not each.get("was_cancelled")]
        self.predictions = self._list("predictions")[-1:]

    def _list(self, key: str) -> list[dict[str, Any]]:
        entries = self.content.get(key) or []
        if not isinstance(entries, list) or not all(
            isinstance(each, dict) and isinstance(each.get("result", []), list) for each in entries
        ):
            raise InvalidAnnotation(
                f"{self.where}: `{key}` should hold lists of results; got {brief(entries)}."
            )
        return entries

    def read(self, entries: list[dict[str, Any]]) -> None:
        """Take over what stands in annotations or predictions."""
        unread: dict[str, int] = {}
        for person, entry in enumerate(entries, 1):
            for number, region in enumerate(entry.get("result", [])):
                where = f"{self.where}, result {number}"
                value = region.get("value") if isinstance(region, dict) else None
                if not isinstance(value, dict):
                    kind = region.get("type") if isinstance(region, dict) else None
                    if kind == "relation":
                        continue
                    raise InvalidAnnotation(f"{where}: results have a `value`; got {brief(region)}.")
                tier = str(region.get("from_name", TIMELINE))[:100]
                tier = "" if tier == TIMELINE else tier
                tier = f"{tier or TIMELINE} {person}" if len(entries) > 1 else tier
                score = region.get("score", entry.get("score"))
                if not self._region(value, tier, self._number(score, where, "score"), where):
                    kind = str(region.get("type"))[:50]
                    unread[kind] = unread.get(kind, 0) + 1
        if unread:
            kinds = named([f"{count} of {kind}" for kind, count in unread.items()])
            self.notes.append(f"{self.where}: results without times are not read: {kinds}")

    def _region(self, value: dict[str, Any], tier: str, score: float | None, where: str) -> bool:
        """Take over one region; False where it is of no time."""
        names = next((value[key] for key in _LABELS if key in value), None)
        if isinstance(value.get("sequence"), list):
            self._followed(value, names, where)
            return True
        if isinstance(value.get("ranges"), list):
            clock = self._clock(None)
            spans = [
                (
                    clock.time_s(self._frame(each, "start", where) - 1),
                    clock.time_s(self._frame(each, "end", where)),
                )
                for each in value["ranges"]
            ]
        elif "start" in value and "end" in value and "x" not in value:
            times = [self._number(value[key], where, key) for key in ("start", "end")]
            if None in times:
                return False
            spans = [(float(times[0] or 0.0), float(times[1] or 0.0))]
        else:
            return False
        for label in self._names(names, where):
            for start_s, end_s in spans:
                try:
                    self.labels.append(TimedLabel(self.video, label, start_s, end_s, tier))
                except InvalidAnnotation as error:
                    raise InvalidAnnotation(f"{where}: {error}") from None
                self.scores.append(score)
        return True

    def _followed(self, value: dict[str, Any], names: Any, where: str) -> None:
        """Take over the boxes of somebody who is followed."""
        keys = sorted((self._key(each, where) for each in value["sequence"]), key=lambda each: each[0])
        numbers = [frame for frame, _, _ in keys]
        if len({*numbers}) < len(numbers):
            raise InvalidAnnotation(f"{where}: it has two boxes in one frame; keep one.")
        count = self._number(value.get("framesCount"), where, "framesCount")
        seconds = self._number(value.get("duration"), where, "duration")
        clock = self._clock(count / seconds if count and seconds else None)
        label = next(iter(self._names(names or ["person"], where)), None)
        if label is None:
            return
        self.followed += 1
        identity = self.followed
        frames, boxes = _filled(keys, int(count) if count else None, where, self.room)
        for first, last in runs(frames):
            self.labels.append(
                TimedLabel(
                    self.video, label, clock.time_s(first - 1), clock.time_s(last), track_tier(identity)
                )
            )
            self.scores.append(None)
        if clock.size is None:
            self.notes.append(f"{where}: its boxes are in per cent of a picture of unknown size; not read")
            return
        height, width = clock.size
        boxes = boxes / 100 * (width, height, width, height)
        self.tracks.append(Track(identity, frames, boxes, np.ones(len(frames)), label))

    def _key(self, entry: Any, where: str) -> tuple[int, bool, list[float]]:
        """Frame, whether it is seen up to the next, and left, top, right, bottom in per cent."""
        if not isinstance(entry, dict):
            raise InvalidAnnotation(f"{where}: key frames are mappings; got {brief(entry)}.")
        frame = self._frame(entry, "frame", where)
        sides = [self._number(entry.get(key), where, key) for key in ("x", "y", "width", "height")]
        left, top, width, height = (float("nan") if side is None else side for side in sides)
        if not all(abs(side) <= 1e6 for side in (left, top, width, height)) or width < 0 or height < 0:
            raise InvalidAnnotation(f"{where}: the box of frame {frame} is none; got {brief(entry)}.")
        return frame, bool(entry.get("enabled", True)), [left, top, left + width, top + height]

    def _clock(self, stated: float | None) -> FrameClock:
        rate = self._number(self._stated, self.where, "fps")
        return self.recordings.clock(self.video, self.path, stated=rate or stated, even=True)

    def _frame(self, entry: Any, key: str, where: str) -> int:
        value = self._number(entry.get(key) if isinstance(entry, dict) else None, where, key)
        if value is None or value != int(value) or not 0 <= value <= _LAST_FRAME:
            raise InvalidAnnotation(f"{where}: {key!r} should be the number of a frame; got {brief(entry)}.")
        return max(int(value), 1)

    def _number(self, value: Any, where: str, what: str) -> float | None:
        """A number; None where there is none."""
        if value is None:
            return None
        try:
            if isinstance(value, bool) or not math.isfinite(float(value)):
                raise ValueError
            return float(value)
        except (TypeError, ValueError, OverflowError):
            raise InvalidAnnotation(f"{where}: {what!r} should be a number; got {brief(value)}.") from None

    def _names(self, names: Any, where: str) -> Iterator[str]:
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise InvalidAnnotation(f"{where}: labels should be a list of texts; got {brief(names)}.")
        found = [each.strip() for each in names if each.strip()]
        if not found:
            self.notes.append(f"{where}: it has no label and is left out")
        yield from found


def _video(address: str) -> str:
    """The name of a video by its address; of files that lie beside the server it stands in the query."""
    before, _, local = address.partition("?d=")
    return video_name(unquote(local or before.partition("?")[0]))


def _filled(
    keys: list[tuple[int, bool, list[float]]], count: int | None, where: str, room: Interpolation
) -> tuple[np.ndarray, np.ndarray]:
    """Frames and boxes between key frames; the last one holds to the end of the video, unless it ends."""
    frames: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    for at, (frame, goes_on, box) in enumerate(keys):
        if at + 1 < len(keys):
            after, box_after = keys[at + 1][0], keys[at + 1][2]
        else:
            after, box_after = max(frame, count or 0) + 1, box
        if not goes_on:
            after, box_after = frame + 1, box
        every, moved = room.between(np.array([frame, after]), np.array([box, box_after], np.float64), where)
        frames.append(every[:-1])
        boxes.append(moved[:-1])
    if not frames:
        return np.zeros(0, np.int64), np.zeros((0, 4))
    return np.concatenate(frames), np.concatenate(boxes)


def write_example(path: Path) -> None:
    """One task: a label on the timeline, and somebody who is followed."""
    path.write_text(_EXAMPLE, encoding="utf-8")


_EXAMPLE = """[{"id": 1, "data": {"video": "/data/upload/a.mp4", "fps": 25},
"annotations": [{"id": 1, "result": [
{"id": "r1", "type": "timelinelabels", "from_name": "timeline", "to_name": "video",
 "value": {"ranges": [{"start": 1, "end": 25}], "timelinelabels": ["run"]}},
{"id": "r2", "type": "videorectangle", "from_name": "box", "to_name": "video",
 "value": {"framesCount": 50, "duration": 2, "labels": ["person"], "sequence": [
  {"frame": 3, "enabled": true, "x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "time": 0.12},
  {"frame": 5, "enabled": false, "x": 12, "y": 20, "width": 30, "height": 40, "rotation": 0, "time": 0.2}]}}
]}]}]
"""

FORMATS.add(
    "label_studio",
    Format(
        "Label Studio JSON",
        (".json",),
        "timed labels of the timeline, boxes over frames",
        read_label_studio,
        write_example,
    ),
)
