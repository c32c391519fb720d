"""Where a clip lies in its source: the way of heat back to the displayed frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.clips.geometry import Size, plan_frames, view_boxes
from kinesphere.clips.spec import ClipSpec, Views


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a clip lie in the frames of its source, as displayed.

    A point of the source at `(x, y)`, counted from the corner of the frame, is at
    `(x * scale_x + left, y * scale_y + top)` in the clip, before a flip.

    Attributes:
        source_size: `(H, W)` of the displayed frames.
        clip_size: `(H, W)` of the clip.
        scale_x: Pixels of the clip per pixel of the source, along rows.
        scale_y: The same, along columns.
        left: Where the source's left edge lies in the clip, in its pixels; negative where it is cut off.
        top: Where its upper edge lies.
        flipped: Whether left and right of the clip are exchanged.
    """

    source_size: Size
    clip_size: Size
    scale_x: float
    scale_y: float
    left: float
    top: float
    flipped: bool = False

    def to_source(self, planes: np.ndarray, size: Size) -> np.ndarray:
        """Planes of the clip on frames of the source; zero where the clip shows nothing of them.

        Args:
            planes: float32 `(N, H, W)` of the clip's size.
            size: `(H, W)` at which the source is drawn; any multiple of its displayed size.

        Returns:
            float32 `(N, *size)`.
        """
        matrix = self._matrix(size)
        result = np.empty((len(planes), *size), np.float32)
        for plane, target in zip(planes, result, strict=True):
            straight = np.ascontiguousarray(plane[:, ::-1] if self.flipped else plane, np.float32)
            cv2.warpAffine(
                straight, matrix, size[::-1], dst=target, borderMode=cv2.BORDER_REPLICATE,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )  # fmt: skip
        result *= self.seen(size)
        return result

    def seen(self, size: Size) -> np.ndarray:
        """bool `size`: the pixels of the source, drawn at `size`, that the clip shows."""
        rows = (np.arange(size[0]) + 0.5) * self.source_size[0] / size[0] * self.scale_y + self.top
        columns = (np.arange(size[1]) + 0.5) * self.source_size[1] / size[1] * self.scale_x + self.left
        inside_rows = (rows >= 0) & (rows < self.clip_size[0])
        inside_columns = (columns >= 0) & (columns < self.clip_size[1])
        return inside_rows[:, None] & inside_columns[None]

    def _matrix(self, size: Size) -> np.ndarray:
        """`(2, 3)`: from pixels of the source drawn at `size` to the clip's, counted by their centres."""
        x = self.scale_x * self.source_size[1] / size[1]
        y = self.scale_y * self.source_size[0] / size[0]
        return np.array([[x, 0, 0.5 * x + self.left - 0.5], [0, y, 0.5 * y + self.top - 0.5]])


def placements(source_size: Size, spec: ClipSpec, views: Views = Views()) -> list[Placement]:  # noqa: B008
    """Where the crops of one clip of frames lie in a source, in the order of `Views`.

    Args:
        source_size: `(H, W)` of the source as displayed.
        spec: Size and resize policy of the clip.
        views: How many crops there are.
    """
    plan = plan_frames(source_size, spec)
    scale_y, scale_x = (plan.decode[i] / source_size[i] for i in (0, 1))
    top, left = ((plan.canvas[i] - plan.decode[i]) // 2 for i in (0, 1))
    return [
        Placement(source_size, spec.size, scale_x, scale_y, left - box.left, top - box.top, flipped)
        for box, flipped in view_boxes(plan.canvas, spec.size, views.crops)
    ]


Offset = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Along T, H and W, in even tiles: from the middle of the first one to that of the first cell, and from one
cell to the next (not 1 where the clip's length is no multiple of a layer's stride)."""
TILES: Offset = ((0.0, 1.0), (0.0, 1.0), (0.0, 1.0))
"""Of cells that tile a clip evenly."""


def fill_cells(cells: Tensor, shape: tuple[int, int, int], offset: Offset = TILES) -> Tensor:
    """Heat of cells `(B, t, h, w)` of a clip for each of its pixels `(B, T, H, W)`.

    Between the centres of cells it runs evenly from one's value to the next one's, along time as well.

    Args:
        cells: Evenly over the clip.
        shape: `(T, H, W)`.
        offset: Where their centres lie.
    """
    if offset == TILES:
        if tuple(cells.shape[1:]) == shape:
            return cells
        filled = F.interpolate(cells[:, None].float(), size=shape, mode="trilinear", align_corners=False)
        return filled[:, 0]
    for axis, (length, along) in enumerate(zip(shape, offset, strict=True), start=1):
        between = _between(cells.shape[axis], length, along, cells)
        cells = (cells.movedim(axis, -1).float() @ between).movedim(-1, axis)
    return cells


def _between(cells: int, pixels: int, along: tuple[float, float], like: Tensor) -> Tensor:
    """`(cells, pixels)`: how much of each pixel's value is that of each cell."""
    first, distance = along
    tile = (torch.arange(pixels, device=like.device) + 0.5) * cells / pixels - 0.5
    number = torch.arange(cells, device=like.device)[:, None]
    return (1 - (((tile - first) / distance).clamp(0, cells - 1) - number).abs()).clamp(min=0)


def at_times(values: np.ndarray, clip_times_s: np.ndarray, times_s: np.ndarray, hold_s: float) -> np.ndarray:
    """Heat of the frames of a clip at other times of the source.

    Frames that the clip shows more than once (a short video's) count with their mean. Between two sampled
    frames heat runs evenly from one's to the other's; before the first and after the last it holds for
    `hold_s`, and is zero beyond.

    Args:
        values: `(T, ...)` per frame of the clip.
        clip_times_s: `(T,)` when these are displayed.
        times_s: `(N,)` in seconds.
        hold_s: Seconds, usually half the distance of sampled frames.

    Returns:
        `(N, ...)`.
    """
    shown, which = np.unique(clip_times_s, return_inverse=True)
    sums = np.zeros((len(shown), *values.shape[1:]), np.float64)
    np.add.at(sums, which, values)
    means = sums / np.bincount(which).reshape(-1, *[1] * (values.ndim - 1))
    after = np.clip(np.searchsorted(shown, times_s, side="right"), 0, len(shown) - 1)
    before = np.clip(after - 1, 0, len(shown) - 1)
    after = np.where(times_s < shown[0], 0, after)
    gap = shown[after] - shown[before]
    share = np.clip(np.divide(times_s - shown[before], gap, out=np.zeros_like(gap), where=gap > 0), 0, 1)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    found = means[before] * (1 - share) + means[after] * share
    held = (times_s >= shown[0] - hold_s) & (times_s <= shown[-1] + hold_s)
    result: np.ndarray = (found * held.reshape(share.shape)).astype(np.float32)
    return result


def frame_distance(times_s: np.ndarray) -> float:
    """The usual distance in seconds of the frames that a clip shows; 0 where it shows a single one."""
    shown = np.unique(times_s)
    return float(np.median(np.diff(shown))) if len(shown) > 1 else 0.0
