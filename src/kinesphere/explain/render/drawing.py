"""Heat drawn onto the frames of a source: over pixels, or on the joints and limbs of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from kinesphere.clips.geometry import Size
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.geometry import at_times
from kinesphere.explain.render.colour import ColourScale

if TYPE_CHECKING:
    from kinesphere.explain.attribution import Attribution, InputHeat

_BONE, _SHIFT = (70, 74, 80), 4  # OpenCV takes sixteenths of a pixel


def scale_of(attribution: Attribution, model: str, spec: ClipSpec) -> ColourScale:
    """The scale of an input: one for all its views."""
    heats = attribution.of_input(model, spec)
    return ColourScale(max((heat.full for heat in heats), default=0.0), any(heat.signed for heat in heats))


def draw_heat(
    attribution: Attribution, model: str, spec: ClipSpec, frames: np.ndarray, times_s: np.ndarray
) -> np.ndarray:
    """Frames with the heat of one input over them.

    Args:
        attribution: The explanation.
        model: The network, of several that are fused.
        spec: Which of its inputs.
        frames: uint8 RGB `(N, H, W, 3)` of the displayed source, at any size.
        times_s: `(N,)` when they are displayed.

    Returns:
        uint8 RGB of the same shape. Joints in space are drawn from the front on black; where the frames are
        black, because there is no video, joints are drawn as large as they fit.
    """
    heats, scale = attribution.of_input(model, spec), scale_of(attribution, model, spec)
    size = (frames.shape[1], frames.shape[2])
    if not heats[0].of_joints:
        return scale.over(frames, attribution.on_source(times_s, size, model, spec))
    images = np.zeros_like(frames) if _in_space(heats[0]) else frames.copy()
    alone = not frames.any()
    points, values = _joints(heats, times_s, attribution.size, size, alone)
    for image, people, heat in zip(images, points, values, strict=True):
        draw_joints(image, people, heat, scale, spec)
    return images


def draw_joints(
    image: np.ndarray, people: np.ndarray, heat: np.ndarray, scale: ColourScale, spec: ClipSpec
) -> None:
    """Draw people with coloured joints and limbs onto an image, in place.

    A limb has the mean heat of its two ends.

    Args:
        image: uint8 RGB `(H, W, 3)`, contiguous.
        people: `(M, J, 3)` as x px, y px, score.
        heat: `(M, J)`.
        scale: Its colours.
        spec: Names the skeleton.
    """
    edges = SKELETONS.get(spec.skeleton or "").edges
    unit = max(1, round(min(image.shape[:2]) / 160))
    for joints, values in zip(people, heat, strict=True):
        seen = joints[:, 2] > 0
        points = np.round(joints[:, :2].clip(-1e5, 1e5) * 2**_SHIFT).astype(int)
        limbs = [(a, b) for a, b in edges if seen[a] and seen[b]]
        for a, b in limbs:
            cv2.line(
                image, _pair(points[a]), _pair(points[b]), (255, 255, 255), 5 * unit, cv2.LINE_AA, _SHIFT
            )
        for a, b in sorted(limbs, key=lambda ends: abs(values[list(ends)].mean())):
            colour = _over_bone(scale, float(values[[a, b]].mean()))
            ends = _pair(points[a]), _pair(points[b])
            cv2.line(image, *ends, colour, 3 * unit, cv2.LINE_AA, _SHIFT)
        for joint in sorted(np.flatnonzero(seen), key=lambda j: abs(values[j])):
            centre, colour = _pair(points[joint]), _over_bone(scale, float(values[joint]))
            cv2.circle(image, centre, 5 * unit * 2**_SHIFT // 2, (255, 255, 255), -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(image, centre, 2 * unit * 2**_SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)


def _over_bone(scale: ColourScale, heat: float) -> tuple[int, int, int]:
    """A colour between that of a bone without heat and the scale's."""
    colour, alpha = scale.colours(np.array(heat))
    strength = float(alpha) / 0.8
    red, green, blue = (np.array(_BONE) * (1 - strength) + colour * strength).round().astype(int).tolist()
    return red, green, blue


def _pair(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _joints(
    heats: Sequence[InputHeat], times_s: np.ndarray, source: Size, size: Size, alone: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Joints `(N, M, J, 3)` in pixels of frames of `size` and their heat `(N, M, J)`, by time.

    Of several views the one nearest in time speaks.
    """
    points, values = [], []
    for time_s in times_s:
        heat = min(heats, key=lambda each: float(np.abs(each.times - time_s).min()))
        placed = _fitted(heat, size) if alone or _in_space(heat) else _scaled(heat, source, size)
        points.append(placed[int(np.abs(heat.times - time_s).argmin())])
        values.append(at_times(heat.values, heat.times, np.array([time_s]), heat.hold_s)[0])
    return np.stack(points), np.stack(values)


def _in_space(heat: InputHeat) -> bool:
    return heat.points is not None and heat.points.shape[-1] == 4


def _scaled(heat: InputHeat, source: Size, size: Size) -> np.ndarray:
    """Joints `(T, M, J, 3)` of the displayed source in pixels of frames of another size."""
    assert heat.points is not None
    scale = np.array([size[1] / source[1], size[0] / source[0]])
    xy = (heat.points[..., :2] + 0.5) * scale - 0.5
    return np.concatenate([xy, heat.points[..., 2:]], -1)


def _fitted(heat: InputHeat, size: Size) -> np.ndarray:
    """Joints `(T, M, J, 3)`, those in space from the front, as large as a frame holds them."""
    assert heat.points is not None
    up = -1 if _in_space(heat) else 1  # up is positive in space, negative in a frame
    xy, seen = heat.points[..., :2] * (1, up), heat.points[..., -1] > 0
    if seen.any():
        low, high = xy[seen].min(0), xy[seen].max(0)
        middle = np.array([size[1], size[0]]) / 2
        xy = (xy - (low + high) / 2) * 0.8 * float((2 * middle / np.maximum(high - low, 1e-6)).min()) + middle
    return np.concatenate([xy, heat.points[..., -1:]], -1)
