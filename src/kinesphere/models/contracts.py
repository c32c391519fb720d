"""Input contracts of networks that are made for one clip length, frame size or skeleton."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.weights.keymap import Arguments

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue in [0, 1], as most public networks are given their frames."""
IN_SPACE = ("ntu25", "kinect20")
TVL1_NOTE = (
    "The public weights learnt from TV-L1 flow and are given it; a fresh network takes the faster DIS, "
    "unless its spec says otherwise."
)
# Public motion streams learnt from differences between neighbouring frames of the video, before a hundred
# were chosen; a network that sees the chosen ones cannot know those. So none is among the public weights.
MOTION_NOTE = (
    "Motion streams are of the chosen frames: public weights of motion streams import, but saw neighbouring "
    "frames of the video. `skeleton` and `dimensions` choose other joints, also in space. "
)


def with_length(spec: ClipSpec, length: int) -> ClipSpec:
    """`spec` with another number of frames, over the same time as nearly as whole intervals allow."""
    sampling = spec.sampling
    if length == sampling.length:
        return spec
    reach = sampling.length * sampling.interval
    interval = max(1, reach // max(1, length)) if sampling.kind == "dense" else 1
    return spec.with_(sampling=replace(sampling, length=length, interval=interval))


def with_size(spec: ClipSpec, size: tuple[int, int]) -> ClipSpec:
    """`spec` with another `(H, W)` in pixels and the same margin about it, in proportion."""
    if size == spec.size:
        return spec
    margin = spec.short_side_px and max(min(size), round(spec.short_side_px * min(size) / min(spec.size)))
    return spec.with_(size=size, short_side_px=margin)


def fit_length(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """`spec` for a network whose builder's `length` is the number of frames."""
    length = arguments.get("length")
    return with_length(spec, length) if isinstance(length, int) else spec


def fit_length_and_size(spec: ClipSpec, arguments: Arguments, *, side: str = "size") -> ClipSpec:
    """The same, where the builder's argument `side` is the height and width in pixels."""
    size_px = arguments.get(side)
    spec = fit_length(spec, arguments)
    return with_size(spec, (size_px, size_px)) if isinstance(size_px, int) else spec


def dimensions_of(skeleton: str, dimensions: int | None = None) -> Literal[2, 3]:
    """Dimensions as given, else those that a skeleton is usually recorded in.

    Raises:
        InvalidSetting: If they are neither 2 nor 3.
    """
    if dimensions is None:
        return 3 if skeleton in IN_SPACE else 2
    if dimensions not in (2, 3):
        raise InvalidSetting(f"Joints lie in 2 dimensions or 3; got {dimensions}.")
    return 3 if dimensions == 3 else 2


def pose_spec(skeleton: str, dimensions: int | None = None) -> ClipSpec:
    """The input contract of the published networks: 100 frames spread over the clip, two people.

    In the image plane, coordinates from -1 to 1; in space, upright about the first person's spine.
    """
    space = dimensions_of(skeleton, dimensions) == 3
    return ClipSpec(
        Sampling("uniform", 100),
        size=(256, 256),
        modality="pose",
        resize="stretch",
        mean=(0.0, 0.0, 0.0) if space else (0.5, 0.5),
        std=(1.0, 1.0, 1.0) if space else (0.5, 0.5),
        skeleton=skeleton,
        people=2,
        dimensions=3 if space else 2,
        align="body" if space else "none",
    )


def fit_pose(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """The contract for the skeleton, dimensions and people that a network was built for."""
    skeleton = str(arguments.get("skeleton", spec.skeleton))
    given = arguments.get("dimensions")
    dimensions = dimensions_of(skeleton, None if given is None else int(str(given)))
    people = int(str(arguments.get("people") or spec.people))
    if (skeleton, dimensions) == (spec.skeleton, spec.dimensions):
        return spec.with_(people=people)
    other = pose_spec(skeleton, dimensions)
    resize = spec.resize if dimensions == 2 else other.resize
    return other.with_(sampling=spec.sampling, size=spec.size, resize=resize, people=people)


POSE_INPUTS = (pose_spec("coco17"),)
TINY_POSE_INPUTS = (POSE_INPUTS[0].with_(sampling=Sampling("uniform", 12)),)
