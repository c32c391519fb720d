"""JHMDB's ground-truth joints, as DD-Net's data keep them: arrays of normalised coordinates.

Jhuang, Gall, Zuffi, Schmid, Black: "Towards understanding action recognition", ICCV 2013. Coordinates are
relative to the middle of the image and to the person's size, y down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.annotations.formats.registry import FORMATS, Format
from kinesphere.clips.modalities.pose.poses import Poses
from kinesphere.clips.npz import BrokenArchive, read_arrays
from kinesphere.core.errors import InvalidAnnotation

FPS = 30.0
# The set's own frame. Its scale was divided out, so a unit takes as many pixels as keeps most people inside.
FRAME_SIZE = (240, 320)
UNIT_PX = 60.0
_JOINTS = 15
# Wider images, by far, have no person in them.
_MOST_UNITS = 1000.0
CLASSES = frozenset({
    "brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour", "pullup",
    "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand", "swing_baseball", "throw", "walk",
    "wave",
})  # fmt: skip


@dataclass(frozen=True)
class JhmdbClip:
    """One clip: its poses, its class, and what its joints and its class alone decide."""

    poses: Poses
    label: str
    digest: str


def read_jhmdb(path: Path) -> list[JhmdbClip | InvalidAnnotation]:
    """Clips of one list: `joints` (sum of T, 15, 2), `lengths` (N,), `labels` (N,).

    Returns:
        The clips in order, or what is wrong with one.

    Raises:
        InvalidAnnotation: If the file holds something else.
    """
    try:
        content = read_arrays(path, ("joints", "lengths", "labels"))
        joints, lengths, labels = content["joints"], content["lengths"], content["labels"]
    except (BrokenArchive, KeyError) as error:
        raise InvalidAnnotation(f"{path} is not a file of JHMDB joints ({error}); get it again.") from error
    if joints.ndim != 3 or joints.shape[1:] != (_JOINTS, 2) or joints.dtype.kind != "f":
        raise InvalidAnnotation(f"{path}: 'joints' should be finite (T, 15, 2); got {joints.shape}.")
    if lengths.ndim != 1 or labels.ndim != 1 or lengths.dtype.kind not in "iu" or labels.dtype.kind != "U":
        raise InvalidAnnotation(f"{path}: 'lengths' should be whole numbers (N,) and 'labels' words (N,).")
    counts = [int(length) for length in lengths]
    if len(counts) != len(labels) or sum(counts) != len(joints) or min(counts, default=1) < 1:
        raise InvalidAnnotation(
            f"{path}: {len(labels)} labels, {len(counts)} lengths of {sum(counts)} frames in all, and "
            f"{len(joints)} frames contradict each other."
        )
    ends = np.cumsum(counts)
    return [
        _clip(joints[end - count : end], word)
        for end, count, word in zip(ends.tolist(), counts, map(str, labels), strict=True)
    ]


def _clip(joints: np.ndarray, label: str) -> JhmdbClip | InvalidAnnotation:
    if not (np.abs(joints) <= _MOST_UNITS).all():
        return InvalidAnnotation("Its joints hold values that are no numbers, or far outside any image.")
    middle = (np.array(FRAME_SIZE[::-1]) - 1) / 2
    pixels = (joints * UNIT_PX + middle).astype(np.float32)
    poses = Poses(
        times=np.arange(len(joints)) / FPS,
        keypoints=pixels[:, None],
        scores=np.ones((len(joints), 1, _JOINTS), np.float32),
        tracks=np.array([1]),
        skeleton="jhmdb15",
        frame_size=FRAME_SIZE,
        fps=FPS,
        origin="JHMDB ground truth, normalised",
    )
    digest = hashlib.sha256(joints.astype(np.float32).tobytes() + label.encode()).hexdigest()
    return JhmdbClip(poses, label, digest)


def write_example(path: Path, labels: Sequence[str] = ("clap", "run"), seed: int = 0) -> None:
    """A clip of four frames for every label."""
    joints = np.random.default_rng(seed).normal(size=(4 * len(labels), _JOINTS, 2)).astype(np.float32)
    np.savez(path, joints=joints, lengths=np.full(len(labels), 4), labels=np.array(labels))


FORMATS.add(
    "jhmdb", Format("JHMDB joints, as DD-Net's data", (".npz",), "clips in pixels", read_jhmdb, write_example)
)
