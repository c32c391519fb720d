"""`AugmentParameters`: everything random about one augmented clip, drawn before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass

from kinesphere.clips.augment.colour import UNCHANGED, ColourChange
from kinesphere.clips.augment.joints import UNMOVED, PoseChange
from kinesphere.clips.augment.rand_augment import Operation
from kinesphere.clips.geometry import Box, Geometry


@dataclass(frozen=True)
class AugmentParameters:
    """Everything random about one augmented clip; `Modality.augment` carries it out.

    Attributes:
        geometry: What happens to the image plane; every modality follows it.
        colour: Colour jitter (rgb).
        operations: RandAugment; `geometry` holds what of it moves the frame (rgb).
        erased: Box of the finished frame, in pixels, that is erased (rgb).
        joints: Random changes to joints (pose).
        seed: Seed of whatever else a modality changes at random.
    """

    geometry: Geometry
    colour: ColourChange = UNCHANGED
    operations: tuple[Operation, ...] = ()
    erased: Box | None = None
    joints: PoseChange = UNMOVED
    seed: int = 0
