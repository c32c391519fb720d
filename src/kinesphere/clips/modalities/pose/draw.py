"""Skeletons drawn onto frames."""

from __future__ import annotations

import cv2
import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.skeleton import Colour, Skeleton

# One hue per person: the outline of the limbs and the number at the head.
PERSON_COLOURS: tuple[Colour, ...] = (
    (45, 191, 174), (244, 196, 72), (214, 110, 190), (120, 148, 255), (240, 110, 110), (140, 200, 90),
)  # fmt: skip
_INK = (20, 24, 27)
_SHIFT = 4  # OpenCV takes sixteenths of a pixel


def draw_poses(
    frame: np.ndarray,
    joints: np.ndarray,
    skeleton: Skeleton,
    *,
    tracks: np.ndarray | None = None,
    threshold: float = 0.3,
) -> None:
    """Draw people onto a frame, in place: limbs in the colours of their sides, a number at each head.

    Args:
        frame: uint8 RGB `(H, W, 3)`, contiguous.
        joints: `(P, J, 3)` as x px, y px, score (see `Poses.joints_at`).
        skeleton: Skeleton of the J joints.
        tracks: `(P,)` numbers of the people, written at their heads and giving their hue; without it they
            look alike.
        threshold: Joints whose score is below are not drawn.
    """
    unit = max(1, round(min(frame.shape[:2]) / 200))
    for i, person in enumerate(joints):
        seen = person[:, 2] >= max(threshold, 1e-6)
        if not seen.any():
            continue
        hue = _INK if tracks is None else PERSON_COLOURS[int(tracks[i]) % len(PERSON_COLOURS)]
        points = np.round(person[:, :2].clip(-1e5, 1e5) * 2**_SHIFT).astype(int)
        # All outlines first, so that they do not cut into the limbs.
        for width, use_hue in ((6 * unit, True), (2 * unit, False)):
            for (a, b), colour in zip(skeleton.edges, skeleton.colours, strict=True):
                if seen[a] and seen[b]:
                    ends = tuple(points[a].tolist()), tuple(points[b].tolist())
                    cv2.line(frame, *ends, hue if use_hue else colour, width, cv2.LINE_AA, _SHIFT)
        for point in points[seen]:
            centre = tuple(point.tolist())
            cv2.circle(frame, centre, unit * 2**_SHIFT, (255, 255, 255), -1, cv2.LINE_AA, _SHIFT)
        if tracks is not None:
            _write_number(frame, int(tracks[i]), person[seen], hue, unit)


def _write_number(frame: np.ndarray, track: int, seen: np.ndarray, hue: Colour, unit: int) -> None:
    """A track's number above its highest joint, kept inside the frame."""
    x, y = seen[seen[:, 1].argmin(), :2]
    size = 0.45 * unit
    (width, height), _ = cv2.getTextSize(str(track), cv2.FONT_HERSHEY_SIMPLEX, size, unit)
    left = int(np.clip(x - width / 2, 0, max(frame.shape[1] - width, 0)))
    base = int(np.clip(y - 5 * unit, height, frame.shape[0] - 1))
    for colour, stroke in ((_INK, 3 * unit), (hue, unit)):
        place = (left, base)
        cv2.putText(frame, str(track), place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, stroke, cv2.LINE_AA)


def draw_people(joints: np.ndarray, skeleton: Skeleton, size: Size) -> np.ndarray:
    """The people of a clip `(T, M, J, 3)` on black frames uint8 `(T, H, W, 3)`."""
    images = np.zeros((len(joints), *size, 3), np.uint8)
    for image, people in zip(images, joints, strict=True):
        draw_poses(image, people, skeleton, tracks=np.arange(1, len(people) + 1), threshold=0.0)
    return images
