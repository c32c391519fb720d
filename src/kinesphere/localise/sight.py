"""What detectors see: the features that they were trained on, and their moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinesphere.core.errors import InvalidSetting
from kinesphere.predict.features import VideoFeatures


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
        if self.origin != other.origin or self.width != other.width:
            raise InvalidSetting(
                f"{name} has features of {other.origin} ({other.width} numbers); the detector sees those of "
                f"{self.origin} ({self.width}). Extract them with that model."
            )
        if abs(self.stride_s - other.stride_s) > 0.01 * self.stride_s:
            raise InvalidSetting(
                f"{name} has features every {other.stride_s:g} s, the detector sees one every "
                f"{self.stride_s:g} s; extract them anew."
            )


def moments(videos: Sequence[VideoFeatures]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `(C,)` of the rows of some videos."""
    values = np.concatenate([each.values for each in videos]).astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    # A number that never changes says nothing, and must not be blown up.
    std = np.where(std > 1e-6 * (1 + np.abs(mean)), std, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
