"""`ClipSpec`: the one contract that turns a span of video into what a model sees."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Protocol, Self, get_args

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.limits import brief
from kinesphere.core.registry import Registry

Resize = Literal["short_side", "stretch", "letterbox", "people"]
FlowMethod = Literal["dis", "tvl1", "farneback"]
Align = Literal["none", "centre", "body"]
ShortVideo = Literal["loop", "pad"]
ChannelOrder = Literal["RGB", "BGR"]

_DENSE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})x([0-9]{1,9})")
_UNIFORM = re.compile(r"uniform([0-9]{1,9})(?:x([0-9]{1,9}))?")
_VIEWS = re.compile(r"([0-9]{1,9})x([0-9]{1,9})(max)?")

# What no network takes and no video gives: beyond it is a mistake, or made to exhaust memory.
MOST_FRAMES = 100_000
LARGEST_SIDE_PX = 16_384
MOST_PEOPLE = 1000
LARGEST_FPS = 100_000.0
MOST_VALUES = 1 << 31
"""Values of one clip, frames times height times width."""


@dataclass(frozen=True)
class Sampling:
    """Which frames of a span make a clip.

    Text forms: `64x1x1` is clip length × frame interval × number of clips (dense sampling);
    `uniform5` is five frames spread over the span, one from each of five equal segments
    (TSN, Wang et al. 2016, section 3.1): at random within its segment in training, in its
    middle in testing. `uniform48x4` is four such clips.

    Attributes:
        kind: `"dense"` or `"uniform"`.
        length: Frames per clip (T).
        interval: Frames between neighbours in a dense clip, counted at the spec's frame rate.
        clips: Number of clips per span; `Views.clips` multiplies it in testing.
    """

    kind: Literal["dense", "uniform"]
    length: int
    interval: int = 1
    clips: int = 1

    def __post_init__(self) -> None:
        if min(self.length, self.interval, self.clips) < 1:
            raise InvalidSetting(f"Sampling needs length, interval and clips of at least 1; got {self}.")
        if max(self.length * self.clips, self.interval) > MOST_FRAMES:
            raise InvalidSetting(f"Sampling takes at most {MOST_FRAMES} frames of a span; got {self}.")
        if self.kind == "uniform" and self.interval != 1:
            raise InvalidSetting("Uniform sampling spreads its frames itself; leave the interval at 1.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `16x8x1` or `uniform5`.

        Raises:
            InvalidSetting: If the text has neither form.
        """
        if match := _DENSE.fullmatch(text.strip()):
            length, interval, clips = map(int, match.groups())
            return cls("dense", length, interval, clips)
        if match := _UNIFORM.fullmatch(text.strip()):
            return cls("uniform", int(match[1]), 1, int(match[2] or 1))
        raise InvalidSetting(
            f"Cannot read sampling {brief(text)}; write LENGTHxINTERVALxCLIPS such as 16x4x1, "
            "or uniformN such as uniform8."
        )

    def __str__(self) -> str:
        if self.kind == "dense":
            return f"{self.length}x{self.interval}x{self.clips}"
        return f"uniform{self.length}" + (f"x{self.clips}" if self.clips > 1 else "")


@dataclass(frozen=True)
class Views:
    """Test-time views of one sample: `10x3` is ten clips times three spatial crops, whose probabilities are
    averaged; of `10x3max` the largest counts.

    Views come clip by clip: all crops of the first clip, then all crops of the second.

    Attributes:
        clips: Clips spread over the span, for each clip that the spec's sampling asks for.
        crops: 1 the centre; 2 that and its mirror image; 3 along the longer side; 5 the corners and the
            centre; 10 those five and then their mirror images.
        pooling: Whether a sample has the mean of its views' probabilities, or for each label the largest, as
            the protocol of Charades takes it.
    """

    clips: int = 1
    crops: int = 1
    pooling: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        if self.clips > MOST_FRAMES:
            raise InvalidSetting(f"Views take at most {MOST_FRAMES} clips of a span; got {self.clips}.")
        if self.clips < 1 or self.crops not in (1, 2, 3, 5, 10):
            raise InvalidSetting(
                f"Views need at least one clip and 1, 2, 3, 5 or 10 crops; got {self.clips}x{self.crops}."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `10x3` or `10x3max`.

        Raises:
            InvalidSetting: If the text is not CLIPSxCROPS, with or without `max`.
        """
        match = _VIEWS.fullmatch(text.strip())
        if not match:
            raise InvalidSetting(f"Cannot read views {brief(text)}; write CLIPSxCROPS such as 10x3.")
        return cls(int(match[1]), int(match[2]), "max" if match[3] else "mean")

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}{'max' if self.pooling == 'max' else ''}"

    @property
    def flipped(self) -> tuple[bool, ...]:
        """For each crop of one clip, whether it is a mirror image (its label may change side)."""
        mirrored = self.crops // 2 if self.crops % 2 == 0 else 0
        return (False,) * (self.crops - mirrored) + (True,) * mirrored


class Rules(Protocol):
    """What a contract asks of the modality that it names; every `clips.modality.Modality` has it."""

    @property
    def settings(self) -> frozenset[str]:
        """Fields of a contract that have a meaning for this modality, and not for every other one."""
        ...

    def check_spec(self, spec: ClipSpec) -> None:
        """Refuse a contract that the modality cannot keep.

        Raises:
            InvalidSetting: Says why.
        """
        ...


# Any: its members are of a type that is made of clips and their contracts (`clips.modality.MODALITIES`).
REGISTERED: Registry[Any] = Registry(
    "modality", package="kinesphere.clips.modalities", group="kinesphere.modalities"
)


@dataclass(frozen=True)
class ClipSpec:
    """The input contract of a model; stored with its weights and used by everything that feeds it.

    Attributes:
        sampling: Which frames of a span.
        size: `(H, W)` of the network's input in pixels.
        modality: What a frame holds: the name of a registered modality.
        fps: Frame rate at which the sampling counts, or None for the source's own.
        resize: `short_side` keeps the aspect ratio and crops; `stretch` ignores it;
            `letterbox` keeps it and pads. `people`, for poses, first cuts the frame to the box around
            everybody in the clip, a quarter larger and of the shape of `size`.
        short_side_px: Short side of the frame before cropping (with `stretch`: of the stretched
            frame). None means just large enough to hold `size`, which is `size` itself for a square
            one. A frame whose long side would still be too short for the crop is enlarged to fit.
            `letterbox` crops nothing and takes none.
        mean: Per-channel mean on the [0, 1] scale, in `channels` order. Of flow: in pixels. Of poses: per
            coordinate, as fractions of the frame's width and height (0.5 is its middle), or in metres.
        std: Per-channel standard deviation on the [0, 1] scale; the same for flow and poses.
        channels: `"RGB"` or `"BGR"` (some Caffe-era weights).
        short_video: What fills a clip that outlasts its span: the span again, or its last frame.
        flow: How the motion between frames is estimated, for the flow modality (see `flow_methods`).
        skeleton: Name of the skeleton for the pose modality.
        people: Number of people M for the pose modality.
        dimensions: Coordinates of a joint: 2 in pixels, or 3 in metres.
        align: Alignment of joints in space to the first person when first seen: `centre` moves its spine to
            the origin, `body` also turns it upright and to the front (see `pose.normalise`).
    """

    sampling: Sampling
    size: tuple[int, int]
    modality: str = "rgb"
    fps: float | None = None
    resize: Resize = "short_side"
    short_side_px: int | None = None
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    channels: ChannelOrder = "RGB"
    short_video: ShortVideo = "loop"
    flow: FlowMethod = "dis"
    skeleton: str | None = None
    people: int = 1
    dimensions: Literal[2, 3] = 2
    align: Align = "none"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("modality", self.modality, tuple(REGISTERED)),
            ("resize", self.resize, get_args(Resize)),
            ("channels", self.channels, get_args(ChannelOrder)),
            ("short_video", self.short_video, get_args(ShortVideo)),
            ("flow", self.flow, get_args(FlowMethod)),
            ("dimensions", self.dimensions, (2, 3)),
            ("align", self.align, get_args(Align)),
        ):
            if value not in known:
                raise InvalidSetting(
                    f"A clip's {name} is one of {', '.join(map(str, known))}; got {value!r}."
                )
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in (*self.mean, *self.std)):
            raise InvalidSetting(f"Mean {self.mean} and std {self.std} must be finite numbers.")
        if len(self.size) != 2 or not all(isinstance(side, int) for side in self.size) or min(self.size) < 1:
            raise InvalidSetting(f"Clip size must be positive (H, W); got {self.size}.")
        if max(*self.size, self.short_side_px or 0) > LARGEST_SIDE_PX:
            raise InvalidSetting(
                f"Clips have sides of at most {LARGEST_SIDE_PX} px; got {self.size}, {self.short_side_px}."
            )
        if self.length * self.size[0] * self.size[1] > MOST_VALUES:
            raise InvalidSetting(
                f"A clip has at most {MOST_VALUES} values a channel; got {self.length} frames of {self.size}."
            )
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise InvalidSetting(f"Clip frame rate must be positive; got {self.fps}.")
        if self.fps is not None and self.fps > LARGEST_FPS:
            raise InvalidSetting(f"Clips count at most {LARGEST_FPS:g} frames a second; got {self.fps}.")
        if self.short_side_px is not None:
            if self.resize == "letterbox":
                raise InvalidSetting("Letterboxing crops nothing; leave short_side_px unset.")
            if self.short_side_px < min(self.size):
                raise InvalidSetting(
                    f"Short side {self.short_side_px} px is smaller than the crop {self.size}; enlarge it."
                )
        if len(self.mean) != len(self.std) or min(self.std, default=1.0) <= 0:
            raise InvalidSetting(f"Mean {self.mean} and std {self.std} must pair up, with positive std.")
        if self.people < 1:
            raise InvalidSetting(f"A clip holds at least one person; got people={self.people}.")
        if self.people > MOST_PEOPLE:
            raise InvalidSetting(f"A clip holds at most {MOST_PEOPLE} people; got people={self.people}.")
        self._check_modality()

    def _check_modality(self) -> None:
        """Refuse what has no meaning for the modality, and what it refuses itself."""
        rules: Rules = REGISTERED.get(self.modality)
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name not in rules.settings:
                owners = [name for name in REGISTERED if field.name in REGISTERED.get(name).settings]
                if owners:
                    raise InvalidSetting(
                        f"Only a {' or '.join(owners)} clip has {field.name}={value!r}; "
                        f"this is {self.modality}."
                    )
        rules.check_spec(self)

    @property
    def length(self) -> int:
        """Frames per clip (T)."""
        return self.sampling.length

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields replaced (validated again)."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's header or a recipe."""
        plain = asdict(self)
        plain["sampling"] = str(self.sampling)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            InvalidSetting: If a field is unknown, missing or of the wrong form.
        """
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
            values["sampling"] = Sampling.parse(values["sampling"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidSetting(f"This is not a clip spec: {brief(str(error))}.") from error


def check_channels(spec: ClipSpec, channels: int, named: str) -> None:
    """What contracts of all modalities of frames have to keep.

    Raises:
        InvalidSetting: If mean and std are of another number of channels, or frames are cut to the people in
            them.
    """
    if len(spec.mean) != channels:
        raise InvalidSetting(f"A {spec.modality} clip has {named}; got mean {spec.mean} and std {spec.std}.")
    if spec.resize == "people":
        raise InvalidSetting(
            f"resize='people' cuts to where joints are seen, and a clip of {spec.modality} has none."
        )
