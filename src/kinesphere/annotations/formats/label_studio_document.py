"""Writing Label Studio's JSON: tasks to import, with the configuration of a project that shows them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.formats.label_studio import TIMELINE
from kinesphere.annotations.parsing.xml_files import xml_text
from kinesphere.annotations.recordings import FrameClock, Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, Track, track_tier
from kinesphere.annotations.track_spans import runs
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.limits import brief
from kinesphere.core.text import SPELLED

CONFIGURATION = ".config.xml"
"""End of the name of the configuration, which lies beside the tasks."""
_BOX, _FOLLOWED = "box", "followed"


def write_label_studio(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    """Write a task for each video: labels as annotations; with scores, as predictions to correct.

    Beside it lies the configuration of a project (`NAME.config.xml`), with a timeline for each tier.

    Returns:
        What is not in the file as it was.

    Raises:
        InvalidAnnotation: If a frame rate is not known, or for tracks the size of the frames.
    """
    notes: list[str] = []
    by_video: dict[str, list[TimedLabel]] = {video: [] for video in found.videos}
    for each in found.labels:
        by_video[each.video].append(each)
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    tasks = [
        _task(number, video, labels, found.tracks.get(video, ()), path, recordings, notes, scored)
        for number, (video, labels) in enumerate(by_video.items(), 1)
    ]
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8", errors=SPELLED)
    with replacing(configuration_of(path)) as scratch:
        scratch.write_bytes(_configuration(found))
    return tuple(notes)


def configuration_of(path: Path) -> Path:
    """Where the configuration of the project of some tasks lies."""
    return path.with_name(f"{path.name.removesuffix('.json')}{CONFIGURATION}")


def _task(
    number: int,
    video: str,
    labels: Sequence[TimedLabel],
    tracks: Sequence[Track],
    path: Path,
    recordings: Recordings,
    notes: list[str],
    scored: bool,
) -> dict[str, Any]:
    """One video with its regions."""
    clock = recordings.clock(video, path, even=True)
    task: dict[str, Any] = {
        "id": number,
        "data": {"video": recordings.media_of(video, path), "fps": clock.fps},
    }
    carried = {track_tier(each.identity) for each in tracks}
    spans = [each for each in labels if each.tier not in carried]
    if early := sum(each.start_s < -0.5 / clock.fps for each in spans):
        notes.append(f"{path}: {early} labels of {video!r} begin before the video and are cut to its start")
    moments = sum(each.end_s - each.start_s < 0.5 / clock.fps for each in spans)
    if moments:
        notes.append(f"{path}: {moments} labels of {video!r} are shorter than half a frame, and have one")
    results = [_region(f"{number}-{i}", each, clock, scored=scored) for i, each in enumerate(spans, 1)]
    if tracks:
        facts = _length(video, path, recordings, clock)
        results += [
            _followed(f"{number}-t{each.identity}", each, clock, facts, video) for each in tracks if len(each)
        ]
    if scored:
        scores = [each.score for each in spans if isinstance(each, Detection)]
        mean = float(np.mean(scores)) if scores else 0.0
        task["predictions"] = [{"model_version": "kinesphere", "score": mean, "result": results}]
    else:
        task["annotations"] = [{"id": number, "was_cancelled": False, "result": results}] if results else []
    return task


def _region(identifier: str, label: TimedLabel, clock: FrameClock, *, scored: bool) -> dict[str, Any]:
    """A range of frames, from 1 on, on the timeline of a tier."""
    first, end = clock.frames(label.start_s, label.end_s)
    region: dict[str, Any] = {
        "id": identifier, "type": "timelinelabels", "from_name": label.tier or TIMELINE, "to_name": "video",
        "origin": "prediction" if scored else "manual",
        "value": {"ranges": [{"start": first + 1, "end": end}], "timelinelabels": [label.label]},
    }  # fmt: skip
    if scored and isinstance(label, Detection):
        region["score"] = label.score
    return region


def _length(video: str, path: Path, recordings: Recordings, clock: FrameClock) -> dict[str, Any]:
    """How long a video is, in frames of the player and in seconds."""
    duration_s = recordings.duration_s(video, path)
    return (
        {} if duration_s is None else {"framesCount": round(duration_s * clock.fps), "duration": duration_s}
    )


def _followed(
    identifier: str, track: Track, clock: FrameClock, facts: Mapping[str, Any], video: str
) -> dict[str, Any]:
    """The boxes of a track as key frames, in per cent of the picture; the last of a stretch ends it."""
    if clock.size is None:
        raise InvalidAnnotation(
            f"Label Studio needs the size of the frames of {brief(video)}, and its file is not at hand; name "
            "the folder of the videos."
        )
    height, width = clock.size
    percent = track.boxes * 100 / (width, height, width, height)
    last = {end for _, end in runs(track.frames)}
    sequence = [
        {
            "frame": int(frame), "enabled": int(frame) not in last, "rotation": 0,
            "time": int(frame) / clock.fps,
            "x": box[0], "y": box[1], "width": box[2] - box[0], "height": box[3] - box[1],
        }
        for frame, box in zip(track.frames, percent.tolist(), strict=True)
    ]  # fmt: skip
    return {
        "id": identifier, "type": "videorectangle", "from_name": _BOX, "to_name": "video", "origin": "manual",
        "value": {**facts, "sequence": sequence, "labels": [track.label]},
    }  # fmt: skip


def _configuration(found: TimedLabels) -> bytes:
    """A project with the video, a timeline for each tier, and boxes where there are tracks."""
    carried = {track_tier(each.identity) for tracks in found.tracks.values() for each in tracks}
    tiers: dict[str, dict[str, None]] = {}
    for each in found.labels:
        if each.tier not in carried:
            tiers.setdefault(each.tier or TIMELINE, {})[each.label] = None
    view = ET.Element("View")
    ET.SubElement(view, "Video", name="video", value="$video", frameRate="$fps", timelineHeight="120")
    for tier, names in (tiers or {TIMELINE: {}}).items():
        control = ET.SubElement(view, "TimelineLabels", name=xml_text(tier), toName="video")
        for name in names:
            ET.SubElement(control, "Label", value=xml_text(name))
    if found.tracks:
        control = ET.SubElement(view, "Labels", name=_FOLLOWED, toName="video", allowEmpty="true")
        for name in dict.fromkeys(each.label for tracks in found.tracks.values() for each in tracks):
            ET.SubElement(control, "Label", value=xml_text(name))
        ET.SubElement(view, "VideoRectangle", name=_BOX, toName="video")
    ET.indent(view)
    return bytes(ET.tostring(view, encoding="utf-8"))
