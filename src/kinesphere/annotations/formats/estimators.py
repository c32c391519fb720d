"""Files of pose estimators: COCO keypoints and OpenPose folders.

Both know single frames only, unless COCO annotations carry a `track_id`; their people are
followed from frame to frame (`data.tracking`). Neither holds a frame rate.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kinesphere.annotations.extract.assemble import assemble
from kinesphere.annotations.extract.tracking import Detections, Tracker, follow
from kinesphere.annotations.formats.numbering import Numbering, allowance, places
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses, boxes_around
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidAnnotation, LeftOut, WrongEntry
from kinesphere.core.limits import Budget, brief, file_bytes
from kinesphere.core.structured import parse_json

# Scores of COCO's flags: not labelled, labelled but hidden, visible.
_FLAG_SCORES = np.array([0.0, 0.5, 1.0], np.float32)
_OPENPOSE = {75: "openpose25", 54: "openpose18"}
# What may name an image or a track.
_Id = int | float | str
# Wider pictures, longer videos and larger crowds are mistakes; so are numbers of frames that leave far larger
# gaps than there are files.
_MOST_PX, _MOST_FRAMES, _MOST_PEOPLE = 100_000, 2_000_000, 200
_MOST_GAP, _FREE_FRAMES = 100, 10_000
# An hour of a crowd; one frame of it.
_LARGEST_COCO, _LARGEST_OPENPOSE = 1 << 29, 1 << 24
# People are there in a hundredth of the frames at least, taken together.
_GROWTH = 100
_LONGEST_NAME = 1000
_DIGITS = re.compile(r"(\d{1,18})", re.ASCII)
_FRAME_NUMBER = re.compile(r"(\d{1,18})_keypoints\.json$", re.ASCII)
COCO_ORIGIN, OPENPOSE_ORIGIN = "COCO keypoints", "OpenPose"

Estimator = Literal["coco", "openpose"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)


def frame_numbers(kind: Estimator, output: Path) -> list[int]:
    """The numbers of frames in what an estimator wrote for one video; empty where nothing is numbered.

    Raises:
        InvalidAnnotation: If it cannot be read.
    """
    if kind == "openpose":
        return list(_openpose_files(output))
    content = _json(output, _LARGEST_COCO)
    entries = content if isinstance(content, list) else []
    found = {_last_number(entry.get("image_id")) for entry in entries if isinstance(entry, dict)}
    return sorted(number for number in found if number is not None)


# ---------------------------------------------------------------------------------------------------- COCO


def read_coco(
    path: Path,
    *,
    fps: float,
    frame_size: Size | None = None,
    frames: int | None = None,
    numbering: Numbering = Numbering(),  # noqa: B008 (frozen)
) -> Poses:
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
    budget = Budget.of(path, InvalidAnnotation, growth=_GROWTH)
    images = _coco_images(path, _json(path, _LARGEST_COCO), frame_size)
    frame_of, count = _frames_of(path, images, frames, numbering)
    row = {frame: i for i, frame in enumerate(sorted({*frame_of.values()}))}
    if images.are_results:  # what is not listed was looked at, too
        row = {frame: frame for frame in range(count)}
    people: list[list[np.ndarray]] = [[] for _ in row]
    tracks: list[list[_Id | None]] = [[] for _ in row]
    wrong: list[str] = []
    known = frozenset(images.order)
    for number, entry in enumerate(images.entries):
        try:
            person = _coco_person(f"{path}, annotation {number}", entry, known)
        except InvalidAnnotation as error:
            wrong.append(str(error))
            continue
        if person is None or (frame := frame_of.get(entry["image_id"])) is None:
            continue
        track, here = entry.get("track_id"), row[frame]
        if track is not None and track in tracks[here]:
            wrong.append(
                f"{path}, annotation {number}: track {brief(track)} comes twice in image "
                f"{brief(entry['image_id'])}; a person is there once."
            )
        elif len(people[here]) == _MOST_PEOPLE:
            wrong.append(f"{path}, annotation {number}: a frame shows {_MOST_PEOPLE} people at most.")
        else:
            people[here].append(person)
            tracks[here].append(track)
    _tell_wrong(wrong, len(images.entries))
    _count_lacking(path, images.entries)
    each = [_detections(joints, "coco17", not images.are_results) for joints in people]
    found = [detections for detections, _ in each]
    times = np.array(sorted(row), np.float64) / fps
    taken_fps = fps / float(np.median(np.diff(sorted(row)))) if len(row) > 1 else fps
    if all(track is not None for frame in tracks for track in frame):
        numbers = _track_numbers(tracks)
        numbers = [of[seen] for of, (_, seen) in zip(numbers, each, strict=True)]
    else:
        numbers = follow(found, times.tolist(), Tracker(SKELETONS.get("coco17").joints))
    _check_tracks(budget, numbers, "coco17")
    return assemble(
        found, numbers, times, skeleton="coco17", frame_size=images.size, fps=taken_fps, origin=COCO_ORIGIN
    )


@dataclass(frozen=True)
class _CocoImages:
    """The images of a file in the order of the video's frames, and what is said of them."""

    entries: list[Any]
    order: list[_Id]
    names: list[_Id]
    size: Size
    are_results: bool


def _coco_images(path: Path, content: Any, frame_size: Size | None) -> _CocoImages:
    if isinstance(content, list):
        if frame_size is None:
            raise InvalidAnnotation(f"{path} lists results without images; give the frame size (H, W).")
        if content and not any(isinstance(entry, dict) for entry in content):
            raise InvalidAnnotation(f"{path} is no COCO keypoint file; its entries should be objects.")
        ids = {entry.get("image_id") for entry in content if _has_image(entry)}
        order: list[_Id] = sorted(ids, key=_natural)
        return _CocoImages(content, order, order, frame_size, are_results=True)
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
    return _CocoImages(entries, [image for _, image in images], names, sizes.pop(), are_results=False)


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
            isinstance(side, int | float) and 0 < side <= _MOST_PX and float(side).is_integer()
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
    placed = places(str(path), known, frames, numbering)
    return {i: place for i, place in zip(images.order, placed, strict=True) if place is not None}, frames


def _coco_person(where: str, entry: Any, images: Set[_Id]) -> np.ndarray | None:
    """Joints `(17, 3)` of an annotation; None if it has none."""
    if not isinstance(entry, dict):
        raise InvalidAnnotation(f"{where}: an annotation should be an object; got {brief(entry)}.")
    image, track = entry.get("image_id"), entry.get("track_id")
    if not isinstance(image, _Id):
        raise InvalidAnnotation(f"{where}: an image_id is a number or a name; got {brief(image)}.")
    if track is not None and not isinstance(track, _Id):
        raise InvalidAnnotation(f"{where}: a track_id is a number or a name; got {brief(track)}.")
    if image not in images:
        raise InvalidAnnotation(f"{where}: there is no image {brief(image)}.")
    return _triples(where, entry["keypoints"], (51,)) if "keypoints" in entry else None


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


# ------------------------------------------------------------------------------------------------ OpenPose


def read_openpose(
    folder: Path,
    *,
    fps: float,
    frame_size: Size,
    frames: int | None = None,
    numbering: Numbering = Numbering(),  # noqa: B008 (frozen)
) -> Poses:
    """A folder of OpenPose's `*_000000000012_keypoints.json`, one a frame.

    Frames without a file are frames without people; a file that is wrong is left out. Both of its body
    models are known by their number of joints.

    Args:
        folder: The folder of one video.
        fps: Frame rate of the video.
        frame_size: `(H, W)` of it, which the files do not tell.
        frames: Number of its frames; by default as many as are numbered, from 0.
        numbering: Whether a set's files count from 0 or 1, where this folder leaves it open.

    Raises:
        InvalidAnnotation: If there are no such files, they are of another video, or none is right.

    Warns:
        WrongEntry: For each file or person that is wrong.
        Assumed: If the numbering is open.
    """
    files = _openpose_files(folder)
    if not files:
        raise InvalidAnnotation(f"{folder} holds no OpenPose files such as clip_000000000000_keypoints.json.")
    numbers = list(files)
    placed = numbers if frames is None else places(str(folder), numbers, frames, numbering)
    if frames is None and max(numbers) > _FREE_FRAMES + _MOST_GAP * len(files):
        raise InvalidAnnotation(
            f"{folder} numbers {len(files)} files up to {max(numbers)}; name them by frames from 0."
        )
    people: dict[int, list[np.ndarray]] = {}
    wrong: list[str] = []
    size = 0
    for place, path in zip(placed, files.values(), strict=True):
        if place is None:
            continue
        found, problems = _openpose_people(path)
        people[place] = found
        wrong += problems
        size += path.stat().st_size if path.is_file() else 0
    lengths = Counter(3 * len(joints) for each in people.values() for joints in each).most_common()
    if len(lengths) > 1 and lengths[0][1] == lengths[1][1]:
        raise InvalidAnnotation(f"{folder} mixes OpenPose's body models; run it again with one of them.")
    length = lengths[0][0] if lengths else 75
    wrong += [
        f"{folder}: {number} people have {other} numbers where the others have {length}"
        for other, number in lengths[1:]
    ]
    _tell_wrong(wrong, sum(map(len, people.values())) + len(wrong))
    skeleton = _OPENPOSE[length]
    count = max(numbers) + 1 if frames is None else frames
    nobody = _detections([], skeleton, flags=False)[0]
    detections = [nobody] * count
    for place, each in people.items():
        detections[place] = _detections([p for p in each if 3 * len(p) == length], skeleton, flags=False)[0]
    times = np.arange(count) / fps
    owners = follow(detections, times.tolist(), Tracker(SKELETONS.get(skeleton).joints))
    _check_tracks(Budget(str(folder), size, InvalidAnnotation, _GROWTH), owners, skeleton)
    return assemble(
        detections, owners, times, skeleton=skeleton, frame_size=frame_size, fps=fps, origin=OPENPOSE_ORIGIN
    )


def _openpose_files(folder: Path) -> dict[int, Path]:
    """The files of a folder by the numbers in their names."""
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
    return files


def _openpose_people(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """The people of a file, and what is wrong with it."""
    try:
        content = _json(path, _LARGEST_OPENPOSE)
    except InvalidAnnotation as error:
        return [], [str(error)]
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        return [], [f"{path} is no OpenPose file; it lacks the list 'people'."]
    if len(content["people"]) > _MOST_PEOPLE:
        return [], [f"{path} has {len(content['people'])} people; a frame shows {_MOST_PEOPLE} at most."]
    people, wrong = [], []
    for number, person in enumerate(content["people"]):
        where = f"{path}, person {number}"
        if not isinstance(person, dict):
            wrong.append(f"{where}: a person should be an object; got {brief(person)}.")
            continue
        try:
            people.append(_triples(where, person.get("pose_keypoints_2d"), tuple(_OPENPOSE)))
        except InvalidAnnotation as error:
            wrong.append(str(error))
    return people, wrong


# -------------------------------------------------------------------------------------------- both of them


def _json(path: Path, largest: int) -> Any:
    content = file_bytes(path, InvalidAnnotation, largest)
    return parse_json(content, str(path), InvalidAnnotation, largest=largest, finite=False)


def _tell_wrong(wrong: Sequence[str], entries: int) -> None:
    """Warn of every wrong entry.

    Raises:
        InvalidAnnotation: If all are.
    """
    if wrong and len(wrong) >= entries:
        more = f" So are the {len(wrong) - 1} others." if len(wrong) > 1 else ""
        raise InvalidAnnotation(f"{wrong[0]}{more}")
    for problem in wrong:
        warnings.warn(WrongEntry(f"{problem} It is left out."), stacklevel=3)


def _check_tracks(budget: Budget, numbers: Sequence[np.ndarray], skeleton: str) -> None:
    """Refuse files in which hardly anybody is seen twice: every person takes room in every frame."""
    people = len({int(number) for each in numbers for number in each if number > 0})
    budget.array((len(numbers), people, len(SKELETONS.get(skeleton)) + 2), 12, "the tracks of its people")


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
    if (np.abs(triples[:, :2]) > _MOST_PX).any():
        raise InvalidAnnotation(f"{where}: keypoints lie within {_MOST_PX} pixels; some do not.")
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
    parts = re.split(_DIGITS, str(name)[:_LONGEST_NAME])
    return tuple((int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts)


def _last_number(name: object) -> int | None:
    """The last number in the name of an image, which numbers frames."""
    if isinstance(name, int) and not isinstance(name, bool):
        return name if 0 <= name < 10**18 else None
    digits = re.findall(_DIGITS, name[-_LONGEST_NAME:]) if isinstance(name, str) else []
    return int(digits[-1]) if digits else None
