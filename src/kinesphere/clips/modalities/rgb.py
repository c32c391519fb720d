"""The rgb modality: frames of a video, uint8 until the network's input."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch

from kinesphere.clips.augment.colour import recolour
from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.augment.rand_augment import repaint
from kinesphere.clips.clip import Clip, check_frames, from_frames
from kinesphere.clips.geometry import Box, Size
from kinesphere.clips.modality import MODALITIES, Modality
from kinesphere.clips.reading import frame_reader
from kinesphere.clips.source import VideoSource
from kinesphere.clips.spec import ClipSpec, check_channels
from kinesphere.core.errors import InvalidClip

# Below this scale bilinear interpolation skips source pixels, so we average areas instead.
_AREA_BELOW = 0.5


def _frames(
    video: VideoSource, spec: ClipSpec, times_s: np.ndarray, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    frames = video.frames_at(times_s, size=size)
    return np.asarray(frames.data).transpose(0, 2, 3, 1), frames.times


def crop(clip: Clip, box: Box) -> Clip:
    """The part of every frame inside `box`, without copying pixels.

    Raises:
        InvalidClip: If the box reaches outside the frame.
    """
    if not box.within(clip.frame_size):
        raise InvalidClip(f"The crop {box} reaches outside the frame {clip.frame_size}.")
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    return clip.with_data(clip.data[:, :, rows, columns], box.size)


def resize(clip: Clip, size: Size) -> Clip:
    """Every frame scaled to `(H, W)`; bilinear, or by area when shrinking to less than half."""
    if size == clip.frame_size:
        return clip
    height, width = size
    how = interpolation(clip.frame_size, size)
    result = np.empty((len(clip), height, width, 3), np.uint8)
    # One call per frame: OpenCV reads a crop in place, row by row, where a batch would need a copy.
    for frame, target in zip(clip.data.permute(0, 2, 3, 1).numpy(), result, strict=True):
        cv2.resize(frame, (width, height), dst=target, interpolation=how)
    return clip.with_data(from_frames(result), size)


def interpolation(old: Size, new: Size) -> int:
    """OpenCV's flag for scaling frames of `(H, W)` pixels."""
    shrink = min(new[0] / old[0], new[1] / old[1])
    return int(cv2.INTER_AREA if shrink < _AREA_BELOW else cv2.INTER_LINEAR)


def flip(clip: Clip, spec: ClipSpec) -> Clip:
    """Left and right of every frame exchanged."""
    frames = clip.frames()
    count, height, width, _ = frames.shape
    # The frames on top of one another are one tall image.
    tall = cv2.flip(frames.reshape(count * height, width, 3), 1) if count else frames
    return replace(clip, data=from_frames(tall.reshape(frames.shape)), flipped=not clip.flipped)


def warp(clip: Clip, matrix: np.ndarray, spec: ClipSpec) -> Clip:
    """Every frame moved by a `(2, 3)` matrix of pixels; the mean colour comes in from outside."""
    height, width = clip.frame_size
    result = np.empty((len(clip), height, width, 3), np.uint8)
    for frame, target in zip(clip.frames(), result, strict=True):
        cv2.warpAffine(
            frame,
            matrix,
            (width, height),
            dst=target,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=mean_colour(spec),
        )
    return clip.with_data(from_frames(result))


def normalise(batch: torch.Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Pixels to the numbers that a network was trained on: `(x / 255 - mean) / std` per channel.

    Args:
        batch: uint8 `(..., 3, H, W)` in RGB, on any device.
        spec: Mean, standard deviation and channel order.
        dtype: Floating-point type of the result.

    Returns:
        A tensor of the same shape and memory layout, its channels in the spec's order.

    Raises:
        InvalidClip: If the batch is not uint8 or has no channel axis of 3.
    """
    if batch.dtype != torch.uint8 or batch.dim() < 3 or batch.shape[-3] != 3:
        raise InvalidClip(
            f"Pixels to normalise are uint8 (..., 3, H, W); got {batch.dtype} {tuple(batch.shape)}."
        )
    if spec.channels == "BGR":
        batch = batch.flip(-3)
    scale = torch.tensor([1 / (255 * s) for s in spec.std], device=batch.device)
    offset = torch.tensor([-m / s for m, s in zip(spec.mean, spec.std, strict=True)], device=batch.device)
    last = batch.movedim(-3, -1)
    if last.is_contiguous():
        # Repeating the three factors along a row lets whole rows go through vector instructions.
        *rest, width, channels = last.shape
        rows = last.reshape(*rest, width * channels).to(torch.float32)
        torch.addcmul(offset.repeat(width), rows, scale.repeat(width), out=rows)
        return rows.view(*rest, width, channels).movedim(-1, -3).to(dtype)
    values = batch.to(torch.float32)
    return torch.addcmul(offset.view(3, 1, 1), values, scale.view(3, 1, 1)).to(dtype)


def erase(clip: Clip, box: Box, spec: ClipSpec) -> Clip:
    """The mean colour in place of a box, the same in every frame (Zhong et al. 2020, Random Erasing)."""
    if not box.within(clip.frame_size):
        raise InvalidClip(f"The box to erase {box} reaches outside the frame {clip.frame_size}.")
    frames = clip.frames().copy()
    frames[:, box.top : box.top + box.height, box.left : box.left + box.width] = mean_colour(spec)
    return clip.with_data(from_frames(frames))


def draw(clip: Clip) -> np.ndarray:
    """The frames themselves: uint8 `(T, H, W, 3)`."""
    return clip.frames()


def mean_colour(spec: ClipSpec) -> tuple[int, int, int]:
    """The RGB colour that normalises to zero."""
    colour = [round(255 * m) for m in spec.mean]
    red, green, blue = colour if spec.channels == "RGB" else reversed(colour)
    return red, green, blue


read = frame_reader(_frames, mean_colour)


def alter(clip: Clip, parameters: AugmentParameters, spec: ClipSpec) -> Clip:
    """New colours, RandAugment's among them, and the box that is erased."""
    clip = repaint(recolour(clip, parameters.colour), parameters.operations)
    return clip if parameters.erased is None else erase(clip, parameters.erased, spec)


def add_noise(batch: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Frames with Gaussian noise in every pixel.

    Args:
        batch: uint8 `(B, V, T, 3, H, W)`.
        strength: Its standard deviation, as a fraction of white.
        generator: Where it is drawn.
    """
    noise = torch.randn(batch.shape, generator=generator) * (255 * strength)
    return (batch.float() + noise).round().clamp(0, 255).to(batch.dtype)


MODALITIES.add(
    "rgb",
    Modality(
        read=read,
        crop=crop,
        resize=resize,
        flip=flip,
        warp=warp,
        normalise=normalise,
        draw=draw,
        what="pixels",
        check_spec=partial(check_channels, channels=3, named="three channels"),
        check_clip=partial(check_frames, channels=3),
        shape=lambda spec: (3, *spec.size),
        alter=alter,
        shows_stills=True,
        noise=add_noise,
    ),
)
