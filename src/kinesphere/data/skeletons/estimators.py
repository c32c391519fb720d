"""Files of pose estimators: COCO keypoints and OpenPose folders.

Both know single frames only, unless COCO annotations carry a `track_id`; their people are
followed from frame to frame (`data.tracking`). Neither holds a frame rate.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.poses import Poses, boxes_around
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidAnnotation, LeftOut
from kinesphere.data.assemble import assemble
from kinesphere.data.skeletons.lines import read_text
from kinesphere.data.tracking import Detections, Tracker, follow

# Scores of COCO's flags: not labelled, labelled but hidden, visible.
_FLAG_SCORES = np.array([0.0, 0.5, 1.0], np.float32)
_OPENPOSE = {75: "openpose25", 54: "openpose18"}
# What may name an image or a track.
_Id = int | float | str
# Wider pictures and longer videos are mistakes.
_MOST_PX, _MOST_FRAMES = 100_000, 2_000_000
_DIGITS = re.compile(r"(\d{1,18})")
_FRAME_NUMBER = re.compile(r"(\d{1,18})_keypoints\.json$")
COCO_ORIGIN, OPENPOSE_ORIGIN = "COCO keypoints", "OpenPose"


def read_coco(path: Path, *, fps: float, frame_size: Size | None = None, frames: int | None = None) -> Poses:
    """COCO keypoint JSON of one video: annotations with their images, or a list of results.

    Images are frames in the order of their `frame_id`, else of their file names. Visibility flags 0, 1, 2
    become scores 0, 0.5, 1; results hold scores already. Annotations without keypoints are left out.

    Args:
        path: The file.
        fps: Frame rate of the video.
        frame_size: `(H, W)`; needed for results, which do not tell.
        frames: Number of frames of the video. Results leave out frames without people: with this they
            are placed by the numbers in their `image_id`, which count from 0 or 1.

    Raises:
        InvalidAnnotation: If the file is no such JSON, or an entry is wrong; it is named.

    Warns:
        LeftOut: If annotations have no keypoints.
    """
    images = _coco_images(path, _json(path), frame_size, frames)
    place = {image: i for i, image in enumerate(images.order)}
    if len(place) < len(images.order):
        raise InvalidAnnotation(f"{path}: two images have one id; export it again.")
    people: list[list[np.ndarray]] = [[] for _ in place]
    tracks: list[list[_Id | None]] = [[] for _ in place]
    for number, entry in enumerate(images.entries):
        where = f"{path}, annotation {number}"
        image, track = entry["image_id"], entry.get("track_id")
        if image not in place:
            raise InvalidAnnotation(f"{where}: there is no image {image!r:.80}.")
        if track is not None and not isinstance(track, _Id):
            raise InvalidAnnotation(f"{where}: a track_id is a number or a name; got {track!r:.80}.")
        if "keypoints" in entry:
            people[place[image]].append(_triples(where, entry["keypoints"], (51,)))
            tracks[place[image]].append(track)
    _count_lacking(path, images.entries)
    each = [_detections(joints, "coco17", images.are_flags) for joints in people]
    found, times = [detections for detections, _ in each], np.arange(len(place)) / fps
    if all(track is not None for frame in tracks for track in frame):
        numbers = _track_numbers(path, images.order, tracks)
        numbers = [of[seen] for of, (_, seen) in zip(numbers, each, strict=True)]
    else:
        numbers = follow(found, times.tolist(), Tracker(SKELETONS.get("coco17").joints))
    return assemble(
        found, numbers, times, skeleton="coco17", frame_size=images.size, fps=fps, origin=COCO_ORIGIN
    )


@dataclass(frozen=True)
class _CocoImages:
    """The images of a file in the order of the video's frames, and what is said of them."""

    entries: list[dict[str, Any]]
    order: list[Any]
    size: Size
    are_flags: bool


def _coco_images(path: Path, content: Any, frame_size: Size | None, frames: int | None) -> _CocoImages:
    if isinstance(content, list):
        if frame_size is None:
            raise InvalidAnnotation(f"{path} lists results without images; give the frame size (H, W).")
        _check_entries(path, content)
        order: list[Any] = sorted({entry["image_id"] for entry in content}, key=_natural)
        if frames is not None and len(order) < frames:
            order = _all_frames(path, order, frames)
        found = _CocoImages(content, order, frame_size, are_flags=False)
    elif isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        _check_entries(path, content["annotations"])
        sizes = {_image_size(path, image) for image in _objects(path, content["images"])}
        if len(sizes) != 1:
            raise InvalidAnnotation(f"{path}: the images of one video have one size; got {sorted(sizes)}.")
        images = sorted(
            content["images"], key=lambda i: _natural(i.get("frame_id", i.get("file_name", i["id"])))
        )
        found = _CocoImages(
            content["annotations"], [image["id"] for image in images], sizes.pop(), are_flags=True
        )
    else:
        raise InvalidAnnotation(f"{path} is no COCO keypoint file; it lacks 'images' and 'annotations'.")
    if not found.order:
        raise InvalidAnnotation(f"{path} lists no image; export it again.")
    return found


def _objects(path: Path, entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidAnnotation(f"{path} is no COCO keypoint file; its entries should be objects.")
    return entries


def _check_entries(path: Path, entries: Any) -> None:
    """Refuse annotations without an image before they are looked at."""
    for number, entry in enumerate(_objects(path, entries)):
        if not isinstance(entry.get("image_id"), _Id):
            raise InvalidAnnotation(
                f"{path}, annotation {number}: an image_id is a number or a name; "
                f"got {entry.get('image_id')!r:.80}."
            )


def _image_size(path: Path, image: Mapping[str, Any]) -> Size:
    sides = image.get("height"), image.get("width")
    if not isinstance(image.get("id"), _Id) or not all(
        isinstance(side, int | float) and 0 < side <= _MOST_PX and float(side).is_integer() for side in sides
    ):
        raise InvalidAnnotation(f"{path}: images have id, width and height; one is {image!r:.80}.")
    return int(image["height"]), int(image["width"])


def _count_lacking(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Tell of annotations without keypoints, such as plain boxes.

    Raises:
        InvalidAnnotation: If none has any.
    """
    lacking = sum("keypoints" not in entry for entry in entries)
    if lacking and lacking == len(entries):
        raise InvalidAnnotation(f"{path}: none of {lacking} annotations has keypoints; export it with them.")
    if lacking:
        warnings.warn(
            LeftOut(f"{path}: {lacking} of {len(entries)} annotations have no keypoints; they are left out."),
            stacklevel=3,
        )


def _track_numbers(
    path: Path, order: Sequence[Any], tracks: Sequence[Sequence[_Id | None]]
) -> list[np.ndarray]:
    """Numbers from 1 for the tracks of every frame.

    Raises:
        InvalidAnnotation: If a track comes twice in a frame.
    """
    known: dict[_Id | None, int] = {}
    for image, frame in zip(order, tracks, strict=True):
        for track in frame:
            known.setdefault(track, len(known) + 1)
        if len(set(frame)) < len(frame):
            twice = next(track for track in frame if frame.count(track) > 1)
            raise InvalidAnnotation(
                f"{path}: track {twice!r:.80} comes twice in image {image!r:.80}; a person is there once."
            )
    return [np.array([known[track] for track in frame], np.int64) for frame in tracks]


def _all_frames(path: Path, found: Sequence[Any], frames: int) -> list[Any]:
    """The `image_id` of every frame of a video, or a place holder where nobody was found."""
    numbers = {}
    for image in found:
        digits = re.findall(_DIGITS, str(image))
        if not digits:
            raise InvalidAnnotation(
                f"{path} lists {len(found)} of {frames} frames, and {image!r} does not number them."
            )
        numbers[int(digits[-1])] = image
    last = max(numbers, default=0)
    first = 1 if last == frames and 0 not in numbers else 0
    if len(numbers) < len(found) or last - first >= frames:
        raise InvalidAnnotation(
            f"{path} numbers its images up to {last}, but the video has {frames} frames; it belongs "
            "to another video."
        )
    return [numbers.get(number + first, ("nobody", number)) for number in range(frames)]


def read_openpose(folder: Path, *, fps: float, frame_size: Size) -> Poses:
    """A folder of OpenPose's `*_000000000012_keypoints.json`, one a frame.

    Frames without a file are frames without people. Both of its body models are known by their number of
    joints.

    Args:
        folder: The folder of one video.
        fps: Frame rate of the video.
        frame_size: `(H, W)` of it, which the files do not tell.

    Raises:
        InvalidAnnotation: If there are no such files, or one is wrong; it is named.
    """
    files: dict[int, Path] = {}
    for path in sorted(folder.glob("*_keypoints.json")):
        if match := _FRAME_NUMBER.search(path.name):
            if int(match[1]) in files:
                raise InvalidAnnotation(f"{path} is frame {match[1]} again; keep one video per folder.")
            if int(match[1]) >= _MOST_FRAMES:
                raise InvalidAnnotation(
                    f"{path} would be frame {match[1]}; name the files by frames that count from 0."
                )
            files[int(match[1])] = path
    if not files:
        raise InvalidAnnotation(f"{folder} holds no OpenPose files such as clip_000000000000_keypoints.json.")
    people: dict[int, list[np.ndarray]] = {}
    for number, path in files.items():
        content = _json(path)
        if not isinstance(content, dict) or not isinstance(content.get("people"), list):
            raise InvalidAnnotation(f"{path} is no OpenPose file; it lacks the list 'people'.")
        people[number] = [
            _openpose_person(f"{path}, person {i}", person) for i, person in enumerate(content["people"])
        ]
    lengths = {3 * len(joints) for each in people.values() for joints in each} or {75}
    if len(lengths) > 1:
        raise InvalidAnnotation(f"{folder} mixes OpenPose's body models; run it again with one of them.")
    skeleton = _OPENPOSE[lengths.pop()]
    count = max(files) + 1
    frames = [_detections(people.get(t, []), skeleton, flags=False)[0] for t in range(count)]
    times = np.arange(count) / fps
    numbers = follow(frames, times.tolist(), Tracker(SKELETONS.get(skeleton).joints))
    return assemble(
        frames, numbers, times, skeleton=skeleton, frame_size=frame_size, fps=fps, origin=OPENPOSE_ORIGIN
    )


def _openpose_person(where: str, person: Any) -> np.ndarray:
    if not isinstance(person, dict):
        raise InvalidAnnotation(f"{where}: a person should be an object; got {person!r:.80}.")
    return _triples(where, person.get("pose_keypoints_2d"), tuple(_OPENPOSE))


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidAnnotation(f"{path} is not JSON: {error}.") from error


def _triples(where: str, values: Any, lengths: tuple[int, ...]) -> np.ndarray:
    """`(J, 3)` x, y, third."""
    if not isinstance(values, list) or len(values) not in lengths:
        wanted = " or ".join(map(str, lengths))
        got = len(values) if isinstance(values, list) else type(values).__name__
        raise InvalidAnnotation(f"{where}: keypoints should be {wanted} numbers; got {got}.")
    try:
        triples = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        raise InvalidAnnotation(f"{where}: keypoints should be numbers.") from None
    if not np.isfinite(triples).all():
        raise InvalidAnnotation(f"{where}: keypoints should be finite numbers.")
    return triples


def _detections(people: list[np.ndarray], skeleton: str, flags: bool) -> tuple[Detections, np.ndarray]:
    """The people of a frame of whom any joint was seen, and which of all they are, bool `(P,)`."""
    joints = np.array(people).reshape(-1, len(SKELETONS.get(skeleton)), 3)
    keypoints, third = joints[..., :2].astype(np.float32), joints[..., 2]
    scores = _FLAG_SCORES[third.clip(0, 2).astype(int)] if flags else third.clip(0, 1).astype(np.float32)
    boxes = boxes_around(keypoints[None], scores[None])[0]
    seen = np.isfinite(boxes).all(-1)
    return Detections(keypoints[seen], scores[seen], boxes[seen]), seen


def _natural(name: object) -> tuple[Any, ...]:
    """A key that sorts numbers within names by their value."""
    parts = re.split(_DIGITS, str(name))
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)
