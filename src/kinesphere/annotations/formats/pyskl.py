"""Skeleton pickles of PySKL and MMAction2, read without executing anything.

A file is a dictionary of `split` and `annotations`, or (older) the list of annotations: each has `frame_dir`,
`total_frames`, `keypoint` (M, T, J, 2 or 3), and for pixels `img_shape` and `keypoint_score` (M, T, J). The
skeleton is known by joints and coordinates.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.annotations.parsing.split_protocols import Protocols
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.core.errors import EmptySkeleton, InvalidAnnotation
from kinesphere.core.limits import Budget, brief
from kinesphere.core.skipped import Skipped
from kinesphere.core.unpickle import read_pickle

_FPS = 30.0
# Wider images, larger crowds and longer lists of classes are mistakes.
_MOST_PX, _MOST_PEOPLE, _MOST_CLASSES, _LONGEST_LABEL = 100_000, 1000, 1_000_000, 200
# Skeletons by joints and coordinates.
_SKELETONS = {
    (17, 2): "coco17",
    (25, 3): "ntu25",
    (20, 3): "kinect20",
    (18, 2): "openpose18",
    (25, 2): "openpose25",
}


@dataclass(frozen=True)
class PysklClip:
    """One annotation.

    Attributes:
        where: File and name, for errors.
        content: Its fields, as they stand in the file.
        fps: Frame rate of its video.
    """

    where: str
    content: Mapping[str, Any]
    fps: float

    @property
    def label(self) -> int | str | None:
        """Number or name of its class; None where the file has none.

        Raises:
            InvalidAnnotation: If it is neither a number nor a name of a class.
        """
        label = self.content.get("label")
        if label is None:
            return None
        if isinstance(label, str) and len(label) <= _LONGEST_LABEL:
            return label
        if isinstance(label, np.ndarray) and label.ndim == 0:
            label = label[()]
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or label >= _MOST_CLASSES:
            raise InvalidAnnotation(
                f"{self.where}: 'label' should number or name a class; got {brief(label)}."
            )
        return int(label) if label >= 0 else None

    def poses(self) -> Poses:
        """Its people.

        Raises:
            EmptySkeleton: If there is nobody.
            InvalidAnnotation: If the annotation is wrong; it is named.
        """
        return _poses(self.where, self.content, self.fps)


class PysklSet(dict[str, PysklClip]):
    """The clips of a file by their names (`frame_dir`).

    Attributes:
        protocols: Which clips train and test.
        skipped: What cannot be a clip, for lack of a name of its own.
    """

    def __init__(
        self, clips: Mapping[str, PysklClip], protocols: Protocols, skipped: Sequence[Skipped]
    ) -> None:
        super().__init__(clips)
        self.protocols, self.skipped = protocols, tuple(skipped)


def read_pyskl(path: Path, *, fps: float = _FPS) -> PysklSet:
    """The annotations of one pickle; what is wrong with a single one is found when it is asked for its poses.

    Args:
        path: The file.
        fps: Frame rate of the videos.

    Raises:
        InvalidAnnotation: If it is no such pickle, or claims more numbers than it holds bytes.
        UnsafeFile: If it asks for code to be executed.
    """
    if not path.is_file():
        raise InvalidAnnotation(f"{path} is no file; name the pickle that holds the data set.")
    content = read_pickle(path, InvalidAnnotation)
    annotations = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(annotations, list):
        raise InvalidAnnotation(f"{path} is no PySKL file; it lacks the list 'annotations'.")
    clips: dict[str, PysklClip] = {}
    skipped: list[Skipped] = []
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            kind = type(annotation).__name__
            skipped.append(Skipped(f"annotation {number}", f"it should be a dictionary; got {kind}"))
            continue
        given = annotation.get("frame_dir", annotation.get("filename", number))
        name = _name(given)
        if name is None:
            skipped.append(Skipped(f"annotation {number}", f"'frame_dir' is a name; got {brief(given)}"))
            continue
        if name in clips:
            skipped.append(Skipped(f"annotation {number}", f"{name!r:.200} comes twice; the first counts"))
            continue
        clips[name] = PysklClip(f"{path}, annotation {name!r:.200}", annotation, fps)
    _check_size(path, clips.values())
    return PysklSet(clips, _protocols(path, content), skipped)


def _check_size(path: Path, clips: Iterable[PysklClip]) -> None:
    """Refuse files whose annotations share arrays, so that they unpack to far more than they hold."""
    budget = Budget.of(path, InvalidAnnotation)
    for clip in clips:
        for key in ("keypoint", "keypoint_score"):
            array = clip.content.get(key)
            if isinstance(array, np.ndarray):
                budget.array(array.shape, array.itemsize, f"'{key}'")


def _protocols(path: Path, content: Any) -> Protocols:
    splits = content.get("split", {}) if isinstance(content, dict) else {}
    if not isinstance(splits, dict) or not all(isinstance(names, list) for names in splits.values()):
        raise InvalidAnnotation(f"{path}: 'split' should be lists of clips by their names.")
    return Protocols(
        {
            str(name): [clip for clip in map(_name, clips) if clip is not None]
            for name, clips in splits.items()
            if isinstance(name, str)
        }
    )


def _name(given: Any) -> str | None:
    if isinstance(given, int) and given.bit_length() <= 64:
        return str(given)
    return given if isinstance(given, str) else None


def _poses(where: str, annotation: Mapping[str, Any], fps: float) -> Poses:
    keypoints = annotation.get("keypoint")
    if not isinstance(keypoints, np.ndarray) or keypoints.ndim != 4 or keypoints.dtype.kind not in "fiu":
        raise InvalidAnnotation(
            f"{where}: 'keypoint' should be numbers (M, T, J, 2 or 3); got {_array_shown(keypoints)}."
        )
    people, count, joints, dimensions = keypoints.shape
    if (joints, dimensions) not in _SKELETONS:
        known = ", ".join(f"{name} ({j}, {d})" for (j, d), name in _SKELETONS.items())
        raise InvalidAnnotation(
            f"{where}: no known skeleton has {joints} joints of {dimensions} coordinates; known are {known}. "
            "Scores of joints in an image go into 'keypoint_score'."
        )
    announced = annotation.get("total_frames", count)
    if not isinstance(announced, int | float | np.number) or announced != count:
        raise InvalidAnnotation(f"{where}: {_shown(announced)} frames announced, {count} there.")
    if people == 0 or count == 0:
        raise EmptySkeleton(f"{where} shows nobody: its keypoints are {keypoints.shape}.")
    if people > _MOST_PEOPLE:
        raise InvalidAnnotation(f"{where}: {people} people are more than a clip has ({_MOST_PEOPLE}).")
    with np.errstate(over="ignore"):  # what does not fit is not finite
        points = np.moveaxis(keypoints, 0, 1).astype(np.float32)
    finite = np.asarray(np.isfinite(points).all(-1) & (np.abs(points) <= _MOST_PX).all(-1))
    frame_size: Size | None = None
    if dimensions == 2:
        seen = _scores(where, annotation, keypoints.shape[:3])
        frame_size = _frame_size(where, annotation)
        if (lost := int(((seen > 0) & ~finite).sum())) > 0:
            raise InvalidAnnotation(
                f"{where}: {lost} of {seen.size} joints have a score, but coordinates that are no numbers or "
                "far outside any image."
            )
    else:
        seen = np.where(finite & (points != 0).any(-1), 1.0, 0.0)
    if not (seen > 0).any():
        raise EmptySkeleton(f"{where} shows nobody: no joint has a score and coordinates.")
    return Poses(
        times=np.arange(count) / fps,
        keypoints=np.where(finite[..., None], points, 0),
        scores=seen.astype(np.float32),
        tracks=np.arange(1, people + 1),
        skeleton=_SKELETONS[joints, dimensions],
        frame_size=frame_size,
        fps=fps,
        origin="PySKL",
    )


def _scores(where: str, annotation: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """`(T, M, J)` in [0, 1]."""
    scores = annotation.get("keypoint_score")
    if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype.kind not in "fiu":
        raise InvalidAnnotation(
            f"{where}: 'keypoint_score' should have shape {shape}; got {_array_shown(scores)}. Where the "
            "estimator gave no scores, write 1 for joints that it found and 0 for others."
        )
    limited: np.ndarray = np.nan_to_num(np.moveaxis(scores, 0, 1)).clip(0, 1)
    return limited


def _frame_size(where: str, annotation: Mapping[str, Any]) -> Size:
    shape = annotation.get("img_shape", annotation.get("original_shape"))
    sides = shape.tolist() if isinstance(shape, np.ndarray) and shape.size <= 2 else shape
    if (
        not isinstance(sides, Sequence)
        or len(sides) != 2
        or not all(isinstance(side, int | np.integer) and 0 < side <= _MOST_PX for side in sides)
    ):
        raise InvalidAnnotation(f"{where}: 'img_shape' should be (H, W); got {_shown(shape)}.")
    return int(sides[0]), int(sides[1])


def _array_shown(value: object) -> str:
    return f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _shown(value: object) -> str:
    return str(value) if isinstance(value, np.ndarray) and value.size <= 16 else brief(value)


def write_example(path: Path) -> None:
    """Four clips of two classes, half of them on each of two lists."""
    keypoints, scores = np.ones((1, 4, 17, 2), np.float16), np.ones((1, 4, 17), np.float16)
    annotations = [
        {
            "frame_dir": f"clip{number}",
            "label": number % 2,
            "img_shape": (48, 64),
            "total_frames": 4,
            "keypoint": keypoints + number,
            "keypoint_score": scores,
        }
        for number in range(4)
    ]
    split = {"xsub_train": ["clip0", "clip1"], "xsub_val": ["clip2", "clip3"]}
    path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}))


FORMATS.add(
    "pyskl",
    Format("PySKL and MMAction2 pickle", (".pkl", ".pickle"), "clips of people", read_pyskl, write_example),
)
