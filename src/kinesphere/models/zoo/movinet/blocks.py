"""The layers of a MoViNet, over whole clips and over streams.

Kondratyuk et al.: "MoViNets: Mobile Video Networks for Efficient Video Recognition", CVPR 2021,
https://arxiv.org/abs/2103.11511, sections 3.1 (blocks) and 3.2 (stream buffers, causal operations).

What sees one frame alone is done in 2D operators, whose gradients are several times faster on a CPU than
those of their 3D twins; between layers features are `(B, C, T, H, W)`, a view of frames that lie one after
the other in memory. Padding is TensorFlow's `SAME`: at stride 2 the odd pixel is added at the end.

B batch, T time, C channels, H W pixels, N frames (B times T).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.models.layers.frame_resnet import clips, frames

EPSILON = 1e-3


class SamePad(nn.Module):
    """Zeros around `(..., H, W)` so that a kernel at stride 2 gives half the size, rounded up."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        down = self.kernel - 2 + x.shape[-2] % 2
        right = self.kernel - 2 + x.shape[-1] % 2
        return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))


class SamePool(nn.Module):
    """Average of 3×3 pixels at stride 2, of those inside the image alone, `(N, C, H, W)`."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        padding = (x_NCHW.shape[-2] % 2, x_NCHW.shape[-1] % 2)
        return F.avg_pool2d(x_NCHW, 3, 2, padding, ceil_mode=True, count_include_pad=False)


class FrameConv(nn.Module):
    """Convolution within each frame `(N, C, H, W)`, batch norm, activation.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Side.
        stride: 1 or 2.
        groups: Groups of the convolution.
        activation: After the norm, if any.
        folded: Whether the convolution has taken up the batch norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        activation: type[nn.Module] = nn.Identity,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.pad = SamePad(kernel) if stride == 2 else nn.Identity()
        padding = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=folded)
        self.bn = nn.Identity() if folded else nn.BatchNorm2d(outputs, eps=EPSILON)
        self.act = activation()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(self.pad(x_NCHW))))
        return out


class FrameDepthwise(FrameConv):
    """The same over clips `(B, C, T, H, W)`, channel by channel."""

    def __init__(
        self, width: int, kernel: int, stride: int, *, activation: type[nn.Module], folded: bool
    ) -> None:
        super().__init__(width, width, kernel, stride, groups=width, activation=activation, folded=folded)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return clips(super().forward(frames(x_BCTHW)), x_BCTHW.shape[2])


class VolumeDepthwise(nn.Module):
    """Convolution over time and space, channel by channel, batch norm, activation `(B, C, T, H, W)`."""

    def __init__(
        self, width: int, length: int, kernel: int, stride: int, *, activation: type[nn.Module], folded: bool
    ) -> None:
        super().__init__()
        self.pad = SamePad(kernel) if stride == 2 else nn.Identity()
        side = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv3d(
            width,
            width,
            (length, kernel, kernel),
            (1, stride, stride),
            (length // 2, side, side),
            groups=width,
            bias=folded,
        )
        self.bn = nn.Identity() if folded else nn.BatchNorm3d(width, eps=EPSILON)
        self.act = activation()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn(self.conv(self.pad(x_BCTHW))))
        return out


class CausalConv(nn.Module):
    """Convolution over the last `length` frames, channel by channel, batch norm, activation.

    As a 2D convolution over time × pixels, on the memory as it is.
    """

    chains = (("conv", "bn", "act"),)

    def __init__(self, width: int, length: int, *, activation: type[nn.Module], folded: bool) -> None:
        super().__init__()
        self.past = length - 1
        self.conv = nn.Conv2d(width, width, (length, 1), groups=width, bias=folded)
        self.bn = nn.Identity() if folded else nn.BatchNorm2d(width, eps=EPSILON)
        self.act = activation()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return self._convolve(F.pad(x_BCTHW, (0, 0, 0, 0, self.past, 0)))

    def carry(self, x_BCTHW: Tensor, tail_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """The next frames after those whose last `length - 1` are `tail`; their output and new tail."""
        x = torch.cat([tail_BCTHW, x_BCTHW], 2)
        return self._convolve(x), x[:, :, x.shape[2] - self.past :].clone()

    def _convolve(self, x_BCTHW: Tensor) -> Tensor:
        flat: Tensor = self.act(self.bn(self.conv(x_BCTHW.flatten(3))))
        out: Tensor = flat.unflatten(3, x_BCTHW.shape[3:])
        return out


def squeezed(width: int) -> int:
    """`width` as a multiple of 8 that loses at most a tenth."""
    rounded = max(8, (width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class HardSigmoid(nn.Module):
    """A line of `slope` through one half, cut off at 0 and 1.

    Args:
        slope: A sixth, or Keras' older fifth.
        folded: Whether the bias before it has taken up what lifts the line to one half.
    """

    def __init__(self, slope: float, *, folded: bool) -> None:
        super().__init__()
        self.slope = slope
        self.offset = 0.0 if folded else 0.5

    def forward(self, x: Tensor) -> Tensor:
        return (self.slope * x + self.offset).clamp(0, 1)


class SqueezeExcite(nn.Module):
    """Scales each channel by what all of them say about the whole clip `(B, C, T, H, W)`."""

    def __init__(self, width: int, *, activation: type[nn.Module]) -> None:
        super().__init__()
        inner = squeezed(width // 4)
        self.fc1 = nn.Linear(width, inner)
        self.act = activation()
        self.fc2 = nn.Linear(inner, width)
        self.gate = nn.Sigmoid()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        scale_BC: Tensor = self.gate(self.fc2(self.act(self.fc1(x_BCTHW.mean((2, 3, 4))))))
        return x_BCTHW * scale_BC[:, :, None, None, None]


class CausalSqueezeExcite(nn.Module):
    """Scales each channel of a frame by its own means and those of the stream up to it."""

    def __init__(self, width: int, *, activation: type[nn.Module], slope: float, folded: bool) -> None:
        super().__init__()
        inner = squeezed(width // 4 * 2)
        self.fc1 = nn.Linear(2 * width, inner)
        self.act = activation()
        self.fc2 = nn.Linear(inner, width)
        self.gate = HardSigmoid(slope, folded=folded)
        self.gate_shift = self.gate.offset / self.gate.slope

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        means_BTC = frame_means(x_BCTHW)
        return self._excite(x_BCTHW, means_BTC, running_mean(means_BTC)[0])

    def carry(self, x_BCTHW: Tensor, sum_BC: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The next frames after `count` others whose means add up to `sum`; and the new sum."""
        means_BTC = frame_means(x_BCTHW)
        history_BTC, new_BC = running_mean(means_BTC, sum_BC, count)
        return self._excite(x_BCTHW, means_BTC, history_BTC), new_BC

    def _excite(self, x_BCTHW: Tensor, means_BTC: Tensor, history_BTC: Tensor) -> Tensor:
        both = torch.cat([history_BTC, means_BTC], 2)
        scale_BTC: Tensor = self.gate(self.fc2(self.act(self.fc1(both))))
        return x_BCTHW * scale_BTC.transpose(1, 2)[:, :, :, None, None]


def frame_means(x_BCTHW: Tensor) -> Tensor:
    """Mean over the pixels of each frame `(B, T, C)`."""
    return x_BCTHW.mean((3, 4)).transpose(1, 2)


def running_mean(means_BTC: Tensor, sum_BC: Tensor | None = None, count: int = 0) -> tuple[Tensor, Tensor]:
    """Mean of all frames up to each one `(B, T, C)`, and the sum of all `(B, C)`.

    Args:
        means_BTC: Of the new frames.
        sum_BC: Sum of those before them.
        count: Their number.
    """
    sums_BTC = means_BTC.float().cumsum(1)
    if sum_BC is not None:
        sums_BTC = sums_BTC + sum_BC[:, None]
    counts_1T1 = torch.ones_like(sums_BTC[:1, :, :1]).cumsum(1) + count
    return (sums_BTC / counts_1T1).to(means_BTC.dtype), sums_BTC[:, -1]


@dataclass(frozen=True, eq=False)
class BlockState:
    """What a block remembers of a stream.

    Attributes:
        total: Sum of its frames' means, `(B, C)`.
        tail: The last inputs of its temporal convolution, if it has one, `(B, C, T, H, W)`.
    """

    total: Tensor
    tail: Tensor | None


class MobileBlock(nn.Module):
    """Widen, look around channel by channel, excite, narrow; scaled by α and added to the input.

    Args:
        inputs: Channels of the input.
        width: Channels inside.
        outputs: Channels of the output.
        length: Frames under the depthwise convolution.
        kernel: Its side in pixels.
        stride: Its stride in pixels.
        causal: Whether it sees only the past, as a convolution in space and one in time.
        folded: Whether the convolutions have taken up their batch norms.
        slope: Slope of the hard sigmoid in a causal block.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        length: int,
        kernel: int,
        stride: int,
        *,
        causal: bool,
        folded: bool,
        slope: float,
    ) -> None:
        super().__init__()
        act: type[nn.Module] = nn.Hardswish if causal else nn.SiLU
        self.stride = stride
        self.expand = FrameConv(inputs, width, activation=act, folded=folded)
        self.temporal: CausalConv | None = None
        self.depthwise: nn.Module
        if causal or length == 1:
            self.depthwise = FrameDepthwise(width, kernel, stride, activation=act, folded=folded)
        else:
            self.depthwise = VolumeDepthwise(width, length, kernel, stride, activation=act, folded=folded)
        if causal and length > 1:
            self.temporal = CausalConv(width, length, activation=act, folded=folded)
        self.se = (
            CausalSqueezeExcite(width, activation=act, slope=slope, folded=folded)
            if causal
            else SqueezeExcite(width, activation=act)
        )
        self.project = FrameConv(width, outputs, folded=folded)
        self.shortcut: nn.Module | None = None
        if stride == 2 or inputs != outputs:
            self.shortcut = nn.Sequential(
                SamePool() if stride == 2 else nn.Identity(), FrameConv(inputs, outputs, folded=folded)
            )
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = self._widen(x_BCTHW)
        if self.temporal is not None:
            x = self.temporal(x)
        return self._narrow(x_BCTHW, self.se(x))

    def carry(self, x_BCTHW: Tensor, state: BlockState, count: int) -> tuple[Tensor, BlockState]:
        """The next frames of a stream after `count` others; causal blocks alone."""
        assert isinstance(self.se, CausalSqueezeExcite)
        x, tail = self._widen(x_BCTHW), None
        if self.temporal is not None and state.tail is not None:
            x, tail = self.temporal.carry(x, state.tail)
        x, total = self.se.carry(x, state.total, count)
        return self._narrow(x_BCTHW, x), BlockState(total, tail)

    def begin(self, batch: int, size: tuple[int, int]) -> tuple[BlockState, tuple[int, int]]:
        """State before the first frame of `size` pixels, and the size of the output."""
        height, width = ((side + self.stride - 1) // self.stride for side in size)
        weight = self.project.conv.weight
        channels = weight.shape[1]
        tail = None
        if self.temporal is not None:
            tail = weight.new_zeros(batch, self.temporal.past, height, width, channels)
            tail = tail.permute(0, 4, 1, 2, 3)
        return BlockState(weight.new_zeros(batch, channels), tail), (height, width)

    def _widen(self, x_BCTHW: Tensor) -> Tensor:
        x: Tensor = self.depthwise(clips(self.expand(frames(x_BCTHW)), x_BCTHW.shape[2]))
        return x

    def _narrow(self, x_BCTHW: Tensor, wide_BCTHW: Tensor) -> Tensor:
        kept = frames(x_BCTHW)
        if self.shortcut is not None:
            kept = self.shortcut(kept)
        out = torch.addcmul(kept, self.project(frames(wide_BCTHW)), self.alpha)
        return clips(out, x_BCTHW.shape[2])
