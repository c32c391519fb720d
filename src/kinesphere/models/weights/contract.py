"""Input contracts of networks that are made for one clip length or frame size."""

from __future__ import annotations

from dataclasses import replace

from kinesphere.clips.spec import ClipSpec
from kinesphere.models.weights.keymap import Arguments


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
