"""CVAT's XML 1.1: tracks of a video, and tags of its frames.

"CVAT for video" holds tracks alone, "CVAT for images" tags of single frames, too. Both number the frames of
a video from 0 as it is decoded, and say nothing of its frame rate. A label over time is a track whose boxes
are the whole frame; any other track is one of somebody or something, and a label as long as it is seen. What
somebody does meanwhile stands in attributes of its boxes: the value of one called `action` (several with
commas between them), or the name of one that is ticked. Each holds from its box to the next of the track.
Tags of one label on frames that follow each other are one label.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of
from kinesphere.annotations.parsing.xml_files import read_xml, whole_number
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import TimedLabel, TimedLabels, Track, track_tier, video_name, with_scores
from kinesphere.annotations.track_spans import Interpolation
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief

PROBABILITY, TIER = "probability", "tier"
"""Attributes of the labels that Kinesphere writes."""
ACTIONS = frozenset({"action", "actions"})
"""Attributes whose value says what somebody does."""
_NO_ACTION = frozenset({"", "none", "no", "false", "-", "__undefined__"})
_LARGEST = 128 << 20
_SHAPES = frozenset({"box", "polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask"})
_BOX = ("xtl", "ytl", "xbr", "ybr")
_SLACK_PX = 1.0


@dataclass
class _Seen:
    """Frames in which something is seen, with its boxes where it has some."""

    label: str
    frames: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    tier: str | None = None
    score: float | None = None
    doing: list[tuple[str, ...]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def actions(self) -> Iterator[_Seen]:
        """What is done, each action with the frames in which it is."""
        for name in dict.fromkeys(name for each in self.doing for name in each):
            own = [row for row, each in enumerate(self.doing) if name in each]
            yield _Seen(name, [self.frames[row] for row in own], [self.ends[row] for row in own])


def read_cvat(path: Path, recordings: Recordings | None = None) -> TimedLabels:
    """The tracks and tags of a file, also of the tasks of a project.

    Args:
        path: The file.
        recordings: Where its videos lie, or their frame rate, which CVAT does not write.

    Raises:
        InvalidAnnotation: If it is no such XML, an entry is wrong (its element is named), or nothing says the
            frame rate.
    """
    recordings = Recordings() if recordings is None else recordings
    root = read_xml(path, "CVAT annotation", "annotations", program="CVAT", largest=_LARGEST)
    labels: list[TimedLabel] = []
    scores: list[float | None] = []
    tracks: dict[str, tuple[Track, ...]] = {}
    notes: list[str] = []
    videos: dict[str, None] = {}
    room = Interpolation()
    for task in _tasks(root, path):
        videos[task.video] = None
        found = [*task.tracks(), *((None, seen) for seen in task.tags())]
        notes += task.notes
        if not found:
            continue
        clock = recordings.clock(task.video or path.stem, path)
        boxed: list[Track] = []
        for identity, seen in found:
            whole = _is_whole(seen, task.size or clock.size)
            if seen.boxes and identity is not None and not whole:
                boxed.append(_track(identity, seen, task.step, f"{path}, track {identity}", room))
            tier = "" if whole or identity is None else track_tier(identity)
            tier = seen.tier if seen.tier is not None else tier
            for first, last in _spans(seen, task.step):
                labels.append(
                    TimedLabel(task.video, seen.label, clock.time_s(first), clock.time_s(last), tier)
                )
                scores.append(seen.score)
            if identity is None or whole:
                continue
            for action in seen.actions():
                for first, last in _spans(action, task.step):
                    span = clock.time_s(first), clock.time_s(last)
                    labels.append(TimedLabel(task.video, action.label, *span, track_tier(identity)))
                    scores.append(seen.score)
        if boxed:
            tracks[task.video] = tuple(boxed)
    return TimedLabels(with_scores(labels, scores), tuple(videos), notes=tuple(notes), tracks=tracks)


class _Task:
    """One video of a file."""

    def __init__(self, element: ET.Element, path: Path, source: str, content: list[ET.Element]) -> None:
        self.path = path
        self._content = content
        self.video = video_name(source)
        self.step = _step(element, path)
        self.notes: list[str] = []
        size = element.find("original_size")
        self.size = None if size is None else _size(size, path)

    def tracks(self) -> Iterator[tuple[int, _Seen]]:
        """What is followed over frames, by number."""
        taken: set[int] = set()
        for element in self._content:
            if element.tag != "track":
                continue
            where = f"{self.path}, track {brief(element.get('id'))}"
            identity = whole_number(element, "id", where)
            if identity in taken:
                raise InvalidAnnotation(f"{where}: another track has this number too; number them apart.")
            taken.add(identity)
            yield identity, _read_track(element, where, self.step)

    def tags(self) -> Iterator[_Seen]:
        """What the frames are tagged with, each label once."""
        found: dict[tuple[str, str | None], _Seen] = {}
        strange = shapes = 0
        for image in self._content:
            if image.tag != "image":
                continue
            frame = re.search(r"frame_([0-9]{1,9})(\.[A-Za-z]+)?$", image.get("name", ""))
            if frame is None:
                strange += 1
                continue
            shapes += sum(each.tag in _SHAPES for each in image)
            for tag in image.iterfind("tag"):
                where = f"{self.path}, image {brief(image.get('name'))}, tag"
                tier, score = _attributes(tag, where)
                seen = found.setdefault((_label(tag, where), tier), _Seen(_label(tag, where), tier=tier))
                seen.frames.append(int(frame[1]))
                seen.ends.append(int(frame[1]) + self.step)
                seen.score = score
        if strange:
            self.notes.append(f"{self.path}: {strange} images that are no frames of a video are not read")
        if shapes:
            self.notes.append(f"{self.path}: {shapes} shapes of single frames belong to no track; not read")
        for seen in found.values():
            order = np.argsort(np.array(seen.frames), kind="stable")
            seen.frames = [seen.frames[i] for i in order]
            seen.ends = [seen.ends[i] for i in order]
            yield seen


def _tasks(root: ET.Element, path: Path) -> list[_Task]:
    """The videos of a file: that of its task or job, or those of the tasks of its project."""
    meta = root.find("meta")
    if meta is None:
        raise InvalidAnnotation(f"{path} is no CVAT annotation: it has no <meta>.")
    source = meta.findtext("source") or ""
    content = [each for each in root if each.tag in ("track", "image")]
    if meta.find("project") is None:
        element = next((each for kind in ("task", "job") for each in meta.iterfind(kind)), meta)
        return [_Task(element, path, element.findtext("source") or source, content)]
    by_task: dict[str | None, list[ET.Element]] = {}
    for each in content:
        by_task.setdefault(each.get("task_id"), []).append(each)
    tasks = [
        _Task(
            each,
            path,
            each.findtext("source") or each.findtext("name") or "",
            by_task.pop(each.findtext("id"), []),
        )
        for each in meta.iterfind("project/tasks/task")
    ]
    if by_task:
        count, which = sum(map(len, by_task.values())), next(iter(by_task))
        raise InvalidAnnotation(
            f"{path}: {count} tracks and images are of no task of the project, but of {brief(which)}."
        )
    return tasks


def _step(element: ET.Element, path: Path) -> int:
    """How many frames lie from one to the next that is annotated."""
    text = element.findtext("frame_filter") or ""
    found = re.search(r"step=([0-9]{1,6})", text)
    if text.strip() and (found is None or int(found[1]) < 1):
        raise InvalidAnnotation(f"{path}: <frame_filter> should be a step such as step=3; got {brief(text)}.")
    return int(found[1]) if found else 1


def _size(element: ET.Element, path: Path) -> tuple[int, int] | None:
    """`(H, W)` of the frames."""
    texts = [(element.findtext(name) or "").strip() for name in ("height", "width")]
    if not all(re.fullmatch(r"[0-9]{1,6}", text) for text in texts):
        raise InvalidAnnotation(
            f"{path}: <original_size> should be a height and a width; got {brief(texts)}."
        )
    height, width = map(int, texts)
    return height, width


def _read_track(element: ET.Element, where: str, step: int) -> _Seen:
    """When a track is seen: from each shape up to the next one, or, at the last, for a frame."""
    seen = _Seen(_label(element, where))
    shapes = sorted(
        ((whole_number(shape, "frame", where), shape) for shape in element if shape.tag in _SHAPES),
        key=lambda each: each[0],
    )
    for at, (frame, shape) in enumerate(shapes):
        after = shapes[at + 1][0] if at + 1 < len(shapes) else frame + step
        if after == frame:
            raise InvalidAnnotation(f"{where}: it has two shapes in frame {frame}; keep one.")
        tier, score = _attributes(shape, f"{where}, frame {frame}")
        seen.tier = tier if seen.tier is None else seen.tier
        seen.score = score if seen.score is None else seen.score
        if shape.get("outside", "0") == "1":
            seen.gone.add(frame)
            continue
        seen.frames.append(frame)
        seen.ends.append(after)
        seen.doing.append(_doing(shape))
        if shape.tag == "box":
            seen.boxes.append(_box(shape, f"{where}, frame {frame}"))
    if len(seen.boxes) < len(seen.frames):
        seen.boxes = []
    return seen


def _label(element: ET.Element, where: str) -> str:
    label = (element.get("label") or "").strip()
    if not label:
        raise InvalidAnnotation(f"{where}: it has no label; export it again.")
    return label


def _box(shape: ET.Element, where: str) -> list[float]:
    try:
        box = [number_of(shape.get(name, "")) for name in _BOX]
    except ValueError:
        raise InvalidAnnotation(
            f"{where}: a box has the numbers xtl, ytl, xbr and ybr; got {brief(shape.attrib)}."
        ) from None
    if not all(abs(value) <= 1e9 for value in box) or box[2] < box[0] or box[3] < box[1]:
        raise InvalidAnnotation(f"{where}: its box {brief(box)} is none.")
    return box


def _attributes(element: ET.Element, where: str) -> tuple[str | None, float | None]:
    """Tier and probability, where Kinesphere has written them."""
    texts = {each.get("name"): (each.text or "").strip() for each in element.iterfind("attribute")}
    score = texts.get(PROBABILITY)
    try:
        return texts.get(TIER), number_of(score) if score else None
    except ValueError:
        raise InvalidAnnotation(f"{where}: the probability should be a number; got {brief(score)}.") from None


def _doing(shape: ET.Element) -> tuple[str, ...]:
    """The actions that the attributes of a shape tell of."""
    found: dict[str, None] = {}
    for each in shape.iterfind("attribute"):
        name, value = (each.get("name") or "").strip(), (each.text or "").strip()
        if name.lower() in ACTIONS:
            found |= dict.fromkeys(
                part.strip() for part in value.split(",") if part.strip().lower() not in _NO_ACTION
            )
        elif value.lower() == "true" and name:
            found[name] = None
    return tuple(found)


def _is_whole(seen: _Seen, size: tuple[int, int] | None) -> bool:
    """Whether the boxes are the whole frame."""
    if not seen.boxes or size is None:
        return False
    height, width = size
    return bool((np.abs(np.array(seen.boxes) - (0, 0, width, height)) <= _SLACK_PX).all())


def _spans(seen: _Seen, step: int) -> Iterator[tuple[int, int]]:
    """First frame of each stretch, and the one after its last."""
    start = end = None
    for first, after in zip(seen.frames, seen.ends, strict=True):
        if end is not None and first <= end:
            end = max(end, after)
            continue
        if start is not None and end is not None:
            yield start, end
        start, end = first, after
    if start is not None and end is not None:
        yield start, end


def _track(identity: int, seen: _Seen, step: int, where: str, room: Interpolation) -> Track:
    """The boxes of each frame; between those of a stretch they move evenly, and the last one stays until
    the shape that says that it is gone."""
    frames: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    own, given = np.array(seen.frames), np.array(seen.boxes, np.float64)
    for first, after in _spans(seen, 1):
        within = np.flatnonzero((own >= first) & (own < after))
        at, these = own[within], given[within]
        if after in seen.gone and after - step > at[-1]:
            at, these = np.append(at, after - step), np.append(these, these[-1:], axis=0)
        every, moved = room.between(at, these, where)
        frames.append(every)
        boxes.append(moved)
    numbers = np.concatenate(frames) + 1
    return Track(identity, numbers, np.concatenate(boxes), np.ones(len(numbers)), seen.label)


def write_example(path: Path) -> None:
    """A label over time, somebody who is followed, and a tag of a frame; beside it the video."""
    path.write_text(_EXAMPLE, encoding="utf-8")
    from kinesphere.video import VideoWriter  # only here: scoring reads CVAT's files without a decoder

    with VideoWriter(path.with_name("a.mp4"), (48, 64), 25) as writer:
        for _ in range(9):
            writer.write(np.zeros((48, 64, 3), np.uint8))


_EXAMPLE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>1</id>
      <name>a</name>
      <size>9</size>
      <mode>interpolation</mode>
      <start_frame>0</start_frame>
      <stop_frame>8</stop_frame>
      <frame_filter></frame_filter>
      <labels>
        <label><name>run</name><attributes></attributes></label>
        <label><name>person</name><attributes></attributes></label>
      </labels>
      <original_size><width>64</width><height>48</height></original_size>
    </task>
    <source>a.mp4</source>
  </meta>
  <image id="8" name="frame_000008" width="64" height="48">
    <tag label="run" source="manual"></tag>
  </image>
  <track id="0" label="run">
    <box frame="2" outside="0" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="64" ybr="48" z_order="0"></box>
    <box frame="5" outside="1" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="64" ybr="48" z_order="0"></box>
  </track>
  <track id="1" label="person">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="4" ytl="8" xbr="20" ybr="40" z_order="0"></box>
    <box frame="3" outside="0" occluded="0" keyframe="1" xtl="7" ytl="8" xbr="23" ybr="40" z_order="0"></box>
  </track>
</annotations>
"""

FORMATS.add(
    "cvat", Format("CVAT XML", (".xml",), "tracks of videos, tags of their frames", read_cvat, write_example)
)
