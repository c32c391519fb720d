"""OpenPose's folders of JSON, one file per frame.

The files know single frames only; people are followed from frame to frame (`annotations.tracking`). They hold
neither frame rate nor frame size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, EstimatorFormat
from kinesphere.annotations.parsing.frame_numbers import Numbering, frames_of
from kinesphere.annotations.parsing.keypoints import (
    GROWTH,
    MAX_PEOPLE,
    check_tracks,
    detections_of,
    read_json,
    triples_of,
    warn_of,
)
from kinesphere.annotations.tracking import Tracker, assemble, follow
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.core.limits import Budget, brief

ORIGIN = "OpenPose"
# Skeletons by the number of numbers of a person.
_SKELETONS = {75: "openpose25", 54: "openpose18"}
# One frame of a crowd.
_LARGEST = 1 << 24
# Longer videos are mistakes; so are numbers of frames that leave far larger gaps than there are files.
_MAX_FRAMES, _MAX_GAP, _FREE_FRAMES = 2_000_000, 100, 10_000
_FRAME_NUMBER = re.compile(r"(\d{1,18})_keypoints\.json$", re.ASCII)


def read_openpose(
    folder: Path,
    *,
    fps: float,
    frame_size: Size,
    frames: int | None = None,
    numbering: Numbering = Numbering(),  # noqa: B008 (frozen)
) -> StoredPoses:
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
    files = _files(folder)
    if not files:
        raise InvalidAnnotation(f"{folder} holds no OpenPose files such as clip_000000000000_keypoints.json.")
    numbers = list(files)
    shown = numbers if frames is None else frames_of(str(folder), numbers, frames, numbering)
    if frames is None and max(numbers) > _FREE_FRAMES + _MAX_GAP * len(files):
        raise InvalidAnnotation(
            f"{folder} numbers {len(files)} files up to {max(numbers)}; name them by frames from 0."
        )
    people: dict[int, list[np.ndarray]] = {}
    wrong: list[str] = []
    size = 0
    for frame, path in zip(shown, files.values(), strict=True):
        if frame is None:
            continue
        people[frame], problems = _people(path)
        wrong += problems
        size += path.stat().st_size if path.is_file() else 0
    length = _body_model(folder, people.values(), wrong)
    skeleton = _SKELETONS[length]
    detections = [
        detections_of([p for p in people.get(t, ()) if 3 * len(p) == length], skeleton, flags=False)[0]
        for t in range(max(numbers) + 1 if frames is None else frames)
    ]
    times = np.arange(len(detections)) / fps
    owners = follow(detections, times.tolist(), Tracker(SKELETONS.get(skeleton).joints))
    check_tracks(Budget(str(folder), size, InvalidAnnotation, GROWTH), owners, skeleton)
    return assemble(
        detections, owners, times, skeleton=skeleton, frame_size=frame_size, fps=fps, origin=ORIGIN
    )


def _body_model(folder: Path, people: Collection[Sequence[np.ndarray]], wrong: list[str]) -> int:
    """The number of numbers of most people; those of others and what is wrong otherwise are told.

    Raises:
        InvalidAnnotation: If there are as many of both models, or nobody is right.

    Warns:
        WrongEntry: For each file or person that is wrong.
    """
    lengths = Counter(3 * len(joints) for each in people for joints in each).most_common()
    if len(lengths) > 1 and lengths[0][1] == lengths[1][1]:
        raise InvalidAnnotation(f"{folder} mixes OpenPose's body models; run it again with one of them.")
    length = lengths[0][0] if lengths else 75
    wrong = wrong + [
        f"{folder}: {number} people have {other} numbers where the others have {length}"
        for other, number in lengths[1:]
    ]
    warn_of(wrong, sum(map(len, people)) + len(wrong))
    return length


def _files(folder: Path) -> dict[int, Path]:
    """The files of a folder by the numbers in their names."""
    files: dict[int, Path] = {}
    for path in sorted(folder.glob("*_keypoints.json")):
        if match := _FRAME_NUMBER.search(path.name):
            if int(match[1]) in files:
                raise InvalidAnnotation(f"{path} is frame {match[1]} again; keep one video per folder.")
            if int(match[1]) >= _MAX_FRAMES:
                raise InvalidAnnotation(
                    f"{path} would be frame {match[1]}; name the files by frames that count from 0."
                )
            files[int(match[1])] = path
    return files


def _people(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """The people of a file, and what is wrong with it."""
    try:
        content = read_json(path, _LARGEST)
    except InvalidAnnotation as error:
        return [], [str(error)]
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        return [], [f"{path} is no OpenPose file; it lacks the list 'people'."]
    if len(content["people"]) > MAX_PEOPLE:
        return [], [f"{path} has {len(content['people'])} people; a frame shows {MAX_PEOPLE} at most."]
    people, wrong = [], []
    for number, person in enumerate(content["people"]):
        where = f"{path}, person {number}"
        if not isinstance(person, dict):
            wrong.append(f"{where}: a person should be an object; got {brief(person)}.")
            continue
        try:
            people.append(triples_of(where, person.get("pose_keypoints_2d"), tuple(_SKELETONS)))
        except InvalidAnnotation as error:
            wrong.append(str(error))
    return people, wrong


def _find(source: Path) -> list[Path]:
    return sorted({path.parent for path in source.rglob("*_keypoints.json")})


def write_example(folder: Path) -> None:
    """Four frames with one person."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(4):
        people = [{"pose_keypoints_2d": [9.0 + t, 9.0, 0.9] * 25}]
        (folder / f"clip_{t:012d}_keypoints.json").write_text(json.dumps({"people": people}))


FORMATS.add(
    "openpose",
    EstimatorFormat(
        "OpenPose JSON, one folder per video", ("_keypoints.json",), ORIGIN,
        "a folder of *_keypoints.json files", "a folder {}",
        _find, lambda folder: list(_files(folder)), read_openpose, write_example,
    ),
)  # fmt: skip
