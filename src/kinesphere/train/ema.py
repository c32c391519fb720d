"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from kinesphere.models.recogniser import Recogniser

Tensors = tuple[Tensor, ...] | list[Tensor]


def average_step(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Moves averages towards weights by `1 - decay`, faster at first.

    After n updates the decay is at most (1 + n) / (10 + n), so that a short run does not end on an
    average of its own beginning (the rule of TensorFlow's `ExponentialMovingAverage`). Integer
    buffers are copied.
    """

    @torch.no_grad()
    def step(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        step = 1 - min(decay, (1 + n) / (10 + n))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight.to(average.dtype), step)
            else:
                average.copy_(weight)

    return step


class AveragedWeights(AveragedModel):
    """A copy of a network that follows it; call `update_parameters(net)` after every optimiser step."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        super().__init__(net, multi_avg_fn=average_step(decay), use_buffers=True)
        self.requires_grad_(False)


def recogniser_around(net: nn.Module, like: Recogniser) -> Recogniser:
    """A recogniser in evaluation mode with another set of weights and everything else as in `like`."""
    other = Recogniser(
        net, like.card, like.specs, like.labels, dict(like.arguments), like.provenance, like.head
    )
    other.reset = like.reset
    return other.eval()
