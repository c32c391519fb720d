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

from functools import partial

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import ModelCard, Paper, ReportedScore, WeightEntry
from kinesphere.models.layers.stochastic_depth import rising_rates
from kinesphere.models.registry import register
from kinesphere.models.weights.contract import fit_length_and_size
from kinesphere.models.weights.maps.mvit import MAPS
from kinesphere.models.weights.publishers import kinetics, pytorchvideo_url
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


PAPER = Paper(
    "Multiscale Vision Transformers",
    "Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer",
    2021,
    "https://arxiv.org/abs/2104.11227",
    "3, 4.1, tables 2 and 3",
)
PAPER_V2 = Paper(
    "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection",
    "Li, Wu, Fan, Mangalam, Xiong, Malik, Feichtenhofer",
    2022,
    "https://arxiv.org/abs/2112.01526",
    "3.1, 4, table 6",
)
VERSION_1 = partial(
    MViT, relative=False, residual_pooling=False, widen_in_attention=False, pool_every_query=False
)
FIVE_CLIPS = "5 clips x 1 crop"


def clip(length: int, interval: int, size: int = 224, short_side: int | None = 256) -> ClipSpec:
    return ClipSpec(
        Sampling("dense", length, interval), size=(size, size), short_side_px=short_side, fps=30.0
    )


TINY_SPEC = clip(4, 1, 32, 36)


def mvit_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    spec: ClipSpec,
    *,
    paper: Paper = PAPER_V2,
    weights: tuple[WeightEntry, ...] = (),
    classes: int = 400,
    tiny: bool = False,
) -> ModelCard:
    relative = "Multiply-adds include the channels in which relative positions travel."
    return ModelCard(
        name=name,
        family="mvit",
        summary=summary,
        paper=paper,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("fc",),
        stages=("stem", "layer1", "layer2", "layer3", "layer4", "norm"),
        weights=weights,
        tiny=tiny,
        notes=relative if paper is PAPER_V2 else "",
    )


def mmaction2(
    tag: str, file: str, top1: float, top5: float, spec: ClipSpec, *, protocol: str = FIVE_CLIPS
) -> WeightEntry:
    url = f"https://download.openmmlab.com/mmaction/v1.0/recognition/mvit/{file}.pth"
    return kinetics(tag, url, "mmaction2", top1, top5, spec=spec, protocol=protocol)


def something(file: str, length: int, top1: float, top5: float, *, size: int = 224) -> WeightEntry:
    """Weights of MMAction2 on Something-Something, where frames are spread over the whole video."""
    dataset, protocol = "Something-Something v2", "1 clip x 3 crops"
    return WeightEntry(
        tag="sthv2_mmaction2",
        url=f"https://download.openmmlab.com/mmaction/v1.0/recognition/mvit/{file}.pth",
        layout="mmaction2",
        labels="something_something_v2",
        classes=174,
        sha256=file.rpartition("-")[2],
        licence="Apache-2.0",
        spec=ClipSpec(Sampling("uniform", length), size=(size, size)),
        scores=(
            ReportedScore("top1", top1, dataset, protocol),
            ReportedScore("top5", top5, dataset, protocol),
        ),
    )


def torchvision(file: str, top1: float, top5: float, *, tag: str = "k400") -> WeightEntry:
    url = f"https://download.pytorch.org/models/{file}.pth"
    return kinetics(tag, url, "torchvision", top1, top5, protocol=FIVE_CLIPS, licence="BSD-3-Clause")


def pyslowfast(file: str, top1: float, top5: float, spec: ClipSpec, *, classes: int = 400) -> WeightEntry:
    url = f"https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/{file}.pyth"
    tag = f"k{classes}_pyslowfast"
    return kinetics(tag, url, "pyslowfast", top1, top5, classes=classes, spec=spec, protocol=FIVE_CLIPS)


SMALL = "mvit-small-p244"
PLAIN_CLIP = clip(16, 4, short_side=None)
LONG_CLIP = clip(32, 3, short_side=None)
WEIGHTS: dict[str, tuple[WeightEntry, ...]] = {
    "v2_s": (
        torchvision("mvit_v2_s-ae3be167", 0.80757, 0.94665),
        pyslowfast("mvitv2/pysf_video_models/MViTv2_S_16x4_k400_f302660347", 0.810, 0.946, PLAIN_CLIP),
        mmaction2(
            "k400_mmaction2",
            f"{SMALL}_32xb16-16x4x1-200e_kinetics400-rgb/{SMALL}_32xb16-16x4x1-200e_kinetics400-rgb_20230201-23284ff3",
            0.806,
            0.947,
            PLAIN_CLIP,
        ),
        mmaction2(
            "k400_maskfeat",
            f"{SMALL}_k400-maskfeat-pre_8xb32-16x4x1-100e_kinetics400-rgb/{SMALL}_k400-maskfeat-pre_8xb32-16x4x1-100e_kinetics400-rgb_20230201-5bced1d0",
            0.818,
            0.952,
            PLAIN_CLIP,
            protocol="10 clips x 1 crop",
        ),
        something(
            f"{SMALL}_k400-pre_16xb16-u16-100e_sthv2-rgb/{SMALL}_k400-pre_16xb16-u16-100e_sthv2-rgb_20230201-4065c1b9",
            16,
            0.682,
            0.913,
        ),
    ),
    "v2_b": (
        mmaction2(
            "k400_mmaction2",
            "converted/mvit-base-p244_32x3x1_kinetics400-rgb_20221021-f392cd2d",
            0.826,
            0.958,
            LONG_CLIP,
        ),
        pyslowfast("mvitv2/pysf_video_models/MViTv2_B_32x3_k400_f304025456", 0.829, 0.957, LONG_CLIP),
        something("converted/mvit-base-p244_u32_sthv2-rgb_20221021-d5de5da6", 32, 0.708, 0.927),
    ),
    "v2_l": (
        mmaction2(
            "k400_mmaction2",
            "converted/mvit-large-p244_40x3x1_kinetics400-rgb_20221021-11fe1f97",
            0.854,
            0.962,
            clip(40, 3, 312, None),
            protocol="5 clips x 3 crops",
        ),
        something("converted/mvit-large-p244_u40_sthv2-rgb_20221021-61696e07", 40, 0.732, 0.940, size=312),
    ),
    "v1_b_16x4": (
        kinetics(
            "k400",
            pytorchvideo_url("MVIT_B_16x4"),
            "pytorchvideo",
            0.7885,
            0.9385,
            protocol=FIVE_CLIPS,
        ),
        torchvision("mvit_v1_b-dbeb1030", 0.78477, 0.93582, tag="k400_torchvision"),
    ),
    "v1_b_32x3": (
        kinetics(
            "k400",
            pytorchvideo_url("MVIT_B_32x3_f294077834"),
            "pytorchvideo",
            0.8030,
            0.9469,
            protocol=FIVE_CLIPS,
            origin="memory",
        ),
        pyslowfast("mvit/k400", 0.804, 0.948, LONG_CLIP),
        pyslowfast("mvit/k600", 0.839, 0.965, LONG_CLIP, classes=600),
    ),
}

register(
    mvit_card(
        "mvit_v2_t",
        "MViTv2-T: the smallest of version 2, by the authors for images, here for 16 frames.",
        23_801_104,
        48_119_547_252,
        clip(16, 4),
    ),
    MAPS,
    fit_length_and_size,
)(partial(MViT, depths=(1, 2, 5, 2)))
register(
    mvit_card(
        "mvit_v2_s",
        "MViTv2-S: relative positions and pooled queries, 16 frames.",
        34_537_744,
        68_495_667_348,
        clip(16, 4),
        weights=WEIGHTS["v2_s"],
    ),
    MAPS,
    fit_length_and_size,
)(MViT)
register(
    mvit_card(
        "mvit_v2_b",
        "MViTv2-B: 24 blocks, 32 frames.",
        51_230_128,
        253_143_557_000,
        clip(32, 3),
        weights=WEIGHTS["v2_b"],
    ),
    MAPS,
    fit_length_and_size,
)(partial(MViT, depths=(2, 3, 16, 3), length=32, drop_path=0.3))
register(
    mvit_card(
        "mvit_v2_l",
        "MViTv2-L: 48 wider blocks, 40 frames of 312 pixels.",
        213_390_112,
        3_581_739_906_912,
        clip(40, 3, 312, None),
        weights=WEIGHTS["v2_l"],
    ),
    MAPS,
    fit_length_and_size,
)(partial(MViT, depths=(2, 6, 36, 4), width=144, heads=2, length=40, size=312, drop_path=0.75))
register(
    mvit_card(
        "mvit_v1_b_16x4",
        "MViT-B of version 1: absolute positions, 16 frames.",
        36_610_672,
        70_599_407_808,
        clip(16, 4),
        paper=PAPER,
        weights=WEIGHTS["v1_b_16x4"],
    ),
    MAPS,
    fit_length_and_size,
)(VERSION_1)
register(
    mvit_card(
        "mvit_v1_b_32x3",
        "MViT-B of version 1 on 32 frames.",
        36_611_440,
        169_958_123_712,
        clip(32, 3),
        paper=PAPER,
        weights=WEIGHTS["v1_b_32x3"],
    ),
    MAPS,
    fit_length_and_size,
)(partial(VERSION_1, length=32))

register(
    mvit_card("mvit_v2_micro", "MViTv2 for tests.", 257_381, 3_494_304, TINY_SPEC, classes=5, tiny=True),
    MAPS,
    fit_length_and_size,
)(partial(MViT, depths=(1, 1, 1, 1), width=16, length=4, size=32))
register(
    mvit_card(
        "mvit_v1_micro", "MViT for tests.", 310_997, 4_440_160, TINY_SPEC,
        paper=PAPER, classes=5, tiny=True,
    ),
    MAPS,
    fit_length_and_size,
)(partial(VERSION_1, depths=(1, 1, 1, 1), width=16, length=4, size=32))  # fmt: skip
