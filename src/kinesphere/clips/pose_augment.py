"""Random changes to joints alone: what cameras, bodies and pose estimators do to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from kinesphere.clips.clip import Clip


@dataclass(frozen=True)
class PoseChange:
    """What is done to the joints of one clip, the same in every frame but for `jitter`.

    Attributes:
        turn_deg: Turns about x, y and z through the middle of all joints seen; pixels turn about z only,
            clockwise as seen.
        scale: Factors along x, y and z about the same point.
        jitter: Standard deviation of a joint's random error in each frame, as a share of the people's size.
        dropout: Probability that a joint of a person is not seen in the whole clip.
        shuffle: Whether people change places.
        seed: Of the random numbers that jitter, dropout and shuffle need.
    """

    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jitter: float = 0.0
    dropout: float = 0.0
    shuffle: bool = False
    seed: int = 0

    def apply(self, clip: Clip) -> Clip:
        """The changed clip; the given one is left as it is."""
        if replace(self, seed=0) == UNMOVED or not bool((clip.data[..., -1] > 0).any()):
            return clip
        generator = torch.Generator().manual_seed(self.seed)
        points, scores = clip.data[..., :-1], clip.data[..., -1]
        seen = scores > 0
        middle = points[seen].mean(0)
        linear = self._matrix(points.shape[-1])
        points = (points - middle) @ linear.T + middle
        if self.jitter:
            noise = torch.randn(points.shape, generator=generator)
            points = points + noise * (self.jitter * _size(points, seen))
        if self.dropout:
            lost = torch.rand(seen.shape[1:], generator=generator) < self.dropout
            scores = scores.masked_fill(lost, 0.0)
        data = torch.cat([points, scores[..., None]], -1) * (scores > 0)[..., None]
        if self.shuffle:
            data = data[:, torch.randperm(data.shape[1], generator=generator)]
        return replace(clip, data=data)

    def _matrix(self, dimensions: int) -> torch.Tensor:
        """`(D, D)`: scaled, then turned about x, y and z in turn."""
        turn = torch.eye(3)
        for axis, angle_deg in enumerate(self.turn_deg):
            if dimensions == 2 and axis != 2:
                continue
            angle, a, b = math.radians(angle_deg), (axis + 1) % 3, (axis + 2) % 3
            about = torch.eye(3)
            about[a, a] = about[b, b] = math.cos(angle)
            about[a, b], about[b, a] = -math.sin(angle), math.sin(angle)
            turn = about @ turn
        return (turn @ torch.diag(torch.tensor(self.scale, dtype=torch.float32)))[:dimensions, :dimensions]


UNMOVED = PoseChange()


def _size(points: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Mean over people and frames of the diagonal of the box around a person's seen joints."""
    inf = torch.tensor(math.inf)
    low = points.where(seen[..., None], inf).amin(2)
    high = points.where(seen[..., None], -inf).amax(2)
    diagonals: torch.Tensor = (high - low).norm(dim=-1)
    return diagonals[seen.any(-1)].mean()
