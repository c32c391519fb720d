"""The clips that a report shows: where the model was surest, rightly and wrongly."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from kinesphere.clips.modalities.pose.draw import draw_people, draw_poses
from kinesphere.clips.modalities.pose.file import SUFFIX as POSE_SUFFIX
from kinesphere.clips.modalities.pose.file import open_poses
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.modality import see
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import DamagedVideo, InvalidAnnotation, VideoError
from kinesphere.evaluate.predictions import Predictions

if TYPE_CHECKING:
    from kinesphere.explain.render.strips import Strips

Kind = Literal["right", "wrong"]
_FRAME_HEIGHT = 128
_DRAWN_HEIGHT = 240
_JPEG = (1, 80)  # cv2.IMWRITE_JPEG_QUALITY


@dataclass(frozen=True)
class Example:
    """One clip with the model's answer.

    Attributes:
        kind: Whether the answer was right.
        path: The video.
        span: `(start_s, end_s)` or None for all of it.
        truth: Its label (several joined with a comma in a multi-label set).
        answer: The label in question, and its probability.
        probability: That the model gave to `answer`.
        truth_probability: That the model gave to the (most probable) true label.
        frames: JPEG files in order of time; empty if the video could not be read again.
        problem: Why there are no frames.
        heats: Frames with what the answer rests on, for each method.
        agreement: How alike the methods' heat is.
    """

    kind: Kind
    path: str
    span: tuple[float, float] | None
    truth: str
    answer: str
    probability: float
    truth_probability: float
    frames: tuple[bytes, ...] = ()
    problem: str = ""
    heats: tuple[Strips, ...] = ()
    agreement: str = ""


def choose_examples(predictions: Predictions, count: int = 4) -> list[Example]:
    """The surest right answers (of different classes first) and the surest mistakes, without frames."""
    p, names = predictions.probabilities, predictions.labels.names
    if predictions.labels.multi:
        hot = predictions.targets > 0
    else:
        hot = np.eye(len(names), dtype=bool)[predictions.targets]
    best_true, best_false = np.where(hot, p, -1.0), np.where(hot, -1.0, p)
    answered = p.argmax(1)
    # Of a clip without any label nothing is the right answer.
    right = np.where(hot.any(1), hot[np.arange(len(p)), answered], p.max(1) <= 0.5)
    picks: list[tuple[Kind, int]] = []
    by_confidence = np.argsort(-p.max(1), kind="stable")
    for kind in ("right", "wrong"):
        pool = [int(i) for i in by_confidence if right[i] == (kind == "right")]
        picks += [(kind, i) for i in _spread(pool, answered, count)]
    return [
        Example(
            kind,
            predictions.paths[i],
            predictions.spans[i],
            ", ".join(names[k] for k in np.flatnonzero(hot[i])) or "none",
            _answer(kind, names, answered[i], best_false[i], bool(hot[i].any())),
            float(p[i].max()),
            float(max(best_true[i].max(), 0.0)),
        )
        for kind, i in picks
    ]


def _answer(kind: Kind, names: Sequence[str], answered: int, best_false: np.ndarray, labelled: bool) -> str:
    if kind == "wrong":
        return names[int(best_false.argmax())]
    return names[answered] if labelled else "none"


def _spread(pool: Sequence[int], answered: np.ndarray, count: int) -> list[int]:
    """The first of each class, then the rest, `count` in all."""
    firsts: dict[int, int] = {}
    for i in pool:
        firsts.setdefault(int(answered[i]), i)
    return list(dict.fromkeys([*firsts.values(), *pool]))[:count]


FindPoses = Callable[[str], StoredPoses | None]
"""The poses that a model saw of a file; None where it saw none."""


def pose_finder(specs: Sequence[ClipSpec], extracts: Extracts) -> FindPoses | None:
    """Finds the poses of videos in their files; None for models that see none.

    A video without a file is shown without skeletons.
    """
    if not see(specs, "skeleton"):
        return None

    def find(path: str) -> StoredPoses | None:
        found = extracts.find(Path(path), POSE_SUFFIX)
        return open_poses(found) if found is not None else None

    return find


def with_frames(example: Example, count: int = 6, poses: FindPoses | None = None) -> Example:
    """The same example with `count` frames spread over its span, as JPEG files.

    A file that can no longer be read gives no frames; `problem` says why.

    Args:
        example: A clip.
        count: Number of frames.
        poses: Finds the skeletons that are drawn onto the frames; a pose file has them itself, and nothing
            else to show.
    """
    import cv2

    try:
        if example.path.endswith(POSE_SUFFIX):
            images = _skeletons(example, count)
        else:
            images = _images(example, count, poses(example.path) if poses is not None else None)
    except (VideoError, InvalidAnnotation) as error:
        return replace(example, problem=str(error))
    encoded = [cv2.imencode(".jpg", image[..., ::-1], _JPEG)[1].tobytes() for image in images]
    return replace(example, frames=tuple(encoded))


def _timestamps(span: tuple[float, float], count: int) -> np.ndarray:
    return span[0] + (np.arange(count) + 0.5) / count * (span[1] - span[0])


def _images(example: Example, count: int, poses: StoredPoses | None) -> np.ndarray:
    from kinesphere.video import Video

    with warnings.catch_warnings():
        # The evaluation has already reported the damage.
        warnings.simplefilter("ignore", DamagedVideo)
        with Video.open(example.path) as video:
            times = video.frame_times()
            start, end = example.span or (float(times[0]), float(times[-1]))
            height, width = video.size
            # Skeletons need space to be drawn in.
            tall = _FRAME_HEIGHT if poses is None else _DRAWN_HEIGHT
            size = (tall, max(2, round(tall * width / height)))
            timestamps = _timestamps((start, min(end, float(times[-1]))), count)
            data = video.frames_at(timestamps, size=size).data
            images = np.ascontiguousarray(np.asarray(data).transpose(0, 2, 3, 1))
    if poses is not None and poses.frame_size is not None:
        around = poses.around(timestamps)
        placed = poses[around.rows].in_pixels().resized(size)
        for image, joints in zip(images, around.joints(placed.keypoints, placed.scores), strict=True):
            draw_poses(image, joints, SKELETONS.get(placed.skeleton), tracks=placed.tracks)
    return images


def _skeletons(example: Example, count: int) -> np.ndarray:
    """A pose file on black; joints in space from the front, as large as they fit."""
    poses = open_poses(Path(example.path))
    start, end = example.span or (float(poses.times[0]), float(poses.times[-1]))
    around = poses.around(_timestamps((start, end), count))
    near = poses[around.rows]
    joints = around.joints(near.keypoints, near.scores).astype(np.float64)
    xy, seen = joints[..., :2], joints[..., -1] > 0
    size = (_DRAWN_HEIGHT, _DRAWN_HEIGHT)
    if poses.frame_size is None:
        xy = xy * (1, -1)  # up is positive in space, negative in an image
    if seen.any():
        low, high = xy[seen].min(0), xy[seen].max(0)
        scale = 0.8 * _DRAWN_HEIGHT / max(float((high - low).max()), 1e-6)
        xy = (xy - (low + high) / 2) * scale + _DRAWN_HEIGHT / 2
    placed = np.concatenate([xy, joints[..., -1:]], -1).astype(np.float32)
    return draw_people(placed, SKELETONS.get(poses.skeleton), size)
