"""People in images: joints with what may be left open of each, as COCO's keypoint files have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import brief
from kinesphere.core.short_repr import short_repr
from kinesphere.core.structured import read_json

_LARGEST, _FURTHEST, _MOST_JOINTS = 1 << 28, 1e7, 1000


@dataclass(frozen=True, eq=False, repr=False)
class PersonPose:
    """One person in one image.

    Attributes:
        image: Identity of the image in its file.
        joints: `(J, 3)` float64: x px, y px, and visibility (0: not labelled) or confidence.
        area: Of the person, in square pixels; 0 where nothing tells.
        box: Left, top, width, height px; None where the file does not tell.
        score: Confidence of a result.
        ignored: A crowd, or a person of whom no joint is labelled.
        crowd: Several people, of whom any number may be found.
    """

    image: str
    joints: np.ndarray
    area: float
    box: tuple[float, float, float, float] | None = None
    score: float = 1.0
    ignored: bool = False
    crowd: bool = False

    __repr__ = short_repr


@dataclass(frozen=True, eq=False, repr=False)
class People:
    """The people of a file.

    Attributes:
        poses: In the order of the file.
        images: Folder of each image's file by its identity (an empty text where it has none); no entry for
            results, which name no images.
    """

    poses: tuple[PersonPose, ...]
    images: Mapping[str, str]

    __repr__ = short_repr


def read_people(path: Path) -> People:
    """COCO's keypoint JSON: annotations with their images, or a list of results.

    Raises:
        InvalidAnnotation: If it is no such JSON; the entry is named that is wrong.
    """
    content = read_json(path, InvalidAnnotation, _LARGEST)
    entries, images = content, {}
    if isinstance(content, dict):
        entries = content.get("annotations")
        listed = content.get("images", [])
        sound = isinstance(listed, list) and all(isinstance(each, dict) and "id" in each for each in listed)
        if not sound:
            raise InvalidAnnotation(f"{path}: `images` should be a list of images with an `id`.")
        images = {_identity(each["id"], str(path)): _folder(each) for each in listed}
    if not isinstance(entries, list):
        raise InvalidAnnotation(
            f"{path} is no COCO keypoint file: it needs `annotations` and `images`, or a list of results; "
            f"got {brief(content)}."
        )
    poses = [_pose(each, f"{path}, entry {i}") for i, each in enumerate(entries)]
    lengths = {len(each.joints) for each in poses}
    if len(lengths) > 1:
        raise InvalidAnnotation(f"{path} has people of {' and '.join(map(str, sorted(lengths)))} joints.")
    return People(tuple(poses), images)


def _folder(image: Mapping[str, Any]) -> str:
    name = image.get("file_name")
    return str(PurePath(name).parent) if isinstance(name, str) and "/" in name else ""


def _identity(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(brief(value)) > 60:
        raise InvalidAnnotation(
            f"{where}: an image is named by a number or a short text; got {brief(value)}."
        )
    return f"{value}"


def _pose(entry: Any, where: str) -> PersonPose:
    if not isinstance(entry, dict) or not isinstance(entry.get("keypoints"), list) or "image_id" not in entry:
        raise InvalidAnnotation(f"{where}: people have `image_id` and `keypoints`; got {brief(entry)}.")
    values = _numbers(entry["keypoints"], where, "keypoints")
    if not len(values) or len(values) % 3 or len(values) > 3 * _MOST_JOINTS:
        raise InvalidAnnotation(
            f"{where}: keypoints are x, y and visibility of each joint; got {len(values)} numbers."
        )
    joints = values.reshape(-1, 3)
    box = None
    if entry.get("bbox") is not None:
        corners = _numbers(entry["bbox"], where, "bbox")
        if len(corners) != 4 or (corners[2:] < 0).any():
            raise InvalidAnnotation(
                f"{where}: `bbox` is left, top, width, height; got {brief(entry['bbox'])}."
            )
        left, top, width, height = corners.tolist()
        box = (left, top, width, height)
    area = entry.get("area", box[2] * box[3] if box else 0)
    area, score = _numbers([area, entry.get("score", 1.0)], where, "area and score")
    unlabelled = "score" not in entry and not (joints[:, 2] > 0).any()
    crowd = bool(entry.get("iscrowd"))
    return PersonPose(
        _identity(entry["image_id"], where),
        joints,
        float(area),
        box,
        float(score),
        crowd or unlabelled,
        crowd,
    )


def _numbers(values: Any, where: str, what: str) -> np.ndarray:
    try:
        if not isinstance(values, list) or any(isinstance(each, bool | str) for each in values):
            raise ValueError
        found = np.array(values, np.float64)
        if found.ndim != 1 or not (np.abs(found) <= _FURTHEST).all():
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InvalidAnnotation(
            f"{where}: {what} should be finite numbers up to {_FURTHEST:g}; got {brief(values)}."
        ) from None
    return found
