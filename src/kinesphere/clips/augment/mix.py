"""Mixing the clips of a batch, after normalising and on the network's device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from kinesphere.clips.geometry import Box, Size
from kinesphere.clips.modality import MODALITIES
from kinesphere.core import rng
from kinesphere.core.errors import InvalidClip, InvalidSetting


@dataclass(frozen=True)
class Stretch:
    """Frames `[start, end)` of clips of `length` frames."""

    start: int
    end: int
    length: int

    def of(self, length: int) -> slice:
        """The same stretch of clips of another length."""
        return slice(round(self.start * length / self.length), round(self.end * length / self.length))


@dataclass(frozen=True, eq=False)
class Mixing:
    """The mixing of a batch; the same for every input of a network with several.

    Attributes:
        partners: `(B,)` long: with which clip each one is mixed.
        weight: Fraction of the own clip in the targets, in [0, 1].
        region: The box of pixels that come from the partner in every frame and the `(H, W)` that it was
            drawn for (CutMix), or None.
        stretch: The frames that come from the partner as a whole (CutMix in time), or None. Without
            region and stretch clips become weighted sums (mixup).
    """

    partners: torch.Tensor
    weight: float
    region: tuple[Box, Size] | None = None
    stretch: Stretch | None = None

    def inputs(self, batch: torch.Tensor, modality: str) -> torch.Tensor:
        """A floating-point batch `(B, T, ...)` of one modality, mixed.

        Raises:
            InvalidClip: If the batch holds integers or has another number of clips, or a box should be cut
                from what is no image.
        """
        kind = MODALITIES.get(modality)
        _check_batch(batch, self.partners)
        partners = batch[self.partners.to(batch.device)]
        if self.region is None and self.stretch is None:
            return kind.blend(batch, partners, self.weight)
        mixed = batch.clone()
        if self.stretch is not None:
            frames = self.stretch.of(batch.shape[1])
            mixed[:, frames] = partners[:, frames]
        if self.region is not None:
            if not kind.is_picture:
                raise InvalidClip(f"A box of pixels cannot be cut from clips of {modality}; cut in time.")
            size = (batch.shape[-2], batch.shape[-1])
            box = self.region[0].scaled(self.region[1], size)
            rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
            mixed[..., rows, columns] = partners[..., rows, columns]
        return mixed

    def targets(self, targets: torch.Tensor, classes: int) -> torch.Tensor:
        """Class indices `(B,)` or probabilities `(B, K)` as mixed probabilities `(B, K)`, float32."""
        soft = F.one_hot(targets, classes) if targets.dim() == 1 else targets
        soft = soft.to(torch.float32)
        return torch.lerp(soft[self.partners.to(soft.device)], soft, self.weight)


@dataclass(frozen=True, eq=False)
class Stills:
    """Still frames of other clips of a batch, to be blended into all frames of some clips.

    Attributes:
        partners: `(B,)` long: the clip that each one gets its frame of.
        positions: `(B,)` which frame that is, as a fraction of the clip's length, in [0, 1).
        weights: `(B,)` of the still frame; 0 leaves a clip as it is.
    """

    partners: torch.Tensor
    positions: torch.Tensor
    weights: torch.Tensor

    def inputs(self, batch: torch.Tensor, modality: str) -> torch.Tensor:
        """A floating-point batch `(B, T, ...)` of one modality with the still frames, if it shows any.

        Raises:
            InvalidClip: If the batch holds integers or has another number of clips.
        """
        if not MODALITIES.get(modality).shows_stills:
            return batch
        _check_batch(batch, self.partners)
        frames = (self.positions * batch.shape[1]).long()
        stills = batch[self.partners.to(batch.device), frames.to(batch.device)]
        weights = self.weights.to(batch.device, batch.dtype).view(-1, *[1] * (batch.dim() - 1))
        return torch.lerp(batch, stills[:, None], weights)


def draw_stills(count: int, share: float, weight: float, generator: torch.Generator) -> Stills:
    """A random frame of another clip for a share of the clips (Li et al. 2023, StillMix, section 4).

    Args:
        count: Number of clips B; one alone gets a frame of its own.
        share: Probability that a clip gets a frame.
        weight: Weight of the frame.
        generator: Source of randomness.
    """
    steps = torch.randint(1, max(count, 2), (count,), generator=generator)
    positions = torch.rand(count, generator=generator, dtype=torch.float64)
    chosen = torch.rand(count, generator=generator, dtype=torch.float64) < share
    return Stills((torch.arange(count) + steps) % count, positions, weight * chosen)


def mixup(count: int, alpha: float, generator: torch.Generator) -> Mixing:
    """Weighted sums of clips, the weight from Beta(alpha, alpha) (Zhang et al. 2018, mixup)."""
    _check(count, alpha)
    return Mixing(torch.randperm(count, generator=generator), rng.beta(generator, alpha))


def cutmix(count: int, size: Size, alpha: float, generator: torch.Generator) -> Mixing:
    """A box of the partner's frames in place of the own ones (Yun et al. 2019, CutMix, section 3.1).

    The box is the same in all frames; the weight is the fraction of pixels that stay.

    Args:
        count: Number of clips B.
        size: `(H, W)` of the frames in pixels.
        alpha: Alpha of the Beta distribution of the fraction that stays, before cutting at the border.
        generator: Source of randomness.
    """
    _check(count, alpha)
    partners = torch.randperm(count, generator=generator)
    side = math.sqrt(1 - rng.beta(generator, alpha))
    (top, bottom), (left, right) = (_interval(length, side * length, generator) for length in size)
    if top == bottom or left == right:
        return Mixing(torch.arange(count), 1.0)
    box = Box(top, left, bottom - top, right - left)
    return Mixing(partners, 1 - box.height * box.width / (size[0] * size[1]), (box, size))


def cutmix_in_time(count: int, length: int, alpha: float, generator: torch.Generator) -> Mixing:
    """A stretch of the partner's frames in place of the own ones (Yun et al. 2020, VideoMix, in time).

    It is what CutMix means for clips without an image plane: every frame comes whole from one clip. The
    weight is the fraction of frames that stay.

    Args:
        count: Number of clips B.
        length: Frames of a clip.
        alpha: Alpha of the Beta distribution of the fraction that stays, before rounding to frames.
        generator: Source of randomness.
    """
    _check(count, alpha)
    partners = torch.randperm(count, generator=generator)
    taken = round((1 - rng.beta(generator, alpha)) * length)
    start = rng.integer(generator, 0, length - taken)
    return Mixing(partners, 1 - taken / length, stretch=Stretch(start, start + taken, length))


def _interval(length: int, extent: float, generator: torch.Generator) -> tuple[int, int]:
    """An interval of about this extent about a random centre, cut to `[0, length]`."""
    centre = rng.uniform(generator, 0, length)
    return max(round(centre - extent / 2), 0), min(round(centre + extent / 2), length)


def _check_batch(batch: torch.Tensor, partners: torch.Tensor) -> None:
    if not batch.is_floating_point():
        raise InvalidClip(f"Clips are mixed after normalising, as floating point; got {batch.dtype}.")
    if len(batch) != len(partners):
        raise InvalidClip(f"This mixing is for {len(partners)} clips; the batch has {len(batch)}.")


def _check(count: int, alpha: float) -> None:
    if count < 1 or not 0 < alpha < math.inf:
        raise InvalidSetting(f"Mixing needs clips and a positive alpha; got {count} clips, alpha={alpha}.")
