"""The mask modality: where people are, `(T, 1, H, W)` uint8, 255 where somebody surely is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch

from kinesphere.clips.clip import Clip, check_frames, from_frames
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities import rgb
from kinesphere.clips.modalities.mask.file import SUFFIX, MaskFile
from kinesphere.clips.modality import MODALITIES, Modality, Sidecar
from kinesphere.clips.plane_file import attached
from kinesphere.clips.reading import frame_reader
from kinesphere.clips.source import VideoSource, beside, displayed_rows
from kinesphere.clips.spec import ClipSpec, check_channels
from kinesphere.core.errors import InvalidAnnotation, InvalidClip


def known_masks(video: VideoSource) -> MaskFile:
    """The masks of a source.

    Raises:
        InvalidAnnotation: If it has none.
    """
    stored: MaskFile | None = beside(video, "mask")
    if stored is None:
        raise InvalidAnnotation(
            "The people of this video have no masks; run `kinesphere extract mask` on it first."
        )
    return stored


def _masks(
    video: VideoSource, spec: ClipSpec, times_s: np.ndarray, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    rows = displayed_rows(video, times_s)
    distinct, place = np.unique(rows, return_inverse=True)
    masks = scaled(known_masks(video).masks(distinct), size)[place]
    return masks[..., None], video.frame_times()[rows]


def scaled(masks: np.ndarray, size: Size) -> np.ndarray:
    """Masks `(n, h, w)` at `(H, W)` pixels."""
    if masks.shape[1:] == size:
        return masks
    how = rgb.interpolation(masks.shape[1:], size)
    result = np.empty((len(masks), *size), np.uint8)
    for mask, target in zip(masks, result, strict=True):
        cv2.resize(np.ascontiguousarray(mask), (size[1], size[0]), dst=target, interpolation=how)
    return result


def resize(clip: Clip, size: Size) -> Clip:
    """Every mask scaled to `(H, W)`."""
    return clip.with_data(from_frames(scaled(clip.frames()[..., 0], size)[..., None]), size)


def flip(clip: Clip, spec: ClipSpec) -> Clip:
    """Left and right of every mask exchanged."""
    return replace(clip, data=clip.data.flip(3), flipped=not clip.flipped)


def warp(clip: Clip, matrix: np.ndarray, spec: ClipSpec) -> Clip:
    """Every mask moved by a `(2, 3)` matrix of pixels; nobody comes in from outside."""
    height, width = clip.frame_size
    result = np.empty((len(clip), height, width, 1), np.uint8)
    for mask, target in zip(clip.frames(), result, strict=True):
        target[..., 0] = cv2.warpAffine(mask[..., 0], matrix, (width, height), flags=cv2.INTER_LINEAR)
    return clip.with_data(from_frames(result))


def normalise(batch: torch.Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Masks as a network takes them: as `rgb.normalise`, of batches `(..., 1, H, W)`."""
    if batch.dtype != torch.uint8 or batch.dim() < 3 or batch.shape[-3] != 1:
        raise InvalidClip(
            f"Masks to normalise are uint8 (..., 1, H, W); got {batch.dtype} {tuple(batch.shape)}."
        )
    return ((batch.float() / 255 - spec.mean[0]) / spec.std[0]).to(dtype)


def draw(clip: Clip) -> np.ndarray:
    """White people on black: uint8 `(T, H, W, 3)`."""
    return np.repeat(clip.frames(), 3, axis=3)


read = frame_reader(_masks)

MODALITIES.add(
    "mask",
    Modality(
        read=read,
        crop=rgb.crop,
        resize=resize,
        flip=flip,
        warp=warp,
        normalise=normalise,
        draw=draw,
        what="masks",
        check_spec=partial(check_channels, channels=1, named="one channel"),
        check_clip=partial(check_frames, channels=1),
        shape=lambda spec: (1, *spec.size),
        sidecar=Sidecar(SUFFIX, MaskFile.open, attached),
    ),
)
