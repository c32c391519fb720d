"""TimeSformer: a vision transformer whose tokens attend in time and in space, one after the other.

Bertasius, Wang, Torresani: "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021,
https://arxiv.org/abs/2102.05095, section 3 and figure 1: divided space-time attention, joint space-time
attention, and attention in space only with the frames' class tokens averaged.

B batch, T time, C channels, H W pixels, P patches of a frame, L tokens, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import isqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import with_length, with_size
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import StochasticDepth, rising_rates
from kinesphere.models.layers.vit import Attention, Block, Mlp, initialise, stage_names
from kinesphere.models.papers import cite
from kinesphere.models.tokens import Grid
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Rule
from kinesphere.models.weights.maps.vit import huggingface_block

Scheme = Literal["divided", "joint", "space"]
EPS = 1e-6


class FrameEmbedding(nn.Module):
    """Patches of every frame as tokens with learnt positions, and a class token before them.

    Args:
        width: Width of the tokens.
        patch: Side of a patch in pixels.
        grid: Patches along each side of the frames that the positions are made for.
        frames: Frames that they are made for; None for no positions in time.
        per_frame: Whether each frame becomes a sample of its own.

    A clip of another length or size takes the nearest of the positions, as the authors do.
    """

    def __init__(self, width: int, patch: int, grid: int, frames: int | None, *, per_frame: bool) -> None:
        super().__init__()
        self.grid = grid
        self.per_frame = per_frame
        self.proj = nn.Conv2d(3, width, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + grid**2, width))
        self.time = None if frames is None else nn.Parameter(torch.zeros(1, frames, width))
        nn.init.normal_(self.cls, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """Tokens `(B, 1 + T·P, D)`, frame by frame; per frame `(B·T, 1 + P, D)`."""
        length = x_BTCHW.shape[1]
        patches: Tensor = self.proj(x_BTCHW.flatten(0, 1))
        rows, columns = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2) + self._positions(rows, columns)
        cls = self.cls + self.position[:, :1]
        if not self.per_frame:
            tokens = tokens.unflatten(0, (-1, length))
            if self.time is not None:
                tokens = tokens + self._times(length).unsqueeze(2)
            tokens = tokens.flatten(1, 2)
        return torch.cat((cls.expand(len(tokens), -1, -1), tokens), 1)

    def _positions(self, rows: int, columns: int) -> Tensor:
        positions = self.position[:, 1:]
        if (rows, columns) == (self.grid, self.grid):
            return positions
        square = positions.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return F.interpolate(square, (rows, columns), mode="nearest").flatten(2).transpose(1, 2)

    def _times(self, length: int) -> Tensor:
        assert self.time is not None
        if self.time.shape[1] == length:
            return self.time
        return F.interpolate(self.time.transpose(1, 2), length, mode="nearest").transpose(1, 2)


class DividedBlock(nn.Module):
    """Each patch attends to the same place in all frames, then to its own frame (section 3.2)."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.temporal_norm = nn.LayerNorm(width, EPS)
        self.temporal_attn = Attention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BLD: Tensor, length: int) -> Tensor:
        """Tokens `(B, 1 + T·P, D)` of clips of `length` frames, class token first."""
        cls, tokens = x_BLD[:, :1], x_BLD[:, 1:].unflatten(1, (length, -1))
        tokens = tokens + self.drop_path(self._over_time(tokens))
        seen_by_frames, seen = self._over_space(cls, tokens)
        x = torch.cat(
            (cls + self.drop_path(seen_by_frames), (tokens + self.drop_path(seen)).flatten(1, 2)), 1
        )
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out

    def _over_time(self, x_BTPD: Tensor) -> Tensor:
        """Attention among the T tokens at each of the P places."""
        by_place = x_BTPD.transpose(1, 2)
        mixed = self.temporal_attn(self.temporal_norm(by_place).flatten(0, 1))
        out: Tensor = self.temporal_fc(mixed).unflatten(0, by_place.shape[:2])
        return out.transpose(1, 2)

    def _over_space(self, cls_B1D: Tensor, x_BTPD: Tensor) -> tuple[Tensor, Tensor]:
        """Attention inside each frame; the class token joins all of them and averages what it sees."""
        length = x_BTPD.shape[1]
        frames = torch.cat((cls_B1D.unsqueeze(1).expand(-1, length, -1, -1), x_BTPD), 2)
        mixed = self.attn(self.norm1(frames).flatten(0, 1)).unflatten(0, (-1, length))
        return mixed[:, :, 0].mean(1, keepdim=True), mixed[:, :, 1:]


class TimeSformer(nn.Module):
    """Patch tokens of all frames, transformer blocks, and a linear layer on the class token.

    Args:
        num_classes: Number of outputs K.
        scheme: `"divided"` attends in time, then in space; `"joint"` in both at once; `"space"` inside each
            frame, and averages the frames at the end.
        width: Width of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        grid: Patches along each side of the frames that the positions are made for.
        frames: Frames per clip that they are made for.
        drop_path: Rate of stochastic depth in the last block.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        scheme: Scheme,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        patch: int = 16,
        grid: int = 14,
        frames: int = 8,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.scheme = scheme
        in_time = None if scheme == "space" else frames
        self.embed = FrameEmbedding(width, patch, grid, in_time, per_frame=scheme == "space")
        rates = rising_rates(drop_path, depth)
        self.blocks = nn.ModuleList(
            DividedBlock(width, heads, rate) if scheme == "divided" else Block(width, heads, drop_path=rate)
            for rate in rates
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)
        for block in self.blocks[1:]:
            if isinstance(block, DividedBlock):  # a fresh block looks at single frames, as an image network's
                nn.init.zeros_(block.temporal_fc.weight)

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns, the same in all layers; see `Tokens`."""
        rows, columns = self.embed.proj.kernel_size
        return x_BTCHW.shape[1], x_BTCHW.shape[-2] // rows, x_BTCHW.shape[-1] // columns

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        length = x_BTCHW.shape[1]
        x = self.embed(x_BTCHW)
        for block in self.blocks:
            x = block(x, length) if self.scheme == "divided" else block(x)
        cls_BD = x[:, 0]
        if self.scheme == "space":
            cls_BD = cls_BD.unflatten(0, (-1, length)).mean(1)
        logits_BK: Tensor = self.fc(self.norm(cls_BD))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 8, 32), size=(224, 224), short_side_px=224)
MMACTION2_SPEC = SPEC.with_(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def made_for(patch: str, position: str, time: str, theirs: Mapping[str, Tensor]) -> Arguments:
    """Patch, grid and clip length that a state with tensors of these names is made for."""
    found: Arguments = {}
    if patch in theirs and position in theirs:
        found = {"patch": theirs[patch].shape[-1], "grid": isqrt(theirs[position].shape[1] - 1)}
    if time in theirs:
        found["frames"] = theirs[time].shape[1]
    return found


def fit(spec: ClipSpec, arguments: Arguments) -> ClipSpec:
    """`spec` for a network made for other clips: its own length over the same time, its own size."""
    length, grid, patch = (arguments.get(name) for name in ("frames", "grid", "patch"))
    if isinstance(length, int):
        spec = with_length(spec, length)
    if isinstance(grid, int) and isinstance(patch, int):
        spec = with_size(spec, (grid * patch, grid * patch))
    return spec


def huggingface(*attention: Rule) -> KeyMap:
    model = "timesformer"
    return KeyMap(
        "huggingface",
        (
            Rename(f"{model}.embeddings.cls_token", "embed.cls"),
            Rename(f"{model}.embeddings.position_embeddings", "embed.position"),
            Rename(f"{model}.embeddings.time_embeddings", "embed.time"),
            Rename(f"{model}.embeddings.patch_embeddings.projection.*", "embed.proj.*"),
            *attention,
            Rename(f"{model}.encoder.layer.{{i}}.attention.attention.qkv.*", "blocks.{i}.attn.qkv.*"),
            *huggingface_block(model),
            Rename(f"{model}.layernorm.*", "norm.*"),
            Rename("classifier.*", "fc.*"),
        ),
        infer=partial(
            made_for,
            f"{model}.embeddings.patch_embeddings.projection.weight",
            f"{model}.embeddings.position_embeddings",
            f"{model}.embeddings.time_embeddings",
        ),
    )


def mmaction2(*blocks: Rule) -> KeyMap:
    layers = "backbone.transformer_layers.layers.{i}"
    return KeyMap(
        "mmaction2",
        (
            Rename("backbone.cls_token", "embed.cls"),
            Rename("backbone.pos_embed", "embed.position"),
            Rename("backbone.time_embed", "embed.time"),
            Rename("backbone.patch_embed.projection.*", "embed.proj.*"),
            *blocks,
            Rename(f"{layers}.ffns.0.layers.0.0.*", "blocks.{i}.mlp.fc1.*"),
            Rename(f"{layers}.ffns.0.layers.1.*", "blocks.{i}.mlp.fc2.*"),
            Rename("backbone.norm.*", "norm.*"),
            Rename("cls_head.fc_cls.*", "fc.*"),
        ),
        infer=partial(
            made_for, "backbone.patch_embed.projection.weight", "backbone.pos_embed", "backbone.time_embed"
        ),
        spec=MMACTION2_SPEC,
    )


def mmaction2_attention(number: int, ours: str) -> tuple[Rule, ...]:
    """The attention `attentions.0` or `attentions.1` of a block; `in_proj` has a name of its own kind."""
    theirs = f"backbone.transformer_layers.layers.{{i}}.attentions.{number}.attn"
    return (
        Rename(f"{theirs}.in_proj_weight", f"blocks.{{i}}.{ours}.qkv.weight"),
        Rename(f"{theirs}.in_proj_bias", f"blocks.{{i}}.{ours}.qkv.bias"),
        Rename(f"{theirs}.out_proj.*", f"blocks.{{i}}.{ours}.proj.*"),
    )


HF_LAYER, MM_LAYER = "timesformer.encoder.layer.{i}", "backbone.transformer_layers.layers.{i}"
DIVIDED_MAPS = (
    huggingface(
        Rename(f"{HF_LAYER}.temporal_layernorm.*", "blocks.{i}.temporal_norm.*"),
        Rename(f"{HF_LAYER}.temporal_attention.attention.qkv.*", "blocks.{i}.temporal_attn.qkv.*"),
        Rename(f"{HF_LAYER}.temporal_attention.output.dense.*", "blocks.{i}.temporal_attn.proj.*"),
        Rename(f"{HF_LAYER}.temporal_dense.*", "blocks.{i}.temporal_fc.*"),
    ),
    mmaction2(
        Rename(f"{MM_LAYER}.attentions.0.norm.*", "blocks.{i}.temporal_norm.*"),
        *mmaction2_attention(0, "temporal_attn"),
        Rename(f"{MM_LAYER}.attentions.0.temporal_fc.*", "blocks.{i}.temporal_fc.*"),
        Rename(f"{MM_LAYER}.attentions.1.norm.*", "blocks.{i}.norm1.*"),
        *mmaction2_attention(1, "attn"),
        Rename(f"{MM_LAYER}.ffns.0.norm.*", "blocks.{i}.norm2.*"),
    ),
)
PLAIN_MAPS = (
    huggingface(),
    mmaction2(
        Rename(f"{MM_LAYER}.norms.0.*", "blocks.{i}.norm1.*"),
        *mmaction2_attention(0, "attn"),
        Rename(f"{MM_LAYER}.norms.1.*", "blocks.{i}.norm2.*"),
    ),
)
TIMESFORMER = Family(
    name="timesformer",
    paper=cite("2102.05095", "3, figure 1"),
    network=TimeSformer,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4), size=(32, 32), short_side_px=32),),
    stages=stage_names(12, "norm"),
    cam_layers=(CamLayer("blocks.-1.norm1", "B 1+THW C"),),
    explanation="weighted_attention",
    key_maps=PLAIN_MAPS,
    fit=fit,
    notes="Clips of another length or size take the nearest learnt positions.",
)
DIVIDED = TIMESFORMER.of(
    TimeSformer, key_maps=DIVIDED_MAPS, cam_layers=(CamLayer("blocks.-1.norm1", "B T 1+HW C"),)
)
SPACE = TIMESFORMER.of(TimeSformer, cam_layers=(CamLayer("blocks.-1.norm1", "BT 1+HW C"),))


@DIVIDED.model("A vision transformer that attends in time, then in space, in every block.")
def timesformer(num_classes: int) -> TimeSformer:
    return DIVIDED.build(num_classes, scheme="divided")


@TIMESFORMER.model("A vision transformer that attends in space and time at once.")
def timesformer_joint(num_classes: int) -> TimeSformer:
    return TIMESFORMER.build(num_classes, scheme="joint")


@SPACE.model("A vision transformer that looks at single frames and averages them.")
def timesformer_space(num_classes: int) -> TimeSformer:
    return SPACE.build(num_classes, scheme="space")


def tiny_net(num_classes: int, scheme: Scheme) -> TimeSformer:
    return TIMESFORMER.build(
        num_classes, scheme=scheme, width=32, depth=2, heads=2, patch=8, grid=4, frames=4
    )


@DIVIDED.model("TimeSformer, divided, for tests.", stages=stage_names(2, "norm"), tiny=True)
def timesformer_tiny(num_classes: int) -> TimeSformer:
    return tiny_net(num_classes, "divided")


@TIMESFORMER.model("TimeSformer, joint, for tests.", stages=stage_names(2, "norm"), tiny=True)
def timesformer_joint_tiny(num_classes: int) -> TimeSformer:
    return tiny_net(num_classes, "joint")


@SPACE.model("TimeSformer, space, for tests.", stages=stage_names(2, "norm"), tiny=True)
def timesformer_space_tiny(num_classes: int) -> TimeSformer:
    return tiny_net(num_classes, "space")
