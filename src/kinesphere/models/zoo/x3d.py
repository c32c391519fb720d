"""X3D: a tiny image network expanded along time, resolution, width and depth, one axis at a time.

Feichtenhofer: "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020,
https://arxiv.org/abs/2004.04730, sections 3 and 4, tables 1 and 3. Depthwise 3×3×3 convolutions inside
inverted bottlenecks, squeeze-and-excitation in every second one, Swish.

B batch, T time, C channels, H W pixels, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import STAGES, Size3, average, conv3d, initialise
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap, Rename, squeeze
from kinesphere.models.weights.maps.resnet3d import (
    PYSLOWFAST_HEAD,
    mmaction2_stages,
    pyslowfast_stages,
    pytorchvideo_stage,
)

DEPTHS, DEEP = (3, 5, 11, 7), (5, 10, 25, 15)
EXPANSION = 2.25


def squeezed(width: int) -> int:
    """A sixteenth of `width`, as a multiple of 8 that loses at most a tenth."""
    wanted = width / 16
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class SqueezeExcite(nn.Module):
    """Scales each channel by what all of them say about the whole clip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(width, squeezed(width), 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv3d(squeezed(width), width, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        scale: Tensor = self.fc2(self.relu(self.fc1(x_BCTHW.mean((2, 3, 4), keepdim=True)))).sigmoid()
        return x_BCTHW * scale


class InvertedBottleneck(nn.Module):
    """Widen, look around channel by channel, narrow, and add the input."""

    def __init__(
        self, inputs: int, width: int, outputs: int, stride: Size3, *, excite: bool, shortcut_norm: bool
    ) -> None:
        super().__init__()
        self.conv1 = conv3d(inputs, width, (1, 1, 1))
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = conv3d(width, width, (3, 3, 3), stride, groups=width)
        self.bn2 = nn.BatchNorm3d(width)
        self.se: nn.Module = SqueezeExcite(width) if excite else nn.Identity()
        self.swish = nn.SiLU(inplace=True)
        self.conv3 = conv3d(width, outputs, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != (1, 1, 1) or inputs != outputs:
            normed = shortcut_norm or inputs != outputs
            self.downsample = nn.Sequential(
                conv3d(inputs, outputs, (1, 1, 1), stride),
                nn.BatchNorm3d(outputs) if normed else nn.Identity(),
            )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        shortcut = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        x = self.relu(self.bn1(self.conv1(x_BCTHW)))
        x = self.swish(self.se(self.bn2(self.conv2(x))))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + shortcut)
        return out


def stem(channels: int, width: int) -> nn.Sequential:
    """3×3 in each frame, then channel by channel over five frames, batch norm, ReLU."""
    return nn.Sequential(
        conv3d(channels, width, (1, 3, 3), (1, 2, 2)),
        conv3d(width, width, (5, 1, 1), groups=width),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def residual_stages(
    width: int, depths: tuple[int, ...], *, excite: bool = True, shortcut_norm: bool = True
) -> list[nn.Sequential]:
    """Stages from `width` channels, which each later one doubles; of each, every second block may excite."""
    return [
        nn.Sequential(
            *(
                InvertedBottleneck(
                    width * 2 ** (i - 1) if i > 0 and j == 0 else width * 2**i,
                    int(width * 2**i * EXPANSION),
                    width * 2**i,
                    (1, 2, 2) if j == 0 else (1, 1, 1),
                    excite=excite and j % 2 == 0,
                    shortcut_norm=shortcut_norm,
                )
                for j in range(depth)
            )
        )
        for i, depth in enumerate(depths)
    ]


def widened(inputs: int) -> nn.Sequential:
    """The last convolution, 1×1×1, batch norm, ReLU."""
    last = int(inputs * EXPANSION)
    return nn.Sequential(conv3d(inputs, last, (1, 1, 1)), nn.BatchNorm3d(last), nn.ReLU(inplace=True))


class X3D(nn.Module):
    """Stem, four stages, a wide last convolution, global average, two linear layers.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        width: Channels of the stem and the first stage; each later stage doubles them.
        hidden: Width of the first linear layer.
        shortcut_norm: Whether batch norm follows a strided shortcut that keeps the number of channels.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, ...],
        width: int = 24,
        hidden: int = 2048,
        shortcut_norm: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = stem(3, width)
        stages = residual_stages(width, depths, shortcut_norm=shortcut_norm)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.conv5 = widened(width * 8)
        self.hidden = nn.Linear(int(width * 8 * EXPANSION), hidden, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, num_classes)
        initialise(self)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.stem(x_BTCHW.transpose(1, 2))
        x = self.conv5(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        logits_BK: Tensor = self.fc(self.dropout(self.relu(self.hidden(average(x)))))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 16, 5), size=(224, 224), short_side_px=256, fps=30.0)
SMALL = SPEC.with_(size=(160, 160), short_side_px=182)
SQUEEZE = squeeze(2, 3, 4)
MAPS = (
    KeyMap(
        "mmaction2",
        (
            Rename("backbone.conv1_s.conv.weight", "stem.0.weight"),
            Rename("backbone.conv1_t.conv.weight", "stem.1.weight"),
            Rename("backbone.conv1_t.bn.*", "stem.2.*"),
            Rename("backbone.layer{s}.{b}.se_module.*", "layer{s}.{b}.se.*"),
            *mmaction2_stages(),
            Rename("backbone.conv5.conv.weight", "conv5.0.weight"),
            Rename("backbone.conv5.bn.*", "conv5.1.*"),
            Rename("cls_head.fc1.weight", "hidden.weight"),
            Rename("cls_head.fc2.*", "fc.*"),
        ),
    ),
    KeyMap(
        "pytorchvideo",
        (
            Rename("blocks.0.conv.conv_t.weight", "stem.0.weight"),  # named after the wrong axis, but first
            Rename("blocks.0.conv.conv_xy.weight", "stem.1.weight"),
            Rename("blocks.0.norm.*", "stem.2.*"),
            Rename("blocks.{s}.res_blocks.{b}.branch2.norm_b.0.*", "layer{s}.{b}.bn2.*"),
            Rename("blocks.{s}.res_blocks.{b}.branch2.norm_b.1.block.0.*", "layer{s}.{b}.se.fc1.*"),
            Rename("blocks.{s}.res_blocks.{b}.branch2.norm_b.1.block.2.*", "layer{s}.{b}.se.fc2.*"),
            *pytorchvideo_stage("blocks.{s}", "layer{s}"),
            Rename("blocks.5.pool.pre_conv.weight", "conv5.0.weight"),
            Rename("blocks.5.pool.pre_norm.*", "conv5.1.*"),
            Rename("blocks.5.pool.post_conv.weight", "hidden.weight", SQUEEZE),
            Rename("blocks.5.proj.*", "fc.*"),
        ),
        arguments={"shortcut_norm": False},
    ),
    KeyMap(
        "pyslowfast",
        (
            Rename("s1.pathway0_stem.conv_xy.weight", "stem.0.weight"),
            Rename("s1.pathway0_stem.conv.weight", "stem.1.weight"),
            Rename("s1.pathway0_stem.bn.*", "stem.2.*"),
            Rename("s{s+1}.pathway0_res{b}.branch2.se.*", "layer{s}.{b}.se.*"),
            *pyslowfast_stages(),
            Rename("head.conv_5.weight", "conv5.0.weight"),
            Rename("head.conv_5_bn.*", "conv5.1.*"),
            Rename("head.lin_5.weight", "hidden.weight", SQUEEZE),
            *PYSLOWFAST_HEAD,
        ),
    ),
)


FAMILY = Family(
    name="x3d",
    paper=cite("2004.04730", "3, 4, tables 1 and 3"),
    network=X3D,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 4, 1), size=(32, 32), short_side_px=36),),
    stages=(*STAGES, "conv5"),
    cam_layers=(CamLayer("conv5", "B C T H W"),),
    key_maps=MAPS,
)


@FAMILY.model(
    "X3D-XS: depthwise and light, 4 frames of 160 pixels.",
    inputs=(SMALL.with_(sampling=Sampling("dense", 4, 12)),),
)
def x3d_xs(num_classes: int) -> X3D:
    return FAMILY.build(num_classes, depths=DEPTHS)


@FAMILY.model(
    "X3D-S: depthwise and light, 13 frames of 160 pixels.",
    inputs=(SMALL.with_(sampling=Sampling("dense", 13, 6)),),
)
def x3d_s(num_classes: int) -> X3D:
    return FAMILY.build(num_classes, depths=DEPTHS)


@FAMILY.model("X3D-M: depthwise and light, 16 frames of 224 pixels.")
def x3d_m(num_classes: int) -> X3D:
    return FAMILY.build(num_classes, depths=DEPTHS)


@FAMILY.model(
    "X3D-L: depthwise and light, 16 frames of 312 pixels.",
    inputs=(SPEC.with_(size=(312, 312), short_side_px=356),),
)
def x3d_l(num_classes: int) -> X3D:
    return FAMILY.build(num_classes, depths=DEEP)


@FAMILY.model("x3d for tests.", tiny=True)
def x3d_tiny(num_classes: int) -> X3D:
    return FAMILY.build(num_classes, depths=(2, 1, 1, 1), width=8, hidden=32)
