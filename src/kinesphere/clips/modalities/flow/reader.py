"""The flow modality: how far every pixel moves, `(T, 2, H, W)` as x and y in pixels per frame.

The field at a timestamp is the motion from the frame displayed then to the video's next frame; at its last
frame, the motion that led there. Vectors are counted per frame of the source, or, where the spec has a
frame rate, per frame at that rate (longer by source rate / spec rate): sampling and vectors then mean the
same in videos of different rates. Fields come from a flow file where the source has one, else they are
computed from the frames: at the size of the files that a model learnt from where that is known, else at
the size at which frames are read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch

from kinesphere.clips.clip import Clip, check_frames, from_frames
from kinesphere.clips.geometry import Size
from kinesphere.clips.modalities import rgb
from kinesphere.clips.modalities.flow.draw import colour_wheel
from kinesphere.clips.modalities.flow.estimate import BOUND_PX, differences, estimated, prepared
from kinesphere.clips.modalities.flow.file import SUFFIX, FlowFile
from kinesphere.clips.modality import MODALITIES, Modality, Sidecar
from kinesphere.clips.plane_file import attached
from kinesphere.clips.reading import frame_reader
from kinesphere.clips.source import VideoSource, beside, displayed_rows
from kinesphere.clips.spec import ClipSpec, check_channels
from kinesphere.core.errors import InvalidAnnotation, InvalidClip


def _fields(
    video: VideoSource, spec: ClipSpec, times_s: np.ndarray, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 fields in pixels of `size`.

    Raises:
        InvalidAnnotation: If the source's flow file is of another method.
    """
    rows = displayed_rows(video, times_s)
    distinct, place = np.unique(rows, return_inverse=True)
    stored: FlowFile | None = beside(video, "flow")
    if stored is None:
        fields = estimated(video, distinct, size, spec.flow)
    elif stored.method in (spec.flow, "truth"):  # the true motion is what every method estimates
        fields = stored.fields(distinct)
    else:
        raise InvalidAnnotation(
            f"The flow file of the video holds {stored.method}, but the model sees {spec.flow}; extract "
            f"it with --method {spec.flow}, or train a model with clip.flow={stored.method}."
        )
    return scaled(fields, size)[place] * _per_frame(video, spec), video.frame_times()[rows]


def scaled(fields: np.ndarray, size: Size) -> np.ndarray:
    """Fields `(n, h, w, 2)` at `(H, W)` pixels: places and vectors both."""
    count, height, width, _ = fields.shape
    if (height, width) == size:
        return fields
    factor = np.array([size[1] / width, size[0] / height], np.float32)
    interpolation = rgb.interpolation((height, width), size)
    result = np.empty((count, *size, 2), np.float32)
    for field, target in zip(fields, result, strict=True):
        cv2.resize(field * factor, (size[1], size[0]), dst=target, interpolation=interpolation)
    return result


def resize(clip: Clip, size: Size) -> Clip:
    """Every field scaled to `(H, W)`, its vectors with it."""
    return clip.with_data(from_frames(scaled(clip.frames(), size)), size)


def flip(clip: Clip, spec: ClipSpec) -> Clip:
    """Left and right exchanged: places mirrored, x negated."""
    mirrored = clip.frames()[:, :, ::-1] * np.array([-1, 1], np.float32)
    return replace(clip, data=from_frames(mirrored), flipped=not clip.flipped)


def warp(clip: Clip, matrix: np.ndarray, spec: ClipSpec) -> Clip:
    """Places moved by a `(2, 3)` matrix of pixels and vectors turned with them; outside nothing moves."""
    height, width = clip.frame_size
    turn = matrix[:, :2].T.astype(np.float32)
    result = np.empty((len(clip), height, width, 2), np.float32)
    for field, target in zip(clip.frames(), result, strict=True):
        cv2.warpAffine(field, matrix, (width, height), dst=target, flags=cv2.INTER_LINEAR)
    return clip.with_data(from_frames(result @ turn))


def normalise(batch: torch.Tensor, spec: ClipSpec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Vectors as a network takes them: cut to ±20 pixels, then `(x - mean) / std` per component.

    As `rgb.normalise`, of floating-point batches `(..., 2, H, W)`, mean and standard deviation in pixels.
    """
    if not batch.is_floating_point() or batch.dim() < 3 or batch.shape[-3] != 2:
        raise InvalidClip(
            f"Flow to normalise is floating point (..., 2, H, W); got {batch.dtype} {tuple(batch.shape)}."
        )
    mean, std = (batch.new_tensor(values).view(2, 1, 1) for values in (spec.mean, spec.std))
    return ((batch.clamp(-BOUND_PX, BOUND_PX) - mean) / std).to(dtype)


def draw(clip: Clip) -> np.ndarray:
    """Colours of the flow wheel, uint8 `(T, H, W, 3)`; the clip's longest vector has full colour."""
    return colour_wheel(clip.frames())


def _per_frame(video: VideoSource, spec: ClipSpec) -> np.float32:
    """Frames of the source in the time of one frame that the spec counts."""
    begins = video.frame_times()
    if spec.fps is None or len(begins) < 2:
        return np.float32(1)
    rate = float(video.fps) if video.fps else 1 / float(np.median(np.diff(begins)))
    return np.float32(rate / spec.fps)


read = frame_reader(_fields)

MODALITIES.add(
    "flow",
    Modality(
        read=read,
        crop=rgb.crop,
        resize=resize,
        flip=flip,
        warp=warp,
        normalise=normalise,
        draw=draw,
        what="flow",
        check_spec=partial(check_channels, channels=2, named="x and y"),
        check_clip=partial(check_frames, channels=2),
        shape=lambda spec: (2, *spec.size),
        settings=frozenset({"flow"}),
        ahead=1,
        sidecar=Sidecar(
            SUFFIX,
            FlowFile.open,
            attached,
            needed=False,
            prepared=prepared,
            differences=differences,
        ),
    ),
)
