"""Convolutions and linear layers whose weights wait in oneDNN's own layout, with what follows them fused.

The plain weight makes way for the packed one in the first call. The best layout of a convolution depends on
the size of the input; inputs of other sizes run with it too. That of a linear layer is chosen without a size:
chosen for the first batch, it would let the last digit of an answer depend on what was asked before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.device import cpu_flags


@dataclass(frozen=True)
class Activation:
    """An activation by oneDNN's names."""

    name: str = "none"
    algorithm: str = ""


NO_ACTIVATION = Activation()
MOST_CHANNELS_OF_A_STEM = 4
MIN_LINEAR_CHANNELS = 96


def is_pointwise(module: object) -> TypeGuard[nn.Conv2d | nn.Conv3d]:
    """Whether it is a 1×1 or 1×1×1 convolution that treats every position alike."""
    return (
        isinstance(module, nn.Conv2d | nn.Conv3d)
        and type(module) in (nn.Conv2d, nn.Conv3d)
        and _all_are(1, module.kernel_size)
        and _all_are(1, module.stride)
        and _all_are(0, module.padding)
        and module.groups == 1
    )


def faster_as_linear(module: object) -> TypeGuard[nn.Conv2d | nn.Conv3d]:
    """Whether it is a pointwise convolution that a linear layer outruns: by up to a third, in bf16 mostly.

    Measured: those of many channels, and all 3-D ones that widen; narrow ones over large maps are slower.
    """
    if not is_pointwise(module):
        return False
    widens = module.weight.dim() == 5 and module.out_channels > module.in_channels
    return widens or min(module.in_channels, module.out_channels) >= MIN_LINEAR_CHANNELS


def _all_are(size: int, sizes: Sequence[int] | str) -> bool:
    return set(sizes) == {size}


class PackedConvolution(nn.Module):
    """A convolution with fused activation and addition.

    In bf16 on a processor with matrix units (AMX), a stem (few input channels, a stride along the width)
    takes `stride` neighbouring pixels as one with that many times the channels. With channels last this is
    another view of the same memory, and the units multiply more than three numbers at once.

    Args:
        conv: The convolution to stand for.
        dtype: fp32 or bf16, for input, weight and output.
        activation: What follows, behind the addition if there is one (then a ReLU or nothing).
        overwrites: Whether the result may take the memory of what is added, which is read once less then.
    """

    def __init__(
        self,
        conv: nn.Conv2d | nn.Conv3d,
        dtype: torch.dtype,
        activation: Activation,
        *,
        overwrites: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if conv.weight.dim() == 4 else torch.channels_last_3d
        self.overwrites = overwrites
        padding: list[int] = [int(size) for size in conv.padding]
        stride = list(conv.stride)
        self.dtype = dtype
        self.activation = activation
        self.weight = conv.weight.detach().to(dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        self.patches = conv.kernel_size[-1] == stride[-1] and padding[-1] == 0
        self.merged = stride[-1] if _merges_columns(conv, dtype) else 1
        if self.merged > 1:
            self.weight, padding[-1] = merged_kernel(self.weight, stride[-1], padding[-1])
            stride[-1] = 1
        self.geometry: tuple[Any, ...] = (padding, stride, list(conv.dilation), conv.groups)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`activation(conv(x) + other)`, as far as present; `x (N, C, ..., H, W)` in any memory layout."""
        x = x.to(self.dtype)
        if self.merged > 1:
            x = merged_columns(x, self.merged, crop=self.patches)
        x = x.contiguous(memory_format=self.memory_format)
        weight = self.weight
        if not weight.is_mkldnn:
            weight = self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, *self.geometry, list(x.shape)
            )
        name, algorithm = self.activation.name, self.activation.algorithm
        convolve = torch.ops.mkldnn._convolution_pointwise
        out: Tensor
        if other is None:
            out = convolve(x, weight, self.bias, *self.geometry, name, [], algorithm)
            return out
        other = other.to(self.dtype).contiguous(memory_format=self.memory_format)
        rest = (weight, self.bias, *self.geometry, "add", None, name, [], algorithm)
        if self.overwrites:
            out = torch.ops.mkldnn._convolution_pointwise_.binary(other, x, *rest)
        else:
            out = convolve.binary(x, other, *rest)
        return out


def _merges_columns(conv: nn.Conv2d | nn.Conv3d, dtype: torch.dtype) -> bool:
    """Whether that is faster: measured with three channels, 1.6 to 6 times with AMX, else 0.7 to 1."""
    kernel, stride, padding = (int(size[-1]) for size in (conv.kernel_size, conv.stride, conv.padding))
    return (
        dtype == torch.bfloat16
        and "amx_bf16" in cpu_flags()
        and conv.in_channels <= MOST_CHANNELS_OF_A_STEM
        and conv.groups == 1
        and conv.dilation[-1] == 1
        and stride > 1
        and (kernel == 2 * padding + 1 or (kernel == stride and padding == 0))
    )


def merged_columns(x: Tensor, count: int, *, crop: bool) -> Tensor:
    """`count` neighbouring columns as one with that many times the channels, `(N, count * C, ..., H, W')`.

    Args:
        x: `(N, C, ..., H, W)`.
        count: How many columns are merged.
        crop: What becomes of an incomplete one: it is left out, or else filled with zeros.
    """
    over = x.shape[-1] % count
    if over:
        x = F.pad(x, (0, -over if crop else count - over))
    x = x.movedim(1, -1).contiguous()
    merged: Tensor = x.unflatten(-2, (-1, count)).flatten(-2)
    return merged.movedim(-1, 1)


def merged_kernel(weight: Tensor, stride: int, padding: int) -> tuple[Tensor, int]:
    """The kernel that computes from merged columns what `weight` computes with a stride along the width.

    Args:
        weight: `(outputs, C, ..., kW)`; kW is twice the padding and one more, or the stride without padding.
        stride: Of the convolution along the width; as many columns are merged.
        padding: Of the convolution along the width, in pixels.

    Returns:
        The kernel `(outputs, stride * C, ..., kW')` for stride 1, and its padding in merged columns.
    """
    padded = -(-padding // stride)
    wide = 2 * padded + 1
    before = padded * stride - padding
    weight = F.pad(weight, (before, wide * stride - weight.shape[-1] - before))
    return weight.unflatten(-1, (wide, stride)).movedim(-1, 1).flatten(1, 2).contiguous(), padded


class PackedLinear(nn.Module):
    """A linear layer with fused activation or addition.

    Args:
        weight: `(outputs, inputs)`.
        bias: `(outputs,)` or None.
        dtype: fp32 or bf16, for input, weight and output.
        activation: What follows; nothing where something is added.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: Activation = NO_ACTIVATION
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.outputs = len(weight)
        self.activation = activation
        self.weight = weight.detach().to(dtype)
        self.bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`activation(linear(x))` or `linear(x) + other`; `x (..., inputs)`."""
        x = x.to(self.dtype)
        weight = self.weight
        if not weight.is_mkldnn:
            weight = self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        if other is None:
            out: Tensor = torch.ops.mkldnn._linear_pointwise(
                x, weight, self.bias, self.activation.name, [], self.activation.algorithm
            )
            return out
        if other.dtype != self.dtype or other.shape != (*x.shape[:-1], self.outputs):
            # What is added keeps its precision, and may be added to several rows.
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, self.bias, "none", [], "")
            return product + other
        out = torch.ops.mkldnn._linear_pointwise.binary(x, other.contiguous(), weight, self.bias, "add")
        return out  # noqa: RET504 (typed above)


class PackedPointwise(PackedLinear):
    """A pointwise convolution as a linear layer on channels-last memory; see `faster_as_linear`.

    Args:
        conv: The convolution to stand for.
        dtype: fp32 or bf16, for input, weight and output.
        activation: What follows.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, dtype: torch.dtype, activation: Activation) -> None:
        super().__init__(conv.weight.flatten(1), conv.bias, dtype, activation)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`activation(conv(x))`; `x (N, C, ..., H, W)` in any memory layout."""
        return super().forward(x.movedim(1, -1).contiguous(), other).movedim(-1, 1)
