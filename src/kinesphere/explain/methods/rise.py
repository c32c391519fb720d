"""RISE in space and time: which parts a high score goes with, over many random masks.

B batch, T time, C channels, H W pixels, M people, J joints, N masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.neutral import filled, is_joints, is_planes, seen
from kinesphere.explain.target import Scored
from kinesphere.explain.varied import Heat, clip_by_clip, together

KEPT = 0.5
"""Probability that a cell of a mask is kept."""


class Rise(Method):
    """1 / (N p) Σ (y(x under mask) - mean y) · mask over N random masks that keep cells with p = 1/2.

    Petsiuk, Das, Saenko: "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
    https://arxiv.org/abs/1806.07421, sections 3.1 and 3.2, with time as a third axis: a mask is drawn on a
    coarse grid of frames, rows and columns, enlarged by trilinear interpolation to one cell more than the
    clip and cut out of that at a random shift. The paper's map lies `mean y` higher everywhere; without it,
    what does not matter has no heat. Where a mask lets nothing through, `fill` shows
    (`explain.neutral.filled`). Of poses, each joint is masked by itself, over as coarse a time, and rests
    where it is masked.

    Only scores are asked for, so that it is defined for every model.
    """

    name = "rise"
    summary = (
        "How much higher the score is when a place is seen than when it is hidden, over random masks "
        "(Petsiuk et al. 2018)."
    )
    signed = True

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `masks` on a grid of `cells` by `seed`, `batch` of them at a time."""
        with torch.no_grad():
            return together([_heat(scored, clip, settings) for clip in clip_by_clip(inputs)])


def _heat(scored: Scored, clip: tuple[Tensor, ...], settings: Settings) -> Heat:
    specs = scored.recogniser.specs
    generator = torch.Generator().manual_seed(settings.seed)
    fills = [filled(part, spec, settings.fill) for part, spec in zip(clip, specs, strict=True)]
    reference = scored(*clip)  # scores count from here, so that sums stay exact
    kept = [_Sums() for _ in clip]
    total = 0.0
    for size in _sizes(settings.masks, settings.batch):
        masks = [
            _masks(part, spec, size, settings, generator) for part, spec in zip(clip, specs, strict=True)
        ]
        altered = [
            part.expand(size, *part.shape[1:]) if mask is None else torch.lerp(fill, part, mask)
            for part, fill, mask in zip(clip, fills, masks, strict=True)
        ]
        scores = scored(*altered) - reference
        total += float(scores.sum())
        for sums, mask in zip(kept, masks, strict=True):
            if mask is not None:
                sums.add(scores, mask)
    mean = total / settings.masks
    heat: list[Tensor | None] = []
    for sums, part, spec in zip(kept, clip, specs, strict=True):
        if not is_planes(spec) and not is_joints(spec):
            heat.append(None)
            continue
        covariance = (sums.scored - mean * sums.masks) / (settings.masks * KEPT)
        heat.append(covariance[:, :, 0] if is_planes(spec) else covariance[..., 0] * seen(part))
    return tuple(heat)


class _Sums:
    """Sums over masks, of the masks and of scores times masks."""

    def __init__(self) -> None:
        self.masks = torch.zeros(())
        self.scored = torch.zeros(())

    def add(self, scores: Tensor, masks: Tensor) -> None:
        self.masks = self.masks.to(masks.device) + masks.sum(0, keepdim=True)
        self.scored = self.scored.to(masks.device) + torch.tensordot(scores, masks, 1)[None]


def _sizes(count: int, batch: int) -> Iterator[int]:
    """Sizes of the batches that `count` masks come in."""
    for first in range(0, count, batch):
        yield min(batch, count - first)


def _masks(
    clip: Tensor, spec: ClipSpec, count: int, settings: Settings, generator: torch.Generator
) -> Tensor | None:
    """Masks in [0, 1] that a clip is multiplied by: `(N, T, 1, H, W)`, or `(N, T, M, J, 1)` of joints."""
    if is_planes(spec):
        size = (clip.shape[1], *clip.shape[3:])
        return _smooth(size, settings.cells, count, 1, generator)[:, 0, :, None].to(clip.device)
    if not is_joints(spec):
        return None
    _, length, people, joints, _ = clip.shape
    over_time = _smooth((length, 1, 1), (settings.cells[0], 1, 1), count, people * joints, generator)
    by_joint: Tensor = over_time[..., 0, 0].unflatten(1, (people, joints)).permute(0, 3, 1, 2)
    return by_joint[..., None].to(clip.device)


def _smooth(
    size: tuple[int, ...], cells: tuple[int, int, int], count: int, channels: int, generator: torch.Generator
) -> Tensor:
    """Random grids of `cells`, enlarged and cut at random shifts: `(N, channels, T, H, W)`."""
    grid = [min(many, extent) for many, extent in zip(cells, size, strict=True)]
    step = [ceil(extent / many) for many, extent in zip(grid, size, strict=True)]
    # An axis of one cell has no shift: it is the same throughout.
    more = [many + (many > 1) for many in grid]
    coarse = (torch.rand(count, channels, *more, generator=generator) < KEPT).float()
    fine = F.interpolate(
        coarse, [m * s for m, s in zip(more, step, strict=True)], mode="trilinear", align_corners=False
    )
    masks = torch.empty(count, channels, *size)
    for mask, whole in zip(masks, fine, strict=True):
        shift = [
            int(torch.randint(side - extent + 1, (), generator=generator)) if m > 1 else 0
            for side, extent, m in zip(whole.shape[1:], size, more, strict=True)
        ]
        cut = tuple(slice(start, start + extent) for start, extent in zip(shift, size, strict=True))
        mask.copy_(whole[(slice(None), *cut)])
    return masks


METHODS.add(Rise.name, Rise())
