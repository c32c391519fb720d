"""Attentive pooling: one learnt query gathers what a classifier needs from all tokens of a clip.

Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran, Ballas: "Revisiting Feature Prediction for Learning
Visual Representations from Video", 2024, https://arxiv.org/abs/2404.08471, section 4 (attentive probing).

B batch, L tokens, D width, H heads (of all poolers, where several ask together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.models.layers.vit import Block, Mlp

EPS = 1e-6


class AttentivePooler(nn.Module):
    """Self-attention blocks over the tokens, then one learnt query that attends to all of them."""

    def __init__(self, width: int, heads: int, depth: int = 0, eps: float = EPS) -> None:
        super().__init__()
        self.heads = heads
        self.blocks = nn.Sequential(*(Block(width, heads, eps=eps) for _ in range(depth)))
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        self.norm1 = nn.LayerNorm(width, eps)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, 4 * width)
        nn.init.normal_(self.query, std=0.02)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """One vector per clip, `(B, D)`."""
        tokens = self.norm1(self.blocks(x_BLD))
        query = self.query.expand(len(x_BLD), -1, -1)
        q = self.q(query).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        x = query + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out.squeeze(1)


class SingleQueryPooler(AttentivePooler):
    """An `AttentivePooler` without self-attention blocks, whose cost per token is two products per head.

    With a single query, `q · (W t)` is `(Wᵀ q) · t`, and the weighted mean of values is the value of the
    weighted mean: keys and values of single tokens are never computed. Outputs are the parent's but for
    rounding.
    """

    def __init__(self, width: int, heads: int, eps: float = EPS) -> None:
        super().__init__(width, heads, 0, eps)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """One vector per clip, `(B, D)`."""
        (out,) = self.together([self], x_BLD)
        return out

    @classmethod
    def together(cls, poolers: Sequence[Self], x_BLD: Tensor) -> list[Tensor]:
        """What each of several poolers of one shape gives of the same tokens, as it would alone.

        The norm without its weights is that of all, and all heads ask in one product: tokens are read once
        for all poolers, where most of the time of each is that of reading them.

        Returns:
            A vector per clip `(B, D)` of each.
        """
        first = poolers[0].norm1
        tokens = F.layer_norm(x_BLD, first.normalized_shape, eps=first.eps)
        # Keys and values are parted once: the gradient of each part alone would be a whole one with zeros.
        parted = [pooler.kv.weight.chunk(2) for pooler in poolers]
        asked_HD = torch.cat(
            [pooler._asked(w_key) for pooler, (w_key, _) in zip(poolers, parted, strict=True)]
        )
        # Products of each clip's own, so that rounding does not depend on how many poolers ask.
        scores_BHL = torch.bmm(asked_HD.expand(len(tokens), -1, -1), tokens.transpose(1, 2))
        gathered = torch.bmm(scores_BHL.softmax(-1), tokens).split(poolers[0].heads, 1)
        return [
            pooler._answer(own, w_value)
            for pooler, own, (_, w_value) in zip(poolers, gathered, parted, strict=True)
        ]

    def _asked(self, w_key: Tensor) -> Tensor:
        """What each head multiplies normalised tokens with, `(H, D)`, with the weights of keys `(D, D)`."""
        q_H1d = self.q(self.query[0, 0]).unflatten(-1, (self.heads, 1, -1))
        keys_HdD = w_key.unflatten(0, (self.heads, -1))
        scale = float(q_H1d.shape[-1] ** -0.5)
        asked_HD: Tensor = torch.bmm(q_H1d, keys_HdD).squeeze(1) * self.norm1.weight * scale
        return asked_HD

    def _answer(self, gathered_BHD: Tensor, w_value: Tensor) -> Tensor:
        """The vector of each clip `(B, D)` by the weighted mean of its normalised tokens.

        Args:
            gathered_BHD: The means of each head.
            w_value: The weights of values `(D, D)`.
        """
        means_BHD = gathered_BHD * self.norm1.weight + self.norm1.bias
        # Weights first, so that their gradient comes out as they lie in memory.
        values_HdB = torch.bmm(w_value.unflatten(0, (self.heads, -1)), means_BHD.permute(1, 2, 0))
        values_BD = values_HdB.flatten(0, 1).T + self.kv.bias.chunk(2)[1]
        x = self.query[0] + values_BD
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
