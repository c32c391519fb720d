"""The sections of a recipe about the format of clips."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from kinesphere.clips.spec import Align, FlowMethod, Resize, Sampling, ShortVideo
from kinesphere.train.config import Count, Positive, Section


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
