"""How a video transformer's attentions mix tokens: from what its head reads back to the tokens of the clip.

Relevance is a row over tokens. It starts as what the head reads (a class token, or the mean of all) and
goes back through the steps of the network, the last one first, so that no matrix of all pairs of tokens is
ever multiplied with another. A step knows on which tokens its attention `(…, queries, keys)` works; what
goes around the attention (the shortcut) is the row itself.

B batch, T time, P patches of a frame, L tokens of a clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from kinesphere.explain.grids import spread
from kinesphere.models.tokens import Grid
from kinesphere.models.zoo.clip import CLIP
from kinesphere.models.zoo.mvit import MViT
from kinesphere.models.zoo.mvit.blocks import PooledAttention, coarser
from kinesphere.models.zoo.siglip import SigLIP
from kinesphere.models.zoo.timesformer import TimeSformer
from kinesphere.models.zoo.videomae import VideoMAE
from kinesphere.models.zoo.vivit import ViViT
from kinesphere.models.zoo.vjepa2 import VJEPA2

Join = Callable[[Tensor, Tensor], Tensor]
"""Puts together what comes around an attention and what comes through it, both `(B, …)`."""


class Step(ABC):
    """One attention of a network."""

    @abstractmethod
    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        """The row before the step, of the row after it and the attention, averaged over heads."""


class Joint(Step):
    """All tokens attend to all, `(B, L, L)`."""

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        return join(row_BL, _through(row_BL, weights))


@dataclass(frozen=True)
class OverTime(Step):
    """Each patch attends to its place in all frames, `(B P, T, T)`; the class token waits."""

    length: int

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        places = row_BL[:, 1:].unflatten(1, (self.length, -1)).transpose(1, 2)
        through = _through(places.flatten(0, 1), weights).view_as(places)
        return torch.cat([row_BL[:, :1], join(places, through).transpose(1, 2).flatten(1)], 1)


@dataclass(frozen=True)
class OverSpace(Step):
    """Each frame by itself with the class token, `(B T, 1 + P, 1 + P)`, whose results are averaged."""

    length: int

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        cls = (row_BL[:, :1] / self.length).unsqueeze(1).expand(-1, self.length, -1)
        frames = torch.cat([cls, row_BL[:, 1:].unflatten(1, (self.length, -1))], 2)
        through = _through(frames.flatten(0, 1), weights).view_as(frames)
        both = torch.cat([through[:, :, 0].sum(1, keepdim=True), through[:, :, 1:].flatten(1)], 1)
        return join(row_BL, both)


@dataclass(frozen=True)
class Frames(Step):
    """Each frame by itself, with a class token of its own or none, `(B T, 1 + P, 1 + P)`; the row has all."""

    length: int

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        frames = row_BL.unflatten(1, (self.length, -1))
        return join(row_BL, _through(frames.flatten(0, 1), weights).view_as(frames).flatten(1))


class FrameProbes(Step):
    """One learnt query attends to all patches of its frame, `(B T, 1, P)`; nothing goes around it."""

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        frames = _through(row_BL.flatten().unsqueeze(1), weights)
        return frames.view(len(row_BL), -1)


@dataclass(frozen=True)
class Pooled(Step):
    """Queries of one grid attend to keys of another, `(B, queries, keys)`; both were pooled from a third.

    What a pooled token has is divided evenly among those that it was pooled from, on the way through the
    attention and around it. (Pooled queries that are added to the attention's output count as going around.)
    """

    before: Grid
    queries: Grid
    keys: Grid
    lead: int

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        return join(self._spread(row_BL, self.queries), self._spread(_through(row_BL, weights), self.keys))

    def _spread(self, row_BL: Tensor, grid: Grid) -> Tensor:
        patches = row_BL[:, self.lead :].unflatten(1, grid)
        return torch.cat([row_BL[:, : self.lead], spread(patches, self.before).flatten(1)], 1)


@dataclass(frozen=True)
class Probe(Step):
    """One learnt query attends to all tokens, `(B, 1, L)`; nothing goes around it."""

    def back(self, row_BL: Tensor, weights: Tensor, join: Join) -> Tensor:
        return _through(row_BL, weights)


@dataclass(frozen=True)
class Path:
    """All attentions of a network.

    Attributes:
        steps: In the order in which the network runs them.
        start: `(L,)`: what the head reads of the tokens after the last step.
        grid: Tokens of the clip along time, rows and columns.
        lead: Class tokens before them.
        leads_per_frame: Whether each frame has its own class tokens.
    """

    steps: tuple[Step, ...]
    start: Tensor
    grid: Grid
    lead: int
    leads_per_frame: bool = False

    def cells(self, row_BL: Tensor) -> Tensor:
        """The row before the first step as cells of the clip, `(B, t, h, w)`."""
        if self.leads_per_frame:
            row_BL = row_BL.unflatten(1, (self.grid[0], -1))[:, :, self.lead :].flatten(1)
        else:
            row_BL = row_BL[:, self.lead :]
        return row_BL.reshape(-1, *self.grid)


@singledispatch
def path_of(net: nn.Module, x_BTCHW: Tensor) -> Path | None:
    """The attentions of a network for a clip; None where attention does not lead from head to clip."""
    return None


@path_of.register
def _(net: VideoMAE, x_BTCHW: Tensor) -> Path:
    grid = net.token_grid(x_BTCHW, "")
    return Path((Joint(),) * len(net.blocks), _mean(grid, x_BTCHW), grid, 0)


@path_of.register
def _(net: ViViT, x_BTCHW: Tensor) -> Path:
    grid = net.token_grid(x_BTCHW, "")
    return Path((Joint(),) * len(net.blocks), _first(grid, x_BTCHW), grid, 1)


@path_of.register
def _(net: VJEPA2, x_BTCHW: Tensor) -> Path:
    steps = (Joint(),) * (len(net.blocks) + len(net.pooler.blocks))
    return Path((*steps, Probe()), x_BTCHW.new_ones(1), net.token_grid(x_BTCHW, ""), 0)


@path_of.register
def _(net: TimeSformer, x_BTCHW: Tensor) -> Path:
    grid = net.token_grid(x_BTCHW, "")
    count, length = len(net.blocks), grid[0]
    if net.scheme == "joint":
        return Path((Joint(),) * count, _first(grid, x_BTCHW), grid, 1)
    if net.scheme == "divided":
        return Path((OverTime(length), OverSpace(length)) * count, _first(grid, x_BTCHW), grid, 1)
    frame = _first((1, *grid[1:]), x_BTCHW) / length
    return Path((Frames(length),) * count, frame.repeat(length), grid, 1, leads_per_frame=True)


@path_of.register
def _(net: CLIP, x_BTCHW: Tensor) -> Path:
    grid = net.token_grid(x_BTCHW, "")
    frame = _first((1, *grid[1:]), x_BTCHW) / grid[0]
    return Path((Frames(grid[0]),) * len(net.blocks), frame.repeat(grid[0]), grid, 1, leads_per_frame=True)


@path_of.register
def _(net: SigLIP, x_BTCHW: Tensor) -> Path:
    grid = net.token_grid(x_BTCHW, "")
    steps = (*(Frames(grid[0]) for _ in net.blocks), FrameProbes())
    return Path(steps, x_BTCHW.new_full((grid[0],), 1 / grid[0]), grid, 0)


@path_of.register
def _(net: MViT, x_BTCHW: Tensor) -> Path:
    lead = int(net.stem.class_token is not None)
    grid = first = net.stem.grid(x_BTCHW)
    steps = []
    for module in net.modules():
        if isinstance(module, PooledAttention):
            after = coarser(grid, module.query_stride)
            steps.append(Pooled(grid, after, coarser(grid, module.key_stride), lead))
            grid = after
    start = _first(grid, x_BTCHW) if lead else _mean(grid, x_BTCHW)
    return Path(tuple(steps), start, first, lead)


def _through(row_NQ: Tensor, weights_NQK: Tensor) -> Tensor:
    through_NK: Tensor = torch.bmm(row_NQ.unsqueeze(1), weights_NQK).squeeze(1)
    return through_NK


def _count(grid: tuple[int, ...]) -> int:
    return grid[0] * grid[1] * grid[2]


def _first(grid: Grid, like: Tensor) -> Tensor:
    """The head reads the class token."""
    row = like.new_zeros(1 + _count(grid))
    row[0] = 1
    return row


def _mean(grid: Grid, like: Tensor) -> Tensor:
    """The head reads the mean of all tokens."""
    return like.new_full((_count(grid),), 1 / _count(grid))
