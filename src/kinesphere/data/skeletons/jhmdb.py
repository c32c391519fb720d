"""JHMDB's ground-truth joints, as DD-Net's data keep them: arrays of normalised coordinates.

Jhuang, Gall, Zuffi, Schmid, Black: "Towards understanding action recognition", ICCV 2013. Coordinates are
relative to the middle of the picture and to the person's size, y down.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.clips.poses import Poses
from kinesphere.core.errors import InvalidAnnotation

FPS = 30.0
# The set's own frame. Its scale was divided out, so a unit takes as many pixels as keeps most people inside.
FRAME_SIZE = (240, 320)
UNIT_PX = 60.0
_JOINTS = 15


@dataclass(frozen=True)
class JhmdbClip:
    """One clip: its poses and its class."""

    poses: Poses
    label: str


def read_jhmdb(path: Path) -> list[JhmdbClip]:
    """Clips of one split: `joints` (sum of T, 15, 2), `lengths` (N,), `labels` (N,).

    Raises:
        InvalidAnnotation: If the file holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            joints, lengths, labels = file["joints"], file["lengths"], file["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidAnnotation(f"{path} is not a file of JHMDB joints ({error}); get it again.") from error
    if joints.ndim != 3 or joints.shape[1:] != (_JOINTS, 2) or not np.isfinite(joints).all():
        raise InvalidAnnotation(f"{path}: 'joints' should be finite (T, 15, 2); got {joints.shape}.")
    if len(lengths) != len(labels) or lengths.sum() != len(joints) or lengths.min(initial=1) < 1:
        raise InvalidAnnotation(
            f"{path}: {len(labels)} labels, {len(lengths)} lengths of {lengths.sum()} frames in all, and "
            f"{len(joints)} frames contradict each other."
        )
    middle = (np.array(FRAME_SIZE[::-1]) - 1) / 2
    pixels = (joints * UNIT_PX + middle).astype(np.float32)
    return [
        JhmdbClip(
            Poses(
                times=np.arange(len(part)) / FPS,
                keypoints=part[:, None],
                scores=np.ones((len(part), 1, _JOINTS), np.float32),
                tracks=np.array([1]),
                skeleton="jhmdb15",
                frame_size=FRAME_SIZE,
                fps=FPS,
                origin="JHMDB ground truth, normalised",
            ),
            str(label),
        )
        for part, label in zip(np.split(pixels, np.cumsum(lengths)[:-1]), labels, strict=True)
    ]
