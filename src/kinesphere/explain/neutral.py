"""What stands in for content: the fill of what is taken away, and inputs that say nothing.

B batch, T time, C channels, H W pixels, M people, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.method import Fill

BLUR = 1 / 8
"""Standard deviation of the blur, as a fraction of a frame's shorter side."""


def is_planes(spec: ClipSpec) -> bool:
    """Whether inputs of a contract are `(B, T, C, H, W)`."""
    return bool(MODALITIES.get(spec.modality).is_picture)


def is_joints(spec: ClipSpec) -> bool:
    """Whether inputs of a contract are `(B, T, M, J, D + 1)`, the last value being the score."""
    return spec.skeleton is not None


def seen(joints: Tensor) -> Tensor:
    """bool `(B, T, M, J)`: where joints `(B, T, M, J, D + 1)` have a score."""
    return joints[..., -1] > 0


def at_rest(joints: Tensor) -> Tensor:
    """The people standing still: every joint at the mean of where it was seen, where it was seen.

    Args:
        joints: `(B, T, M, J, D + 1)`; scores stay, joints that were not seen are zeros.
    """
    there = seen(joints)[..., None]
    points = joints[..., :-1]
    mean = (points * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
    return torch.cat([torch.where(there, mean, 0.0), joints[..., -1:]], -1)


def filled(clip: Tensor, spec: ClipSpec, fill: Fill) -> Tensor:
    """What a clip shows where its content is taken away, of the same shape.

    The temporal mean keeps the room and takes what moves; what never moves stays, for which `blur` is there.
    Both are closer to what a network learnt from than a flat colour, whose edges are content of their own. A
    clip of one frame is its own mean, and is blurred. Joints rest, each at the mean of where it was seen,
    whichever of the two is asked for.

    Args:
        clip: One normalised input `(B, T, ...)`.
        spec: Its contract.
        fill: `temporal_mean`, `blur`, or `neighbour`: the frame before, of the first one the frame after.
    """
    if fill == "neighbour" and clip.shape[1] > 1:
        return torch.cat([clip[:, 1:2], clip[:, :-1]], 1)
    if is_joints(spec):
        return at_rest(clip)
    if not is_planes(spec):
        return torch.zeros_like(clip)
    if fill == "temporal_mean" and clip.shape[1] > 1:
        return clip.mean(1, keepdim=True).expand_as(clip)
    return _blurred(clip)


def baselines(inputs: Sequence[Tensor], specs: Sequence[ClipSpec]) -> tuple[Tensor, ...]:
    """What integrated gradients start from, and gradient times input counts from.

    Zeros for planes: the mean colour of the contract, no motion in flow. Joints rest, since a network that
    measures people in body sizes is not defined on a body without extent.
    """
    return tuple(
        at_rest(clip) if is_joints(spec) else torch.zeros_like(clip)
        for clip, spec in zip(inputs, specs, strict=True)
    )


def _blurred(clip: Tensor) -> Tensor:
    """Every frame of `(B, T, C, H, W)` under a Gaussian of `BLUR` times its shorter side."""
    height, width = clip.shape[-2:]
    deviation = BLUR * min(height, width)
    reach = round(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, device=clip.device, dtype=clip.dtype)
    weights = (-offsets.square() / (2 * deviation**2)).exp()
    weights = weights / weights.sum()
    planes = clip.reshape(-1, 1, height, width)
    planes = F.conv2d(F.pad(planes, (reach, reach, 0, 0), "replicate"), weights.view(1, 1, 1, -1))
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), "replicate"), weights.view(1, 1, -1, 1))
    return planes.view_as(clip)
