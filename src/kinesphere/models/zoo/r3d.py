"""R3D, MC3 and R(2+1)D: residual networks with 3D, mixed and factorised convolutions.

Tran, Wang, Torresani, Ray, LeCun, Paluri: "A Closer Look at Spatiotemporal Convolutions for Action
Recognition", CVPR 2018, https://arxiv.org/abs/1711.11248, sections 3.1 to 3.5.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.build import register
from kinesphere.models.card import ModelCard, Paper, ReportedScore, WeightEntry
from kinesphere.models.keymap import SAME_KEYS, KeyMap

Convolution = Literal["3d", "2d", "2plus1d"]


def conv3d(
    inputs: int, outputs: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Conv3d:
    """A convolution that keeps the size at stride 1; batch norm follows, so it has no bias."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)


def middle_width(inputs: int, outputs: int) -> int:
    """Width between the two halves at which (2+1)D has as many weights as 3×3×3 (section 3.5)."""
    return inputs * outputs * 27 // (inputs * 9 + outputs * 3)


def convolution(kind: Convolution, inputs: int, outputs: int, stride: int, middle: int) -> nn.Module:
    """One 3×3×3 convolution, its spatial part, or its (2+1)D factorisation."""
    if kind == "3d":
        return conv3d(inputs, outputs, (3, 3, 3), (stride, stride, stride))
    if kind == "2d":
        return conv3d(inputs, outputs, (1, 3, 3), (1, stride, stride))
    return nn.Sequential(
        conv3d(inputs, middle, (1, 3, 3), (1, stride, stride)),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, outputs, (3, 1, 1), (stride, 1, 1)),
    )


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(
        self, kind: Convolution, inputs: int, outputs: int, stride: int, *, own_middle: bool
    ) -> None:
        super().__init__()
        first = middle_width(inputs, outputs)
        second = middle_width(outputs, outputs) if own_middle else first
        self.conv1 = nn.Sequential(
            convolution(kind, inputs, outputs, stride, first),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            convolution(kind, outputs, outputs, 1, second),
            nn.BatchNorm3d(outputs),
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            steps = (1 if kind == "2d" else stride, stride, stride)
            self.downsample = nn.Sequential(
                conv3d(inputs, outputs, (1, 1, 1), steps), nn.BatchNorm3d(outputs)
            )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        shortcut = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        out: Tensor = self.relu(self.conv2(self.conv1(x_BCTHW)) + shortcut)
        return out


def stem(kind: Convolution, width: int, middle: int) -> nn.Sequential:
    """Half the spatial size, full temporal size."""
    if kind == "2plus1d":
        return nn.Sequential(
            conv3d(3, middle, (1, 7, 7), (1, 2, 2)),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            conv3d(middle, width, (3, 1, 1), (1, 1, 1)),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
    return nn.Sequential(conv3d(3, width, (3, 7, 7), (1, 2, 2)), nn.BatchNorm3d(width), nn.ReLU(inplace=True))


class VideoResNet(nn.Module):
    """Stem, four stages of residual blocks, global average, linear classifier.

    Args:
        num_classes: Number of outputs K.
        kinds: Kind of convolution in stem and stages, five in all.
        depths: Blocks per stage.
        width: Channels of stem and first stage; each later stage doubles them.
        own_middle: Whether the second convolution of a (2+1)D block computes its own middle width
            instead of sharing the first one's.
        norm_eps: Batch-norm epsilon.
    """

    def __init__(
        self,
        num_classes: int,
        kinds: tuple[Convolution, ...],
        depths: tuple[int, int, int, int],
        width: int = 64,
        *,
        own_middle: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.stem = stem(kinds[0], width, 45 * width // 64)
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
                )
                for j in range(depth)
            ]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm3d):
                module.eps = norm_eps

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.stem(x_BTCHW.transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits_BK: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits_BK


PAPER = Paper(
    "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    "Tran, Wang, Torresani, Ray, LeCun, Paluri",
    2018,
    "https://arxiv.org/abs/1711.11248",
    "3.1–3.5",
)
SPEC = ClipSpec(
    Sampling("dense", 16),
    size=(112, 112),
    fps=15.0,
    short_side_px=128,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
)
TINY_SPEC = SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=36)
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
TORCHVISION = KeyMap("torchvision", SAME_KEYS)
VIDEO_LEVEL = "5 clips of 16 frames at 15 fps, video level"


def torchvision_weights(file: str, top1: float, top5: float) -> tuple[WeightEntry, ...]:
    """The Kinetics-400 entry of a torchvision file, whose name ends in its digest."""
    return (
        WeightEntry(
            tag="k400",
            url=f"https://download.pytorch.org/models/{file}",
            layout="torchvision",
            labels="kinetics400",
            classes=400,
            sha256=file.rpartition("-")[2].removesuffix(".pth"),
            licence="BSD-3-Clause",
            scores=(
                ReportedScore("top1", top1, "Kinetics-400", VIDEO_LEVEL),
                ReportedScore("top5", top5, "Kinetics-400", VIDEO_LEVEL),
            ),
        ),
    )


def r3d_card(
    name: str,
    summary: str,
    parameters: int,
    multiply_adds: int,
    *,
    weights: tuple[WeightEntry, ...] = (),
    spec: ClipSpec = SPEC,
    classes: int = 400,
    tiny: bool = False,
    notes: str = "",
) -> ModelCard:
    return ModelCard(
        name=name,
        family="r3d",
        summary=summary,
        paper=PAPER,
        inputs=(spec,),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=classes,
        head=("fc",),
        stages=STAGES,
        cam_layer="layer4",
        weights=weights,
        tiny=tiny,
        notes=notes,
    )


def kinds(stem_to_last: str) -> tuple[Convolution, ...]:
    """Five kinds from a text of letters: `v` volume (3D), `i` image (2D), `f` factorised."""
    names: dict[str, Convolution] = {"v": "3d", "i": "2d", "f": "2plus1d"}
    return tuple(names[letter] for letter in stem_to_last)


RESIZE_NOTE = "The published scores resized frames to 128×171 without keeping their aspect ratio."


@register(
    r3d_card(
        "r3d_18",
        "18-layer residual network with 3D convolutions throughout.",
        33_371_472,
        40_696_553_472,
        weights=torchvision_weights("r3d_18-b3b3357e.pth", 0.632, 0.83479),
        notes=RESIZE_NOTE,
    ),
    (TORCHVISION,),
)
def r3d_18(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("vvvvv"), (2, 2, 2, 2))


@register(
    r3d_card(
        "mc3_18",
        "18-layer residual network, 3D convolutions in stem and first stage, 2D after.",
        11_695_440,
        43_342_635_008,
        weights=torchvision_weights("mc3_18-a90a0ba3.pth", 0.6396, 0.8413),
        notes=RESIZE_NOTE,
    ),
    (TORCHVISION,),
)
def mc3_18(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("vviii"), (2, 2, 2, 2))


@register(
    r3d_card(
        "r2plus1d_18",
        "18-layer residual network with (2+1)D convolutions throughout.",
        31_505_325,
        40_519_080_960,
        weights=torchvision_weights("r2plus1d_18-91a641e6.pth", 0.67463, 0.86175),
        notes=RESIZE_NOTE,
    ),
    (TORCHVISION,),
)
def r2plus1d_18(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("fffff"), (2, 2, 2, 2))


@register(
    r3d_card(
        "r2plus1d_34",
        "34-layer residual network with (2+1)D convolutions throughout.",
        63_697_175,
        76_177_959_936,
        notes="Own middle width per convolution and batch-norm epsilon 1e-3, as the IG-65M weights have.",
    ),
    (KeyMap("ig65m", SAME_KEYS),),
)
def r2plus1d_34(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("fffff"), (3, 4, 6, 3), own_middle=True, norm_eps=1e-3)


@register(
    r3d_card("r3d_tiny", "r3d for tests.", 228_445, 19_005_760, spec=TINY_SPEC, classes=5, tiny=True),
    (TORCHVISION,),
)
def r3d_tiny(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("vvvvv"), (1, 1, 1, 1), width=8)


@register(
    r3d_card(
        "r2plus1d_tiny", "r2plus1d for tests.", 196_750, 13_746_496, spec=TINY_SPEC, classes=5, tiny=True
    ),
    (TORCHVISION,),
)
def r2plus1d_tiny(num_classes: int) -> nn.Module:
    return VideoResNet(num_classes, kinds("fffff"), (1, 1, 1, 1), width=8)
