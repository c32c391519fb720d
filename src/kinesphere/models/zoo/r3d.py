"""R3D, MC3 and R(2+1)D: residual networks with 3D, mixed and factorised convolutions.

Tran, Wang, Torresani, Ray, LeCun, Paluri: "A Closer Look at Spatiotemporal Convolutions for Action
Recognition", CVPR 2018, https://arxiv.org/abs/1711.11248, sections 3.1 to 3.5.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import DEPTHS, STAGES, Size3, conv3d, initialise, max_pool, stem
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import SAME_KEYS, KeyMap
from kinesphere.models.weights.maps.r3d import (
    JFZHANG95_R2PLUS1D,
    JFZHANG95_R3D,
    MMACTION2,
    RESNETS_R2PLUS1D,
    RESNETS_R3D,
)

Convolution = Literal["3d", "2d", "2plus1d"]
Pool = Literal["none", "space", "volume"]


def middle_width(inputs: int, outputs: int, length: int = 3, area: int = 9) -> int:
    """Width between the two halves at which (2+1)D has as many weights as the full kernel (section 3.5)."""
    return inputs * outputs * length * area // (inputs * area + outputs * length)


class Factorised(nn.Sequential):
    """A convolution in two halves: within each frame, then over `length` frames."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, stride: Size3, *, length: int, size: int
    ) -> None:
        super().__init__(
            conv3d(inputs, middle, (1, size, size), (1, *stride[1:])),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            conv3d(middle, outputs, (length, 1, 1), (stride[0], 1, 1)),
        )


def convolution(kind: Convolution, inputs: int, outputs: int, stride: int, middle: int) -> nn.Module:
    """One 3×3×3 convolution, its spatial part, or its (2+1)D factorisation."""
    if kind == "3d":
        return conv3d(inputs, outputs, (3, 3, 3), (stride, stride, stride))
    if kind == "2d":
        return conv3d(inputs, outputs, (1, 3, 3), (1, stride, stride))
    return Factorised(inputs, middle, outputs, (stride, stride, stride), length=3, size=3)


def normed(convolved: nn.Module, outputs: int, *, twice: bool, relu: bool) -> nn.Sequential:
    """Convolution, batch norm (`twice`: and ReLU and batch norm again) and, if asked for, ReLU."""
    layers = [convolved, nn.BatchNorm3d(outputs)]
    if twice:
        layers += [nn.ReLU(inplace=True), nn.BatchNorm3d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def shortcut(inputs: int, outputs: int, stride: Size3, length: int) -> nn.Module:
    """1×1×1; with `length` in two halves, as wide in between as for a kernel of so many frames."""
    if not length:
        return conv3d(inputs, outputs, (1, 1, 1), stride)
    middle = middle_width(inputs, outputs, length, 1)
    return Factorised(inputs, middle, outputs, stride, length=1, size=1)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut; the arguments are those of `VideoResNet`."""

    def __init__(
        self,
        kind: Convolution,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        own_middle: bool,
        shortcut_length: int,
        norm_twice: bool,
    ) -> None:
        super().__init__()
        first = middle_width(inputs, outputs)
        second = middle_width(outputs, outputs) if own_middle else first
        self.conv1 = normed(
            convolution(kind, inputs, outputs, stride, first), outputs, twice=norm_twice, relu=True
        )
        self.conv2 = normed(
            convolution(kind, outputs, outputs, 1, second), outputs, twice=norm_twice, relu=False
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            steps = (1 if kind == "2d" else stride, stride, stride)
            self.downsample = normed(
                shortcut(inputs, outputs, steps, shortcut_length), outputs, twice=norm_twice, relu=False
            )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        beside = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        out: Tensor = self.relu(self.conv2(self.conv1(x_BCTHW)) + beside)
        return out


def video_stem(kind: Convolution, width: int, length: int, middle: int, pool: Pool) -> nn.Sequential:
    """Half the spatial size, full temporal size; then perhaps a max-pooling."""
    if kind == "2plus1d":
        halves = Factorised(3, middle, width, (1, 2, 2), length=length, size=7)
        entry = nn.Sequential(*halves, nn.BatchNorm3d(width), nn.ReLU(inplace=True))
    else:
        entry = stem(3, width, (length, 7, 7), (1, 2, 2), None)
    if pool == "space":
        entry.append(max_pool((1, 3, 3), (1, 2, 2)))
    elif pool == "volume":
        entry.append(max_pool((3, 3, 3), (2, 2, 2)))
    return entry


class VideoResNet(nn.Module):
    """Stem, four stages of residual blocks, global average, linear classifier.

    Args:
        num_classes: Number of outputs K.
        kinds: Kind of convolution in stem and stages, five in all.
        depths: Blocks per stage.
        width: Channels of stem and first stage; each later stage doubles them.
        own_middle: Whether the second convolution of a (2+1)D block computes its own middle width
            instead of sharing the first one's.
        stem_length: Frames under the stem's convolution.
        stem_middle: Middle width of a (2+1)D stem; by default that of the published weights, 45 at width 64.
        stem_pool: Max-pooling after the stem: none, halving space, or halving space and time.
        shortcut_length: 0 for 1×1×1 shortcuts; else they are factorised too, with the middle width that
            belongs to a kernel of so many frames.
        norm_twice: Whether batch norm follows each convolution of a block twice, with a ReLU between.
        norm_eps: Batch-norm epsilon.
        middle_eps: Epsilon of the batch norms between the halves of (2+1)D convolutions, where it differs.
    """

    def __init__(
        self,
        num_classes: int,
        kinds: tuple[Convolution, ...],
        depths: tuple[int, int, int, int],
        width: int = 64,
        *,
        own_middle: bool = False,
        stem_length: int = 3,
        stem_middle: int | None = None,
        stem_pool: Pool = "none",
        shortcut_length: int = 0,
        norm_twice: bool = False,
        norm_eps: float = 1e-5,
        middle_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.stem = video_stem(kinds[0], width, stem_length, stem_middle or 45 * width // 64, stem_pool)
        inputs = width
        stages = []
        for i, (kind, depth) in enumerate(zip(kinds[1:], depths, strict=True)):
            outputs = width * 2**i
            blocks = [
                BasicBlock(
                    kind,
                    inputs if j == 0 else outputs,
                    outputs,
                    stride=2 if i > 0 and j == 0 else 1,
                    own_middle=own_middle,
                    shortcut_length=shortcut_length,
                    norm_twice=norm_twice,
                )
                for j in range(depth)
            ]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, num_classes)
        initialise(self, norm_eps)
        if middle_eps is not None:
            factorised = [module for module in self.modules() if isinstance(module, Factorised)]
            for norm in (self.stem[1], *(halves[1] for halves in factorised)):
                assert isinstance(norm, nn.BatchNorm3d)
                norm.eps = middle_eps

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.stem(x_BTCHW.transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits_BK: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits_BK


SPEC = ClipSpec(
    Sampling("dense", 16),
    size=(112, 112),
    fps=15.0,
    short_side_px=128,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
TORCHVISION = KeyMap("torchvision", SAME_KEYS)
R3D_MAPS = (TORCHVISION, RESNETS_R3D, JFZHANG95_R3D)
R2PLUS1D_MAPS = (TORCHVISION, RESNETS_R2PLUS1D, JFZHANG95_R2PLUS1D)
R3D = Family(
    name="r3d",
    paper=cite("1711.11248", "3.1–3.5"),
    network=VideoResNet,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    key_maps=R3D_MAPS,
)
ALL_3D: tuple[Convolution, ...] = ("3d",) * 5
ALL_FACTORISED: tuple[Convolution, ...] = ("2plus1d",) * 5
MIXED: tuple[Convolution, ...] = ("3d", "3d", "2d", "2d", "2d")
RESIZE_NOTE = "The published scores resized frames to 128×171 without keeping their aspect ratio."


@R3D.model("18-layer residual network with 3D convolutions throughout.", notes=RESIZE_NOTE)
def r3d_18(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_3D, depths=DEPTHS[18])


@R3D.model("34-layer residual network with 3D convolutions throughout.")
def r3d_34(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_3D, depths=DEPTHS[34])


@R3D.model(
    "18-layer residual network, 3D convolutions in stem and first stage, 2D after.",
    key_maps=(TORCHVISION,),
    notes=RESIZE_NOTE,
)
def mc3_18(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=MIXED, depths=DEPTHS[18])


@R3D.model(
    "18-layer residual network with (2+1)D convolutions throughout.",
    key_maps=R2PLUS1D_MAPS,
    notes=RESIZE_NOTE,
)
def r2plus1d_18(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_FACTORISED, depths=DEPTHS[18])


@R3D.model(
    "34-layer residual network with (2+1)D convolutions throughout.",
    key_maps=(KeyMap("ig65m", SAME_KEYS), MMACTION2, RESNETS_R2PLUS1D),
    notes="Own middle width per convolution and batch-norm epsilon 1e-3, as the IG-65M weights have.",
)
def r2plus1d_34(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_FACTORISED, depths=DEPTHS[34], own_middle=True, norm_eps=1e-3)


@R3D.model("r3d for tests.", tiny=True)
def r3d_tiny(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_3D, depths=(1, 1, 1, 1), width=8)


@R3D.model("r2plus1d for tests.", key_maps=(*R2PLUS1D_MAPS, MMACTION2), tiny=True)
def r2plus1d_tiny(num_classes: int) -> VideoResNet:
    return R3D.build(num_classes, kinds=ALL_FACTORISED, depths=(1, 1, 1, 1), width=8)
