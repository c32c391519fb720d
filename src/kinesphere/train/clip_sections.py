"""The sections of a recipe about clips: their format, and the random changes to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kinesphere.clips.augment.background import Background
from kinesphere.clips.augment.settings import Augment, preset
from kinesphere.clips.spec import Align, FlowMethod, Resize, Sampling, ShortVideo
from kinesphere.train.config import Count, Positive, Section, Share

Angle = Annotated[float, Field(ge=0)]


def _as_size(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_sampling(value: Any) -> Any:
    if value is not None:
        Sampling.parse(str(value))
    return value


def _as_method(value: Any) -> Any:
    """A bare `tvl1` says how flow is estimated; None, in recipes of before, changed nothing."""
    return {} if value is None else {"method": value} if isinstance(value, str) else value


class InputSection(Section):
    """What differs from the input contract on the model's card; None keeps the card's."""

    sampling: Annotated[str | None, BeforeValidator(_check_sampling)] = Field(
        default=None,
        description="`16x4x1` (length x interval x clips) or `uniform8`.",
    )
    size: Annotated[tuple[Count, Count] | None, BeforeValidator(_as_size)] = Field(
        default=None,
        description="`[H, W]` in pixels, or one number for a square.",
    )
    fps: Positive | None = Field(
        default=None,
        description="Frame rate at which intervals are counted.",
    )
    resize: Resize | None = Field(
        default=None,
        description=(
            "How a frame reaches the size: `short_side`, `stretch` or `letterbox`; for poses also `people`, "
            "the box around everybody in the clip."
        ),
    )
    short_side_px: Count | None = Field(
        default=None,
        description="Short side before cropping.",
    )
    short_video: ShortVideo | None = Field(
        default=None,
        description="What fills a clip that outlasts its span: the span again, or its last frame.",
    )


class FlowSection(InputSection):
    """The same for inputs of flow."""

    method: FlowMethod | None = Field(
        default=None,
        description="How the motion between frames is estimated: `dis`, `tvl1` or `farneback`.",
    )


class ClipSection(InputSection):
    """Changes of all inputs of a model, and those of one kind of input alone, which come before.

    In a model that sees pictures beside poses, `size` and `short_side_px` of all inputs are of pictures, and
    a `resize` of all leaves the box about the people as it is.
    """

    people: int | None = Field(
        default=None, ge=1, description="Most people in a clip of poses: those who are there longest."
    )
    align: Align | None = Field(
        default=None,
        description=(
            "Of joints in space: `centre` moves the first person's spine to the origin, `body` also turns it "
            "upright and to the front, `none` does neither."
        ),
    )
    rgb: InputSection = Field(
        default=InputSection(),
        description="`sampling` to `short_video` of inputs of pixels alone: `clip.rgb.size=112`.",
    )
    flow: Annotated[FlowSection, BeforeValidator(_as_method)] = Field(
        default=FlowSection(),
        description=(
            "The same for inputs of flow, and `method`, how motion is estimated: `dis`, `tvl1` or "
            "`farneback`. `clip.flow=tvl1` is short for `clip.flow.method=tvl1`."
        ),
    )
    pose: InputSection = Field(
        default=InputSection(),
        description="The same for inputs of poses: `clip.pose.sampling=uniform32 clip.pose.resize=people`.",
    )


class AugmentSection(Section):
    """Random changes to training clips: a preset, and what differs from it (None keeps the preset's)."""

    preset: Literal["none", "light", "standard", "strong"] = Field(
        default="standard",
        description="Where to start.",
    )
    crop: Literal["centre", "random", "random_resized", "multi_scale"] | None = Field(
        default=None,
        description="Which part of the frame.",
    )
    crop_scale: tuple[Share, Share] | None = Field(
        default=None,
        description="Least and largest share of the frame's area in a random_resized crop.",
    )
    crop_ratio: tuple[Positive, Positive] | None = Field(
        default=None,
        description="Least and largest width to height of it, relative to the clip's shape.",
    )
    crop_scales: tuple[Share, ...] | None = Field(
        default=None,
        description="Sides of a multi_scale crop, as shares of the largest that fits.",
    )
    enlarge: Annotated[float, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="Frames are decoded at least this many times larger than the crop needs.",
    )
    flip: Share | None = Field(
        default=None,
        description="Probability of exchanging left and right.",
    )
    brightness: Share | None = Field(
        default=None,
        description="Factors are drawn from 1 - x to 1 + x.",
    )
    contrast: Share | None = Field(
        default=None,
        description="Likewise.",
    )
    saturation: Share | None = Field(
        default=None,
        description="Likewise.",
    )
    hue: Annotated[float, Field(ge=0, le=0.5)] | None = Field(
        default=None,
        description="Turns of hue are drawn from -x to x.",
    )
    gamma: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Exponents are drawn from 1 / (1 + x) to 1 + x.",
    )
    rand_augment: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None,
        description="RandAugment operations per clip.",
    )
    rand_magnitude: Share | None = Field(
        default=None,
        description="Their strength.",
    )
    erase: Share | None = Field(
        default=None,
        description="Probability of erasing a box.",
    )
    erase_area: tuple[Share, Share] | None = Field(
        default=None,
        description="Least and largest share of the frame that is erased.",
    )
    mixup: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Alpha of mixup; 0 is off.",
    )
    cutmix: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Alpha of CutMix; 0 is off. Where a model sees poses, clips exchange a stretch of time "
        "instead of a box.",
    )
    mix: Share | None = Field(
        default=None,
        description="Probability that a batch is mixed at all.",
    )
    speed_jitter: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Clips run up to this much faster or slower; 0 where pace tells classes apart.",
    )
    frame_jitter: Share | None = Field(
        default=None,
        description="Frames move by up to this share of the interval.",
    )
    trim: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None,
        description="Uniform clips spread over a random part of the span, shorter by up to this share.",
    )
    joint_turn_deg: Angle | tuple[Angle, Angle, Angle] | None = Field(
        default=None,
        description=(
            "Joints of poses are turned by up to this either way; in space about every axis, or "
            "`[x, y, z]` each by its own."
        ),
    )
    joint_scale: Share | None = Field(
        default=None,
        description="Joints are stretched by factors from 1 - x to 1 + x.",
    )
    joint_jitter: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Random errors of joints, as a share of the people's size.",
    )
    joint_dropout: Share | None = Field(
        default=None,
        description="Probability that a joint goes unseen.",
    )
    people_shuffle: Share | None = Field(
        default=None,
        description="Probability that people change places.",
    )

    background: tuple[Background, ...] | None = Field(
        default=None,
        description=(
            "Changes of what surrounds the people, one drawn per sample: `[grey, blur]`; needs masks "
            "(`kinesphere extract mask`)."
        ),
    )
    background_share: Share | None = Field(
        default=None,
        description="Share of the samples whose surroundings are changed.",
    )

    def settings(self) -> Augment:
        """The preset with what differs from it.

        Raises:
            InvalidSetting: If the values contradict each other.
        """
        changes = {
            name: value
            for name in type(self).model_fields
            if name != "preset" and (value := getattr(self, name)) is not None
        }
        return replace(preset(self.preset), **changes)
