"""The sections of a recipe about the format of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, create_model

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import Align, FlowMethod, Resize, Sampling, ShortVideo
from kinesphere.train.config import Count, Positive, Section


def _as_size(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_sampling(value: Any) -> Any:
    if value is not None:
        Sampling.parse(str(value))
    return value


class InputSection(Section):
    """Changes of the input contract on the model's card; None keeps the card's."""

    sampling: Annotated[str | None, BeforeValidator(_check_sampling)] = None
    """Frames of a clip: `16x4x1` (length x interval x clips) or `uniform8`."""
    size: Annotated[tuple[Count, Count] | None, BeforeValidator(_as_size)] = None
    """Size of a clip: `[H, W]` in pixels, or one number for a square."""
    fps: Positive | None = None
    """Frame rate at which intervals are counted."""
    resize: Resize | None = None
    """Resizing of a frame to the size: `short_side`, `stretch` or `letterbox`; for poses also `people`, the
    box around everybody in the clip."""
    short_side_px: Count | None = None
    """Short side of a frame before cropping, in pixels."""
    short_video: ShortVideo | None = None
    """Frames that fill a clip longer than its span: the span again, or its last frame."""


class _AllInputs(InputSection):
    """Changes of all inputs of a model, and those of one kind of input alone, which come before.

    In a model that sees frames beside poses, `size` and `short_side_px` of all inputs are of frames, and
    a `resize` of all leaves the box about the people as it is.
    """

    people: int | None = Field(default=None, ge=1)
    """Maximum number of people in a clip of poses; those who are there longest are kept."""
    align: Align | None = None
    """Alignment of joints in space: `centre` moves the first person's spine to the origin, `body` also turns
    it upright and to the front, `none` does neither."""


class _FlowInputs(InputSection):
    """Changes for inputs of flow."""

    method: FlowMethod | None = None
    """Estimator of the motion between frames: `dis`, `tvl1` or `farneback`."""


def _as_method(value: Any) -> Any:
    """A bare `tvl1` says how flow is estimated; None, in recipes of before, changed nothing."""
    return {} if value is None else {"method": value} if isinstance(value, str) else value


def _of_one_kind(name: str) -> Any:
    """The section about the inputs of one modality."""
    modality = MODALITIES.get(name)
    about = f"The same settings for inputs of {modality.what} alone: `clip.{name}.sampling=uniform32`."
    if "flow" not in modality.settings:
        return InputSection, Field(default=InputSection(), description=about)
    about += f" `clip.{name}=tvl1` is short for `clip.{name}.method=tvl1`, the estimator of motion."
    return Annotated[_FlowInputs, BeforeValidator(_as_method)], Field(
        default=_FlowInputs(), description=about
    )


if TYPE_CHECKING:
    ClipSection = _AllInputs
else:
    ClipSection = create_model(
        "ClipSection",
        __base__=_AllInputs,
        __doc__=_AllInputs.__doc__,
        **{name: _of_one_kind(name) for name in sorted(MODALITIES)},
    )
