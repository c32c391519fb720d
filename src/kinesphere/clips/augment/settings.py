"""Augmentation: its settings, and what is drawn by them for one clip.

Everything random about a clip is drawn once, as `AugmentParameters`; carrying them out is a pure function of
its modality that treats all frames alike. Clips of several modalities of one sample follow the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from kinesphere.clips.augment.background import Background
from kinesphere.clips.augment.colour import ColourChange
from kinesphere.clips.augment.joints import PoseChange
from kinesphere.clips.augment.mix import Mixing, Stills, cutmix, cutmix_in_time, draw_stills, mixup
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
from kinesphere.core.limits import brief
from kinesphere.core.registry import nearest
from kinesphere.core.sides import names_side, suggested, unpaired

Preset = Literal["none", "light", "standard", "strong"]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Part = Annotated[float, Field(gt=0, le=1)]
Range = tuple[_Part, _Part]
_Ratio = Annotated[float, Field(gt=0, le=1e12)]

# What a preset has otherwise than the defaults, which are the `standard` one.
_PRESETS: dict[Preset, dict[str, Any]] = {
    "none": {
        "crop": "centre", "enlarge": 1.0, "flip": 0.0,
        "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0,
    },
    "light": {"crop": "random", "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
    "standard": {},
    # RandAugment, erasing, mixup and CutMix together, as video transformers are fine-tuned
    # (MViT, Fan et al. 2021; VideoMAE, Tong et al. 2022).
    "strong": {"crop_scale": (0.3, 1.0), "rand_augment": 2, "erase": 0.25, "mixup": 0.8, "cutmix": 1.0},
}  # fmt: skip


class Augment(BaseModel):
    """Random changes to training clips: a preset, and what differs from it; the defaults are `standard`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    preset: Preset = "standard"
    """Preset: `none`, `light`, `standard` or `strong`; the other defaults are those of `standard`."""
    crop: Crop = "random_resized"
    """Crop of the frame: `centre` (as in testing), `random` (the clip's size anywhere), `random_resized`
    (random area and shape), or `multi_scale` (few sizes, at corners and centre)."""
    crop_scale: Range = (0.5, 1.0)
    """Smallest and largest area of a random_resized crop, as a fraction of the largest crop of its shape
    that fits the frame."""
    crop_ratio: tuple[_Ratio, _Ratio] = (3 / 4, 4 / 3)
    """Smallest and largest width to height of a random_resized crop, relative to the clip's shape."""
    crop_scales: Annotated[tuple[_Part, ...], Field(min_length=1)] = (1.0, 0.875, 0.75, 0.66)
    """Sides of a multi_scale crop, as fractions of the largest that fits."""
    enlarge: Annotated[float, Field(ge=1, le=16)] = 8 / 7
    """Smallest ratio of the size of decoded frames to the crop; 8 / 7 is the usual 128 for 112 and 256 for
    224."""
    flip: Share = 0.5
    """Probability of exchanging left and right. A class that names a side needs a mirror pair
    (`data.mirror`)."""
    brightness: Share = 0.2
    """Range x of brightness; factors are drawn from 1 - x to 1 + x."""
    contrast: Share = 0.2
    """Range x of contrast; factors are drawn from 1 - x to 1 + x."""
    saturation: Share = 0.2
    """Range x of saturation; factors are drawn from 1 - x to 1 + x."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    """Range x of hue; turns are drawn from -x to x, at most half a turn."""
    gamma: Amount = 0.0
    """Range x of gamma; exponents are drawn log-uniformly from 1 / (1 + x) to 1 + x."""
    rand_augment: Annotated[int, Field(ge=0, le=100)] = 0
    """Number of RandAugment operations per clip."""
    rand_magnitude: Share = 0.7
    """Strength of the RandAugment operations, a tenth of the paper's M."""
    erase: Share = 0.0
    """Probability of erasing a random box."""
    erase_area: Range = (0.02, 1 / 3)
    """Smallest and largest fraction of the frame that is erased."""
    mixup: Amount = 0.0
    """Alpha of mixup; 0 turns it off."""
    cutmix: Amount = 0.0
    """Alpha of CutMix; 0 turns it off. With mixup as well, each batch takes one of them at random. Where a
    model sees poses, clips exchange a stretch of time instead of a box."""
    mix: Share = 1.0
    """Probability that a batch is mixed at all."""
    still_mix: Share = 0.0
    """Probability that a still frame of another clip of the batch is blended into all frames of a clip, which
    keeps its label: what stands still tells the class no more (StillMix, Li et al. 2023, its frames drawn at
    random; after Background Erasing, Wang et al. 2021). Only pixels change, not flow or joints."""
    still_weight: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Weight of that still frame."""
    speed_jitter: Amount = 0.0
    """Largest relative change of a clip's speed; 0 where speed distinguishes classes."""
    frame_jitter: Share = 0.0
    """Largest shift of single frames in time, as a fraction of the interval."""
    trim: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest fraction of the span that uniform clips leave out; the rest is a random part."""
    joint_turn_deg: Amount | tuple[Amount, Amount, Amount] = 0.0
    """Largest rotation of the joints of poses, in degrees either way, in the frame or about every axis of
    space; or `[x, y, z]` for each axis, of which a frame has the last."""
    joint_scale: Share = 0.0
    """Range x of the stretching of joints; factors are drawn from 1 - x to 1 + x for each axis."""
    joint_jitter: Amount = 0.0
    """Standard deviation of the random errors of joints, as a fraction of the people's size."""
    joint_dropout: Share = 0.0
    """Probability that a joint goes unseen for the whole clip."""
    people_shuffle: Share = 0.0
    """Probability that people change positions."""
    background: tuple[Background, ...] = ()
    """Changes of the background of people, one drawn per sample: `[grey, blur]`; needs masks (`kinesphere
    extract mask`). They happen to the video, before everything else."""
    background_share: Share = 0.5
    """Probability that the background of a sample is changed."""
    background_label: Share | Literal["area"] = 0.0
    """Weight in the target of the class of the other video whose background `replace` puts behind people.
    `area` takes (1 - r)^4 where people cover a fraction r of the pixels (ActorCutMix, Zou et al. 2023)."""

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise InvalidSetting(f"Augmentation: {'; '.join(map(_told, error.errors()))}.") from None

    # Within a recipe pydantic says itself which key is wrong.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, settings: Any) -> Any:
        """Without what is None, which recipes wrote where the preset decides."""
        if not isinstance(settings, dict):
            return settings
        return {key: value for key, value in settings.items() if value is not None}

    @field_validator("crop_scale", "crop_ratio", "erase_area")
    @classmethod
    def _ascending(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError("it runs from a least to a largest value")
        return bounds

    @model_validator(mode="after")
    def _label_of_a_background(self) -> Self:
        if self.background_label != 0 and "replace" not in self.background:
            raise ValueError("background_label is of backgrounds that `background: [replace]` puts in")
        return self

    @model_validator(mode="after")
    def _as_the_preset(self) -> Self:
        for name, value in _PRESETS[self.preset].items():
            if name not in self.model_fields_set:
                self.__dict__[name] = value
        return self

    @model_serializer(mode="wrap")
    def _what_differs(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in whole(self).items() if key in self.model_fields_set}

    def resolved(self) -> Self:
        """The same, with every value written down when it is dumped."""
        return self.model_copy(update=dict(self))

    @property
    def _turns_deg(self) -> tuple[float, ...]:
        """The largest turns about x, y and z."""
        turn = self.joint_turn_deg
        return turn if isinstance(turn, tuple) else (turn,) * 3

    @property
    def jitter(self) -> TemporalJitter:
        """The part that sampling carries out."""
        return TemporalJitter(self.speed_jitter, self.frame_jitter, self.trim)

    @property
    def mixes_labels(self) -> bool:
        """Whether targets are weights of classes rather than one class."""
        return self.background_label != 0

    def background_weight(self, people: float) -> float:
        """The weight of the background's class where people cover this fraction of the pixels."""
        return float((1 - people) ** 4) if self.background_label == "area" else self.background_label

    def draw_background(self, generator: torch.Generator) -> Background:
        """The change of the background of one sample."""
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

    def stills(self, count: int, generator: torch.Generator) -> Stills | None:
        """Which of `count` clips get still frames of others; None where that is not asked for."""
        if not self.still_mix:
            return None
        return draw_stills(count, self.still_mix, self.still_weight, generator)

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


def _told(problem: ErrorDetails) -> str:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        close = ", ".join(nearest(where, Augment.model_fields)) or ", ".join(Augment.model_fields)
        return f"there is no setting {where!r}; did you mean {close}?"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}; got {brief(problem['input'])}"


PRESETS: dict[str, Augment] = {name: Augment(preset=name) for name in _PRESETS}


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
    """Refuse views whose mirror images show something without a label, and maxima that are no probabilities.

    Raises:
        InvalidSetting: If there are mirror images among the views, and a class that names a side has no
            partner among the labels; or if the largest probabilities are asked for of one label per sample.
    """
    if views.pooling == "max" and not labels.multi:
        raise InvalidSetting(
            f"Views {views} take the largest probability of each label, which sum to more than 1 where a "
            f"sample has one label; use {views.clips}x{views.crops}."
        )
    alone = unpaired(labels)
    if any(views.flipped) and alone:
        raise InvalidSetting(
            f"Views {views} hold mirror images, in which {', '.join(map(repr, alone))} would be something "
            f"that has no label; use {views.clips}x5, or train with data.mirror."
        )
