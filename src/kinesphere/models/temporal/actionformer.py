"""ActionFormer: a pyramid of transformer blocks that attend within a window of time.

Zhang, Wu, Li: "ActionFormer: Localizing Moments of Actions with Transformers", ECCV 2022,
https://arxiv.org/abs/2202.07925, section 3.

B videos, T steps, C channels, N heads, D channels of a head, W half a window.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.models.temporal.layers import (
    ChannelNorm,
    ChannelScale,
    MaskedConv1d,
    Steps,
    sine_positions,
)
from kinesphere.models.temporal.public import COLUMN, EMBEDDING_RULES, HEADS_RULES, NECK_RULES
from kinesphere.models.temporal.pyramid import NormedLevels, Plain, levels_of
from kinesphere.models.weights.keymap import KeyMap, Rename

_FAR = -1e4
"""What stands for a key outside the mask in windows, finite as the authors have it."""


class WindowAttention(nn.Module):
    """Attention to neighbours in time, with depthwise convolutions before queries, keys and values.

    Args:
        width: C.
        heads: N.
        window: Steps that a query sees, itself in the middle; None for all.
        stride: 2 halves the steps.
    """

    def __init__(self, width: int, heads: int, window: int | None, stride: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        names = ("query", "key", "value")
        self.convs = nn.ModuleDict(
            {name: MaskedConv1d(width, width, 3, stride=stride, groups=width, bias=False) for name in names}
        )
        self.norms = nn.ModuleDict({name: ChannelNorm(width) for name in names})
        self.linears = nn.ModuleDict({name: nn.Conv1d(width, width, 1) for name in names})
        self.proj = nn.Conv1d(width, width, 1)

    def take(self, steps: Steps) -> Steps:
        """What each step gathers from its neighbours."""
        made = {}
        mask = steps.every(1)
        for name, conv in self.convs.items():
            taken = cast("MaskedConv1d", conv).take(steps)
            mask = taken.mask
            made[name] = self.linears[name](self.norms[name](taken.x)).unflatten(1, (self.heads, -1))
        q_BNTD, k_BNTD, v_BNTD = (made[name].transpose(2, 3) for name in ("query", "key", "value"))
        attend = self._everywhere if self.window is None else self._nearby
        gathered_BNTD = attend(q_BNTD, k_BNTD, v_BNTD, mask)
        out = self.proj(gathered_BNTD.transpose(2, 3).flatten(1, 2))
        return Steps(out * mask.unsqueeze(1).to(out.dtype), mask)

    def _everywhere(self, q: Tensor, k: Tensor, v: Tensor, mask_BT: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BT[:, None, None, :])

    def _nearby(self, q: Tensor, k: Tensor, v: Tensor, mask_BT: Tensor) -> Tensor:
        """Attention by blocks of steps, each of which sees itself and half a window to both sides.

        A query outside the mask gathers nothing.
        """
        assert self.window is not None
        half = self.window // 2
        T = q.shape[2]
        block = max(2 * half, 1)
        blocks = math.ceil(T / block)
        padded = blocks * block
        q = F.pad(q, (0, 0, 0, padded - T)).unflatten(2, (blocks, block))
        around = (half, padded - T + half)
        # (B, N, blocks, D, block + 2 half): the keys that the block's queries can see.
        k, v = (F.pad(x, (0, 0, *around)).unfold(2, block + 2 * half, block) for x in (k, v))
        there = F.pad(mask_BT, around).unfold(1, block + 2 * half, block)
        place = torch.arange(block + 2 * half, device=q.device) - half
        near = (place[None] - torch.arange(block, device=q.device)[:, None]).abs() <= half
        inside = F.pad(torch.ones_like(mask_BT), around).unfold(1, block + 2 * half, block)
        scores = q @ k / math.sqrt(q.shape[-1])
        scores = scores + torch.where(there, 0.0, _FAR)[:, None, :, None]
        seen = near & inside[:, None, :, None]
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num(0.0)
        gathered = (weights @ v.transpose(-1, -2)).flatten(2, 3)[:, :, :T]
        return gathered * mask_BT[:, None, :, None].to(gathered.dtype)


class Block(nn.Module):
    """A transformer block before which norms stand; a stride of 2 halves the steps.

    Args:
        width: C.
        heads: N.
        window: See `WindowAttention`.
        stride: 1 or 2.
        drop: Probability that a branch is dropped in training.
    """

    def __init__(self, width: int, heads: int, window: int | None, stride: int, drop: float) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.attention = WindowAttention(width, heads, window, stride)
        self.mlp = nn.Sequential(nn.Conv1d(width, 4 * width, 1), nn.GELU(), nn.Conv1d(4 * width, width, 1))
        self.scale1, self.scale2 = ChannelScale(width, drop), ChannelScale(width, drop)

    def take(self, steps: Steps) -> Steps:
        """The steps after the block."""
        gathered = self.attention.take(Steps(self.norm1(steps.x), steps.mask))
        there = gathered.mask.unsqueeze(1).to(steps.x.dtype)
        skip = steps.x if self.stride == 1 else F.max_pool1d(steps.x, 3, 2, 1)
        x = skip * there + self.scale1(gathered.x)
        return Steps(x + self.scale2(self.mlp(self.norm2(x)) * there), gathered.mask)


class ActionFormer(Plain):
    """See the module; the defaults are those for THUMOS14.

    Args:
        features: Numbers of a row of features.
        classes: K.
        width: C.
        levels: Number of levels.
        heads: N.
        window: Steps that a query sees, itself in the middle; 0 for all.
        stem: Blocks before the pyramid.
        positions: Whether a sine table is added to the steps.
        drop: Probability that a branch is dropped in training.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        width: int = 512,
        levels: int = 6,
        heads: int = 4,
        window: int = 19,
        stem: int = 2,
        *,
        positions: bool = False,
        drop: float = 0.1,
    ) -> None:
        super().__init__(features, classes, width, levels)
        self.positions = positions
        self.window = window
        seen = window or None
        self.stem = nn.ModuleList(Block(width, heads, seen, 1, drop) for _ in range(stem))
        self.branch = nn.ModuleList(Block(width, heads, seen, 2, drop) for _ in range(levels - 1))
        self.neck = NormedLevels(width, levels)

    def pyramid(self, steps: Steps) -> list[Steps]:
        """See `Plain.pyramid`."""
        if self.positions:
            channels, length = steps.x.shape[1:]
            table = sine_positions(length, channels).to(steps.x) / math.sqrt(channels)
            steps = steps.masked(steps.x + table)
        normed: list[Steps] = self.neck(levels_of(steps, self.stem, self.branch))
        return normed


def _block_rules(name: str) -> tuple[Rename, ...]:
    parts = ("query", "key", "value")
    return (
        Rename(f"backbone.{name}.{{b}}.ln{{i}}.*", f"{name}.{{b}}.norm{{i}}.*", COLUMN),
        *(
            rule
            for part in parts
            for rule in (
                Rename(
                    f"backbone.{name}.{{b}}.attn.{part}_conv.conv.weight",
                    f"{name}.{{b}}.attention.convs.{part}.weight",
                ),
                Rename(
                    f"backbone.{name}.{{b}}.attn.{part}_norm.*",
                    f"{name}.{{b}}.attention.norms.{part}.*",
                    COLUMN,
                ),
                Rename(f"backbone.{name}.{{b}}.attn.{part}.*", f"{name}.{{b}}.attention.linears.{part}.*"),
            )
        ),
        Rename(f"backbone.{name}.{{b}}.attn.proj.*", f"{name}.{{b}}.attention.proj.*"),
        Rename(f"backbone.{name}.{{b}}.mlp.0.*", f"{name}.{{b}}.mlp.0.*"),
        Rename(f"backbone.{name}.{{b}}.mlp.3.*", f"{name}.{{b}}.mlp.2.*"),
        Rename(f"backbone.{name}.{{b}}.drop_path_attn.scale", f"{name}.{{b}}.scale1.scale", COLUMN),
        Rename(f"backbone.{name}.{{b}}.drop_path_mlp.scale", f"{name}.{{b}}.scale2.scale", COLUMN),
    )


KEY_MAP = KeyMap(
    "actionformer",
    (*EMBEDDING_RULES, *_block_rules("stem"), *_block_rules("branch"), *NECK_RULES, *HEADS_RULES),
)
