"""Geometry of joints: crop, resize, flip (left and right joints change places), and warp, with the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Box, Size
from kinesphere.clips.modalities.pose.poses import scale_points
from kinesphere.clips.skeleton import SKELETONS
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidClip


def crop(clip: Clip, box: Box) -> Clip:
    """The coordinates counted from the corner of `box`; joints outside it stay.

    Raises:
        InvalidClip: If the box reaches outside the frame.
    """
    if not box.within(clip.frame_size):
        raise InvalidClip(f"The crop {box} reaches outside the frame {clip.frame_size}.")
    return moved(clip, -box.left, -box.top, box.size)


def resize(clip: Clip, size: Size) -> Clip:
    """The coordinates in a frame scaled to `(H, W)`."""
    if size == clip.frame_size or in_space(clip):
        return replace(clip, frame_size=size)
    scale = np.array([size[1] / clip.frame_size[1], size[0] / clip.frame_size[0]])
    return _with_points(clip, torch.from_numpy(scale_points(clip.data[..., :2].numpy(), scale)), size)


def flip(clip: Clip, spec: ClipSpec) -> Clip:
    """Left and right exchanged: of the frame or of space, and of the joints' names."""
    data = clip.data[..., list(SKELETONS.get(clip.skeleton or "").mirror), :].clone()
    seen = data[..., -1] > 0
    middle = 0.0 if in_space(clip) else clip.frame_size[1] - 1.0
    data[..., 0] = torch.where(seen, middle - data[..., 0], 0.0)
    return replace(clip, data=data, flipped=not clip.flipped)


def warp(clip: Clip, matrix: np.ndarray, spec: ClipSpec) -> Clip:
    """The joints moved by a `(2, 3)` matrix of pixels."""
    if in_space(clip):
        return clip
    moved = clip.data[..., :2].numpy() @ matrix[:, :2].T + matrix[:, 2]
    return _with_points(clip, torch.from_numpy(moved.astype(np.float32)), clip.frame_size)


def moved(clip: Clip, right_px: float, down_px: float, size: Size) -> Clip:
    """The coordinates moved by so many pixels, in a frame of size `(H, W)`."""
    if in_space(clip) or right_px == down_px == 0:
        return replace(clip, frame_size=size)
    return _with_points(clip, clip.data[..., :2] + torch.tensor([right_px, down_px]), size)


def _with_points(clip: Clip, points: torch.Tensor, size: Size) -> Clip:
    """New pixel coordinates for the joints that were seen, in a frame of another size."""
    scores = clip.data[..., 2:]
    return replace(clip, data=torch.cat([points.where(scores > 0, 0.0), scores], -1), frame_size=size)


def in_space(clip: Clip) -> bool:
    """Whether joints are in metres, which no frame concerns."""
    return clip.data.shape[-1] == 4
