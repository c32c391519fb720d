"""From a decoded frame to RGB at the size that was asked for: planes first, colour last.

Each plane of a YUV frame is resized where it lies, without a copy, and only the small result is
converted to RGB; a full-size RGB frame is never made. Shrinking halves exactly (2x2 mean) while it
can and ends with one bilinear step below a factor of two, so that every source pixel counts and fine
texture does not alias. Pixel formats that are not planar YUV go through swscale, straight to the size.

Colour follows the stream: matrix (ITU-R BT.601, BT.709, BT.2020 non-constant) and range (limited, full)
as tagged; untagged streams are taken for BT.601 limited, as swscale and OpenCV do. Alpha is ignored.
Transfer curves are not touched: HDR frames are not tone-mapped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import cast

import av
import cv2
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Interpolation

# Pixel format -> bits per sample, for those whose first three planes are Y, U, V.
_PLANAR = {
    **{f"yuv{a}4{s}p": 8 for a in ("", "j", "a") for s in ("20", "22", "44", "40", "11", "10")},
    **{f"yuv4{s}p{bits}le": bits for s in ("20", "22", "44") for bits in (10, 12)},
}
# AVColorSpace -> luma weights of red and blue. BT.601 unless listed.
_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_BT601 = (0.299, 0.114)
_FULL_RANGE = int(ColorRange.JPEG)
# Nine numbers of 32 bits.
_MATRIX_BYTES = 36


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """How a frame is to be shown by its display matrix: `(rotation_deg, mirrored)`, see `rgb`.

    Angles in between are rounded to a quarter of a turn; a matrix that flattens the frame is ignored.
    """
    try:
        # PyAV's own stubs take the container for a dictionary of names.
        known = cast(Mapping[SideDataType, Buffer], frame.side_data)
        matrix = bytes(known[SideDataType.DISPLAYMATRIX])
    except KeyError:
        return 0, False
    if len(matrix) < _MATRIX_BYTES:
        return 0, False
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32, 9).astype(float).tolist()
    determinant = a * d - b * c
    if determinant == 0:
        return 0, False
    mirrored = determinant < 0
    # A mirror image is turned after it was mirrored, so that its first column has the other sign.
    a, b = (-a, -b) if mirrored else (a, b)
    return round(-math.degrees(math.atan2(b, a)) / 90) % 4 * 90, mirrored


def rgb(
    frame: av.VideoFrame,
    size: tuple[int, int],
    rotation_deg: int,
    out: np.ndarray,
    *,
    mirrored: bool = False,
) -> None:
    """Write `frame` as RGB into `out`.

    Args:
        frame: A decoded frame.
        size: `(H, W)` in pixels as displayed, that is after the rotation.
        rotation_deg: 0, 90, 180 or 270, counter-clockwise.
        out: uint8 `(H, W, 3)`, C-contiguous.
        mirrored: Whether left and right are exchanged before the rotation.
    """
    turned = rotation_deg in (90, 270)
    height, width = (size[1], size[0]) if turned else size
    depth = _PLANAR.get(frame.format.name)
    turns = rotation_deg != 0 or mirrored
    upright = np.empty((height, width, 3), np.uint8) if turns else out
    if depth:
        _from_planes(frame, height, width, depth, upright)
    else:
        np.copyto(upright, _from_swscale(frame, height, width))
    if turns:
        np.copyto(out, np.rot90(upright[:, ::-1] if mirrored else upright, rotation_deg // 90))


def _from_planes(frame: av.VideoFrame, height: int, width: int, depth: int, out: np.ndarray) -> None:
    planes = [shrink(_samples(plane, depth), height, width) for plane in frame.planes[:3]]
    if depth > 8:
        planes = [cv2.convertScaleAbs(plane, alpha=2.0 ** (8 - depth)) for plane in planes]
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    cv2.transform(cv2.merge(planes), _matrix(int(frame.colorspace), full), dst=out)


def _samples(plane: VideoPlane, depth: int) -> np.ndarray:
    """The plane's samples where the decoder left them."""
    kind = np.dtype(np.uint16 if depth > 8 else np.uint8)
    return np.ndarray(
        (plane.height, plane.width), kind, memoryview(plane), strides=(plane.line_size, kind.itemsize)
    )


def shrink(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a plane to `(height, width)`: exact halvings, then at most one bilinear step."""
    h, w = plane.shape[:2]
    while h >= 2 * height and w >= 2 * width and h % 2 == 0 and w % 2 == 0:
        h, w = h // 2, w // 2
        plane = cv2.resize(plane, (w, h), interpolation=cv2.INTER_AREA)
    if (h, w) == (height, width):
        return plane
    odd = h >= 2 * height and w >= 2 * width
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA if odd else cv2.INTER_LINEAR)


def _from_swscale(frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
    small = frame.reformat(width, height, "rgb24", interpolation=Interpolation.AREA)
    return small.to_ndarray()


@cache
def _matrix(colorspace: int, full_range: bool) -> np.ndarray:
    """`(3, 4)` affine map from 8-bit Y, Cb, Cr to R, G, B (ITU-T H.273, section 8.3)."""
    red, blue = _WEIGHTS.get(colorspace, _BT601)
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    to_red, to_blue = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    linear = np.array(
        [
            [luma, 0.0, to_red],
            [luma, -to_blue * blue / green, -to_red * red / green],
            [luma, to_blue, 0.0],
        ]
    )
    return np.column_stack([linear, linear @ -np.array([black, 128.0, 128.0])])
