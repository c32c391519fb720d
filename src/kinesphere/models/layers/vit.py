"""Layers of the plain vision transformer, as the video transformers share them.

Dosovitskiy et al.: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021,
https://arxiv.org/abs/2010.11929, section 3.1: pre-norm blocks of self-attention and a two-layer perceptron.

B batch, T time, C channels, H W pixels, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.layers.stochastic_depth import StochasticDepth

Gelu = Literal["none", "tanh", "quick"]
"""Exact, by its tanh approximation, or by `x · sigmoid(1.702 x)`."""
Rotation = Callable[[Tensor], Tensor]


class Attention(nn.Module):
    """Multi-head self-attention with queries, keys and values from one product.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        key_bias: Whether keys have a bias as queries and values do (it cannot change the attention).
        causal: Whether a token attends to itself and those before it alone.

    Raises:
        InvalidSetting: If the width is not that of so many equal heads.
    """

    def __init__(self, width: int, heads: int, *, key_bias: bool = True, causal: bool = False) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise InvalidSetting(f"An attention of {width} channels has no {heads} equal heads.")
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width, bias=key_bias)
        self.q_bias = None if key_bias else nn.Parameter(torch.zeros(width))
        self.v_bias = None if key_bias else nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor, rotate: Rotation | None = None) -> Tensor:
        """Tokens `(B, L, D)` that have looked at each other; `rotate` turns queries and keys by position."""
        q, k, v = self._heads(x_BLD)
        if rotate is not None:
            q, k = rotate(q), rotate(k)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x_BLD: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each `(B, heads, L, D / heads)`."""
        if self.q_bias is None or self.v_bias is None:
            together = self.qkv(x_BLD)
        else:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
            together = F.linear(x_BLD, self.qkv.weight, bias)
        by_head = together.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads: tuple[Tensor, ...] = by_head.unbind(0)
        return heads


class QuickGelu(nn.Module):
    """The sigmoid approximation of the GELU, which CLIP learnt with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, exact or by an approximation."""

    def __init__(self, width: int, hidden: int, *, gelu: Gelu = "none") -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.gelu = QuickGelu() if gelu == "quick" else nn.GELU(approximate=gelu)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.gelu(self.fc1(x_BLD)))
        return out


class Block(nn.Module):
    """Self-attention and perceptron, each behind a layer norm and added to its input."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        eps: float = 1e-6,
        gelu: Gelu = "none",
        key_bias: bool = True,
        causal: bool = False,
        ratio: int = 4,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads, key_bias=key_bias, causal=causal)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, ratio * width, gelu=gelu)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BLD: Tensor, rotate: Rotation | None = None) -> Tensor:
        x = x_BLD + self.drop_path(self.attn(self.norm1(x_BLD), rotate))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Tubelets(nn.Module):
    """Cuts a clip into boxes of `tubelet` frames by `patch` × `patch` pixels and projects each to a token."""

    def __init__(self, width: int, tubelet: int, patch: int) -> None:
        super().__init__()
        size = (tubelet, patch, patch)
        self.proj = nn.Conv3d(3, width, size, size)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """Tokens `(B, L, D)`, by time, row, column."""
        tokens: Tensor = self.proj(x_BTCHW.transpose(1, 2))
        return tokens.flatten(2).transpose(1, 2)

    def grid(self, x_BTCHW: Tensor) -> tuple[int, int, int]:
        """Tokens of a clip along time, rows and columns."""
        _, length, _, height, width = x_BTCHW.shape
        tubelet, patch, _ = self.proj.kernel_size
        return length // tubelet, height // patch, width // patch


def stage_names(depth: int, *after: str) -> tuple[str, ...]:
    """Stages of a transformer: its embedding, each of its blocks, and what comes `after`."""
    return ("embed", *(f"blocks.{i}" for i in range(depth)), *after)


def initialise(net: nn.Module) -> None:
    """Weights from a normal distribution of deviation 0.02, biases of 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
