"""Occlusion: what the score loses when a part of the clip is taken away."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidSetting
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.neutral import is_joints, is_planes
from kinesphere.explain.target import Scored
from kinesphere.explain.units import box_numbers, cells_of, joint_numbers, losses
from kinesphere.explain.varied import Heat


class Occlusion(Method):
    """y(x) - y(x without a part): tubes in space and time, whole frames, or given regions such as people.

    Zeiler, Fergus: "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    https://arxiv.org/abs/1311.2901, section 4.2; with given regions it is feature ablation. Tubes tile the
    clip evenly and are at most as large as asked for. `fill` takes their place
    (`explain.neutral.filled`), and what it cannot take away has no heat: the temporal mean keeps what stands
    still. Of poses, single joints over a tube's number of frames are moved to where they rest.

    A part's heat is the whole of what the score loses without it, whatever the part's size.
    """

    name = "occlusion"
    summary = (
        "What the score loses when a tube, a frame, a region or a joint is taken away "
        "(Zeiler and Fergus 2014)."
    )
    signed = True

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `tube`, `units`, `regions` and `fill`, `batch` parts at a time.

        Raises:
            InvalidSetting: If there are regions, and no input of their size.
        """
        specs = scored.recogniser.specs
        if settings.regions is not None:
            return losses(scored, inputs, settings, _regions(settings.regions, inputs, specs))
        heats = losses(scored, inputs, settings, partial(_parts, settings=settings))
        return tuple(
            cells_of(heat, _box(clip, settings)) if heat is not None and is_planes(spec) else heat
            for heat, clip, spec in zip(heats, inputs, specs, strict=True)
        )


def _box(clip: Tensor, settings: Settings) -> tuple[int, int, int]:
    """Frames, rows and columns of a part of planes."""
    return (1, clip.shape[-2], clip.shape[-1]) if settings.units == "frames" else settings.tube


def _parts(clip: Tensor, spec: ClipSpec, settings: Settings) -> Tensor | None:
    """Numbers of tubes or frames, and of joints over time."""
    if is_planes(spec):
        return box_numbers(clip, _box(clip, settings))
    if not is_joints(spec):
        return None
    joints = clip.shape[3]
    if settings.units == "frames":
        return joint_numbers(clip, 1, torch.zeros(joints, dtype=torch.int64), everybody=True)
    return joint_numbers(clip, settings.tube[0], torch.arange(joints))


class _Regions:
    """The same regions in every input of planes of their size."""

    def __init__(self, regions: Tensor) -> None:
        self.regions = regions

    def __call__(self, clip: Tensor, spec: ClipSpec) -> Tensor | None:
        fits = is_planes(spec) and (clip.shape[1], *clip.shape[3:]) == tuple(self.regions.shape)
        return self.regions[None, :, None] if fits else None


def _regions(regions: Tensor, inputs: tuple[Tensor, ...], specs: tuple[ClipSpec, ...]) -> _Regions:
    numbers = _Regions(regions)
    if regions.dim() != 3 or regions.is_floating_point() or int(regions.min()) < 0:
        raise InvalidSetting(
            f"Regions are whole numbers from 0 of shape (T, H, W); got {regions.dtype} "
            f"{tuple(regions.shape)}."
        )
    if all(numbers(clip, spec) is None for clip, spec in zip(inputs, specs, strict=True)):
        sizes = [(x.shape[1], *x.shape[3:]) for x, spec in zip(inputs, specs, strict=True) if is_planes(spec)]
        raise InvalidSetting(
            f"Regions of {tuple(regions.shape)} frames, rows and columns belong to no input of this model, "
            f"which has {', '.join(map(str, sizes)) or 'no frames'}; make them of the clip's size."
        )
    return numbers


METHODS.add(Occlusion.name, Occlusion())
