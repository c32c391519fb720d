"""Layers of the multiscale vision transformers; the papers are named in `zoo/mvit`.

B batch, T time, C channels, H W pixels or places, N tokens (the class token first, then the grid, time
slowest), h heads, D channels of a head. `lead` is the number of class tokens, 0 or 1.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.layers.stochastic_depth import StochasticDepth
from kinesphere.models.tokens import Grid

Pooling = Literal["conv", "max", "avg"]

EPSILON = 1e-6
PATCH_STRIDE = (2, 4, 4)
HALF_PRECISION_UNIT = 32
"""In 16 bits, PyTorch's attention uses matrix units only for heads whose width is a multiple of this; others
run at half the speed."""


def coarser(grid: Grid, stride: int) -> Grid:
    """The grid after pooling in space: sizes are rounded up."""
    return grid[0], -(-grid[1] // stride), -(-grid[2] // stride)


class TokenPool(nn.Module):
    """Pools the grid of every head alike, 3×3×3 places at a time; the class token stays as it is."""

    def __init__(self, width: int, stride: int, kind: Pooling, *, lead: int, eps: float = EPSILON) -> None:
        super().__init__()
        self.lead = lead
        self.pool: nn.Module
        self.norm: nn.Module = nn.Identity()
        if kind == "conv":
            self.pool = nn.Conv3d(width, width, 3, (1, stride, stride), 1, groups=width, bias=False)
            self.norm = nn.LayerNorm(width, eps)
        elif kind == "max":
            self.pool = nn.MaxPool3d(3, (1, stride, stride), 1)
        elif kind == "avg":
            # Explicit zeros: the pooling refuses a grid smaller than its window, padded or not.
            self.pool = nn.Sequential(nn.ConstantPad3d(1, 0.0), nn.AvgPool3d(3, (1, stride, stride)))
        else:
            raise InvalidSetting(f"Pooling is conv, max or avg; got {kind!r}.")

    def forward(self, x_BNhD: Tensor, grid: Grid) -> Tensor:
        heads, width = x_BNhD.shape[2:]
        places = x_BNhD[:, self.lead :].flatten(2).unflatten(1, grid).permute(0, 4, 1, 2, 3)
        if isinstance(self.pool, nn.Conv3d):
            # Heads as further channels, not as further clips: the grid then is channels-last as it lies.
            kernel = self.pool.weight.repeat(heads, 1, 1, 1, 1)
            pooled = F.conv3d(places, kernel, None, self.pool.stride, 1, groups=heads * width)
        else:
            pooled = self.pool(places)
        out = pooled.flatten(2).transpose(1, 2).unflatten(2, (heads, width))
        if self.lead:
            out = torch.cat([x_BNhD[:, :1], out], 1)
        normed: Tensor = self.norm(out)
        return normed


def relative_table(table_LD: Tensor, queries: int, keys: int) -> Tensor:
    """Rows of a table of distances, `(queries, keys, D)`; along a finer axis than its own it is interpolated.

    Query and key grids of different fineness cover the same extent.
    """
    length = 2 * max(queries, keys) - 1
    if len(table_LD) != length:
        table_LD = F.interpolate(table_LD.t()[None], size=length, mode="linear")[0].t()
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    device = table_LD.device
    places = torch.arange(queries, device=device)[:, None] * query_step
    distances = places - (torch.arange(keys, device=device) + 1 - keys)[None] * key_step
    return table_LD[distances.long()]


def places_of(grid: Grid, like: Tensor) -> Tensor:
    """Row, column and time of each place as zeros and ones, `(T·H·W, T + H + W)`."""
    t, h, w = (torch.eye(n, dtype=like.dtype, device=like.device) for n in grid)
    rows = h.repeat_interleave(grid[2], 0).repeat(grid[0], 1)
    return torch.cat([t.repeat_interleave(grid[1] * grid[2], 0), rows, w.repeat(grid[0] * grid[1], 1)], 1)


class RelativePositions(nn.Module):
    """Adds to each affinity what the query says about the distance to the key, in time, height and width.

    The sum of the three terms is itself a product: of the query's terms for all times, rows and columns with
    zeros and ones that tell the key's. So they travel as further channels of queries and keys, and no
    matrix of all pairs is ever made.
    """

    def __init__(self, width: int, query_grid: Grid, key_grid: Grid, *, lead: int) -> None:
        super().__init__()
        self.lead = lead
        sizes = [2 * max(q, k) - 1 for q, k in zip(query_grid, key_grid, strict=True)]
        self.time, self.height, self.width = (nn.Parameter(torch.empty(size, width)) for size in sizes)
        for table in self.parameters():
            nn.init.trunc_normal_(table, std=0.02)

    def forward(
        self, q_BNhD: Tensor, k_BNhD: Tensor, query_grid: Grid, key_grid: Grid
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys with `T + H + W` (of the keys) further channels, for affinities over √D.

        In 16 bits zeros fill the width up to a multiple of `HALF_PRECISION_UNIT`.
        """
        q = q_BNhD[:, self.lead :].unflatten(1, query_grid)
        tables = [
            relative_table(table, *sizes).to(q.dtype)
            for table, *sizes in zip((self.time, self.height, self.width), query_grid, key_grid, strict=True)
        ]
        terms = [
            torch.einsum(f"bthwnd,{axis}kd->bthwnk", q, table)
            for axis, table in zip("thw", tables, strict=True)
        ]
        terms_BNhR = torch.cat(terms, -1).flatten(1, 3) * q_BNhD.shape[-1] ** 0.5
        unit = HALF_PRECISION_UNIT if q_BNhD.dtype.itemsize == 2 else 1
        spare = -(q_BNhD.shape[-1] + sum(key_grid)) % unit
        ones_NR = F.pad(places_of(key_grid, k_BNhD), (0, spare, self.lead, 0))
        ones_BNhR = ones_NR[None, :, None].expand(*k_BNhD.shape[:3], -1)
        q = torch.cat([q_BNhD, F.pad(terms_BNhR, (0, spare, 0, 0, self.lead, 0)).to(q_BNhD.dtype)], -1)
        return q, torch.cat([k_BNhD, ones_BNhR], -1)


class PooledAttention(nn.Module):
    """Self-attention between queries, keys and values that are pooled first."""

    def __init__(
        self,
        inputs: int,
        width: int,
        heads: int,
        query_stride: int,
        key_stride: int,
        *,
        pool: Pooling,
        pool_query: bool,
        relative: tuple[Grid, Grid] | None,
        residual: bool,
        lead: int,
        pool_eps: float = EPSILON,
    ) -> None:
        super().__init__()
        self.heads, self.lead, self.residual = heads, lead, residual
        self.query_stride, self.key_stride = query_stride, key_stride
        each = width // heads
        self.qkv = nn.Linear(inputs, 3 * width)
        self.pool_q = TokenPool(each, query_stride, pool, lead=lead, eps=pool_eps) if pool_query else None
        self.pool_k = TokenPool(each, key_stride, pool, lead=lead, eps=pool_eps)
        self.pool_v = TokenPool(each, key_stride, pool, lead=lead, eps=pool_eps)
        self.relative = RelativePositions(each, *relative, lead=lead) if relative else None
        self.proj = nn.Linear(width, width)

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        q, k, v = self.qkv(x_BNC).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q = q if self.pool_q is None else self.pool_q(q, grid)
        k, v = self.pool_k(k, grid), self.pool_v(v, grid)
        out_BNhD = self._attend(q, k, v, grid)
        if self.residual:
            patches = out_BNhD[:, self.lead :] + q[:, self.lead :]
            out_BNhD = torch.cat([out_BNhD[:, : self.lead], patches], 1) if self.lead else patches
        out: Tensor = self.proj(out_BNhD.flatten(2))
        return out

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, grid: Grid) -> Tensor:
        width = v.shape[-1]
        if self.relative is not None:
            grids = coarser(grid, self.query_stride), coarser(grid, self.key_stride)
            q, k = self.relative(q, k, *grids)
            v = F.pad(v, (0, k.shape[-1] - width))  # the fused kernels ask for equal widths
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=width**-0.5
        )
        return out.transpose(1, 2)[..., :width]


class Mlp(nn.Module):
    """The perceptron of a block, four times as wide inside."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, 4 * inputs)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(4 * inputs, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.gelu(self.fc1(x_BNC)))
        return out


class Block(nn.Module):
    """Attention and perceptron, each behind a layer norm and added to what comes in.

    Args:
        attention: Between pooled tokens; turns `inputs` channels into `middle`.
        inputs, middle, width: Channels at the entry, after the attention, and after the perceptron.
        drop_path: Rate of stochastic depth.
    """

    def __init__(
        self, attention: PooledAttention, inputs: int, middle: int, width: int, drop_path: float
    ) -> None:
        super().__init__()
        stride = attention.query_stride
        self.norm1 = nn.LayerNorm(inputs, EPSILON)
        self.attn = attention
        self.norm2 = nn.LayerNorm(middle, EPSILON)
        self.mlp = Mlp(middle, width)
        self.widen_first = middle != inputs
        self.proj = nn.Linear(inputs, width) if width != inputs else None
        kernel, pad = (1, stride + 1, stride + 1), (stride + 1) // 2
        self.pool_skip = nn.MaxPool3d(kernel, (1, stride, stride), (0, pad, pad)) if stride > 1 else None
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        normed = self.norm1(x_BNC)
        shortcut = self.proj(normed) if self.proj is not None and self.widen_first else x_BNC
        x = self._pooled(shortcut, grid) + self.drop_path(self.attn(normed, grid))
        normed = self.norm2(x)
        shortcut = self.proj(normed) if self.proj is not None and not self.widen_first else x
        out: Tensor = shortcut + self.drop_path(self.mlp(normed))
        return out

    def _pooled(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        if self.pool_skip is None:
            return x_BNC
        lead = self.attn.lead
        places = x_BNC[:, lead:].unflatten(1, grid).permute(0, 4, 1, 2, 3)
        pooled = self.pool_skip(places).flatten(2).transpose(1, 2)
        return torch.cat([x_BNC[:, :lead], pooled], 1) if lead else pooled


class Stage(nn.ModuleList):
    """Blocks at one resolution; the first one reaches it, with strided queries."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__(blocks)
        self.stride = blocks[0].attn.query_stride

    def forward(self, x_BNC: Tensor, grid: Grid) -> Tensor:
        for i, block in enumerate(self):
            x_BNC = block(x_BNC, grid if i == 0 else coarser(grid, self.stride))
        return x_BNC


class PatchTokens(nn.Module):
    """Overlapping patches as tokens behind a class token, with absolute positions if asked for.

    Absolute positions are a sum of one for time and one for space; other grids than `grid` interpolate them.
    """

    def __init__(self, width: int, grid: Grid, *, absolute: bool, class_token: bool) -> None:
        super().__init__()
        self.size = grid[1:]
        self.conv = nn.Conv3d(3, width, (3, 7, 7), PATCH_STRIDE, (1, 3, 3))
        self.class_token = nn.Parameter(torch.empty(width)) if class_token else None
        self.position_class = nn.Parameter(torch.empty(width)) if absolute and class_token else None
        self.position_space = nn.Parameter(torch.empty(grid[1] * grid[2], width)) if absolute else None
        self.position_time = nn.Parameter(torch.empty(grid[0], width)) if absolute else None
        for parameter in self.parameters(recurse=False):
            nn.init.trunc_normal_(parameter, std=0.02)

    def grid(self, x_BTCHW: Tensor) -> Grid:
        """How many patches a clip has along time, height and width."""
        time, _, height, width = x_BTCHW.shape[1:]
        return -(-time // 2), -(-height // 4), -(-width // 4)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        patches: Tensor = self.conv(x_BTCHW.transpose(1, 2))
        x = patches.flatten(2).transpose(1, 2)
        if self.position_space is not None and self.position_time is not None:
            x = x + self._positions(self.position_space, self.position_time, self.grid(x_BTCHW))
        if self.class_token is None:
            return x
        first = self.class_token if self.position_class is None else self.class_token + self.position_class
        return torch.cat([first.to(x.dtype).expand(x.shape[0], 1, -1), x], 1)

    def _positions(self, space: Tensor, time: Tensor, grid: Grid) -> Tensor:
        if grid[0] != len(time):
            time = F.interpolate(time.t()[None], size=grid[0], mode="linear")[0].t()
        if grid[1:] != self.size:
            image = space.t().unflatten(1, self.size)[None]
            space = F.interpolate(image, size=grid[1:], mode="bilinear")[0].flatten(1).t()
        return (time[:, None] + space).flatten(0, 1)
