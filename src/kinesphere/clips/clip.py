"""`Clip`: the pixels, vectors or joints of one sampled clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from kinesphere.clips.spec import REGISTERED
from kinesphere.core.errors import InvalidClip
from kinesphere.core.short_repr import short_repr


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """One clip, time first.

    Attributes:
        data: rgb uint8 `(T, 3, H, W)`; flow float32 `(T, 2, H, W)` in pixels per frame; pose float32
            `(T, M, J, 3)` as x px, y px, score, or `(T, M, J, 4)` as x, y, z in metres and score; mask
            uint8 `(T, 1, H, W)`; of other modalities as they say. Frames lie in memory with their channels
            last wherever we make them; indexing is the same either way.
        times: `(T,)` float64 presentation times of the frames in the source, in seconds.
        frame_size: `(H, W)` of the frame that the coordinates refer to (joints in space: of no meaning).
        modality: What the data are: the name of a registered modality.
        repeated: How many of the T frames are repeats, because the span was shorter than the clip.
        flipped: Whether left and right are exchanged against the source (labels may be too).
        skeleton: Name of the skeleton of a pose clip's joints.
    """

    data: torch.Tensor
    times: np.ndarray
    frame_size: tuple[int, int]
    modality: str = "rgb"
    repeated: int = 0
    flipped: bool = False
    skeleton: str | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        shape = tuple(self.data.shape)
        if not shape or shape[0] != len(self.times):
            raise InvalidClip(
                f"A {self.modality} clip has time first, and a time per frame; "
                f"got shape {shape} and {len(self.times)} times."
            )
        REGISTERED.get(self.modality).check_clip(self)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> Self:
        """Some of the frames."""
        return replace(self, data=self.data[part], times=self.times[part])

    def with_data(self, data: torch.Tensor, frame_size: tuple[int, int] | None = None) -> Self:
        """The same timestamps with other data; `frame_size` when the frame's size changed."""
        return replace(self, data=data, frame_size=frame_size or self.frame_size)

    def frames(self) -> np.ndarray:
        """The data as `(T, H, W, C)`, without a copy where its memory already lies so."""
        return np.ascontiguousarray(self.data.permute(0, 2, 3, 1).numpy())


def check_frames(clip: Clip, channels: int) -> None:
    """Refuse a clip whose data are not `(T, C, H, W)` of its frame size; what modalities of frames check.

    Raises:
        InvalidClip: If they are not, or the clip names a skeleton.
    """
    shape, size = tuple(clip.data.shape), tuple(clip.frame_size)
    if len(shape) != 4 or shape[1] != channels or shape[2:] != size:
        raise InvalidClip(
            f"A {clip.modality} clip is (T, {channels}, H, W) with (H, W) = {size}; got {shape}."
        )
    if clip.skeleton is not None:
        raise InvalidClip("A pose clip names its skeleton, and only a pose clip does.")


def from_frames(frames: np.ndarray) -> torch.Tensor:
    """A `(T, C, H, W)` tensor over the memory of `(T, H, W, C)` frames."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def stack(clips: Sequence[Clip]) -> torch.Tensor:
    """Views of one sample as one tensor `(V, T, ...)`.

    Frames keep their channels last in memory, so that a 3D network which transposes to
    `(V, C, T, H, W)` finds the layout that it runs fastest in without another copy.

    Raises:
        InvalidClip: If there are none, or their shapes differ.
    """
    shapes = {tuple(clip.data.shape) for clip in clips}
    if len(shapes) != 1:
        raise InvalidClip(
            f"Clips stack only when there are some and all have one shape; got {sorted(shapes)}."
        )
    if not REGISTERED.get(clips[0].modality).is_picture:
        return torch.stack([clip.data for clip in clips])
    return torch.stack([clip.data.permute(0, 2, 3, 1) for clip in clips]).permute(0, 1, 4, 2, 3)
