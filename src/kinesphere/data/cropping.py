"""How much of the frames, and of the people in them, a model's centre crop leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinesphere.clips.geometry import Size, centre_box, plan_frames
from kinesphere.clips.modalities.mask.file import MaskFile
from kinesphere.clips.modalities.pose.sparse import StoredPoses
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidAnnotation
from kinesphere.data.faults import Problem, problem

# Frames of a file of masks that are looked at.
_ASKED = 8
# Of the people, so much may lie outside before it is reported.
_MOST_OF_PEOPLE = 0.1
# Where nothing is known of people: of the longer side so much is seen at least. Pictures of 4:3 pass with the
# usual margin, those of 16:9 do not.
_LEAST_OF_SIDE = 0.6

Window = tuple[float, float, float, float]
"""Top, left, bottom and right of what is seen, as fractions of the frame."""


def seen_window(spec: ClipSpec, frame_size: Size) -> Window:
    """What the centre crop of a test shows of a frame of `(H, W)` pixels."""
    if not MODALITIES.get(spec.modality).is_picture:
        return (0.0, 0.0, 1.0, 1.0)
    canvas = plan_frames(frame_size, spec).canvas
    box = centre_box(canvas, spec.size)
    height, width = canvas
    return (
        box.top / height,
        box.left / width,
        (box.top + box.height) / height,
        (box.left + box.width) / width,
    )


def joints_outside(poses: StoredPoses, window: Window) -> float | None:
    """Fraction of the joints that are seen which lie outside; None where none is, or they lie in space."""
    if poses.frame_size is None:
        return None
    height, width = poses.frame_size
    found = poses.detections()
    x, y = (found.keypoints / np.array([width, height], np.float32))[found.scores > 0].T
    if not len(x):
        return None
    return 1 - float(_inside(y, x, window).mean())


def masks_outside(path: Path, window: Window) -> float | None:
    """Fraction of the people's pixels that lie outside, in some frames; None where nobody is seen."""
    try:
        file = MaskFile.open(path)
        masks = file.masks(np.unique(np.linspace(0, file.frames - 1, _ASKED).astype(int)))
    except InvalidAnnotation:
        return None  # reported where masks are read
    _, rows, columns = np.nonzero(masks > 127)
    if not len(rows):
        return None
    height, width = file.size
    return 1 - float(_inside((rows + 0.5) / height, (columns + 0.5) / width, window).mean())


def _inside(y: np.ndarray, x: np.ndarray, window: Window) -> np.ndarray:
    top, left, bottom, right = window
    inside: np.ndarray = (y >= top) & (y <= bottom) & (x >= left) & (x <= right)
    return inside


def crop_problems(files: Sequence[tuple[str, Window, float | None]]) -> list[Problem]:
    """Problems of videos, by what is seen of them and the fraction of their people outside, if known."""
    problems = []
    known = [(name, fraction) for name, _, fraction in files if fraction is not None]
    cut = [(name, fraction) for name, fraction in known if fraction > _MOST_OF_PEOPLE]
    if cut:
        message = (
            f"In {len(cut)} videos the model's centre crop leaves out up to {max(s for _, s in cut):.0%} of "
            "the people (by their poses or masks); `clip.resize=letterbox` shows all of the frame."
        )
        problems.append(problem("warning", "cropped", message, (f"{name}: {s:.0%}" for name, s in cut)))
    kept = [
        (name, min(bottom - top, right - left))
        for name, (top, left, bottom, right), fraction in files
        if fraction is None
    ]
    narrow = [(name, fraction) for name, fraction in kept if fraction < _LEAST_OF_SIDE]
    if narrow:
        message = (
            f"Of {len(narrow)} videos the model's centre crop shows as little as "
            f"{min(s for _, s in narrow):.0%} of the longer side. If people move at the sides, "
            "`clip.resize=letterbox` shows all of it; poses or masks beside them tell who is cut off."
        )
        problems.append(problem("warning", "cropped", message, (f"{name}: {s:.0%}" for name, s in narrow)))
    return problems
