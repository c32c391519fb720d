"""The sections of a recipe: plain settings, each documented, none with behaviour of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kinesphere.clips.augment import Augment, preset
from kinesphere.clips.background import Background
from kinesphere.clips.spec import Align, Sampling, Views
from kinesphere.core.device import Compute

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error rather than a shrug."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _as_size(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_sampling(value: Any) -> Any:
    if value is not None:
        Sampling.parse(str(value))
    return value


def _check_views(value: Any) -> Any:
    return str(Views.parse(str(value)))


class DataSection(Section):
    """Which videos, with which labels, split how."""

    source: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = Field(
        description="Manifest (CSV, Parquet) or folder of class folders; several are joined.",
    )
    label_column: str = Field(
        default="label",
        description="Column of the manifest that holds the labels.",
    )
    group_column: str = Field(
        default="group",
        description="Column of the manifest that holds the groups, which no split parts.",
    )
    mirror: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="Pairs of labels that a horizontal flip exchanges: `[[turn left, turn right]]`.",
    )
    val: float | str = Field(
        default="auto",
        description=(
            "What steers training: the name of a split, a share of the training samples (groups kept "
            "whole), or 0 for none. `auto` takes the split `val` where there is one, else a tenth."
        ),
    )
    test: float | str = Field(
        default="auto",
        description=(
            "What is scored at the end and never steers anything: the name of a split, a share of the "
            "samples (groups kept whole), or 0 for none. `auto` takes the split `test` where there is one, "
            "else a fifth."
        ),
    )
    max_unreadable: Share = Field(
        default=0.2,
        description="Training stops when more than this share of the samples cannot be read.",
    )
    balance: Literal["none", "sqrt", "equal"] = Field(
        default="none",
        description="How often training draws each class: as it occurs, by the root of that, or equally.",
    )
    cache: str | None = Field(
        default=None,
        description="Folder for decoded, resized frames, so that later epochs skip decoding.",
    )
    cache_gb: Positive = Field(
        default=20.0,
        description="Upper bound of that folder, in 10^9 bytes.",
    )
    extracts: str | None = Field(
        default=None,
        description=(
            "Folder that `kinesphere extract --out` wrote; None looks beside the videos. Flow that is not "
            "there is computed from the frames."
        ),
    )

    @model_validator(mode="after")
    def _check_shares(self) -> DataSection:
        for name in ("val", "test"):
            value = getattr(self, name)
            if isinstance(value, float) and not 0 <= value < 1:
                raise ValueError(f"{name} as a share is at least 0 and below 1; got {value}")
        return self


class ModelSection(Section):
    """Which network, and what of it learns."""

    name: str = Field(
        default="auto",
        description="Registered model; `auto` is the compact default, for pose files the one for poses.",
    )
    pretrained: str | bool | None = Field(
        default=None,
        description="Tag of public weights (`k400`), a file or run folder, true for the card's first.",
    )
    arguments: dict[str, bool | int | float | str | tuple[int, ...] | None] = Field(
        default_factory=dict,
        description="Arguments of the model's builder.",
    )
    freeze: str | None = Field(
        default=None,
        description="Last stage that keeps its weights; it and all stages before it do not learn.",
    )


class ClipSection(Section):
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
    resize: Literal["short_side", "stretch", "letterbox"] | None = Field(
        default=None,
        description="How a frame reaches the size.",
    )
    short_side_px: Count | None = Field(
        default=None,
        description="Short side before cropping.",
    )
    short_video: Literal["loop", "pad"] | None = Field(
        default=None,
        description="What fills a clip that outlasts its span: the span again, or its last frame.",
    )
    flow: Literal["dis", "tvl1", "farneback"] | None = Field(
        default=None,
        description="How the motion between frames is estimated, for inputs of flow.",
    )
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
    enlarge: Annotated[float, Field(ge=1)] | None = Field(
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
    rand_augment: Annotated[int, Field(ge=0)] | None = Field(
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
        description="Alpha of CutMix; 0 is off.",
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


class LossSection(Section):
    """What is minimised."""

    name: str = Field(
        default="auto",
        description="`cross_entropy`, `class_balanced`, `focal`, `bce`; `auto` fits the labels.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Share of the target spread over all classes (Szegedy et al. 2016, section 7).",
    )
    beta: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.999,
        description="Of the effective number of samples (Cui et al. 2019, equation 2).",
    )
    gamma: Annotated[float, Field(ge=0)] = Field(
        default=2.0,
        description="Focusing exponent of the focal loss (Lin et al. 2017, equation 4).",
    )


class OptimizerSection(Section):
    """How weights follow gradients."""

    name: Literal["adamw", "sgd", "adam"] = Field(
        default="adamw",
        description="The algorithm.",
    )
    lr: Positive = Field(
        default=1e-3,
        description="Peak learning rate.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.05,
        description="Applied to weights, never to biases and normalisation layers.",
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9,
        description="Of sgd, with Nesterov's step.",
    )
    betas: tuple[Share, Share] = Field(
        default=(0.9, 0.999),
        description="Of adam and adamw.",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Each stage towards the input learns this much slower than the next; 1 is off.",
    )
    head_lr: Positive = Field(
        default=1.0,
        description="Multiplies the head's learning rate.",
    )


class ScheduleSection(Section):
    """How the learning rate changes; every step, counted in (fractions of) epochs."""

    name: Literal["cosine", "step", "exponential", "constant"] = Field(
        default="cosine",
        description="Shape after the warm-up.",
    )
    warmup_epochs: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Linear rise from zero to the peak.",
    )
    floor: Share = Field(
        default=0.0,
        description="Of cosine: last rate as a share of the peak.",
    )
    milestones: tuple[Positive, ...] = Field(
        default=(),
        description="Of step: epochs at which the rate drops.",
    )
    factor: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1,
        description="Of step: per milestone. Of exponential: over the whole run.",
    )

    @model_validator(mode="after")
    def _check_milestones(self) -> ScheduleSection:
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("the step schedule needs milestones, and only it does")
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones rise; got {list(self.milestones)}")
        return self


class TrainSection(Section):
    """How long, in what portions, from which seed."""

    epochs: Count | None = Field(
        default=None,
        description="Passes over the training samples; 30 where neither this nor steps is given.",
    )
    steps: Count | None = Field(
        default=None,
        description="Optimiser steps, instead of epochs.",
    )
    batch_size: Count = Field(
        default=16,
        description="Clips per forward pass in each process.",
    )
    accumulate: Count = Field(
        default=1,
        description="Forward passes per optimiser step.",
    )
    clip_norm: Positive | None = Field(
        default=None,
        description="Largest norm of the gradient; None is no limit.",
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay of the moving average of the weights; that average is then the model.",
    )
    early_stopping: Count | None = Field(
        default=None,
        description="Stop after this many validations without a better score.",
    )
    monitor: Literal["auto", "top1", "mean_class", "f1", "loss"] = Field(
        default="auto",
        description="Validation score that picks the best weights; auto is top1, f1 for several labels.",
    )
    validate_every: Count = Field(
        default=1,
        description="Epochs between validations.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        default=0,
        description="Everything random follows from it.",
    )
    checkpoint_minutes: Positive | None = Field(
        default=5.0,
        description="Save the state for resuming at least this often, besides every epoch's end.",
    )
    checkpoint_steps: Count | None = Field(
        default=None,
        description="The same, counted in optimiser steps.",
    )

    @model_validator(mode="after")
    def _check_length(self) -> TrainSection:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class ComputeSection(Section):
    """Where it runs. Changes speed, and rounding."""

    device: str = Field(
        default="auto",
        description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Arithmetic of the heavy operators; auto is mixed where the hardware has it.",
    )
    channels_last: bool = Field(
        default=True,
        description="Convolutions in channels-last memory.",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description=(
            "Compute the stages' activations again in the backward pass instead of keeping them: less "
            "memory and the same gradients, for one more forward pass per step."
        ),
    )
    processes: Count = Field(
        default=1,
        description="Processes that share each step, one per GPU.",
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        default="auto",
        description="Decoding processes per training process.",
    )

    def choose(self) -> Compute:
        """The settings with every `auto` decided for this machine.

        Raises:
            InvalidSetting: If the device is absent.
        """
        return Compute.choose(self.device, self.precision, self.channels_last)


class TestSection(Section):
    """How the final score is measured."""

    __test__ = False  # not a test case, whatever its name suggests to pytest
    views: Annotated[str, BeforeValidator(_check_views)] = Field(
        default="1x1",
        description="Clips x crops whose probabilities are averaged, such as `10x3`.",
    )
    background: Background = Field(
        default="keep",
        description=(
            "What becomes of the surroundings of people in test clips, or of the people: does the "
            "background decide? Needs masks (`kinesphere extract mask`)."
        ),
    )


class LogSection(Section):
    """Where curves go, besides metrics.csv in the run folder."""

    tensorboard: bool = Field(
        default=True,
        description="Event files in the run folder.",
    )
    wandb: str | None = Field(
        default=None,
        description="Weights & Biases project (extra `track`).",
    )
    wandb_offline: bool = Field(
        default=False,
        description="Keep W&B's files in the run folder, send nothing.",
    )
    mlflow: str | None = Field(
        default=None,
        description="MLflow tracking address or folder (extra `track`).",
    )
    every_steps: Count = Field(
        default=10,
        description="Optimiser steps between two points of a curve.",
    )
