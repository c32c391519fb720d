"""SlowFast: a slow pathway for what is seen, and a fast, thin one for how it moves.

Feichtenhofer, Fan, Malik, He: "SlowFast Networks for Video Recognition", ICCV 2019,
https://arxiv.org/abs/1812.03982, section 3 and table 1.

B batch, T frames of the fast pathway, C channels, H W pixels, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, fx, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import (
    DEPTHS,
    EXPANSION,
    SPATIAL_STRIDES,
    STAGES,
    average,
    frame_stem,
    initialise,
    max_pool,
    stage,
    stem,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename, Rule, Transform
from kinesphere.models.weights.maps.resnet3d import (
    CAFFE2_HEAD,
    MMACTION2_HEAD,
    PYSLOWFAST_HEAD,
    caffe2_norm,
    caffe2_stages,
    caffe2_stem,
    mmaction2_stages,
    mmaction2_stem,
    pyslowfast_stages,
    pyslowfast_stem,
    pytorchvideo_stage,
    pytorchvideo_stem,
)

SLOW_LENGTHS = ((1,), (1,), (3,), (3,))
FAST_LENGTHS = ((3,), (3,), (3,), (3,))
LATERAL_RATIO = 2
"""Channels of a lateral connection per channel of the fast pathway."""


class Pathway(nn.Module):
    """Stem and four stages; the slow one widens each stage's input by the lateral connection."""

    def __init__(
        self,
        entry: nn.Sequential,
        width: int,
        depths: tuple[int, ...],
        lengths: tuple[tuple[int, ...], ...],
        lateral: tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        self.stem = entry
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(
                (width if i == 0 else width * 2 ** (i - 1) * EXPANSION) + lateral[i],
                width * 2**i,
                depths[i],
                lengths=lengths[i],
                stride=SPATIAL_STRIDES[i],
            )
            for i in range(4)
        )


class Lateral(nn.Module):
    """Fast features at the slow rate: a strided convolution over time (section 3.3)."""

    def __init__(self, inputs: int, length: int, ratio: int, *, normed: bool) -> None:
        super().__init__()
        outputs = inputs * LATERAL_RATIO
        self.conv = nn.Conv3d(inputs, outputs, (length, 1, 1), (ratio, 1, 1), (length // 2, 0, 0), bias=False)
        self.bn: nn.Module = nn.BatchNorm3d(outputs) if normed else nn.Identity()
        self.relu: nn.Module = nn.ReLU(inplace=True) if normed else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(x_BCTHW)))
        return out


class SlowFast(nn.Module):
    """Two pathways over one clip, joined after the stem and the first three stages.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage of the slow pathway.
        fast_depths: Blocks per stage of the fast pathway.
        ratio: Frames of the fast pathway per frame of the slow one (the paper's alpha).
        lateral_length: Frames under a lateral convolution.
        width: Channels of the slow stem; the fast one has an eighth.
        lateral_norm: Whether batch norm and ReLU follow the lateral convolutions.
        spread: Whether the slow pathway's frames reach from the clip's first to its last (rounded down)
            instead of being every `ratio`-th.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...],
        fast_depths: tuple[int, ...],
        ratio: int,
        lateral_length: int,
        width: int = 64,
        lateral_norm: bool = True,
        spread: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.ratio = ratio
        self.spread = spread
        thin = width // 8
        joined = (thin, thin * EXPANSION, thin * 2 * EXPANSION, thin * 4 * EXPANSION)
        lateral = tuple(inputs * LATERAL_RATIO for inputs in joined)
        entry = stem(3, thin, (5, 7, 7), (1, 2, 2), max_pool((1, 3, 3), (1, 2, 2)))
        self.fast = Pathway(entry, thin, fast_depths, FAST_LENGTHS, (0, 0, 0, 0))
        self.slow = Pathway(
            frame_stem(3, width),
            width,
            depths,
            SLOW_LENGTHS,
            (lateral[0], lateral[1], lateral[2], lateral[3]),
        )
        self.lateral1, self.lateral2, self.lateral3, self.lateral4 = (
            Lateral(inputs, lateral_length, ratio, normed=lateral_norm) for inputs in joined
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear((width + thin) * 8 * EXPANSION, num_classes)
        initialise(self)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return self.pathways(slow_frames(x_BTCHW, self.ratio, self.spread), x_BTCHW)

    def pathways(self, slow_BTCHW: Tensor, fast_BTCHW: Tensor) -> Tensor:
        """Logits `(B, K)` from the two pathways' own frames."""
        fast = self.fast.stem(fast_BTCHW.transpose(1, 2))
        slow = join(self.slow.stem(slow_BTCHW.transpose(1, 2)), self.lateral1(fast))
        fast = self.fast.layer1(fast)
        slow = join(self.slow.layer1(slow), self.lateral2(fast))
        fast = self.fast.layer2(fast)
        slow = join(self.slow.layer2(slow), self.lateral3(fast))
        fast = self.fast.layer3(fast)
        slow = join(self.slow.layer3(slow), self.lateral4(fast))
        fast = self.fast.layer4(fast)
        slow = self.slow.layer4(slow)
        both_BC = torch.cat((average(slow), average(fast)), 1)
        logits_BK: Tensor = self.fc(self.dropout(both_BC))
        return logits_BK


@fx.wrap  # its indices depend on the length of the clip, which tracing does not know
def slow_frames(x_BTCHW: Tensor, ratio: int, spread: bool) -> Tensor:
    """The frames that the slow pathway sees: one in `ratio`, rounded up."""
    if not spread:
        return x_BTCHW[:, ::ratio]
    length = x_BTCHW.shape[1]
    count = -(-length // ratio)
    return x_BTCHW[:, [i * (length - 1) // max(count - 1, 1) for i in range(count)]]


def join(slow: Tensor, lateral: Tensor) -> Tensor:
    return torch.cat((slow, lateral), 1)


SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
FACEBOOK_SPEC = ClipSpec(Sampling("dense", 32, 2), size=(224, 224), short_side_px=256, fps=30.0)
PATHWAY_STAGES = tuple(
    name
    for i, part in enumerate(STAGES)
    for name in (f"fast.{part}", f"slow.{part}", *([f"lateral{i + 1}"] if i < 4 else []))
)


def fast_depths(theirs: Mapping[str, Tensor], pattern: str) -> Arguments:
    """Blocks per stage of the fast pathway, which may be shallower than the slow one."""
    blocks = {match.groups() for key in theirs if (match := re.match(pattern, key))}
    stages = sorted({stage for stage, _ in blocks})
    depths = tuple(sum(stage == own for own, _ in blocks) for stage in stages)
    return {"fast_depths": depths} if len(depths) == 4 else {}


def caffe2_laterals() -> tuple[Rule, ...]:
    """A lateral connection is named after the last block before it (of the 50-layer network)."""
    rules: list[Rule] = []
    for i, source in enumerate(
        ("pool1", "res2_2_branch2c_bn", "res3_3_branch2c_bn", "res4_5_branch2c_bn"), 1
    ):
        rules.append(Rename(f"t_{source}_subsample_w", f"lateral{i}.conv.weight"))
        rules.extend(caffe2_norm(f"t_{source}_subsample_bn", f"lateral{i}.bn"))
    return tuple(rules)


def fast_last(weight_KC: Tensor) -> Tensor:
    """Columns (fast, slow) as (slow, fast); the fast pathway has one channel in nine."""
    return weight_KC.roll(-(weight_KC.shape[1] // 9), 1)


def fast_first(weight_KC: Tensor) -> Tensor:
    """Columns (slow, fast) as (fast, slow)."""
    return weight_KC.roll(weight_KC.shape[1] // 9, 1)


MMACTION2_RULES = (
    Rename("cls_head.fc_cls.weight", "fc.weight", Transform(fast_last, fast_first)),
    Rename("backbone.slow_path.conv1_lateral.conv.weight", "lateral1.conv.weight"),
    Rename("backbone.slow_path.layer{s}_lateral.conv.weight", "lateral{s+1}.conv.weight"),
    *mmaction2_stem("backbone.slow_path.", "slow."),
    *mmaction2_stages("backbone.slow_path.", "slow."),
    *mmaction2_stem("backbone.fast_path.", "fast."),
    *mmaction2_stages("backbone.fast_path.", "fast."),
    *MMACTION2_HEAD,
)
PYTORCHVIDEO_RULES = (
    Rename("blocks.{s}.multipathway_fusion.conv_fast_to_slow.weight", "lateral{s+1}.conv.weight"),
    Rename("blocks.{s}.multipathway_fusion.norm.*", "lateral{s+1}.bn.*"),
    *pytorchvideo_stem("blocks.0.multipathway_blocks.0", "slow."),
    *pytorchvideo_stem("blocks.0.multipathway_blocks.1", "fast."),
    *pytorchvideo_stage("blocks.{s}.multipathway_blocks.0", "slow.layer{s}"),
    *pytorchvideo_stage("blocks.{s}.multipathway_blocks.1", "fast.layer{s}"),
    Rename("blocks.6.proj.*", "fc.*"),
)
PYSLOWFAST_RULES = (
    Rename("s{i}_fuse.conv_f2s.weight", "lateral{i}.conv.weight"),
    Rename("s{i}_fuse.bn.*", "lateral{i}.bn.*"),
    *pyslowfast_stem(0, "slow."),
    *pyslowfast_stem(1, "fast."),
    *pyslowfast_stages(0, "slow."),
    *pyslowfast_stages(1, "fast."),
    *PYSLOWFAST_HEAD,
)
CAFFE2_RULES = (
    *caffe2_laterals(),
    *caffe2_stem("", "slow."),
    *caffe2_stem("t_", "fast."),
    *caffe2_stages("", "slow."),
    *caffe2_stages("t_", "fast."),
    *CAFFE2_HEAD,
)
MAPS = (
    KeyMap(
        "mmaction2",
        MMACTION2_RULES,
        arguments={"lateral_norm": False},
        infer=partial(fast_depths, pattern=r"backbone\.fast_path\.layer(\d)\.(\d+)\."),
    ),
    KeyMap(
        "pytorchvideo",
        PYTORCHVIDEO_RULES,
        arguments={"spread": True},
        infer=partial(fast_depths, pattern=r"blocks\.(\d)\.multipathway_blocks\.1\.res_blocks\.(\d+)\."),
        spec=FACEBOOK_SPEC,
    ),
    KeyMap(
        "pyslowfast",
        PYSLOWFAST_RULES,
        arguments={"spread": True},
        infer=partial(fast_depths, pattern=r"s(\d)\.pathway1_res(\d+)\."),
        spec=FACEBOOK_SPEC,
    ),
    KeyMap("pyslowfast_caffe2", CAFFE2_RULES, arguments={"spread": True}, spec=FACEBOOK_SPEC),
)
SLOWFAST = Family(
    name="slowfast",
    paper=cite("1812.03982", "3, table 1"),
    network=SlowFast,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36),),
    stages=PATHWAY_STAGES,
    cam_layers=(CamLayer("slow.layer4", "B C T H W"), CamLayer("fast.layer4", "B C T H W")),
    key_maps=MAPS,
    notes="Takes the fast pathway's clip and picks the slow frames itself: every n-th as in the paper, or "
    "spread to the last frame (`spread`) as PyTorchVideo and PySlowFast do.",
)


@SLOWFAST.model("SlowFast on two ResNet-50: 8 slow frames beside 32 fast ones.")
def slowfast_resnet50(num_classes: int) -> SlowFast:
    return SLOWFAST.build(num_classes, depths=DEPTHS[50], fast_depths=DEPTHS[50], ratio=4, lateral_length=7)


@SLOWFAST.model("SlowFast on two ResNet-50: 4 slow frames beside 32 fast ones.")
def slowfast_resnet50_4x16(num_classes: int) -> SlowFast:
    return SLOWFAST.build(num_classes, depths=DEPTHS[50], fast_depths=DEPTHS[50], ratio=8, lateral_length=5)


@SLOWFAST.model("SlowFast on two ResNet-101: 8 slow frames beside 32 fast ones.")
def slowfast_resnet101(num_classes: int) -> SlowFast:
    return SLOWFAST.build(num_classes, depths=DEPTHS[101], fast_depths=DEPTHS[101], ratio=4, lateral_length=7)


@SLOWFAST.model("SlowFast on two ResNet-101: 4 slow frames beside 32 fast ones.")
def slowfast_resnet101_4x16(num_classes: int) -> SlowFast:
    return SLOWFAST.build(num_classes, depths=DEPTHS[101], fast_depths=DEPTHS[101], ratio=8, lateral_length=5)


@SLOWFAST.model("slowfast for tests.", tiny=True)
def slowfast_tiny(num_classes: int) -> SlowFast:
    depths = (1, 1, 1, 1)
    return SLOWFAST.build(num_classes, depths=depths, fast_depths=depths, ratio=4, lateral_length=5, width=16)
