"""ActivityNet's JSON: annotations by video (`database`) and results (`results`).

Caba Heilbron et al.: "ActivityNet: a large-scale video benchmark for human activity understanding", CVPR
2015. Many sets and toolboxes write the same layout, THUMOS14 among them, with times as texts too; the public
annotations of BMN have the videos at the top and `duration_second`. Results name videos by the eleven letters
of YouTube, and features by `v_` before them: both are the same video here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of
from kinesphere.annotations.timed import FURTHEST_S, PROPOSAL, Detection, TimedLabel, TimedLabels
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json

LARGEST = 1 << 28
_YOUTUBE_LETTERS = 11


def read_activitynet(path: Path) -> TimedLabels:
    """Annotations or results; those of results, and annotations with a `score`, are `Detection`s.

    Raises:
        InvalidAnnotation: If it is no such JSON; the video is named where an entry is wrong.
    """
    return parse_activitynet(read_json(path, InvalidAnnotation, LARGEST), str(path))


def parse_activitynet(content: Any, name: str) -> TimedLabels:
    """`read_activitynet` of parsed content."""
    if not isinstance(content, dict):
        raise InvalidAnnotation(f"{name} is no ActivityNet JSON: it holds no mapping, but {brief(content)}.")
    by_video = content.get("results", content.get("database", content))
    if not isinstance(by_video, dict) or not all(isinstance(each, list | dict) for each in by_video.values()):
        raise InvalidAnnotation(
            f"{name} is no ActivityNet JSON: it needs `database` (annotations) or `results`, each a mapping "
            f"of videos; got the keys {brief(list(content))}."
        )
    labels: list[TimedLabel] = []
    durations: dict[str, float] = {}
    subsets: dict[str, str] = {}
    videos: dict[str, str] = {}
    for key, entry in by_video.items():
        video = short_name(key)
        if video in videos:
            raise InvalidAnnotation(f"{name} holds the video {video} twice, as {brief(key)} too; keep one.")
        videos[video] = key
        if isinstance(entry, dict):
            duration = entry.get("duration", entry.get("duration_second"))
            if duration is not None:
                durations[video] = _number(duration, name, video, "duration")
            if entry.get("subset") is not None:
                subsets[video] = str(entry["subset"])[:100]
            entry = entry.get("annotations", [])
        if not isinstance(entry, list):
            raise InvalidAnnotation(f"{name}, video {video}: entries should be a list; got {brief(entry)}.")
        labels += [_label(each, name, video) for each in entry]
    return TimedLabels(tuple(labels), tuple(videos), durations, subsets)


def short_name(video: str) -> str:
    """The name of a video without the `v_` before YouTube's eleven letters."""
    return video[2:] if video.startswith("v_") and len(video) == 2 + _YOUTUBE_LETTERS else video


def _label(entry: Any, name: str, video: str) -> TimedLabel:
    # Results of proposals have scores, and no labels.
    label = entry.get("label", PROPOSAL if "score" in entry else None) if isinstance(entry, Mapping) else None
    if label is not None and not isinstance(label, str):
        raise InvalidAnnotation(
            f"{name}, video {video}: a `label` is the name of a class; got {brief(label)}. Write names for "
            "numbers of classes."
        )
    if label is None:
        raise InvalidAnnotation(
            f"{name}, video {video}: entries hold `label` and `segment`; got {brief(entry)}."
        )
    span = entry.get("segment")
    if not isinstance(span, list) or len(span) != 2:
        raise InvalidAnnotation(
            f"{name}, video {video}: `segment` should be a start and an end; got {brief(span)}."
        )
    start_s, end_s = (_number(each, name, video, "segment") for each in span)
    try:
        if "score" in entry:
            score = _number(entry["score"], name, video, "score")
            return Detection(video, label, start_s, end_s, score=score)
        return TimedLabel(video, label, start_s, end_s)
    except InvalidAnnotation as error:
        raise InvalidAnnotation(f"{name}: {error}") from None


def _number(value: Any, name: str, video: str, what: str) -> float:
    """A number, or the text of one.

    Raises:
        InvalidAnnotation: If it is neither.
    """
    if isinstance(value, float):
        return value
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        return number_of(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        raise InvalidAnnotation(
            f"{name}, video {video}: `{what}` should hold numbers up to {FURTHEST_S:g}; got {brief(value)}."
        ) from None


def write_activitynet(found: TimedLabels, path: Path) -> None:
    """Write annotations, or results if all labels have scores."""
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    entries: dict[str, list[dict[str, Any]]] = {video: [] for video in found.videos}
    for each in found.labels:
        entry: dict[str, Any] = {"label": each.label, "segment": [each.start_s, each.end_s]}
        if scored and isinstance(each, Detection):
            entry["score"] = each.score
        entries[each.video].append(entry)
    content: dict[str, Any] = {"version": "VERSION 1.3"}
    if scored:
        content["results"] = entries
    else:
        content["database"] = {
            video: {
                **({"duration": found.durations_s[video]} if video in found.durations_s else {}),
                **({"subset": found.subsets[video]} if video in found.subsets else {}),
                "annotations": annotations,
            }
            for video, annotations in entries.items()
        }
    write_text(path, json.dumps(content, ensure_ascii=False))


def write_example(path: Path) -> None:
    """Two videos, one of them without an annotation."""
    labels = (
        TimedLabel("wONwHYy59Tc", "Diving", 1.0, 4.5),
        TimedLabel("wONwHYy59Tc", "Cliff diving", 1.0, 4.5),
    )
    videos = ("wONwHYy59Tc", "JDg--pjY5gg")
    write_activitynet(
        TimedLabels(labels, videos, dict.fromkeys(videos, 9.5), {videos[0]: "validation"}), path
    )


FORMATS.add(
    "activitynet",
    Format(
        "ActivityNet JSON",
        (".json",),
        "timed labels, with scores in results",
        read_activitynet,
        write_example,
        write_activitynet,
    ),
)
