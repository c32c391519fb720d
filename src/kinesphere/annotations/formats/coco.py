"""COCO keypoint JSON: annotations with their images, or a list of results.

The file knows single frames only, unless annotations carry a `track_id`; its people are followed from frame
to frame (`annotations.tracking`). It holds no frame rate.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, EstimatorFormat
from kinesphere.annotations.parsing.frame_numbers import Numbering, allowance, frames_of
from kinesphere.annotations.parsing.keypoints import (
    GROWTH,
    MAX_PEOPLE,
    MAX_PX,
    check_tracks,
    detections_of,
    read_json,
    triples_of,
    warn_of,
)
from kinesphere.annotations.tracking import Tracker, assemble, follow
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.skeleton import COCO17
from kinesphere.core.errors import InvalidAnnotation, LeftOut
from kinesphere.core.files import paths_ending
from kinesphere.core.limits import Budget, brief

ORIGIN = "COCO keypoints"
# What may name an image or a track.
_Id = int | float | str
# An hour of a crowd.
_LARGEST = 1 << 29
_LONGEST_NAME = 1000
_DIGITS = re.compile(r"(\d{1,18})", re.ASCII)
# `LeftEye`, `left-eye` and `l_eye` are the left eye.
_HUMP, _NO_LETTERS, _SIDE = (
    re.compile(r"(?<=[a-z])(?=[A-Z])"),
    re.compile(r"[^a-z0-9]+"),
    re.compile(r"^([lr])_"),
)


def read_coco(
    path: Path,
    *,
    fps: float,
    frame_size: Size | None = None,
    frames: int | None = None,
    numbering: Numbering = Numbering(),  # noqa: B008 (frozen)
) -> StoredPoses:
    """COCO keypoint JSON of one video: annotations with their images, or a list of results.

    Images are frames in the order of their `frame_id`, else of their file names. Visibility flags 0, 1, 2
    become scores 0, 0.5, 1; results hold scores already. Annotations without keypoints are left out, and so
    are wrong ones.

    Args:
        path: The file.
        fps: Frame rate of the video.
        frame_size: `(H, W)`; needed for results, which do not tell.
        frames: Number of frames of the video. With it, images are placed by their numbers: results leave
            out frames without people, and images may be some of the frames, the only ones looked at.
        numbering: Whether a set's numbers count from 0 or 1, for files that leave it open.

    Raises:
        InvalidAnnotation: If the file is no such JSON, is of another video, or no entry is right.

    Warns:
        LeftOut: If annotations have no keypoints.
        WrongEntry: For each annotation that is wrong.
        Assumed: If the numbering is open.
    """
    budget = Budget.of(path, InvalidAnnotation, growth=GROWTH)
    images = _coco_images(path, read_json(path, _LARGEST), frame_size)
    frame_of, count = _frames_of(path, images, frames, numbering)
    row = {frame: i for i, frame in enumerate(sorted({*frame_of.values()}))}
    if images.are_results:  # what is not listed was looked at, too
        row = {frame: frame for frame in range(count)}
    people, tracks = _people_of(
        path, images, {image: row[frame] for image, frame in frame_of.items()}, len(row)
    )
    each = [detections_of(joints, COCO17.name, not images.are_results) for joints in people]
    found = [detections for detections, _ in each]
    times = np.array(sorted(row), np.float64) / fps
    taken_fps = fps / float(np.median(np.diff(sorted(row)))) if len(row) > 1 else fps
    if all(track is not None for frame in tracks for track in frame):
        numbers = [of[seen] for of, (_, seen) in zip(_track_numbers(tracks), each, strict=True)]
    else:
        numbers = follow(found, times.tolist(), Tracker(COCO17.joints))
    check_tracks(budget, numbers, COCO17.name)
    return assemble(
        found, numbers, times, skeleton=COCO17.name, frame_size=images.size, fps=taken_fps, origin=ORIGIN
    )


def _people_of(
    path: Path, images: _CocoImages, row_of: Mapping[_Id, int], rows: int
) -> tuple[list[list[np.ndarray]], list[list[_Id | None]]]:
    """For each row the joints of its people, and their tracks.

    Raises:
        InvalidAnnotation: If no entry is right.

    Warns:
        LeftOut: If annotations have no keypoints.
        WrongEntry: For each annotation that is wrong.
    """
    people: list[list[np.ndarray]] = [[] for _ in range(rows)]
    tracks: list[list[_Id | None]] = [[] for _ in range(rows)]
    wrong: list[str] = []
    known = frozenset(images.order)
    for number, entry in enumerate(images.entries):
        where = f"{path}, annotation {number}"
        try:
            person = _coco_person(where, entry, known, images.joints)
        except InvalidAnnotation as error:
            wrong.append(str(error))
            continue
        if person is None or (here := row_of.get(entry["image_id"])) is None:
            continue
        track = entry.get("track_id")
        if track is not None and track in tracks[here]:
            wrong.append(
                f"{where}: track {brief(track)} comes twice in image {brief(entry['image_id'])}; a person is "
                "there once."
            )
        elif len(people[here]) == MAX_PEOPLE:
            wrong.append(f"{where}: a frame shows {MAX_PEOPLE} people at most.")
        else:
            people[here].append(person)
            tracks[here].append(track)
    warn_of(wrong, len(images.entries))
    _count_lacking(path, images.entries)
    return people, tracks


@dataclass(frozen=True)
class _CocoImages:
    """The images of a file in the order of the video's frames, and what is said of them."""

    entries: list[Any]
    order: list[_Id]
    names: list[_Id]
    size: Size
    are_results: bool
    joints: Mapping[_Id, np.ndarray | str] = field(default_factory=dict)


def _joints_of(content: Mapping[str, Any]) -> dict[_Id, np.ndarray | str]:
    """By category where COCO's joints stand among its own, or why that is not known.

    Categories that name no joints, or number them, have them in COCO's order.
    """
    found: dict[_Id, np.ndarray | str] = {}
    categories = content.get("categories")
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if not isinstance(names, list) or not isinstance(category.get("id"), _Id):
            continue
        if not names or not all(isinstance(name, str) for name in names) or all(map(str.isdecimal, names)):
            continue
        plain = [_joint(name) for name in names[: len(COCO17) + 1]]
        if sorted(plain) == sorted(COCO17.joints):
            found[category["id"]] = np.array([plain.index(joint) for joint in COCO17.joints])
        else:
            other = next(
                (n for n, each in zip(names, plain, strict=False) if each not in COCO17.joints), None
            )
            found[category["id"]] = (
                f"category {brief(category.get('name'))} has {len(names)} joints"
                f"{'' if other is None else f', one of them {brief(other)}'}; COCO's {len(COCO17)} are "
                f"{', '.join(COCO17.joints)}. Rename those that are the same and leave out others, or the "
                "list of names where they stand in this order"
            )
    return found


def _joint(name: str) -> str:
    words = _NO_LETTERS.sub("_", _HUMP.sub("_", name[:_LONGEST_NAME]).lower()).strip("_")
    return _SIDE.sub(lambda side: "left_" if side[1] == "l" else "right_", words)


def _coco_images(path: Path, content: Any, frame_size: Size | None) -> _CocoImages:
    if isinstance(content, list):
        if frame_size is None:
            raise InvalidAnnotation(f"{path} lists results without images; give the frame size (H, W).")
        if content and not any(isinstance(entry, dict) for entry in content):
            raise InvalidAnnotation(f"{path} is no COCO keypoint file; its entries should be objects.")
        ids = {entry.get("image_id") for entry in content if _has_image(entry)}
        results: list[_Id] = sorted(ids, key=_natural)
        return _CocoImages(content, results, results, frame_size, are_results=True)
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise InvalidAnnotation(f"{path} is no COCO keypoint file; it lacks 'images' and 'annotations'.")
    listed, entries = content["images"], content["annotations"]
    for each in (listed, entries):
        if not isinstance(each, list) or (each and not any(isinstance(entry, dict) for entry in each)):
            raise InvalidAnnotation(f"{path} is no COCO keypoint file; its entries should be objects.")
    sizes = {_image_size(path, image) for image in listed}
    if len(sizes) != 1:
        raise InvalidAnnotation(f"{path}: the images of one video have one size; got {sorted(sizes)[:4]}.")
    images = sorted(
        ((_image_name(image), image["id"]) for image in listed), key=lambda each: _natural(each[0])
    )
    if len({image for _, image in images}) < len(images):
        raise InvalidAnnotation(f"{path}: two images have one id; export it again.")
    names = [name for name, _ in images]
    order = [image for _, image in images]
    return _CocoImages(entries, order, names, sizes.pop(), are_results=False, joints=_joints_of(content))


def _has_image(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("image_id"), _Id)


def _image_name(image: Mapping[str, Any]) -> _Id:
    """What numbers an image."""
    names = (image.get(key) for key in ("frame_id", "file_name", "id"))
    return next(name for name in names if isinstance(name, _Id))


def _image_size(path: Path, image: Any) -> Size:
    sides = (image.get("height"), image.get("width")) if isinstance(image, dict) else ()
    if (
        not sides
        or not isinstance(image.get("id"), _Id)
        or not all(
            isinstance(side, int | float) and 0 < side <= MAX_PX and float(side).is_integer()
            for side in sides
        )
    ):
        raise InvalidAnnotation(f"{path}: images have id, width and height; one is {brief(image)}.")
    return int(image["height"]), int(image["width"])


def _frames_of(
    path: Path, images: _CocoImages, frames: int | None, numbering: Numbering
) -> tuple[dict[_Id, int], int]:
    """The frame of every image, and the number of frames; images behind the video's last are left out."""
    count = len(images.order)
    if not count and (frames is None or not images.are_results):
        raise InvalidAnnotation(f"{path} lists no image; export it again.")
    if frames is None or not count:
        return {image: i for i, image in enumerate(images.order)}, frames or count
    numbers = [_last_number(name) for name in images.names]
    known = [number for number in numbers if number is not None]
    if len({*known}) < count:
        if abs(count - frames) > allowance(frames) or (images.are_results and count < frames):
            lacking = next(
                (name for name, number in zip(images.names, numbers, strict=True) if number is None),
                images.names[0],
            )
            raise InvalidAnnotation(
                f"{path} lists {count} of {frames} frames, and {brief(lacking)} does not number them."
            )
        if count > frames:
            warnings.warn(
                LeftOut(f"{path}: {count - frames} images lie behind the video's last frame; left out."),
                stacklevel=3,
            )
        return {image: i for i, image in enumerate(images.order[:frames])}, frames
    found = frames_of(str(path), known, frames, numbering)
    return {i: frame for i, frame in zip(images.order, found, strict=True) if frame is not None}, frames


def _coco_person(
    where: str, entry: Any, images: Set[_Id], joints: Mapping[_Id, np.ndarray | str]
) -> np.ndarray | None:
    """Joints `(17, 3)` of an annotation in COCO's order; None if it has none."""
    if not isinstance(entry, dict):
        raise InvalidAnnotation(f"{where}: an annotation should be an object; got {brief(entry)}.")
    image, track = entry.get("image_id"), entry.get("track_id")
    if not isinstance(image, _Id):
        raise InvalidAnnotation(f"{where}: an image_id is a number or a name; got {brief(image)}.")
    if track is not None and not isinstance(track, _Id):
        raise InvalidAnnotation(f"{where}: a track_id is a number or a name; got {brief(track)}.")
    if image not in images:
        raise InvalidAnnotation(f"{where}: there is no image {brief(image)}.")
    if "keypoints" not in entry:
        return None
    category = entry.get("category_id")
    order = joints.get(category) if isinstance(category, _Id) else None
    if isinstance(order, str):
        raise InvalidAnnotation(f"{where}: {order}.")
    triples = triples_of(where, entry["keypoints"], (51,))
    return triples if order is None else triples[order]


def _count_lacking(path: Path, entries: Sequence[Any]) -> None:
    """Tell of annotations without keypoints, such as plain boxes.

    Raises:
        InvalidAnnotation: If none has any.
    """
    lacking = sum(isinstance(entry, dict) and "keypoints" not in entry for entry in entries)
    if lacking and lacking == len(entries):
        raise InvalidAnnotation(f"{path}: none of {lacking} annotations has keypoints; export it with them.")
    if lacking:
        warnings.warn(
            LeftOut(f"{path}: {lacking} of {len(entries)} annotations have no keypoints; they are left out."),
            stacklevel=3,
        )


def _track_numbers(tracks: Sequence[Sequence[_Id | None]]) -> list[np.ndarray]:
    """Numbers from 1 for the tracks of every frame."""
    known: dict[_Id | None, int] = {}
    for frame in tracks:
        for track in frame:
            known.setdefault(track, len(known) + 1)
    return [np.array([known[track] for track in frame], np.int64) for frame in tracks]


def _natural(name: object) -> tuple[Any, ...]:
    """A key that sorts numbers within names by their value."""
    parts = re.split(_DIGITS, str(name)[:_LONGEST_NAME])
    return tuple((int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts)


def _last_number(name: object) -> int | None:
    """The last number in the name of an image, which numbers frames."""
    if isinstance(name, int) and not isinstance(name, bool):
        return name if 0 <= name < 10**18 else None
    digits = re.findall(_DIGITS, name[-_LONGEST_NAME:]) if isinstance(name, str) else []
    return int(digits[-1]) if digits else None


def _find(source: Path) -> list[Path]:
    return [source] if source.is_file() else paths_ending(source, ".json")


def _frame_numbers(path: Path) -> list[int]:
    content = read_json(path, _LARGEST)
    entries = content if isinstance(content, list) else []
    found = {_last_number(entry.get("image_id")) for entry in entries if isinstance(entry, dict)}
    return sorted(number for number in found if number is not None)


def write_example(path: Path) -> None:
    """Results of four frames with one person."""
    entries = [{"image_id": t, "keypoints": [9.0 + t, 9.0, 0.9] * 17, "score": 1} for t in range(4)]
    path.write_text(json.dumps(entries), encoding="utf-8")


FORMATS.add(
    "coco",
    EstimatorFormat(
        "COCO keypoint JSON, one file per video", (".json",), ORIGIN, "a .json file", "{}.json",
        _find, _frame_numbers, read_coco, write_example,
    ),
)  # fmt: skip
