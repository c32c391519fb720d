"""RandAugment (Cubuk et al. 2020): a few operations of one strength, drawn from fourteen.

Ranges are those of AutoAugment (Cubuk et al. 2019, table 6). All frames of a clip get the same
operations. Those that move the frame join the clip's `Affine`, so that every modality follows them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from kinesphere.clips.augment import colour
from kinesphere.clips.augment.colour import ColourChange
from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Affine
from kinesphere.core import rng

OperationName = Literal[
    "identity",
    "autocontrast",
    "equalize",
    "posterize",
    "solarize",
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
]

# Which part of an `Affine` an operation changes, by how much at most.
_MOVES = {
    "rotate": ("angle_deg", 30.0),
    "shear_x": ("shear_x", 0.3),
    "shear_y": ("shear_y", 0.3),
    "translate_x": ("shift_x", 150 / 331),
    "translate_y": ("shift_y", 150 / 331),
}
_ENHANCE, _POSTERIZE_BITS = 0.9, 4


@dataclass(frozen=True)
class Operation:
    """One drawn operation.

    Attributes:
        name: Which of the fourteen.
        strength: From -1 to 1, as a fraction of the operation's range; the sign is the direction, where
            the operation has one.
    """

    name: OperationName
    strength: float


def draw_operations(count: int, magnitude: float, generator: torch.Generator) -> tuple[Operation, ...]:
    """`count` operations, drawn with replacement, of strength `magnitude` in [0, 1] either way."""
    names = get_args(OperationName)
    return tuple(
        Operation(
            names[rng.integer(generator, 0, len(names) - 1)],
            -magnitude if rng.happens(generator, 0.5) else magnitude,
        )
        for _ in range(count)
    )


def movement(operations: tuple[Operation, ...]) -> Affine | None:
    """What the operations do to the image plane; their angles, shears and shifts add up."""
    affine = Affine()
    for operation in operations:
        if operation.name in _MOVES:
            part, most = _MOVES[operation.name]
            affine = replace(affine, **{part: getattr(affine, part) + most * operation.strength})
    return None if affine == Affine() else affine


def repaint(clip: Clip, operations: tuple[Operation, ...]) -> Clip:
    """What the operations do to the colours of an rgb clip, in turn."""
    for operation in operations:
        strength, factor = abs(operation.strength), 1 + _ENHANCE * operation.strength
        match operation.name:
            case "autocontrast":
                clip = colour.autocontrast(clip)
            case "equalize":
                clip = colour.equalize(clip)
            case "posterize":
                clip = colour.posterize(clip, 8 - round(_POSTERIZE_BITS * strength))
            case "solarize":
                clip = colour.solarize(clip, 256 * (1 - strength))
            case "brightness":
                clip = colour.recolour(clip, ColourChange(brightness=factor))
            case "contrast":
                clip = colour.recolour(clip, ColourChange(contrast=factor))
            case "saturation":
                clip = colour.recolour(clip, ColourChange(saturation=factor))
            case "sharpness":
                clip = colour.sharpen(clip, factor)
    return clip
