"""Temporal pyramid network: the features of two stages, each at its own tempo, flow into each other.

Yang, Xu, Shi, Dai, Zhou: "Temporal Pyramid Network for Action Recognition", CVPR 2020,
https://arxiv.org/abs/2004.03548, section 3; on SlowOnly (Feichtenhofer et al. 2019) or on a ResNet with
temporal shifts (Lin et al. 2019).

B batch, T time, C channels, H W pixels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.layers.resnet3d import (
    DEPTHS,
    EXPANSION,
    SPATIAL_STRIDES,
    STAGES,
    First,
    Size3,
    average,
    conv3d,
    frame_stem,
    initialise,
    reduce,
    stage,
)
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename, Rule, unsqueeze
from kinesphere.models.weights.maps.resnet3d import MMACTION2
from kinesphere.models.zoo.i3d_resnet import C2D, MMACTION2_IMAGES, SPEC_8X8
from kinesphere.models.zoo.tsm import TemporalShift

GROUPS = 32


def shifted(inputs: int, width: int, length: int) -> nn.Module:
    """A block's first convolution after an exchange of channels between neighbouring frames."""
    return nn.Sequential(TemporalShift(inputs), conv3d(inputs, width, (length, 1, 1)))


def normed(
    inputs: int, outputs: int, kernel: Size3, stride: Size3 = (1, 1, 1), *, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        conv3d(inputs, outputs, kernel, stride, groups=groups), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
    )


class Tempo(nn.Module):
    """Temporal modulation: looks over neighbours, then keeps each `rate` frames' maximum (section 3.2)."""

    def __init__(self, inputs: int, outputs: int, rate: int) -> None:
        super().__init__()
        self.conv = conv3d(inputs, outputs, (3, 1, 1), groups=GROUPS)
        self.pool = nn.MaxPool3d((rate, 1, 1), (rate, 1, 1), ceil_mode=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.pool(self.conv(x_BCTHW))
        return out


class LevelFusion(nn.Module):
    """Both levels, each through a grouped convolution, side by side through a dense one."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.level1 = normed(width, width, (1, 1, 1), groups=GROUPS)
        self.level2 = normed(width, width, (1, 1, 1), groups=GROUPS)
        self.out = normed(2 * width, outputs, (1, 1, 1))

    def forward(self, lower: Tensor, upper: Tensor) -> Tensor:
        out: Tensor = self.out(torch.cat((self.level1(lower), self.level2(upper)), 1))
        return out


class Pyramid(nn.Module):
    """Two levels at one size and tempo; the upper flows down, then the lower up; both results are fused.

    Args:
        lower: Channels of the third stage; the fourth has twice as many.
        rate: Frames per frame of the pyramid.
    """

    def __init__(self, lower: int, rate: int) -> None:
        super().__init__()
        upper = 2 * lower
        self.spatial = normed(lower, upper, (1, 3, 3), (1, 2, 2))
        self.tempo1 = Tempo(upper, lower, rate)
        self.tempo2 = Tempo(upper, lower, rate)
        self.rise = conv3d(lower, lower, (3, 1, 1))
        self.top_down = LevelFusion(lower, upper)
        self.bottom_up = LevelFusion(lower, upper)
        self.out = normed(2 * upper, upper, (1, 1, 1))

    def forward(self, third: Tensor, fourth: Tensor) -> Tensor:
        upper = self.tempo2(fourth)
        lower = self.tempo1(self.spatial(third)) + upper
        top_down = self.top_down(lower, upper)
        bottom_up = self.bottom_up(lower, upper + self.rise(lower))
        out: Tensor = self.out(torch.cat((top_down, bottom_up), 1))
        return out


class TPN(nn.Module):
    """A bottleneck ResNet, the pyramid over its last two stages, global average, linear classifier.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        width: Channels of the stem.
        lengths: Per stage, temporal lengths of the blocks' first convolutions.
        first: Builds those convolutions.
        rate: Frames per frame of the pyramid.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...],
        width: int = 64,
        lengths: tuple[tuple[int, ...], ...],
        first: First = reduce,
        rate: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = frame_stem(3, width)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(
                width if i == 0 else width * 2 ** (i - 1) * EXPANSION,
                width * 2**i,
                depths[i],
                lengths=lengths[i],
                stride=SPATIAL_STRIDES[i],
                first=first,
            )
            for i in range(4)
        )
        self.neck = Pyramid(width * 4 * EXPANSION, rate)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width * 8 * EXPANSION, num_classes)
        initialise(self)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        third = self.layer3(self.layer2(self.layer1(self.stem(x_BTCHW.transpose(1, 2)))))
        x = self.neck(third, self.layer4(third))
        logits_BK: Tensor = self.fc(self.dropout(average(x)))
        return logits_BK


def fusion_rules(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rename(f"neck.{theirs}.downsamples.{{i}}.conv.conv.weight", f"neck.{ours}.level{{i+1}}.0.weight"),
        Rename(f"neck.{theirs}.downsamples.{{i}}.conv.bn.*", f"neck.{ours}.level{{i+1}}.1.*"),
        Rename(f"neck.{theirs}.fusion_conv.conv.weight", f"neck.{ours}.out.0.weight"),
        Rename(f"neck.{theirs}.fusion_conv.bn.*", f"neck.{ours}.out.1.*"),
    )


NECK: tuple[Rule, ...] = (
    Ignore("neck.aux_head.*", "auxiliary classifier, used in the publisher's training only"),
    Rename("neck.spatial_modulation.spatial_modulation.0.0.conv.weight", "neck.spatial.0.weight"),
    Rename("neck.spatial_modulation.spatial_modulation.0.0.bn.*", "neck.spatial.1.*"),
    Rename("neck.temporal_modulation_ops.{i}.conv.conv.weight", "neck.tempo{i+1}.conv.weight"),
    Rename("neck.downsample_ops.0.conv.conv.weight", "neck.rise.weight"),
    *fusion_rules("level_fusion_1", "top_down"),
    *fusion_rules("level_fusion_2", "bottom_up"),
    Rename("neck.pyramid_fusion.conv.weight", "neck.out.0.weight"),
    Rename("neck.pyramid_fusion.bn.*", "neck.out.1.*"),
)
SLOWONLY_MAPS = (KeyMap("mmaction2", NECK + MMACTION2),)
TSM_MAPS = (
    KeyMap(
        "mmaction2",
        (
            *NECK,
            Rename(
                "backbone.layer{s}.{b}.conv1.conv.net.weight", "layer{s}.{b}.conv1.1.weight", unsqueeze(2)
            ),
            *MMACTION2_IMAGES,
        ),
    ),
)


FAMILY = C2D.of(
    TPN,
    name="tpn",
    paper=cite("2004.03548", "3"),
    stages=(*STAGES, "neck"),
    cam_layers=(CamLayer("neck", "B C T H W"),),
    key_maps=SLOWONLY_MAPS,
    notes="The auxiliary classifier of training is not part of the model. ",
)
SLOWONLY_LENGTHS, TSM_LENGTHS = ((1,), (1,), (3,), (3,)), ((1,), (1,), (1,), (1,))


@FAMILY.model("Temporal pyramid on the last two stages of SlowOnly ResNet-50.")
def tpn_slowonly_resnet50(num_classes: int) -> TPN:
    return FAMILY.build(num_classes, depths=DEPTHS[50], lengths=SLOWONLY_LENGTHS)


@FAMILY.model(
    "Temporal pyramid on the last two stages of a ResNet-50 with temporal shifts.",
    inputs=(SPEC_8X8.with_(sampling=Sampling("uniform", 8)),),
    key_maps=TSM_MAPS,
    notes=FAMILY.notes + "No recorded logits: pyramid and shift are each compared with a public "
    "implementation, their combination is not.",
)
def tpn_tsm_resnet50(num_classes: int) -> TPN:
    return FAMILY.build(num_classes, depths=DEPTHS[50], lengths=TSM_LENGTHS, first=shifted)


@FAMILY.model("tpn_slowonly for tests.", tiny=True)
def tpn_slowonly_tiny(num_classes: int) -> TPN:
    return FAMILY.build(num_classes, depths=(1, 1, 1, 1), width=8, lengths=SLOWONLY_LENGTHS)


@FAMILY.model("tpn_tsm for tests.", key_maps=TSM_MAPS, tiny=True)
def tpn_tsm_tiny(num_classes: int) -> TPN:
    return FAMILY.build(num_classes, depths=(1, 1, 1, 1), width=8, lengths=TSM_LENGTHS, first=shifted)
