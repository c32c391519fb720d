"""What detectors see: the features that they were trained on, and their moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.features import FOREIGN, VideoFeatures

_SAME, _FASTER = 0.01, 3.0
"""How far strides may lie apart; and those of one grid in frames, at other frame rates."""


@dataclass(frozen=True)
class Sight:
    """The features that a detector sees.

    Attributes:
        origin: What makes them (`VideoFeatures.origin`).
        stride_s, window_s: Their grid.
        width: Numbers of a row.
    """

    origin: str
    stride_s: float
    window_s: float
    width: int

    @classmethod
    def of(cls, features: VideoFeatures) -> Sight:
        """Those of a video."""
        return cls(features.origin, features.stride_s, features.window_s, features.width)

    def check(self, features: VideoFeatures, name: str) -> None:
        """Refuse other features.

        Raises:
            InvalidSetting: If a video has features by another model or on another grid.
        """
        other = Sight.of(features)
        foreign = self.origin.startswith(FOREIGN)
        if foreign and other.origin.startswith(FOREIGN) and self.width != other.width:
            raise InvalidSetting(
                f"{name} has rows of {other.width} numbers, the detector sees rows of {self.width}: they are "
                "of another program, or their files hold (D, N) and are to be read with channels_first."
            )
        if self.origin != other.origin or self.width != other.width:
            raise InvalidSetting(
                f"{name} has features of {other.origin} ({other.width} numbers); the detector sees those of "
                f"{self.origin} ({self.width}). Extract them with that model."
            )
        if not (self._counts_frames_alike(other) if foreign else self.has_stride(features)):
            raise InvalidSetting(
                f"{name} has features every {other.stride_s:g} s, the detector sees one every "
                f"{self.stride_s:g} s (windows of {other.window_s:g} s and {self.window_s:g} s); extract "
                "them anew, or leave that video out."
            )

    def has_stride(self, features: VideoFeatures) -> bool:
        """Whether rows of a video lie as far apart as those that the detector sees."""
        return abs(self.stride_s - features.stride_s) <= _SAME * self.stride_s

    def _counts_frames_alike(self, other: Sight) -> bool:
        """Whether features of another program are on this grid of frames, at whatever frame rate: stride and
        window then differ by the same factor."""
        stride, window = other.stride_s / self.stride_s, other.window_s / self.window_s
        return abs(stride - window) <= _SAME * stride and 1 / _FASTER <= stride <= _FASTER


def moments(videos: Sequence[VideoFeatures]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `(C,)` of the rows of some videos, which are gone through one by one."""
    rows = sum(len(each) for each in videos)
    mean = np.sum([each.values.sum(0, dtype=np.float64) for each in videos], 0) / rows
    spread = [((each.values - mean) ** 2).sum(0) for each in videos]
    std = np.sqrt(np.sum(spread, 0) / rows)
    # A number that never changes says nothing, and must not be blown up.
    std = np.where(std > 1e-6 * (1 + np.abs(mean)), std, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
