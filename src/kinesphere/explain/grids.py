"""Maps on grids of cells that tile the same frames, brought to each other's cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def spread(map_Bthw: Tensor, cells: tuple[int, ...]) -> Tensor:
    """A map on other cells: what a cell has is divided among the cells that it overlaps, by their overlap.

    The sum stays. Both grids cover the same extent, so cells of `n` and of `m` per axis need not fit.

    Args:
        map_Bthw: `(B, …)`, any number of axes.
        cells: Size of each axis after the first.
    """
    for axis, (before, after) in enumerate(zip(map_Bthw.shape[1:], cells, strict=True), start=1):
        if before != after:
            shares = overlaps(before, after, map_Bthw)
            map_Bthw = (map_Bthw.movedim(axis, -1) @ shares).movedim(-1, axis)
    return map_Bthw


def overlaps(before: int, after: int, like: Tensor) -> Tensor:
    """`(before, after)`: the fraction of each of `before` equal cells that lies in each of `after`."""
    start = torch.arange(before, device=like.device, dtype=torch.float64)[:, None] / before
    other = torch.arange(after, device=like.device, dtype=torch.float64)[None] / after
    low, high = torch.maximum(start, other), torch.minimum(start + 1 / before, other + 1 / after)
    return ((high - low).clamp(min=0) * before).to(like.dtype)


def about_the_centre(map_Bthw: Tensor) -> Tensor:
    """A map over the central half of the height and width as one over all of them, empty around it."""
    height, width = map_Bthw.shape[2:]
    inner = spread(map_Bthw, (map_Bthw.shape[1], 2 * height, 2 * width))
    return F.pad(inner, (width, width, height, height))


def on_frames(map_BtMJ: Tensor, poses_BTMJC: Tensor) -> Tensor:
    """Heat of steps, people and joints (1: all alike) on the frames of poses; none where nothing was seen."""
    heat = map_BtMJ[:, _steps(map_BtMJ, poses_BTMJC)]
    return heat.expand(poses_BTMJC.shape[:-1]) * (poses_BTMJC[..., -1] > 0)


def at_joints(map_Bthw: Tensor, poses_BTMJC: Tensor) -> Tensor:
    """Heat `(B, T, M, J)` of the cells where joints are, whose x and y are fractions of the frame.

    Joints outside the frame, and those that were not seen, have none.
    """
    heat_BThw = map_Bthw[:, _steps(map_Bthw, poses_BTMJC)]
    size = poses_BTMJC.new_tensor([map_Bthw.shape[3], map_Bthw.shape[2]])
    column, row = (poses_BTMJC[..., :2] * size).floor().long().unbind(-1)
    shown = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1]) & (poses_BTMJC[..., -1] > 0)
    place = torch.where(shown, row * map_Bthw.shape[3] + column, 0).flatten(2)
    heat: Tensor = heat_BThw.flatten(2).gather(2, place).unflatten(2, shown.shape[2:])
    return heat * shown


def _steps(map_Bt: Tensor, poses_BTMJC: Tensor) -> Tensor:
    """The step of a map that each frame belongs to."""
    frames = torch.arange(poses_BTMJC.shape[1], device=map_Bt.device)
    return frames * map_Bt.shape[1] // poses_BTMJC.shape[1]
