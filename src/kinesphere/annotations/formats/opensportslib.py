"""The JSON of OpenSportsLib ("OSL JSON", version 2.0): events at moments of videos, labels of whole clips.

A file has `labels` (the classes of each head) and `data`, a list of samples with `inputs` (a path, perhaps
its frame rate) and `events`, whose time is `position_ms`. Events are moments; where a label lasts,
Kinesphere also writes `end_ms`, which that library passes over.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name, with_scores
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json
from kinesphere.core.text import SPELLED

HEAD = "action"
"""The head of labels without a tier."""
_LARGEST = 1 << 28
_SCORES = ("confidence", "confidence_score")


def is_opensportslib(content: Any) -> bool:
    """Whether parsed JSON is such a file."""
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        return False
    samples = content["data"]
    return "version" in content or any(isinstance(each, dict) and "inputs" in each for each in samples)


def read_opensportslib(path: Path, recordings: Recordings | None = None) -> TimedLabels:
    """The events, and labels of clips whose length is known, which hold from start to end.

    Args:
        path: The file.
        recordings: Where the videos lie, for the length of clips.

    Raises:
        InvalidAnnotation: If it is no such JSON, or an entry is wrong; its sample is named.
    """
    content = read_json(path, InvalidAnnotation, _LARGEST)
    return parse_opensportslib(content, path, Recordings() if recordings is None else recordings)


def parse_opensportslib(content: Any, path: Path, recordings: Recordings) -> TimedLabels:
    """`read_opensportslib` of parsed content."""
    if not is_opensportslib(content):
        raise InvalidAnnotation(f"{path} is no OpenSportsLib JSON: it needs `data`, a list of samples.")
    labels: list[TimedLabel] = []
    scores: list[float | None] = []
    videos: dict[str, None] = {}
    durations: dict[str, float] = {}
    no_time = no_length = 0
    for number, sample in enumerate(content["data"]):
        where = f"{path}, sample {number}"
        if not isinstance(sample, dict):
            raise InvalidAnnotation(f"{where}: samples are mappings; got {brief(sample)}.")
        video = _video(sample, where)
        if video in videos:
            raise InvalidAnnotation(f"{where}: the video {brief(video)} has a sample already; keep one.")
        videos[video] = None
        for event in _list(sample, "events", where):
            label = _event(event, video, where)
            no_time += label is None
            labels += [] if label is None else [label]
            scores += [] if label is None else [_score(event, where)]
        clip = sample.get("labels") or {}
        if not isinstance(clip, dict):
            raise InvalidAnnotation(f"{where}: `labels` should be a mapping of heads; got {brief(clip)}.")
        length_s = recordings.duration_s(video, path) if clip else None
        if clip and length_s is None:
            no_length += 1
            continue
        for head, entry in clip.items():
            durations[video] = length_s or 0.0
            for name in _names(entry, where):
                labels.append(_label(video, name, 0.0, length_s or 0.0, head, where))
                scores.append(_score(entry, where))
    notes = [
        f"{path}: {count} {what}"
        for count, what in (
            (no_time, "events without `position_ms` are left out"),
            (no_length, "clips have labels, but their videos are not at hand to tell how long they are"),
        )
        if count
    ]
    return TimedLabels(with_scores(labels, scores), tuple(videos), durations, notes=tuple(notes))


def _video(sample: dict[str, Any], where: str) -> str:
    """The video of a sample: its first input, else its identifier."""
    inputs = _list(sample, "inputs", where)
    paths = [each.get("path") for each in inputs if each.get("type", "video") == "video"] or [
        each.get("path") for each in inputs
    ]
    written = paths[0] if paths else sample.get("id")
    if not isinstance(written, str) or not written:
        raise InvalidAnnotation(
            f"{where}: it has neither an input with a path nor an `id`; got {brief(sample)}."
        )
    return video_name(written)


def _list(sample: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    entries = sample.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise InvalidAnnotation(f"{where}: `{key}` should be a list of mappings; got {brief(entries)}.")
    return entries


def _event(event: dict[str, Any], video: str, where: str) -> TimedLabel | None:
    """An event; None where it has no time."""
    start_ms = _number(event, "position_ms", where)
    if start_ms is None:
        return None
    end_ms = _number(event, "end_ms", where)
    label, head = event.get("label"), event.get("head", HEAD)
    if not isinstance(label, str) or not label.strip() or not isinstance(head, str):
        raise InvalidAnnotation(f"{where}: events have a `label` and a `head`; got {brief(event)}.")
    end_s = (start_ms if end_ms is None else end_ms) / 1000
    return _label(video, label.strip(), start_ms / 1000, end_s, head, where)


def _label(video: str, label: str, start_s: float, end_s: float, head: str, where: str) -> TimedLabel:
    try:
        return TimedLabel(video, label, start_s, end_s, "" if head == HEAD else head)
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{where}: {error}") from None


def _names(entry: Any, where: str) -> list[str]:
    """The labels of a clip by one head."""
    several = (entry.get("labels") or []) if isinstance(entry, dict) else []
    names = [entry.get("label") if isinstance(entry, dict) else entry]
    names += several if isinstance(several, list) else []
    found = [each for each in names if each is not None]
    if not isinstance(several, list) or not all(isinstance(each, str) and each.strip() for each in found):
        raise InvalidAnnotation(f"{where}: a head has `label` or `labels`; got {brief(entry)}.")
    return [each.strip() for each in found]


def _score(entry: Any, where: str) -> float | None:
    for key in _SCORES if isinstance(entry, dict) else ():
        value = _number(entry, key, where)
        if value is not None:
            return value
    return None


def _number(entry: dict[str, Any], key: str, where: str) -> float | None:
    """A number, or the text of one; None where there is none."""
    value = entry.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise InvalidAnnotation(f"{where}: `{key}` should be a number; got {brief(value)}.") from None


def write_opensportslib(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    """Write a sample for each video, with an event for each label; with scores, as predictions.

    Returns:
        What is not in the file as it was.
    """
    heads: dict[str, dict[str, None]] = {}
    events: dict[str, list[dict[str, Any]]] = {video: [] for video in found.videos}
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    lasting = 0
    for each in found.labels:
        head = each.tier or HEAD
        heads.setdefault(head, {})[each.label] = None
        event: dict[str, Any] = {
            "head": head,
            "label": each.label,
            "position_ms": _milliseconds(each.start_s),
        }
        if each.end_s > each.start_s:
            event["end_ms"] = _milliseconds(each.end_s)
            lasting += 1
        if scored and isinstance(each, Detection):
            event["confidence"] = each.score
        events[each.video].append(event)
    content = {
        "version": "2.0",
        "date": datetime.now(UTC).date().isoformat(),
        "task": "action_spotting",
        "dataset_name": path.stem,
        "modalities": ["video"],
        "metadata": {"type": "predictions"} if scored else {},
        "labels": {head: {"type": "single_label", "labels": list(names)} for head, names in heads.items()},
        "data": [_sample(video, own, path, recordings) for video, own in events.items()],
    }
    with replacing(path) as scratch:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        scratch.write_text(text, encoding="utf-8", errors=SPELLED)
    if not lasting:
        return ()
    return (
        f"{path}: OpenSportsLib knows moments; the ends of {lasting} labels stand in `end_ms` for others",
    )


def _sample(video: str, events: list[dict[str, Any]], path: Path, recordings: Recordings) -> dict[str, Any]:
    info = recordings.info(video, path)
    media: dict[str, Any] = {"type": "video", "path": recordings.media_of(video, path)}
    if info is not None:
        media["fps"] = float(info.fps)
    return {"id": video, "inputs": [media], "events": events}


def _milliseconds(time_s: float) -> int | float:
    """Milliseconds, whole where that is exact to a microsecond."""
    value = 1000 * time_s
    return round(value) if abs(value - round(value)) < 1e-3 else value


def write_example(path: Path) -> None:
    """A moment and a label that lasts, on two heads."""
    labels = (TimedLabel("a", "pass", 1.24, 1.24), TimedLabel("a", "left", 1.0, 1.5, "foot"))
    write_opensportslib(TimedLabels.of(labels), path, Recordings())


FORMATS.add(
    "opensportslib",
    Format("OpenSportsLib JSON", (".json",), "moments of videos", read_opensportslib, write_example),
)
