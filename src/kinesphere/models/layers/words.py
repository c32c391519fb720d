"""Layers of networks that compare what they see with words.

Radford et al.: "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
https://arxiv.org/abs/2103.00020, section 2: an encoder of images and one of texts, whose outputs for an image
and its caption point the same way.

P prompts, N images, L tokens, C channels, H W pixels, D width, E width of the embeddings, B clips, K classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.models.layers.vit import Block, Gelu
from kinesphere.models.tokens import Grid


class TextTower(nn.Module):
    """Token and position embeddings, transformer blocks, and a projection of the token that ends a prompt.

    Args:
        vocabulary: Number of different tokens.
        length: Most tokens of a prompt.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        embedding: Width E of the output.
        ratio: Width of the perceptrons, in widths of the tokens.
        gelu: Their activation.
        eps: Of the layer norms.
        causal: Whether tokens attend to those before them alone. Then the first token of the highest number
            ends a prompt and what follows it says nothing; otherwise the last one does.
        bias: Whether the projection has one.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        width: int,
        depth: int,
        heads: int,
        embedding: int,
        ratio: int,
        gelu: Gelu,
        eps: float,
        causal: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.length = length
        self.tokens = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.Sequential(
            *(Block(width, heads, eps=eps, gelu=gelu, causal=causal, ratio=ratio) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps)
        self.proj = nn.Linear(width, embedding, bias=bias)

    def forward(self, ids_PL: Tensor) -> Tensor:
        """Embeddings `(P, E)` of prompts as numbers of tokens, at most `length` each."""
        x_PLD = self.tokens(ids_PL) + self.position[: ids_PL.shape[1]]
        x_PLD = self.norm(self.blocks(x_PLD))
        if not self.causal:
            ends_PD = x_PLD[:, -1]
        else:
            ends_PD = x_PLD[torch.arange(len(ids_PL), device=ids_PL.device), ids_PL.argmax(1)]
        out_PE: Tensor = self.proj(ends_PD)
        return out_PE


class FramePatches(nn.Module):
    """Patches of single frames as tokens with learnt positions.

    Args:
        width: Width of the tokens.
        patch: Side of a patch in pixels.
        size_px: Side of the frames in pixels.
        class_token: Whether a class token comes first and a layer norm follows (as in CLIP); otherwise there
            is neither, and the patches have a bias (as in SigLIP).
        eps: Of the layer norm.
    """

    def __init__(self, width: int, patch: int, size_px: int, *, class_token: bool, eps: float) -> None:
        super().__init__()
        self.grid = size_px // patch
        self.proj = nn.Conv2d(3, width, patch, patch, bias=not class_token)
        self.cls = nn.Parameter(torch.zeros(width)) if class_token else None
        self.position = nn.Parameter(torch.zeros(self.grid**2 + class_token, width))
        self.norm = nn.LayerNorm(width, eps) if class_token else nn.Identity()
        nn.init.normal_(self.position, std=0.02)
        if self.cls is not None:
            nn.init.normal_(self.cls, std=0.02)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Tokens `(N, L, D)`, class token first, then patches by row and column."""
        x_NLD = self.proj(x_NCHW).flatten(2).transpose(1, 2)
        if self.cls is not None:
            x_NLD = torch.cat((self.cls.expand(len(x_NLD), 1, -1), x_NLD), 1)
        out_NLD: Tensor = self.norm(x_NLD + self.position)
        return out_NLD


class Temperature(nn.Module):
    """Cosines as logits: times `exp(log_scale)`, plus a bias if there is one.

    Args:
        scale: Scale at the start.
        bias: The bias at the start, as a vector of one number like the scale; None for a plain scale.
    """

    def __init__(self, scale: float, bias: float | None = None) -> None:
        super().__init__()
        shape = () if bias is None else (1,)
        self.log_scale = nn.Parameter(torch.full(shape, math.log(scale)))
        self.bias = None if bias is None else nn.Parameter(torch.full(shape, bias))

    def forward(self, cosines_BK: Tensor) -> Tensor:
        """Logits `(B, K)`."""
        logits_BK = cosines_BK * self.log_scale.exp()
        return logits_BK if self.bias is None else logits_BK + self.bias


class FramesAndWords(nn.Module):
    """A network of patches of frames whose answer is how alike what it sees and each class's embedding are.

    Rows of `fc` are the embeddings of the classes. See `kinesphere.models.words.ComparesWithWords`.
    """

    embed: FramePatches
    fc: nn.Linear
    temperature: Temperature

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Patches of all frames, the same in all layers; see `Tokens`."""
        return x_BTCHW.shape[1], self.embed.grid, self.embed.grid

    @abstractmethod
    def look(self, x_BTCHW: Tensor) -> Tensor:
        """What is seen of clips, `(B, S, E)`, the clip's embedding of length 1 first."""

    def compare(self, seen_BSE: Tensor, classes_KE: Tensor) -> Tensor:
        """Cosines `(B, K)` of the clip's embedding and of classes of any length."""
        return F.linear(seen_BSE[:, 0], F.normalize(classes_KE, dim=-1))

    def answer(self, seen_BSE: Tensor) -> Tensor:
        """Logits `(B, K)` of what is seen."""
        logits_BK: Tensor = self.temperature(self.compare(seen_BSE, self.fc.weight))
        return logits_BK

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return self.answer(self.look(x_BTCHW))
