"""Augmentation: its settings, and what is drawn by them for one clip.

Everything random about a clip is drawn once, as `AugmentParameters`; carrying them out is a pure function of
its modality that treats all frames alike. Clips of several modalities of one sample follow the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self, get_args

import torch

from kinesphere.clips.augment.background import Background, check_background
from kinesphere.clips.augment.colour import ColourChange
from kinesphere.clips.augment.joints import PoseChange
from kinesphere.clips.augment.mix import Mixing, cutmix, cutmix_in_time, mixup
from kinesphere.clips.augment.parameters import AugmentParameters
from kinesphere.clips.augment.rand_augment import draw_operations, movement
from kinesphere.clips.clip import Clip
from kinesphere.clips.geometry import Box, Crop, Geometry, Size, draw_box, erased_box
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.sampling import TemporalJitter
from kinesphere.clips.spec import ClipSpec, Views
from kinesphere.core import rng
from kinesphere.core.errors import InvalidSetting, UnknownName
from kinesphere.core.labels import LabelSet
from kinesphere.core.registry import nearest
from kinesphere.core.sides import names_side, suggested, unpaired


@dataclass(frozen=True)
class Augment:
    """Settings of training augmentation; the defaults are the `standard` preset.

    Attributes:
        crop: `centre` (as in testing), `random` (the spec's size anywhere), `random_resized` (random
            area and shape), or `multi_scale` (few sizes, at the corners and the centre).
        crop_scale: Least and largest area of a `random_resized` crop, as a share of the largest crop of
            its shape that fits the frame.
        crop_ratio: Least and largest width to height of it, relative to the spec's shape.
        crop_scales: Sides of a `multi_scale` crop, as shares of the largest that fits.
        enlarge: Frames are decoded at least this many times larger than the crop needs; 8 / 7 is the
            field's 128 for 112 and 256 for 224.
        flip: Probability of exchanging left and right. A class that names a side needs a mirror pair
            in the label set (see `check_flip`).
        brightness: Factors are drawn from `[1 - x, 1 + x]`; likewise for contrast and saturation.
        contrast: See `brightness`.
        saturation: See `brightness`.
        hue: Turns of hue are drawn from `[-x, x]`, at most half a turn.
        gamma: Exponents are drawn log-uniformly from `[1 / (1 + x), 1 + x]`.
        rand_augment: Number of RandAugment operations per clip.
        rand_magnitude: Their strength, in [0, 1]: a tenth of the paper's M.
        erase: Probability of erasing a box.
        erase_area: Least and largest area of the box, as a share of the frame.
        mixup: Alpha of mixup; 0 is off.
        cutmix: Alpha of CutMix; 0 is off. With both on, each batch takes one of them at random. Clips of a
            network that sees poses exchange a stretch of time instead of a box of the picture.
        mix: Probability that a batch is mixed at all.
        speed_jitter: See `TemporalJitter.speed`.
        frame_jitter: See `TemporalJitter.frame`.
        trim: See `TemporalJitter.trim`.
        joint_turn_deg: Joints are turned by up to this either way, in the picture or about every axis of
            space; or three numbers, about x, y and z, of which the picture has the last.
        joint_scale: Joints are stretched by factors from `[1 - x, 1 + x]`, apart for every axis.
        joint_jitter: Standard deviation of random errors of joints, as a share of the people's size.
        joint_dropout: Probability that a joint goes unseen for the whole clip.
        people_shuffle: Probability that the people of a pose clip change places.
        background: Changes of the surroundings, of which one is drawn per sample; needs mask files. They
            happen to the video, before everything else.
        background_share: Probability that the surroundings are changed at all.
    """

    crop: Crop = "random_resized"
    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    enlarge: float = 8 / 7
    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    gamma: float = 0.0
    rand_augment: int = 0
    rand_magnitude: float = 0.7
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    mixup: float = 0.0
    cutmix: float = 0.0
    mix: float = 1.0
    speed_jitter: float = 0.0
    frame_jitter: float = 0.0
    trim: float = 0.0
    joint_turn_deg: float | tuple[float, float, float] = 0.0
    joint_scale: float = 0.0
    joint_jitter: float = 0.0
    joint_dropout: float = 0.0
    people_shuffle: float = 0.0
    background: tuple[Background, ...] = ()
    background_share: float = 0.5

    def __post_init__(self) -> None:
        if self.crop not in get_args(Crop):
            raise InvalidSetting(f"The crop is one of {', '.join(get_args(Crop))}; got {self.crop!r}.")
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise InvalidSetting(f"Crop scales are shares of the frame, in (0, 1]; got {self.crop_scales}.")
        for name in ("crop_scale", "crop_ratio", "erase_area"):
            bounds, most = getattr(self, name), math.inf if name == "crop_ratio" else 1
            if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= most or bounds[1] == math.inf:
                raise InvalidSetting(f"{name} runs from a least to a largest share above 0; got {bounds}.")
        shares = ("flip", "erase", "mix", "rand_magnitude", "brightness", "contrast", "saturation",
                  "joint_scale", "joint_dropout", "people_shuffle", "background_share")  # fmt: skip
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSetting(f"{name} lies between 0 and 1; got {getattr(self, name)}.")
        if not 0 <= self.hue <= 0.5:
            raise InvalidSetting(f"hue is at most half a turn either way, 0 to 0.5; got {self.hue}.")
        for name in ("gamma", "mixup", "cutmix", "rand_augment", "joint_jitter"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidSetting(f"{name} is 0 or more; got {getattr(self, name)}.")
        if not isinstance(self.rand_augment, int):
            raise InvalidSetting(f"rand_augment is a whole number of operations; got {self.rand_augment}.")
        if not 1 <= self.enlarge < math.inf:
            raise InvalidSetting(f"enlarge is a factor of at least 1; got {self.enlarge}.")
        for change in self.background:
            check_background(change)
        if len(self._turns_deg) != 3 or not all(0 <= turn < math.inf for turn in self._turns_deg):
            raise InvalidSetting(
                "joint_turn_deg is an angle of 0 or more, or three about x, y and z; "
                f"got {self.joint_turn_deg}."
            )
        TemporalJitter(self.speed_jitter, self.frame_jitter, self.trim)

    @property
    def _turns_deg(self) -> tuple[float, ...]:
        """The largest turns about x, y and z."""
        turn = self.joint_turn_deg
        return turn if isinstance(turn, tuple) else (turn,) * 3

    @property
    def jitter(self) -> TemporalJitter:
        """The part that sampling carries out."""
        return TemporalJitter(self.speed_jitter, self.frame_jitter, self.trim)

    def draw_background(self, generator: torch.Generator) -> Background:
        """What becomes of the surroundings of one sample."""
        if not self.background or not rng.happens(generator, self.background_share):
            return "keep"
        return self.background[rng.integer(generator, 0, len(self.background) - 1)]

    def draw(self, frame_size: Size, spec: ClipSpec, generator: torch.Generator) -> AugmentParameters:
        """Draw everything random about one clip whose frames are `(H, W)` pixels."""
        box = self._box(frame_size, spec, generator)
        flip = rng.happens(generator, self.flip)
        operations = draw_operations(self.rand_augment, self.rand_magnitude, generator)
        change = ColourChange(
            brightness=rng.uniform(generator, 1 - self.brightness, 1 + self.brightness),
            contrast=rng.uniform(generator, 1 - self.contrast, 1 + self.contrast),
            saturation=rng.uniform(generator, 1 - self.saturation, 1 + self.saturation),
            hue_turns=rng.uniform(generator, -self.hue, self.hue),
            gamma=math.exp(rng.uniform(generator, -1, 1) * math.log1p(self.gamma)),
        )
        erased = None
        if rng.happens(generator, self.erase):
            erased = erased_box(spec.size, self.erase_area, generator)
        geometry = Geometry(frame_size, box, flip, movement(operations))
        joints = self._joint_change(generator)
        return AugmentParameters(geometry, change, operations, erased, joints, joints.seed)

    def on_people(
        self, drawn: AugmentParameters, frame_size: Size, spec: ClipSpec, generator: torch.Generator
    ) -> AugmentParameters:
        """What was drawn for whole frames, for the box about the people: the same, but where it is cut.

        A corner of the frame and the corner of that box show nothing in common.
        """
        box = self._box(frame_size, spec, generator)
        return replace(drawn, geometry=replace(drawn.geometry, frame_size=frame_size, box=box))

    def _box(self, frame_size: Size, spec: ClipSpec, generator: torch.Generator) -> Box:
        return draw_box(
            self.crop,
            frame_size,
            spec.size,
            scale=self.crop_scale,
            ratio=self.crop_ratio,
            scales=self.crop_scales,
            generator=generator,
        )

    def _joint_change(self, generator: torch.Generator) -> PoseChange:
        most = self.joint_scale
        x, y, z = (rng.uniform(generator, -turn, turn) for turn in self._turns_deg)
        across, down, deep = (rng.uniform(generator, 1 - most, 1 + most) for _ in range(3))
        return PoseChange(
            turn_deg=(x, y, z),
            scale=(across, down, deep),
            jitter=self.joint_jitter,
            dropout=self.joint_dropout,
            shuffle=rng.happens(generator, self.people_shuffle),
            seed=rng.integer(generator, 0, 2**31 - 1),
        )

    def apply(self, clip: Clip, spec: ClipSpec, generator: torch.Generator) -> Clip:
        """One clip, augmented; its `flipped` says whether its label changes side."""
        parameters = self.draw(clip.frame_size, spec, generator)
        return MODALITIES.get(clip.modality).augment(clip, parameters, spec)

    def mixing(self, count: int, specs: Sequence[ClipSpec], generator: torch.Generator) -> Mixing | None:
        """How a batch of `count` clips, seen through each of these specs, is mixed; None when it is not."""
        if not (self.mixup or self.cutmix) or not rng.happens(generator, self.mix):
            return None
        if self.mixup and (not self.cutmix or rng.happens(generator, 0.5)):
            return mixup(count, self.mixup, generator)
        plain = next((spec for spec in specs if not MODALITIES.get(spec.modality).is_picture), None)
        if plain is not None:
            return cutmix_in_time(count, plain.length, self.cutmix, generator)
        return cutmix(count, specs[0].size, self.cutmix, generator)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a recipe."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`; fields left out keep their defaults.

        Raises:
            InvalidSetting: If a field is unknown (the nearest ones are listed) or of the wrong form.
        """
        known = [field.name for field in fields(cls)]
        for name in plain:
            if name not in known:
                close = ", ".join(nearest(name, known)) or ", ".join(known)
                raise InvalidSetting(f"Augmentation has no setting {name!r}; did you mean {close}?")
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
            return cls(**values)
        except TypeError as error:
            raise InvalidSetting(f"Augmentation settings are of the wrong form: {error}") from error


PRESETS: dict[str, Augment] = {
    "none": Augment(crop="centre", enlarge=1.0, flip=0.0, brightness=0, contrast=0, saturation=0, hue=0),
    "light": Augment(crop="random", brightness=0, contrast=0, saturation=0, hue=0),
    "standard": Augment(),
    # RandAugment, erasing, mixup and CutMix together, as video transformers are fine-tuned
    # (MViT, Fan et al. 2021; VideoMAE, Tong et al. 2022).
    "strong": Augment(crop_scale=(0.3, 1.0), rand_augment=2, erase=0.25, mixup=0.8, cutmix=1.0),
}


def preset(name: str) -> Augment:
    """The settings called `none`, `light`, `standard` or `strong`.

    Raises:
        UnknownName: If there are none of this name.
    """
    if name not in PRESETS:
        raise UnknownName(f"There is no augmentation preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def check_flip(augment: Augment, labels: LabelSet) -> None:
    """Refuse flips that would make labels wrong.

    Raises:
        InvalidSetting: If clips may be flipped and a class names a side (see `core/sides.py`) but has no
            mirror pair.
    """
    paired = {name for pair in labels.mirror for name in pair}
    sided = [name for name in labels.names if names_side(name) and name not in paired]
    if augment.flip and sided:
        pairs = suggested(sided, labels)
        raise InvalidSetting(
            f"A flip would turn {', '.join(map(repr, sided))} into something else; give the label set a "
            f"mirror pair for each{f' (data.mirror: [{pairs}])' if pairs else ''}, pair a label with itself "
            "where a mirror image shows the same, or set flip to 0."
        )


def check_views(views: Views, labels: LabelSet) -> None:
    """Refuse views whose mirror images show something that has no label.

    Raises:
        InvalidSetting: If there are mirror images among the views, and a class that names a side has no
            partner among the labels.
    """
    alone = unpaired(labels)
    if any(views.flipped) and alone:
        raise InvalidSetting(
            f"Views {views} hold mirror images, in which {', '.join(map(repr, alone))} would be something "
            f"that has no label; use {views.clips}x5, or train with data.mirror."
        )
