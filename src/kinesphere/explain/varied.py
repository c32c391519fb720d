"""A score as a function of what may vary in a clip, for methods that follow its gradient.

B batch, T time, C channels, H W pixels, M people, J joints, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec
from kinesphere.explain.neutral import is_joints, is_planes
from kinesphere.explain.target import Scored

Heat = tuple[Tensor | None, ...]


class Varied(nn.Module):
    """The score of clips by their pixels and by the coordinates of the joints that are seen.

    Scores of joints are held: they say how sure an estimator is, not where a joint is, and an altered one
    would bring joints into being. Joints that are not seen stay zeros, so nothing depends on them.

    Args:
        scored: The network with what is explained of it.
    """

    def __init__(self, scored: Scored) -> None:
        super().__init__()
        self.scored = scored
        self.specs = scored.recogniser.specs
        self.eval()

    def free(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What varies, one tensor per input, apart from the caller's and with gradients on."""
        parts = [
            clip[..., :-1] if is_joints(spec) else clip for clip, spec in zip(inputs, self.specs, strict=True)
        ]
        return tuple(part.detach().clone().requires_grad_() for part in parts)

    def held(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        """What does not: the scores of joints; None where there are no joints."""
        clips = zip(inputs, self.specs, strict=True)
        return tuple(clip[..., -1:].detach() for clip, spec in clips if is_joints(spec)) or None

    def on_joints(
        self, parts: Sequence[Tensor], clip: Sequence[Tensor], origin: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Attributions of `free` parts as those of pixels and joints.

        Args:
            parts: One tensor per input.
            clip: The clip that is explained.
            origin: What its attributions count from.
        """
        return tuple(parts)

    def forward(self, *parts: Tensor) -> Tensor:
        """Scores `(B,)` of `free` parts, followed by the held ones."""
        held = iter(parts[len(self.specs) :])
        inputs = []
        for part, spec in zip(parts, self.specs, strict=False):
            if is_joints(spec):
                score = next(held)
                part = torch.cat([torch.where(score > 0, part, 0.0), score], -1)
            inputs.append(part)
        scores: Tensor = self.scored(*inputs)
        return scores


def maps(parts: Sequence[Tensor], specs: Sequence[ClipSpec], reduce: Callable[[Tensor], Tensor]) -> Heat:
    """Attributions of `free` parts as heat `(B, T, H, W)` or `(B, T, M, J)`; None for other inputs.

    Args:
        parts: One tensor per input.
        specs: Their contracts.
        reduce: Attributions whose last axis is channels, or coordinates, to one number each.
    """
    heat: list[Tensor | None] = []
    for part, spec in zip(parts, specs, strict=True):
        if is_joints(spec):
            heat.append(reduce(part.detach()))
        else:
            heat.append(reduce(part.detach().movedim(2, -1)) if is_planes(spec) else None)
    return tuple(heat)


def signed_sum(values: Tensor) -> Tensor:
    """Contributions of a pixel's channels, added up."""
    return values.sum(-1)


def absolute_sum(values: Tensor) -> Tensor:
    """Sizes of what a pixel's channels say, added up."""
    return values.abs().sum(-1)


def clip_by_clip(inputs: Sequence[Tensor], batch: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """The inputs of `batch` clips at a time, so that memory does not grow with their number."""
    for first in range(0, len(inputs[0]), batch):
        yield tuple(clip[first : first + batch] for clip in inputs)


def together(heats: Sequence[Heat]) -> Heat:
    """Heat of several batches as one."""
    return tuple(
        None if any(part is None for part in parts) else torch.cat([p for p in parts if p is not None])
        for parts in zip(*heats, strict=True)
    )
