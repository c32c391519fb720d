"""COCO JSON of boxes with classes: annotations with their images, or a list of results.

Boxes belong together by `track_id` (as CVAT, Label Studio and video versions of COCO write it) or
`instance_id`. Frames are numbered by the images' `frame_id`, else by the last number of their file names,
else by their identities.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.boxes import FoundBox
from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.timed import FURTHEST, Track
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.files import write_text
from kinesphere.core.limits import brief
from kinesphere.core.structured import read_json

_LARGEST = 1 << 29
_LAST_FRAME, _LAST_IDENTITY = 100_000_000, 1 << 31
_LAST_NUMBER = re.compile(r"(\d{1,12})(?!.*\d)", re.ASCII)
_PERSON = "person"


def read_coco_boxes(path: Path) -> list[FoundBox]:
    """The boxes of one video, frames counted from 1.

    Raises:
        InvalidAnnotation: If it is no such JSON, or an entry is wrong, which is named.
    """
    content = read_json(path, InvalidAnnotation, _LARGEST)
    entries, numbers, names = content, None, {}
    if isinstance(content, dict):
        entries = content.get("annotations")
        numbers = _frame_numbers(path, content.get("images"))
        names = _class_names(path, content.get("categories"))
    if not isinstance(entries, list):
        raise InvalidAnnotation(
            f"{path} is no COCO file of boxes: it needs `annotations` and `images`, or is a list of results; "
            f"got {brief(content)}."
        )
    found = [_box(each, numbers, names, f"{path}, entry {i}") for i, each in enumerate(entries)]
    counted = [each.frame for each in found] if numbers is None else list(numbers.values())
    if counted and min(counted) == 0:  # they count from 0, and tracks from 1
        found = [each.later(1) for each in found]
    return found


def _frame_numbers(path: Path, images: Any) -> dict[Any, int]:
    if not isinstance(images, list) or not all(isinstance(each, dict) and "id" in each for each in images):
        raise InvalidAnnotation(f"{path}: `images` should be a list of images with an `id`.")
    numbers = {}
    for each in images:
        text = str(each.get("file_name", ""))
        match = _LAST_NUMBER.search(Path(text).stem)
        number = each.get("frame_id", int(match.group(1)) if match else each["id"])
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _LAST_FRAME:
            raise InvalidAnnotation(
                f"{path}: image {brief(each['id'])} ({brief(text)}) has no frame number; give it `frame_id`."
            )
        numbers[_hashable(each["id"], str(path))] = number
    return numbers


def _class_names(path: Path, categories: Any) -> dict[Any, str]:
    if categories is None:
        return {}
    sound = isinstance(categories, list) and all(
        isinstance(each, dict) and "id" in each and isinstance(each.get("name"), str) for each in categories
    )
    if not sound:
        raise InvalidAnnotation(f"{path}: `categories` should be a list of classes with `id` and `name`.")
    return {_hashable(each["id"], str(path)): each["name"] for each in categories}


def _hashable(value: Any, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidAnnotation(f"{where}: an identity is a whole number or a text; got {brief(value)}.")
    return value


def _box(entry: Any, numbers: Mapping[Any, int] | None, names: Mapping[Any, str], where: str) -> FoundBox:
    if not isinstance(entry, dict) or "image_id" not in entry:
        raise InvalidAnnotation(f"{where}: boxes have `image_id` and `bbox`; got {brief(entry)}.")
    image = _hashable(entry["image_id"], where)
    frame = image if numbers is None else numbers.get(image)
    if not isinstance(frame, int) or not 0 <= frame <= _LAST_FRAME:
        known = "a frame number" if numbers is None else "one of the images"
        raise InvalidAnnotation(f"{where}: image {brief(image)} is not {known}.")
    corners, score = entry.get("bbox"), entry.get("score", 1.0)
    values = [*corners, score] if isinstance(corners, list) else []
    plain = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    if len(values) != 5 or not plain or not all(-FURTHEST <= each <= FURTHEST for each in values):
        raise InvalidAnnotation(
            f"{where}: `bbox` is left, top, width, height and `score` a number; got {brief(corners)}, "
            f"{brief(score)}."
        )
    left, top, width, height = map(float, values[:4])
    if width < 0 or height < 0:
        raise InvalidAnnotation(f"{where}: width and height of a box are not negative; got {brief(corners)}.")
    track = entry.get("track_id", entry.get("instance_id"))
    if track is not None and (
        isinstance(track, bool) or not isinstance(track, int) or abs(track) > _LAST_IDENTITY
    ):
        raise InvalidAnnotation(
            f"{where}: a track is a whole number, up to {_LAST_IDENTITY}; got {brief(track)}."
        )
    category = entry.get("category_id")
    if category is not None:
        category = _hashable(category, where)
    label = _PERSON if category is None else names.get(category, f"class {category}" if names else "")
    if not label:  # results have numbers alone, of which COCO's first is a person
        label = _PERSON if category == 1 else f"class {category}"
    return FoundBox(frame, (left, top, left + width, top + height), float(score), label, track)


def write_coco_tracks(target: str | Path, tracks: Sequence[Track]) -> None:
    """Write the tracks of one video as COCO JSON with `track_id` and `frame_id`, which counts from 1.

    Args:
        target: A `.json` file.
        tracks: Frames count from 1.
    """
    names = list(dict.fromkeys(track.label for track in tracks))
    frames = sorted({frame for track in tracks for frame in track.frames.tolist()})
    annotations = [
        {
            "image_id": frame,
            "track_id": track.identity,
            "category_id": names.index(track.label) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "score": score,
            "iscrowd": 0,
        }
        for track in tracks
        for frame, (left, top, right, bottom), score in zip(
            track.frames.tolist(), track.boxes.tolist(), track.scores.tolist(), strict=True
        )
    ]
    content = {
        "images": [{"id": frame, "frame_id": frame, "file_name": f"{frame:06d}.jpg"} for frame in frames],
        "annotations": [{"id": number, **each} for number, each in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
    write_text(Path(target), json.dumps(content))


def _write_example(path: Path) -> None:
    frames = np.arange(1, 4)
    boxes = np.tile([10.0, 20.0, 40.0, 80.0], (3, 1))
    write_coco_tracks(path, [Track(1, frames, boxes, np.ones(3)), Track(2, frames, boxes, np.ones(3), "bag")])


FORMATS.add(
    "coco_boxes",
    Format("COCO boxes JSON", (".json",), "boxes with classes over frames", read_coco_boxes, _write_example),
)
