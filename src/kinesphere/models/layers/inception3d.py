"""The Inception-v1 network over time, as I3D and S3D share it; the papers are named in their files.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]
Widths = tuple[int, int, int, int, int, int]

# Output channels of the four branches (1×1; reduce, 3×3; reduce, 3×3; pooled 1×1) of each block.
BLOCKS: dict[str, Widths] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
STAGES = ("conv_1a", "conv_2b", "conv_2c", *BLOCKS)
NORM_EPS = 1e-3


class Convolve(Protocol):
    """Builds a convolution with norm and ReLU; its kernel and stride are the sides of cubes."""

    def __call__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module: ...


class Pool(Protocol):
    """Builds a max-pool."""

    def __call__(self, kernel: Triple, stride: Triple) -> nn.Module: ...


def with_norm(conv: nn.Conv3d) -> nn.Sequential:
    """A convolution, batch norm, ReLU."""
    return nn.Sequential(conv, nn.BatchNorm3d(conv.out_channels, eps=NORM_EPS), nn.ReLU(inplace=True))


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated by channel."""

    def __init__(self, inputs: int, widths: Widths, convolve: Convolve, pool: Pool) -> None:
        super().__init__()
        a, reduced_b, b, reduced_c, c, d = widths
        self.branch0 = convolve(inputs, a, 1)
        self.branch1 = nn.Sequential(convolve(inputs, reduced_b, 1), convolve(reduced_b, b, 3))
        self.branch2 = nn.Sequential(convolve(inputs, reduced_c, 1), convolve(reduced_c, c, 3))
        self.branch3 = nn.Sequential(pool((3, 3, 3), (1, 1, 1)), convolve(inputs, d, 1))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_BCTHW) for branch in branches], dim=1)


class AveragePairs(nn.Module):
    """The average over the picture and over pairs of neighbouring time steps, `(B, C, T-1, 1, 1)`."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return F.avg_pool3d(x_BCTHW, (min(2, x_BCTHW.shape[2]), *x_BCTHW.shape[3:]), stride=1)


class Inception3d(nn.Module):
    """Inception-v1 over time.

    The published networks classify pairs of neighbouring time steps and average the scores; both are
    linear, so the features are averaged instead.

    Args:
        num_classes: Number of outputs K.
        convolve: Builds its convolutions.
        pool: Builds its pools.
        channels: 3 for RGB, 2 for flow.
        divide: Divides all widths, for small variants.
        dropout: Share of features dropped in training.
    """

    def __init__(
        self,
        num_classes: int,
        convolve: Convolve,
        pool: Pool,
        *,
        channels: int = 3,
        divide: int = 1,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv_1a = convolve(channels, 64 // divide, 7, 2)
        self.pool_2a = pool((1, 3, 3), (1, 2, 2))
        self.conv_2b = convolve(64 // divide, 64 // divide, 1)
        self.conv_2c = convolve(64 // divide, 192 // divide, 3)
        self.pool_3a = pool((1, 3, 3), (1, 2, 2))
        self.pool_4a = pool((3, 3, 3), (2, 2, 2))
        self.pool_5a = pool((2, 2, 2), (2, 2, 2))
        inputs = 192 // divide
        for name, full in BLOCKS.items():
            a, b, c, d, e, f = (width // divide for width in full)
            self.add_module(name, InceptionBlock(inputs, (a, b, c, d, e, f), convolve, pool))
            inputs = a + c + e + f
        self.average = AveragePairs()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.pool_2a(self.conv_1a(x_BTCHW.transpose(1, 2)))
        x = self.pool_3a(self.conv_2c(self.conv_2b(x)))
        for name in BLOCKS:
            if name.endswith("b") and name != "mixed_3b":
                x = (self.pool_4a if name == "mixed_4b" else self.pool_5a)(x)
            x = self.get_submodule(name)(x)
        logits_BK: Tensor = self.fc(self.dropout(self.average(x)).mean((2, 3, 4)))
        return logits_BK
