"""Keypoints of single frames, as pose estimators write them: checked, and made detections."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinesphere.annotations.tracking import Detections
from kinesphere.clips.modalities.pose.poses import boxes_around
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.core.errors import InvalidAnnotation, WrongEntry
from kinesphere.core.limits import Budget, file_bytes
from kinesphere.core.structured import parse_json

# Scores of COCO's flags: not labelled, labelled but hidden, visible.
_FLAG_SCORES = np.array([0.0, 0.5, 1.0], np.float32)
# Wider frames and larger crowds are mistakes.
MAX_PX, MAX_PEOPLE = 100_000, 200
# People are there in a hundredth of the frames at least, taken together.
GROWTH = 100


def read_json(path: Path, largest: int) -> Any:
    content = file_bytes(path, InvalidAnnotation, largest)
    return parse_json(content, str(path), InvalidAnnotation, largest=largest, finite=False)


def warn_of(wrong: Sequence[str], entries: int) -> None:
    """Warn of every wrong entry.

    Raises:
        InvalidAnnotation: If all are.
    """
    if wrong and len(wrong) >= entries:
        more = f" So are the {len(wrong) - 1} others." if len(wrong) > 1 else ""
        raise InvalidAnnotation(f"{wrong[0]}{more}")
    for problem in wrong:
        warnings.warn(WrongEntry(f"{problem} It is left out."), stacklevel=3)


def check_tracks(budget: Budget, numbers: Sequence[np.ndarray], skeleton: str) -> None:
    """Refuse files in which hardly anybody is seen twice: every person takes room in every frame."""
    people = len({int(number) for each in numbers for number in each if number > 0})
    budget.array((len(numbers), people, len(SKELETONS.get(skeleton)) + 2), 12, "the tracks of its people")


def triples_of(where: str, values: Any, lengths: tuple[int, ...]) -> np.ndarray:
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
    if (np.abs(triples[:, :2]) > MAX_PX).any():
        raise InvalidAnnotation(f"{where}: keypoints lie within {MAX_PX} pixels; some do not.")
    return triples


def detections_of(people: list[np.ndarray], skeleton: str, flags: bool) -> tuple[Detections, np.ndarray]:
    """The people of a frame of whom any joint was seen, and which of all they are, bool `(P,)`."""
    joints = np.array(people).reshape(-1, len(SKELETONS.get(skeleton)), 3)
    keypoints, third = joints[..., :2].astype(np.float32), joints[..., 2]
    scores = _FLAG_SCORES[third.clip(0, 2).astype(int)] if flags else third.clip(0, 1).astype(np.float32)
    boxes = boxes_around(keypoints[None], scores[None])[0]
    seen = np.isfinite(boxes).all(-1)
    return Detections(keypoints, scores, boxes)[seen], seen
