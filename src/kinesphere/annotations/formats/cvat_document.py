"""Writing CVAT's XML 1.1 for video: a track for each label over time, and for each that is followed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.cvat import PROBABILITY, TIER
from kinesphere.annotations.parsing.xml_files import xml_text
from kinesphere.annotations.recordings import FrameClock, Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, Track, track_tier
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.limits import brief

_LONGEST_NAME = 64
_MOST_BOXES = 2_000_000

_Row = tuple[int, np.ndarray]


def write_cvat(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    """Write the labels and tracks of one video.

    A label over time is a track whose boxes are the whole frame: what its tool can move and shorten.

    Returns:
        What is not in the file as it was.

    Raises:
        InvalidAnnotation: If the frame rate or the size of the frames is not known.
    """
    video = found.videos[0] if found.videos else path.stem
    clock = recordings.clock(video, path)
    if clock.size is None:
        raise InvalidAnnotation(
            f"CVAT needs the size of the frames of {brief(video)}, and its file is not at hand; name the "
            "folder of the videos."
        )
    tracks = found.tracks.get(video, ())
    carried = {track_tier(each.identity) for each in tracks}
    labels = [each for each in found.labels if each.tier not in carried]
    notes = _notes(labels, clock, path)
    used = max([clock.frames(each.start_s, each.end_s)[1] for each in labels], default=1)
    used = max([used, *(int(each.frames[-1]) for each in tracks if len(each))])
    count = clock.count if clock.count is not None else used
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    names = dict.fromkeys([*(each.label for each in labels), *(each.label for each in tracks)])
    scored = bool(labels) and all(isinstance(each, Detection) for each in labels)
    attributes = ([PROBABILITY] if scored else []) + ([TIER] if any(each.tier for each in labels) else [])
    _meta(root, path, recordings.media_of(video, path), clock.size, count, names, attributes)
    boxes = 0
    for number, track in enumerate(tracks):
        boxes += len(track)
        _track(root, number, track.label, _followed(track), count, {})
    height, width = clock.size
    whole = np.array([0.0, 0.0, width, height])
    for number, each in enumerate(labels, len(tracks)):
        first, end = clock.frames(each.start_s, each.end_s)
        end = min(end, count)
        boxes += end - first
        if boxes > _MOST_BOXES:
            raise InvalidAnnotation(f"{path} would hold more than {_MOST_BOXES} boxes; write shorter videos.")
        said = {TIER: each.tier} if TIER in attributes else {}
        if scored and isinstance(each, Detection):
            said[PROBABILITY] = f"{each.score:.6g}"
        _track(root, number, each.label, [(frame, whole) for frame in range(first, end)], count, said)
    ET.indent(root)
    with replacing(path) as scratch:
        scratch.write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
    return tuple(notes)


def _notes(labels: Sequence[TimedLabel], clock: FrameClock, path: Path) -> list[str]:
    notes: list[str] = []
    if early := sum(each.start_s < clock.time_s(0) - 0.5 / clock.fps for each in labels):
        notes.append(f"{path}: {early} labels begin before the video and are cut to its start")
    moments = sum(each.end_s - each.start_s < 0.5 / clock.fps for each in labels)
    if moments:
        notes.append(f"{path}: {moments} labels are shorter than half a frame, and have one")
    if clock.count is not None:
        late = sum(clock.frame(each.end_s) > clock.count for each in labels)
        if late:
            notes.append(f"{path}: {late} labels end after the video and are cut to its end")
    long = sum(len(each.label) > _LONGEST_NAME for each in labels)
    if long:
        notes.append(f"{path}: {long} labels have more than the {_LONGEST_NAME} characters that CVAT takes")
    return notes


def _meta(
    root: ET.Element,
    path: Path,
    source: str,
    size: tuple[int, int],
    count: int,
    names: Iterable[str],
    attributes: Sequence[str],
) -> None:
    """The task: its video, how many frames it has, and its labels."""
    meta = ET.SubElement(root, "meta")
    task = ET.SubElement(meta, "task")
    now = datetime.now(UTC).isoformat()
    facts = {
        "id": "1", "name": xml_text(path.stem), "size": str(count), "mode": "interpolation", "overlap": "0",
        "bugtracker": "", "created": now, "updated": now, "start_frame": "0", "stop_frame": str(count - 1),
        "frame_filter": "", "z_order": "False",
    }  # fmt: skip
    for name, text in facts.items():
        ET.SubElement(task, name).text = text
    labels = ET.SubElement(task, "labels")
    for label in names:
        place = ET.SubElement(labels, "label")
        ET.SubElement(place, "name").text = xml_text(label)
        listed = ET.SubElement(place, "attributes")
        for attribute in attributes:
            spec = ET.SubElement(listed, "attribute")
            for name, text in (("name", attribute), ("mutable", "False"), ("input_type", "text")):
                ET.SubElement(spec, name).text = text
            ET.SubElement(spec, "default_value")
            ET.SubElement(spec, "values")
    place = ET.SubElement(task, "original_size")
    for name, value in zip(("height", "width"), size, strict=True):
        ET.SubElement(place, name).text = str(value)
    ET.SubElement(meta, "dumped").text = now
    ET.SubElement(meta, "source").text = xml_text(Path(source).name)


def _followed(track: Track) -> list[_Row]:
    return [(int(frame) - 1, box) for frame, box in zip(track.frames, track.boxes, strict=True)]


def _track(
    root: ET.Element, number: int, label: str, rows: Sequence[_Row], count: int, said: dict[str, str]
) -> None:
    """A track with a box for each frame; where it ends, and the video does not, it leaves the frame.

    Boxes that stay where they were are no key frames, so that people who move one move all up to the next.
    """
    track = ET.SubElement(root, "track", id=str(number), label=xml_text(label), source="manual")
    for place, (frame, box) in enumerate(rows):
        follows = place > 0 and rows[place - 1][0] == frame - 1
        is_last = place + 1 == len(rows) or rows[place + 1][0] != frame + 1
        key = not follows or is_last or bool((rows[place - 1][1] != box).any())
        _box(track, frame, box, outside=False, key=key, said=said)
        if is_last and frame + 1 < count:
            _box(track, frame + 1, box, outside=True, key=True, said=said)


def _box(
    track: ET.Element, frame: int, box: np.ndarray, *, outside: bool, key: bool, said: dict[str, str]
) -> None:
    facts = {"frame": str(frame), "outside": str(int(outside)), "occluded": "0", "keyframe": str(int(key))}
    corners = {name: f"{value:.2f}" for name, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)}
    place = ET.SubElement(track, "box", {**facts, **corners, "z_order": "0"})
    for name, text in said.items():
        ET.SubElement(place, "attribute", name=name).text = xml_text(text)
