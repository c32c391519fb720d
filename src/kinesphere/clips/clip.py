"""`Clip`: the pixels, vectors or joints of one sampled clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kinesphere.clips.spec import Modality
from kinesphere.core.errors import InvalidClip

_CHANNELS: dict[Modality, int] = {"rgb": 3, "flow": 2, "mask": 1}


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip, time first.

    Attributes:
        data: rgb uint8 `(T, 3, H, W)`; flow float32 `(T, 2, H, W)` in pixels per frame; pose float32
            `(T, M, J, 3)` as x px, y px, score; mask uint8 `(T, 1, H, W)`.
        times: `(T,)` float64 presentation times of the frames in the source, in seconds.
        frame_size: `(H, W)` of the picture that the coordinates refer to.
        modality: Which of the four.
        repeated: How many of the T frames are repeats, because the span was shorter than the clip.
    """

    data: torch.Tensor
    times: np.ndarray
    frame_size: tuple[int, int]
    modality: Modality = "rgb"
    repeated: int = 0

    def __post_init__(self) -> None:
        shape = tuple(self.data.shape)
        if len(shape) != 4 or shape[0] != len(self.times):
            raise InvalidClip(
                f"A {self.modality} clip needs 4 axes, time first, and a time per frame; "
                f"got shape {shape} and {len(self.times)} times."
            )
        if self.modality == "pose":
            if shape[3] != 3:
                raise InvalidClip(f"A pose clip is (T, M, J, 3); got {shape}.")
        elif shape[1] != _CHANNELS[self.modality] or shape[2:] != tuple(self.frame_size):
            raise InvalidClip(
                f"A {self.modality} clip is (T, {_CHANNELS[self.modality]}, H, W) "
                f"with (H, W) = {self.frame_size}; got {shape}."
            )

    def __len__(self) -> int:
        return len(self.times)
