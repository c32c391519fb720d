"""Attentive pooling: one learnt query gathers what a classifier needs from all tokens of a clip.

Bardes, Garrido, Ponce, Chen, Rabbat, LeCun, Assran, Ballas: "Revisiting Feature Prediction for Learning
Visual Representations from Video", 2024, https://arxiv.org/abs/2404.08471, section 4 (attentive probing).

B batch, L tokens, D width, H heads.
"""

from __future__ import annotations

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
        norm = self.norm1
        tokens = F.layer_norm(x_BLD, norm.normalized_shape, eps=norm.eps)
        w_key, w_value = (w.unflatten(0, (self.heads, -1)) for w in self.kv.weight.chunk(2))
        q_Hd = self.q(self.query[0, 0]).unflatten(-1, (self.heads, -1))
        asked_HD = torch.einsum("hd,hdc->hc", q_Hd, w_key) * norm.weight * q_Hd.shape[-1] ** -0.5
        weights_BHL = (asked_HD @ tokens.transpose(1, 2)).softmax(-1)
        gathered_BHD = weights_BHL @ tokens * norm.weight + norm.bias
        values_BD = torch.einsum("bhc,hdc->bhd", gathered_BHD, w_value).flatten(1) + self.kv.bias.chunk(2)[1]
        x = self.query[0] + values_BD
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
