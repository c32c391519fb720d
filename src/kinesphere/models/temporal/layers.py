"""Layers over the features of a long video: `(B, C, T)` beside a mask of the steps that are there.

B videos, C channels, T steps. What is padded is masked after every convolution, so that it stays zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Steps:
    """Features with the steps that are there.

    Attributes:
        x: `(B, C, T)`.
        mask: bool `(B, T)`.
    """

    x: Tensor
    mask: Tensor

    def masked(self, x_BCT: Tensor) -> Steps:
        """Other features at the same steps, zero where there is none."""
        return Steps(x_BCT * self.mask.unsqueeze(1).to(x_BCT.dtype), self.mask)

    def every(self, stride: int) -> Tensor:
        """The mask of every so-manieth step."""
        return self.mask if stride == 1 else self.mask[:, ::stride]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCT: Tensor) -> Tensor:
        normed_BTC = F.layer_norm(x_BCT.transpose(1, 2), self.weight.shape, self.weight, self.bias, EPS)
        return normed_BTC.transpose(1, 2)


class ChannelScale(nn.Module):
    """A learnt factor for each channel of a residual branch, which is dropped now and then in training.

    Args:
        channels: C.
        drop: Probability that a video's branch is dropped in training.
        start: Factor at the start.
    """

    def __init__(self, channels: int, drop: float = 0.0, start: float = 1e-4) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), start))
        self.drop = drop

    def forward(self, x_BCT: Tensor) -> Tensor:
        scaled_BCT = self.scale[:, None] * x_BCT
        if not self.training or not self.drop:
            return scaled_BCT
        keep = 1 - self.drop
        kept_B11 = torch.empty(len(x_BCT), 1, 1, device=x_BCT.device, dtype=x_BCT.dtype).bernoulli_(keep)
        return scaled_BCT * kept_B11 / keep


class MaskedConv1d(nn.Conv1d):
    """A convolution over time that keeps the length (or halves it), masked afterwards."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=bias
        )
        if bias:
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def take(self, steps: Steps) -> Steps:
        """The convolved steps."""
        mask = steps.every(self.stride[0])
        return Steps(self(steps.x) * mask.unsqueeze(1).to(steps.x.dtype), mask)


class Embedding(nn.Module):
    """Convolutions, each with channel norm and ReLU, from the features' width to the network's."""

    def __init__(self, features: int, width: int, layers: int = 2, kernel: int = 3) -> None:
        super().__init__()
        widths = [features, *[width] * layers]
        self.convs = nn.ModuleList(MaskedConv1d(a, b, kernel, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(layers))

    def take(self, steps: Steps) -> Steps:
        """The embedded steps."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            steps = conv.take(steps)  # type: ignore[operator]
            steps = Steps(F.relu(norm(steps.x)), steps.mask)
        return steps


class PyramidHead(nn.Module):
    """Convolutions shared by all levels of a pyramid, and a last one to the outputs.

    Args:
        width: Channels of the levels.
        outputs: Channels of the answer.
        layers: Convolutions in all.
        kernel: Their length.
        bias: Bias of the outputs at the start.
    """

    def __init__(
        self, width: int, outputs: int, layers: int = 3, kernel: int = 3, *, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(MaskedConv1d(width, width, kernel, bias=False) for _ in range(layers - 1))
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(layers - 1))
        self.out = MaskedConv1d(width, outputs, kernel)
        nn.init.constant_(self.out.bias, bias)  # type: ignore[arg-type]

    def take(self, steps: Steps) -> Tensor:
        """The answers `(B, T, outputs)` of one level."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            steps = conv.take(steps)  # type: ignore[operator]
            steps = Steps(F.relu(norm(steps.x)), steps.mask)
        return self.out.take(steps).x.transpose(1, 2)


class Factor(nn.Module):
    """One learnt number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def sine_positions(length: int, channels: int) -> Tensor:
    """Sine table `(C, T)` of positions (Vaswani et al. 2017, section 3.5)."""
    channel_C = torch.arange(channels)
    rates_C = 10000 ** (2 * (channel_C // 2) / channels)
    angles_CT = torch.arange(length)[None] / rates_C[:, None]
    return torch.where((channel_C % 2 == 0)[:, None], angles_CT.sin(), angles_CT.cos())


def prior_bias(probability: float = 0.01) -> float:
    """Bias of a logit that starts at a probability (Lin et al. 2017, section 4.1)."""
    return -math.log((1 - probability) / probability)
