"""Random changes to joints alone: what cameras, bodies and pose estimators do to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from kinesphere.clips.clip import Clip


@dataclass(frozen=True)
class PoseChange:
    """What is done to the joints of one clip, the same in every frame but for `jitter`.

    Attributes:
        turn_deg: Turns about x, y and z through the middle of all joints seen; pixels turn about z only,
            clockwise as seen.
        scale: Factors along x, y and z about the same point.
        jitter: Standard deviation of a joint's error in each frame, as a fraction of the people's size.
        dropout: Probability that a joint of a person is not seen in the whole clip.
        shuffle: Whether people change places.
        seed: Seed of the random numbers that jitter, dropout and shuffle need.
    """

    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jitter: float = 0.0
    dropout: float = 0.0
    shuffle: bool = False
    seed: int = 0

    def apply(self, clip: Clip) -> Clip:
        """The changed clip; the given one is left as it is."""
        joints = clip.data.numpy()  # arrays this small are worked on faster so
        points, scores = joints[..., :-1], joints[..., -1]
        seen = scores > 0
        if replace(self, seed=0) == UNMOVED or not seen.any():
            return clip
        generator = torch.Generator().manual_seed(self.seed)
        middle = points[seen].mean(0)
        points = (points - middle) @ self._matrix(points.shape[-1]).T + middle
        if self.jitter:
            noise = torch.randn(points.shape, generator=generator).numpy()
            points += noise * (self.jitter * _size(points, seen))
        if self.dropout:
            lost = torch.rand(seen.shape[1:], generator=generator) < self.dropout
            scores = np.where(lost.numpy(), 0, scores)
        data = np.concatenate([points, scores[..., None]], -1) * (scores > 0)[..., None]
        if self.shuffle:
            data = data[:, torch.randperm(data.shape[1], generator=generator).numpy()]
        return replace(clip, data=torch.from_numpy(data))

    def _matrix(self, dimensions: int) -> np.ndarray:
        """float32 `(D, D)`: scaled, then turned about x, y and z in turn."""
        turn = np.eye(3)
        for axis, angle_deg in enumerate(self.turn_deg):
            if dimensions == 2 and axis != 2:
                continue
            angle, a, b = math.radians(angle_deg), (axis + 1) % 3, (axis + 2) % 3
            about = np.eye(3)
            about[a, a] = about[b, b] = math.cos(angle)
            about[a, b], about[b, a] = -math.sin(angle), math.sin(angle)
            turn = about @ turn
        linear: np.ndarray = (turn * self.scale)[:dimensions, :dimensions].astype(np.float32)
        return linear


UNMOVED = PoseChange()


def _size(points: np.ndarray, seen: np.ndarray) -> np.float32:
    """Mean over people and frames of the diagonal of the box around a person's seen joints."""
    low = np.where(seen[..., None], points, np.inf).min(2)
    high = np.where(seen[..., None], points, -np.inf).max(2)
    there = seen.any(-1)
    extent = high[there] - low[there]
    return np.float32(np.sqrt((extent**2).sum(-1)).mean())
