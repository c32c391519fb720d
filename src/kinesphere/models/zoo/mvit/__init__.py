"""MViT: a transformer whose tokens grow fewer and wider from stage to stage.

Version 1, Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer: "Multiscale Vision Transformers", ICCV 2021,
https://arxiv.org/abs/2104.11227, sections 3 and 4.1, tables 2 and 3: queries, keys and values are pooled on
their grid inside the attention.
Version 2, Li, Wu, Fan, Mangalam, Xiong, Malik, Feichtenhofer: "MViTv2: Improved Multiscale Vision
Transformers for Classification and Detection", CVPR 2022, https://arxiv.org/abs/2112.01526, sections 3.1 and
4, table 6: decomposed relative positions, pooled queries added to the attention's output, channels widened
in the attention instead of the perceptron.

B batch, T time, C channels, H W pixels or places, K classes, N tokens (the class token first, then the grid,
time slowest), h heads, D channels of a head.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import fit_length_and_size
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import rising_rates
from kinesphere.models.papers import cite
from kinesphere.models.tokens import Grid
from kinesphere.models.zoo.mvit.blocks import (
    EPSILON,
    PATCH_STRIDE,
    Block,
    PatchTokens,
    PooledAttention,
    Pooling,
    Stage,
    coarser,
)
from kinesphere.models.zoo.mvit.weights import MAPS, clip


class MViT(nn.Module):
    """Patches, four stages, and the class token's last word (without one, the mean over all tokens).

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        width: Channels of the first stage; each later stage doubles them, and the heads.
        heads: Heads of the first stage.
        length, size: Frames and side of the square clips that the position tables are made for; others
            interpolate them.
        relative: Relative positions in every block, instead of absolute ones at the entry.
        residual_pooling: Whether pooled queries are added to what the attention gives.
        widen_in_attention: Where channels double: in the attention of a stage's first block, or in the
            perceptron of the block before it.
        pool: How tokens are pooled: by a depthwise convolution and a layer norm, or by max or mean.
        pool_eps: Epsilon of the layer norms after pooling; all others have 1e-6.
        pool_every_query: Whether queries are pooled even where the grid stays as it is.
        key_stride: Stride of keys and values in the first stage; each later stage halves it.
        class_token: Whether there is one.
        drop_path: Stochastic depth of the last block; it rises linearly from 0.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...] = (1, 2, 11, 2),
        width: int = 96,
        heads: int = 1,
        length: int = 16,
        size: int = 224,
        relative: bool = True,
        residual_pooling: bool = True,
        widen_in_attention: bool = True,
        pool: Pooling = "conv",
        pool_eps: float = EPSILON,
        pool_every_query: bool = True,
        key_stride: int = 8,
        class_token: bool = True,
        drop_path: float = 0.2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if len(depths) != 4 or min(depths) < 1:
            raise InvalidSetting(f"MViT has four stages of at least one block; got depths {depths}.")
        lead = int(class_token)
        grid = (length // PATCH_STRIDE[0], size // PATCH_STRIDE[1], size // PATCH_STRIDE[2])
        self.stem = PatchTokens(width, grid, absolute=not relative, class_token=class_token)
        rates = iter(rising_rates(drop_path, sum(depths)))
        stages, inputs = [], width
        for s, depth in enumerate(depths):
            blocks = []
            for b in range(depth):
                stride = 2 if s and not b else 1
                keys = max(1, key_stride // 2**s)
                middle = width * 2**s
                stays = s == 3 or b < depth - 1
                outputs = middle if widen_in_attention or stays else 2 * middle
                shrunk = (grid[0], grid[1] // stride, grid[2] // stride)
                tables = shrunk, (grid[0], grid[1] // keys, grid[2] // keys)
                attention = PooledAttention(
                    inputs, middle, heads * 2**s, stride, keys,
                    pool=pool,
                    pool_eps=pool_eps,
                    pool_query=pool_every_query or stride > 1,
                    relative=tables if relative else None,
                    residual=residual_pooling,
                    lead=lead,
                )  # fmt: skip
                blocks.append(Block(attention, inputs, middle, outputs, next(rates)))
                grid, inputs = shrunk, outputs
            stages.append(Stage(blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.norm = nn.LayerNorm(inputs, EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def token_grid(self, x_BTCHW: Tensor, path: str) -> Grid:
        """Tokens along time, rows and columns after a layer; see `Tokens`.

        Inside the first block of a stage tokens are those of the stage before until its attention is done.
        """
        grid = self.stem.grid(x_BTCHW)
        name, _, inside = path.partition(".")
        if name == "stem":
            return grid
        for stage, blocks in self.named_children():
            if isinstance(blocks, Stage):
                if name == stage and inside == "0.norm1":
                    break
                grid = coarser(grid, blocks.stride)
                if name == stage:
                    break
        return grid

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        grid = self.stem.grid(x_BTCHW)
        x = self.stem(x_BTCHW)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x, grid)
            grid = coarser(grid, stage.stride)
        x = self.norm(x)
        x = x[:, 0] if self.stem.class_token is not None else x.mean(1)
        logits_BK: Tensor = self.fc(self.dropout(x))
        return logits_BK


STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "norm")
MVIT1 = Family(
    name="mvit",
    paper=cite("2104.11227", "3, 4.1, tables 2 and 3"),
    network=MViT,
    inputs=(clip(16, 4),),
    tiny_inputs=(clip(4, 1, 32, 36),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4.-1.norm1", "B 1+THW C"),),
    explanation="weighted_attention",
    key_maps=MAPS,
    fit=fit_length_and_size,
)
MVIT2 = MVIT1.of(
    MViT,
    paper=cite("2112.01526", "3.1, 4, table 6"),
    notes="Multiply-adds include the channels in which relative positions travel.",
)


@MVIT2.model("MViTv2-T: the smallest of version 2, by the authors for images, here for 16 frames.")
def mvit_v2_t(num_classes: int) -> MViT:
    return MVIT2.build(num_classes, depths=(1, 2, 5, 2))


@MVIT2.model("MViTv2-S: relative positions and pooled queries, 16 frames.")
def mvit_v2_s(num_classes: int) -> MViT:
    return MVIT2.build(num_classes)


@MVIT2.model("MViTv2-B: 24 blocks, 32 frames.", inputs=(clip(32, 3),))
def mvit_v2_b(num_classes: int) -> MViT:
    return MVIT2.build(num_classes, depths=(2, 3, 16, 3), length=32, drop_path=0.3)


@MVIT2.model("MViTv2-L: 48 wider blocks, 40 frames of 312 pixels.", inputs=(clip(40, 3, 312, None),))
def mvit_v2_l(num_classes: int) -> MViT:
    return MVIT2.build(
        num_classes, depths=(2, 6, 36, 4), width=144, heads=2, length=40, size=312, drop_path=0.75
    )


@MVIT2.model("MViTv2 for tests.", tiny=True)
def mvit_v2_micro(num_classes: int) -> MViT:
    return MVIT2.build(num_classes, depths=(1, 1, 1, 1), width=16, length=4, size=32)


def version_1(
    num_classes: int,
    *,
    depths: tuple[int, ...] = (1, 2, 11, 2),
    width: int = 96,
    length: int = 16,
    size: int = 224,
) -> MViT:
    """Absolute positions; pooled queries are not added, and channels double in the perceptron."""
    return MVIT1.build(
        num_classes, depths=depths, width=width, length=length, size=size,
        relative=False, residual_pooling=False, widen_in_attention=False, pool_every_query=False,
    )  # fmt: skip


@MVIT1.model("MViT-B of version 1: absolute positions, 16 frames.")
def mvit_v1_b_16x4(num_classes: int) -> MViT:
    return version_1(num_classes)


@MVIT1.model("MViT-B of version 1 on 32 frames.", inputs=(clip(32, 3),))
def mvit_v1_b_32x3(num_classes: int) -> MViT:
    return version_1(num_classes, length=32)


@MVIT1.model("MViT for tests.", tiny=True)
def mvit_v1_micro(num_classes: int) -> MViT:
    return version_1(num_classes, depths=(1, 1, 1, 1), width=16, length=4, size=32)
