"""Where a frame is cut, how large it becomes, and how it is turned: decided once, as numbers.

Nothing here touches pixels. A `Geometry` is drawn once per clip and every modality applies it to its
own kind of data, so that frames, flow, joints and masks of one clip stay aligned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch

from kinesphere.clips.spec import ClipSpec
from kinesphere.core import rng
from kinesphere.core.errors import InvalidSetting

Size = tuple[int, int]
# Width to height of an erased box (Zhong et al. 2020, section 3.1).
_ERASE_RATIO = (0.3, 1 / 0.3)
Crop = Literal["centre", "random", "random_resized", "multi_scale"]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows `[top, top + height)`, columns `[left, left + width)`."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise InvalidSetting(f"A box has a corner of at least 0 and a size of at least 1 px; got {self}.")

    @property
    def size(self) -> Size:
        """`(height, width)` in pixels."""
        return self.height, self.width

    def within(self, frame_size: Size) -> bool:
        """Whether the box lies inside a frame of `(H, W)` pixels."""
        return self.top + self.height <= frame_size[0] and self.left + self.width <= frame_size[1]

    def scaled(self, old: Size, new: Size) -> Self:
        """The same part of the same frame at another size."""
        rows = _scaled_range(self.top, self.height, old[0], new[0])
        columns = _scaled_range(self.left, self.width, old[1], new[1])
        return type(self)(rows[0], columns[0], rows[1], columns[1])


def _scaled_range(start: int, length: int, old: int, new: int) -> tuple[int, int]:
    first = min(round(start * new / old), new - 1)
    last = max(round((start + length) * new / old), first + 1)
    return first, min(last, new) - first


@dataclass(frozen=True)
class Affine:
    """A turn, shear and shift of the finished frame, the same for every size.

    Attributes:
        angle_deg: Clockwise rotation about the centre, as seen.
        shear_x: Columns moved per row.
        shear_y: Rows moved per column.
        shift_x: Shift to the right, as a fraction of the width.
        shift_y: Shift downwards, as a fraction of the height.
    """

    angle_deg: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def matrix(self, size: Size) -> np.ndarray:
        """`(2, 3)` float64: where the frame's point `(x, y, 1)`, in pixels, goes to."""
        height, width = size
        angle = math.radians(self.angle_deg)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = turn @ np.array([[1.0, self.shear_x], [self.shear_y, 1.0]])
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = np.array([self.shift_x * width, self.shift_y * height])
        return np.column_stack([linear, centre + shift - linear @ centre])


@dataclass(frozen=True)
class Geometry:
    """What happens to the image plane of one clip, in this order: cut, scale, flip, turn.

    Attributes:
        frame_size: `(H, W)` of the frames that `box` was drawn for.
        box: The part that is kept; it is then scaled to the spec's size.
        flip: Whether left and right are exchanged.
        affine: A further turn, shear and shift, or None.
    """

    frame_size: Size
    box: Box
    flip: bool = False
    affine: Affine | None = None

    def __post_init__(self) -> None:
        if not self.box.within(self.frame_size):
            raise InvalidSetting(f"The box {self.box} reaches outside the frame {self.frame_size}.")

    def box_in(self, frame_size: Size) -> Box:
        """The box in frames of another size, for another modality of the same video."""
        return self.box.scaled(self.frame_size, frame_size)


# ------------------------------------------------------------------------------- sizes before cropping


@dataclass(frozen=True)
class FramePlan:
    """Sizes between the source and the crop.

    Attributes:
        decode: `(H, W)` to decode frames at.
        canvas: `(H, W)` after padding; the decode size except with `letterbox`.
    """

    decode: Size
    canvas: Size


def plan_frames(frame_size: Size, spec: ClipSpec, *, enlarge: float = 1.0) -> FramePlan:
    """How large the spec's resize policy makes a video's frames before anything is cropped.

    Args:
        frame_size: `(H, W)` of the video as displayed.
        spec: Size, resize policy and short side.
        enlarge: At least this many times the smallest size that holds the crop; training asks for
            more, so that random crops have space and lose no detail.

    Raises:
        InvalidSetting: If `enlarge` is below 1.
    """
    if not 1 <= enlarge < math.inf:
        raise InvalidSetting(f"Frames are enlarged by a factor of at least 1; got {enlarge}.")
    (height, width), (crop_height, crop_width) = frame_size, spec.size
    short_side = spec.short_side_px or 0
    if spec.resize == "stretch":
        scale = max(enlarge, short_side / min(spec.size))
        size = _rounded(crop_height * scale, crop_width * scale)
        return FramePlan(size, size)
    if spec.resize == "letterbox":
        canvas = _rounded(crop_height * enlarge, crop_width * enlarge)
        scale = min(canvas[0] / height, canvas[1] / width)
        fitted = _rounded(height * scale, width * scale)
        return FramePlan((min(fitted[0], canvas[0]), min(fitted[1], canvas[1])), canvas)
    cover = max(crop_height / height, crop_width / width)
    scale = max(cover * enlarge, short_side / min(height, width))
    size = _rounded(height * scale, width * scale)
    size = (max(size[0], crop_height), max(size[1], crop_width))
    return FramePlan(size, size)


def _rounded(height: float, width: float) -> Size:
    return max(1, math.floor(height + 0.5)), max(1, math.floor(width + 0.5))


def shrunk(size: Size, short_side_px: int) -> Size:
    """`(H, W)` with a short side of at most so many pixels."""
    scale = min(1.0, short_side_px / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# --------------------------------------------------------------------------------------------- test crops


def centre_box(frame_size: Size, size: Size) -> Box:
    """The middle of a frame, at most as large as the frame."""
    height, width = min(size[0], frame_size[0]), min(size[1], frame_size[1])
    return Box((frame_size[0] - height) // 2, (frame_size[1] - width) // 2, height, width)


def view_boxes(frame_size: Size, size: Size, crops: int) -> list[tuple[Box, bool]]:
    """Boxes of the test-time crops, each with whether it is flipped (see `Views`).

    1 is the centre; 2 that and its mirror image; 3 lie along the longer side of the frame (Feichtenhofer et
    al. 2019, SlowFast, section 4, inference); 5 are the four corners and the centre; 10 those and their
    mirror images (Wang et al. 2016, TSN, section 3.2).

    Raises:
        InvalidSetting: If the frame is smaller than the crop, or the number of crops is another.
    """
    centre = centre_box(frame_size, size)
    if centre.size != size:
        raise InvalidSetting(f"A crop of {size} does not fit a frame of {frame_size}; enlarge the frame.")
    height, width = size
    bottom, right = frame_size[0] - height, frame_size[1] - width
    if crops == 1:
        return [(centre, False)]
    if crops == 2:
        return [(centre, False), (centre, True)]
    if crops == 3:
        ends = (
            ((0, centre.left), (bottom, centre.left))
            if frame_size[0] > frame_size[1]
            else ((centre.top, 0), (centre.top, right))
        )
        first, last = (Box(top, left, height, width) for top, left in ends)
        return [(first, False), (centre, False), (last, False)]
    if crops in (5, 10):
        corners = [Box(top, left, height, width) for top in (0, bottom) for left in (0, right)]
        five = [*corners, centre]
        return [(box, flip) for flip in (False, True)[: crops // 5] for box in five]
    raise InvalidSetting(f"There are 1, 2, 3, 5 or 10 crops; got {crops}.")


# ----------------------------------------------------------------------------------------- training crops


def draw_box(
    kind: Crop,
    frame_size: Size,
    size: Size,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    scales: tuple[float, ...],
    generator: torch.Generator,
) -> Box:
    """The part of the frame that a training clip keeps; see the function of each kind."""
    if kind == "centre":
        return centre_box(frame_size, size)
    if kind == "random":
        return random_box(frame_size, size, generator)
    if kind == "multi_scale":
        return multi_scale_box(frame_size, size, scales, generator)
    return random_resized_box(frame_size, size, scale, ratio, generator)


def random_box(frame_size: Size, size: Size, generator: torch.Generator) -> Box:
    """A box of `size` anywhere in the frame."""
    fitting = centre_box(frame_size, size)
    return Box(
        rng.integer(generator, 0, frame_size[0] - fitting.height),
        rng.integer(generator, 0, frame_size[1] - fitting.width),
        fitting.height,
        fitting.width,
    )


def random_resized_box(
    frame_size: Size,
    size: Size,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Box:
    """A box of random area and shape, later scaled to `size` (after Szegedy et al. 2015, section 6).

    The usual way measures areas against the frame and tries again when a box sticks out, which on wide
    frames leaves few draws or distorts beyond `ratio`. Measured against the largest box of the drawn
    shape, every draw fits.

    Args:
        frame_size: `(H, W)` of the frame.
        size: `(H, W)` of the result; `ratio` is relative to its shape.
        scale: Least and largest area, as a fraction of the largest box of the drawn shape.
        ratio: Least and largest width to height, drawn log-uniformly.
        generator: Source of randomness.
    """
    shape = _log_uniform(ratio, generator) * size[1] / size[0]
    fraction = math.sqrt(rng.uniform(generator, *scale))
    height = min(frame_size[0], frame_size[1] / shape) * fraction
    return random_box(frame_size, _rounded(height, height * shape), generator)


def erased_box(frame_size: Size, area: tuple[float, float], generator: torch.Generator) -> Box:
    """A box of random area, as a fraction of the frame's, and shape (Zhong et al. 2020, Random Erasing)."""
    pixels = rng.uniform(generator, *area) * frame_size[0] * frame_size[1]
    # A box that sticks out keeps its area by becoming less long.
    width = min(frame_size[1], math.sqrt(pixels * _log_uniform(_ERASE_RATIO, generator)))
    height = min(frame_size[0], pixels / width)
    return random_box(frame_size, _rounded(height, pixels / height), generator)


def _log_uniform(bounds: tuple[float, float], generator: torch.Generator) -> float:
    return math.exp(rng.uniform(generator, math.log(bounds[0]), math.log(bounds[1])))


def multi_scale_box(
    frame_size: Size, size: Size, scales: tuple[float, ...], generator: torch.Generator
) -> Box:
    """A box at a corner or the centre, at one of few sizes (Wang et al. 2016, TSN, section 3.2).

    Height and width are drawn apart from `scales` times the largest box of the result's shape, at most
    one step of the list from each other.
    """
    base = min(frame_size[0] / size[0], frame_size[1] / size[1])
    tall = rng.integer(generator, 0, len(scales) - 1)
    wide = rng.integer(generator, max(tall - 1, 0), min(tall + 1, len(scales) - 1))
    cut = centre_box(frame_size, _rounded(scales[tall] * base * size[0], scales[wide] * base * size[1]))
    boxes = view_boxes(frame_size, cut.size, 5)
    return boxes[rng.integer(generator, 0, 4)][0]
