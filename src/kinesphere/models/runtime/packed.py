"""Convolutions and linear layers whose weights wait in oneDNN's own layout, with what follows them fused.

The plain weight makes way for the packed one in the first call. The best layout of a convolution depends on
the size of the input; inputs of other sizes run with it too. That of a linear layer is chosen without a size:
chosen for the first batch, it would let the last digit of an answer depend on what was asked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Activation:
    """An activation by oneDNN's names."""

    name: str = "none"
    algorithm: str = ""


NO_ACTIVATION = Activation()


class PackedConvolution(nn.Module):
    """A convolution with fused activation and addition.

    Args:
        conv: The convolution to stand for.
        dtype: fp32 or bf16, for input, weight and output.
        activation: What follows, behind the addition if there is one (then a ReLU or nothing).
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, dtype: torch.dtype, activation: Activation) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if conv.weight.dim() == 4 else torch.channels_last_3d
        self.geometry: tuple[Any, ...] = (
            list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups,
        )  # fmt: skip
        self.dtype = dtype
        self.activation = activation
        self.weight = conv.weight.detach().to(dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`activation(conv(x) + other)`, as far as present; `x (N, C, ..., H, W)` in any memory layout."""
        x = x.to(self.dtype).contiguous(memory_format=self.memory_format)
        weight = self.weight
        if not weight.is_mkldnn:
            weight = self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, *self.geometry, list(x.shape)
            )
        name, algorithm = self.activation.name, self.activation.algorithm
        if other is None:
            out: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, weight, self.bias, *self.geometry, name, [], algorithm
            )
            return out
        other = other.to(self.dtype).contiguous(memory_format=self.memory_format)
        out = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, weight, self.bias, *self.geometry, "add", None, name, [], algorithm
        )
        return out  # noqa: RET504 (typed above)


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
