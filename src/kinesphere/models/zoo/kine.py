"""`kine_small`: a small 3D residual network that learns motion in minutes on a laptop CPU; also on flow.

Our own; blocks after Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
CVPR 2018, https://arxiv.org/abs/1711.11248. Designed for CPUs: full 3D convolutions of small widths, after a
stem that shrinks time by two and space by four at once. `benchmarks/compact.py` compares it with
alternatives.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet3d import STAGES, conv3d, initialise, projection


class Block(nn.Module):
    """Two 3×3×3 convolutions and a shortcut; `stride` halves time and space together."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        steps = (stride, stride, stride)
        self.conv1 = conv3d(inputs, outputs, (3, 3, 3), steps)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = conv3d(outputs, outputs, (3, 3, 3))
        self.bn2 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(inputs, outputs, steps)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        kept = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        x = self.relu(self.bn1(self.conv1(x_BCTHW)))
        out: Tensor = self.relu(self.bn2(self.conv2(x)) + kept)
        return out


class KineNet(nn.Module):
    """Stem, four blocks, global average, dropout, linear classifier.

    Args:
        num_classes: Number of outputs K.
        width: Channels of stem and first block; each later block doubles them.
        dropout: Before the classifier.
        channels: 3 for RGB, 2 for flow.
    """

    def __init__(self, num_classes: int, width: int = 16, dropout: float = 0.2, *, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv3d(channels, width, (5, 7, 7), (2, 4, 4)), nn.BatchNorm3d(width), nn.ReLU(inplace=True)
        )
        self.layer1 = Block(width, width, 1)
        self.layer2 = Block(width, 2 * width, 2)
        self.layer3 = Block(2 * width, 4 * width, 2)
        self.layer4 = Block(4 * width, 8 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * width, num_classes)
        initialise(self)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.stem(x_BTCHW.transpose(1, 2))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits_BK: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return logits_BK


SPEC = ClipSpec(Sampling("uniform", 16), size=(96, 96), short_side_px=108)
KINE = Family(
    name="kine",
    paper=None,
    network=KineNet,
    inputs=(SPEC,),
    tiny_inputs=(ClipSpec(Sampling("uniform", 8), size=(32, 32), short_side_px=36),),
    stages=STAGES,
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    classes=10,
)


@KINE.model("Small 3D residual network; trains on a laptop CPU.")
def kine_small(num_classes: int) -> KineNet:
    return KINE.build(num_classes)


@KINE.model(
    "kine_small on optical flow.",
    inputs=(SPEC.with_(modality="flow", fps=15.0, mean=(0.0, 0.0), std=(1.0, 1.0)),),
)
def kine_small_flow(num_classes: int) -> KineNet:
    return KINE.build(num_classes, channels=2)


@KINE.model("kine_small for tests.", classes=10, tiny=True)
def kine_tiny(num_classes: int) -> KineNet:
    return KINE.build(num_classes, width=4)
