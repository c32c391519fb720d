"""Projects of the VGG Image Annotator for audio and video (VIA 3): temporal segments.

Dutta and Zisserman: "The VIA annotation software for images, audio and video", ACM Multimedia 2019. A
project is one JSON document. `file` and `view` name the videos; each entry of `metadata` belongs to a view
(`vid`), has times in seconds (`z`: two are a segment, one is a moment), perhaps a shape (`xy`), and values
of attributes (`av`) by their numbers; `attribute` says what they are called, and which numbers stand for
which values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.text_lines import number_of
from kinesphere.annotations.recordings import Recordings
from kinesphere.annotations.timed import Detection, TimedLabel, TimedLabels, video_name, with_scores
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import replacing
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json
from kinesphere.core.text import SPELLED

SEGMENTS, PROBABILITY = "TEMPORAL-SEGMENTS", "probability"
"""The attribute of segments in VIA, and that of Kinesphere's scores."""
_LARGEST = 1 << 28
_TEXT, _SELECT = 1, 4
_VIDEO = 4
_CHOSEN, _BY_PATH = 1, 3
"""Whether a file is chosen in the program, or found by its path."""
_ON_SEGMENTS = "FILE1_Z2_XY0"
_CONFIG = {
    "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
    "ui": {
        "file_content_align": "center", "file_metadata_editor_visible": True,
        "spatial_metadata_editor_visible": False, "temporal_segment_metadata_editor_visible": True,
        "spatial_region_label_attribute_id": "", "gtimeline_visible_row_count": "4",
    },
}  # fmt: skip


def is_via(content: Any) -> bool:
    """Whether parsed JSON is such a project."""
    return isinstance(content, dict) and {"metadata", "attribute", "file"} <= content.keys()


def read_via(path: Path) -> TimedLabels:
    """The temporal segments of a project: a label for each attribute that has a value, on a tier of its name.

    Raises:
        InvalidAnnotation: If it is no such JSON, or an entry is wrong; it is named.
    """
    return parse_via(read_json(path, InvalidAnnotation, _LARGEST), str(path))


def parse_via(content: Any, name: str) -> TimedLabels:
    """`read_via` of parsed content."""
    if not is_via(content):
        raise InvalidAnnotation(f"{name} is no VIA 3 project: it needs `file`, `attribute` and `metadata`.")
    attributes = {
        key: _attribute(each, f"{name}, attribute {key}") for key, each in _pairs(content, "attribute", name)
    }
    videos = _videos(content, name)
    labels: list[TimedLabel] = []
    scores: list[float | None] = []
    shapes = moments = blank = 0
    for key, entry in _pairs(content, "metadata", name):
        where = f"{name}, metadata {brief(key)}"
        if not isinstance(entry, dict) or not isinstance(entry.get("z", []), list):
            raise InvalidAnnotation(f"{where}: entries hold `vid`, `z` and `av`; got {brief(entry)}.")
        times = entry.get("z", [])
        if entry.get("xy") or len(times) != 2:
            shapes += bool(entry.get("xy"))
            moments += not entry.get("xy")
            continue
        video = videos.get(str(entry.get("vid")))
        if video is None:
            raise InvalidAnnotation(f"{where}: there is no view {brief(entry.get('vid'))} of a file.")
        found, score = _values(entry.get("av"), attributes, where)
        blank += not found
        for tier, label in found:
            labels.append(_label(video, label, times, tier, where))
            scores.append(score)
    notes = [
        f"{name}: {count} {what}"
        for count, what in (
            (shapes, "shapes of single frames are no segments; not read"),
            (moments, "entries that are neither segment nor shape are not read"),
            (blank, "segments without a value are left out"),
        )
        if count
    ]
    return TimedLabels(with_scores(labels, scores), tuple(dict.fromkeys(videos.values())), notes=tuple(notes))


@dataclass(frozen=True)
class _Attribute:
    """What a value stands for."""

    name: str
    options: Mapping[str, str]


def _pairs(content: dict[str, Any], key: str, name: str) -> list[tuple[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, dict):
        raise InvalidAnnotation(
            f"{name} is no VIA 3 project: `{key}` should be a mapping; got {brief(entries)}."
        )
    return list(entries.items())


def _attribute(entry: Any, where: str) -> _Attribute:
    options = entry.get("options", {}) if isinstance(entry, dict) else None
    if not isinstance(options, dict) or not isinstance(entry.get("aname"), str):
        raise InvalidAnnotation(f"{where}: attributes have `aname` and `options`; got {brief(entry)}.")
    return _Attribute(entry["aname"], {key: str(value) for key, value in options.items()})


def _videos(content: dict[str, Any], name: str) -> dict[str, str]:
    """Names of the videos by the numbers of their views; a view of several files is of the first."""
    files = dict(_pairs(content, "file", name))
    views = content.get("view", {key: {"fid_list": [key]} for key in files})
    if not isinstance(views, dict):
        raise InvalidAnnotation(
            f"{name} is no VIA 3 project: `view` should be a mapping; got {brief(views)}."
        )
    found: dict[str, str] = {}
    for key, view in views.items():
        listed = view.get("fid_list") if isinstance(view, dict) else None
        file = files.get(str(listed[0])) if isinstance(listed, list) and listed else None
        written = file.get("fname") if isinstance(file, dict) else None
        if not isinstance(written, str):
            raise InvalidAnnotation(f"{name}, view {brief(key)}: it shows no file of the project.")
        found[key] = video_name(written)
    return found


def _values(
    values: Any, attributes: Mapping[str, _Attribute], where: str
) -> tuple[list[tuple[str, str]], float | None]:
    """Tier and label of each value of an entry, and the probability where there is one."""
    if not isinstance(values, dict):
        raise InvalidAnnotation(f"{where}: `av` should be a mapping of attributes; got {brief(values)}.")
    found: list[tuple[str, str]] = []
    score: float | None = None
    for key, value in values.items():
        attribute = attributes.get(key)
        if attribute is None:
            raise InvalidAnnotation(f"{where}: there is no attribute {brief(key)}.")
        if not isinstance(value, str | int | float):
            raise InvalidAnnotation(f"{where}: {attribute.name!r} should have a text; got {brief(value)}.")
        text = str(value).strip()
        if attribute.name == PROBABILITY:
            score = _number(text, where)
            continue
        tier = "" if attribute.name == SEGMENTS else attribute.name
        # Check boxes hold the numbers of several values.
        parts = text.split(",") if "," in text and {*text.split(",")} <= attribute.options.keys() else [text]
        found += [(tier, attribute.options.get(part, part)) for part in parts if part]
    return [(tier, label.strip()) for tier, label in found if label.strip()], score


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        return number_of(text)
    except ValueError:
        raise InvalidAnnotation(f"{where}: the probability should be a number; got {brief(text)}.") from None


def _label(video: str, label: str, times: list[Any], tier: str, where: str) -> TimedLabel:
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in times):
        raise InvalidAnnotation(f"{where}: times should be seconds; got {brief(times)}.")
    try:
        return TimedLabel(video, label, float(times[0]), float(times[1]), tier)
    except (InvalidAnnotation, OverflowError) as error:
        raise InvalidAnnotation(f"{where}: {error}") from None


def write_via(found: TimedLabels, path: Path, recordings: Recordings) -> tuple[str, ...]:
    """Write a project: an attribute for each tier with its labels to choose from, a segment for each label.

    Returns:
        What is not in the file as it was.
    """
    tiers: dict[str, dict[str, str]] = {}
    for each in found.labels:
        options = tiers.setdefault(each.tier or SEGMENTS, {})
        options.setdefault(each.label, str(len(options) + 1))
    tiers = tiers or {SEGMENTS: {}}
    numbers = {tier: str(i) for i, tier in enumerate(tiers, 1)}
    attributes: dict[str, Any] = {
        numbers[tier]: _described(tier, _SELECT, {number: label for label, number in options.items()})
        for tier, options in tiers.items()
    }
    scored = bool(found.labels) and all(isinstance(each, Detection) for each in found.labels)
    sure = str(len(tiers) + 1)
    if scored:
        attributes[sure] = _described(PROBABILITY, _TEXT, {})
    views = {video: str(i) for i, video in enumerate(found.videos, 1)}
    metadata: dict[str, Any] = {}
    for number, each in enumerate(found.labels):
        tier = each.tier or SEGMENTS
        values = {numbers[tier]: tiers[tier][each.label]}
        if isinstance(each, Detection) and scored:
            values[sure] = f"{each.score:.6g}"
        metadata[f"{views[each.video]}_{number:08d}"] = {
            "vid": views[each.video], "flg": 0, "z": [each.start_s, each.end_s], "xy": [], "av": values,
        }  # fmt: skip
    content = {
        "project": {
            "pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": path.stem, "creator": "kinesphere",
            "created": 0, "vid_list": list(views.values()),
        },
        "config": _CONFIG,
        "attribute": attributes,
        "file": {number: _file(number, recordings.media_of(video, path)) for video, number in views.items()},
        "metadata": metadata,
        "view": {number: {"fid_list": [number]} for number in views.values()},
    }  # fmt: skip
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8", errors=SPELLED)
    return ()


def _file(number: str, media: str) -> dict[str, Any]:
    known = Path(media).is_absolute()
    return {
        "fid": number, "fname": Path(media).name, "type": _VIDEO, "loc": _BY_PATH if known else _CHOSEN,
        "src": media if known else "",
    }  # fmt: skip


def _described(name: str, kind: int, options: dict[str, str]) -> dict[str, Any]:
    return {
        "aname": name, "anchor_id": _ON_SEGMENTS, "type": kind, "desc": "", "options": options,
        "default_option_id": "",
    }  # fmt: skip


def write_example(path: Path) -> None:
    """Two segments of one video on two tiers."""
    labels = (TimedLabel("a", "run", 0.5, 2.25), TimedLabel("a", "fast", 1.0, 1.5, "pace"))
    write_via(TimedLabels.of(labels), path, Recordings())


FORMATS.add(
    "via",
    Format("VIA 3 project", (".json",), "timed labels, a tier for each attribute", read_via, write_example),
)
